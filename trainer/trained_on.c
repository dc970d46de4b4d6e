#include "trainer/trained_on.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

enum { HASH_DIGITS = 16 };

/* One training. */
typedef struct source {
    const json_t *people, *recordings, *groups;
    bool same_key;
    json_t *by_recording; /* people of whom a recording is known again: as `people` */
} source_t;

typedef struct known {
    json_t *root;
    source_t *sources; /* the training, and those before it */
    int count;
} known_t;

static void hash_of(const recording_info_t *info, char hash_out[HASH_DIGITS + 1]) {
    snprintf(hash_out, HASH_DIGITS + 1, "%s", info->content);
}

/* "train" outweighs "valid". */
static void put_part(json_t *object, const char *key, const char *part) {
    const char *old = json_string_value(json_object_get(object, key));
    if (old == NULL || strcmp(part, "train") == 0) {
        json_object_set_new(object, key, json_string(part));
    }
}

/* --- writing --------------------------------------------------------------------------------- */

/* By hash: the alias of the person, or "" where two have it. */
static json_t *owners_of(const dataset_t *dataset) {
    json_t *owners = json_object();
    for (int64_t i = 0; i < dataset_recordings(dataset); i++) {
        recording_info_t info = dataset_recording(dataset, i);
        char hash[HASH_DIGITS + 1];
        hash_of(&info, hash);
        const char *old = json_string_value(json_object_get(owners, hash));
        bool shared = old != NULL && strcmp(old, info.subject) != 0;
        json_object_set_new(owners, hash, json_string(shared ? "" : info.subject));
    }
    return owners;
}

char *trained_on_text(const dataset_t *dataset) {
    json_t *people = json_object(), *recordings = json_object(), *groups = json_object();
    json_t *owners = owners_of(dataset);
    for (int64_t i = 0; i < dataset_recordings(dataset); i++) {
        recording_info_t info = dataset_recording(dataset, i);
        char hash[HASH_DIGITS + 1];
        hash_of(&info, hash);
        if (info.split != SPLIT_TRAIN && info.split != SPLIT_VALID) {
            continue;
        }
        put_part(people, info.subject, split_name(info.split));
        if (hash[0] != '\0' && json_string_length(json_object_get(owners, hash)) > 0) {
            put_part(recordings, hash, split_name(info.split));
        }
        if (info.split == SPLIT_TRAIN && info.group[0] != '\0') {
            put_part(groups, info.group, split_name(info.split));
        }
    }
    json_decref(owners);
    json_t *root = json_pack("{s:s, s:o, s:o, s:o}", "key", dataset_key_id(dataset), "people",
                             people, "recordings", recordings, "groups", groups);
    char *text = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(root);
    return text;
}

/* --- joining --------------------------------------------------------------------------------- */

static json_t *load(const char *text) {
    json_t *root = json_loads(text, 0, NULL);
    return root != NULL ? root : json_object();
}

static void append_new(json_t *list, json_t *entry) {
    size_t i;
    json_t *other;
    json_array_foreach(list, i, other) {
        if (json_equal(other, entry)) {
            return;
        }
    }
    json_array_append(list, entry);
}

char *trained_on_join(const char *text, const char *before) {
    if (text[0] == '\0' || before[0] == '\0') {
        return text_copy(text[0] == '\0' ? before : text);
    }
    json_t *root = load(text), *added = load(before), *earlier, *entry;
    json_t *list = json_deep_copy(json_object_get(root, "before"));
    list = list != NULL ? list : json_array();
    earlier = json_incref(json_object_get(added, "before"));
    json_object_del(added, "before");
    append_new(list, added);
    size_t i;
    json_array_foreach(earlier, i, entry) { append_new(list, entry); }
    json_object_set_new(root, "before", list);
    char *joined = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(earlier);
    json_decref(added);
    json_decref(root);
    return joined;
}

char *trained_on_before(const char *text) {
    json_t *root = load(text), *entry;
    char *before = text_copy("");
    size_t i;
    json_array_foreach(json_object_get(root, "before"), i, entry) {
        char *one = json_dumps(entry, JSON_COMPACT | JSON_PRESERVE_ORDER);
        char *joined = trained_on_join(before, one);
        free(before);
        free(one);
        before = joined;
    }
    json_decref(root);
    return before;
}

/* --- recognising ----------------------------------------------------------------------------- */

/* "train" outweighs "valid", and both nothing. */
static const char *stronger(const char *a, const char *b) {
    return a == NULL || (b != NULL && strcmp(b, "train") == 0) ? b : a;
}

static const char *part_at(const source_t *source, const recording_info_t *info) {
    char hash[HASH_DIGITS + 1];
    hash_of(info, hash);
    return json_string_value(json_object_get(source->recordings, hash));
}

static const char *part_of_recording(const known_t *known, const recording_info_t *info) {
    const char *part = NULL;
    for (int i = 0; i < known->count; i++) {
        part = stronger(part, part_at(&known->sources[i], info));
    }
    return part;
}

static const char *part_of_person(const known_t *known, const recording_info_t *info) {
    const char *part = NULL;
    for (int i = 0; i < known->count; i++) {
        const source_t *source = &known->sources[i];
        const json_t *people = source->same_key ? source->people : NULL;
        part = stronger(part, json_string_value(json_object_get(people, info->subject)));
        part =
            stronger(part, json_string_value(json_object_get(source->by_recording, info->subject)));
    }
    return part;
}

static bool knows_group(const known_t *known, const char *group) {
    for (int i = 0; i < known->count; i++) {
        if (json_object_get(known->sources[i].groups, group) != NULL) {
            return true;
        }
    }
    return false;
}

static source_t source_of(const json_t *training, const dataset_t *dataset) {
    source_t source = {.people = json_object_get(training, "people"),
                       .recordings = json_object_get(training, "recordings"),
                       .groups = json_object_get(training, "groups"),
                       .by_recording = json_object()};
    const char *key = json_string_value(json_object_get(training, "key"));
    source.same_key = key != NULL && key[0] != '\0' && strcmp(key, dataset_key_id(dataset)) == 0;
    for (int64_t i = 0; i < dataset_recordings(dataset); i++) {
        recording_info_t info = dataset_recording(dataset, i);
        const char *part = part_at(&source, &info);
        if (part != NULL) {
            put_part(source.by_recording, info.subject, part);
        }
    }
    return source;
}

static known_t known_open(const char *text, const dataset_t *dataset) {
    known_t known = {.root = json_loads(text, 0, NULL)};
    const json_t *before = json_object_get(known.root, "before");
    known.count = 1 + (int)json_array_size(before);
    known.sources = alloc_zero(known.count, sizeof *known.sources);
    for (int i = 0; i < known.count; i++) {
        const json_t *training = i == 0 ? known.root : json_array_get(before, (size_t)i - 1);
        known.sources[i] = source_of(training, dataset);
    }
    return known;
}

static void known_close(known_t *known) {
    for (int i = 0; i < known->count; i++) {
        json_decref(known->sources[i].by_recording);
    }
    free(known->sources);
    json_decref(known->root);
}

/* Of nobody there is nothing to have seen. */
static seen_t seen_of(const known_t *known, bool seen, bool unseen) {
    size_t people = 0;
    for (int i = 0; i < known->count; i++) {
        people += json_object_size(known->sources[i].people);
    }
    if (people == 0) {
        return SEEN_NOTHING;
    }
    return seen && unseen ? SEEN_SOME : seen ? SEEN_ALL : unseen ? SEEN_NONE : SEEN_NOTHING;
}

seen_t trained_on_people(const char *text, const dataset_t *dataset, split_t split) {
    known_t known = known_open(text, dataset);
    bool seen = false, unseen = false;
    for (int64_t i = 0; i < dataset_recordings(dataset); i++) {
        recording_info_t info = dataset_recording(dataset, i);
        bool is_known = part_of_person(&known, &info) != NULL;
        seen |= info.split == split && is_known;
        unseen |= info.split == split && !is_known;
    }
    seen_t result = seen_of(&known, seen, unseen);
    known_close(&known);
    return result;
}

seen_t trained_on_groups(const char *text, const dataset_t *dataset, split_t split) {
    known_t known = known_open(text, dataset);
    bool seen = false, unseen = false;
    for (int64_t i = 0; i < dataset_recordings(dataset); i++) {
        recording_info_t info = dataset_recording(dataset, i);
        bool counts = info.split == split && info.group[0] != '\0';
        bool is_known = knows_group(&known, info.group);
        seen |= counts && is_known;
        unseen |= counts && !is_known;
    }
    seen_t result = seen_of(&known, seen, unseen);
    known_close(&known);
    return result;
}

/* --- refusing -------------------------------------------------------------------------------- */

static bool counts(const char *part, split_t split) {
    return part != NULL && (split == SPLIT_TEST || strcmp(part, "train") == 0);
}

/* Whether the recording may not be scored in that split, and if so, because of its person. */
static bool is_seen(const known_t *known, const recording_info_t *info, split_t split, bool overlap,
                    bool *person_out) {
    *person_out = !overlap && counts(part_of_person(known, info), split);
    return *person_out || counts(part_of_recording(known, info), split);
}

void trained_on_count(const char *text, const dataset_t *dataset, split_t split, bool overlap,
                      int64_t *seen_out, int64_t *all_out) {
    known_t known = known_open(text, dataset);
    json_t *seen = json_object(), *all = json_object();
    for (int64_t i = 0; i < dataset_recordings(dataset); i++) {
        recording_info_t info = dataset_recording(dataset, i);
        bool is_person = false;
        if (info.split == split) {
            json_object_set_new(all, info.subject, json_true());
            if (is_seen(&known, &info, split, overlap, &is_person)) {
                json_object_set_new(seen, info.subject, json_true());
            }
        }
    }
    *seen_out = (int64_t)json_object_size(seen);
    *all_out = (int64_t)json_object_size(all);
    json_decref(seen);
    json_decref(all);
    known_close(&known);
}

static status_t check_recording(const known_t *known, const recording_info_t *info, split_t split,
                                bool overlap) {
    bool is_person = false;
    if (!is_seen(known, info, split, overlap, &is_person)) {
        return STATUS_OK;
    }
    const char *part = is_person ? part_of_person(known, info) : part_of_recording(known, info);
    return status_fail(
        STATUS_INPUT,
        "%s %s was trained on (part %s) and would be scored as %s; give the data and the split.* "
        "of the training, or --split train",
        is_person ? "person" : "recording", is_person ? info->subject : info->name, part,
        split_name(split));
}

status_t trained_on_check(const char *text, const dataset_t *dataset, split_t split, bool overlap) {
    if (split == SPLIT_TRAIN) {
        return STATUS_OK;
    }
    known_t known = known_open(text, dataset);
    status_t status = STATUS_OK;
    for (int64_t i = 0; i < dataset_recordings(dataset) && status == STATUS_OK; i++) {
        recording_info_t info = dataset_recording(dataset, i);
        if (info.split == split) {
            status = check_recording(&known, &info, split, overlap);
        }
    }
    known_close(&known);
    return status;
}
