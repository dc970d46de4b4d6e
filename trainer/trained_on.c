#include "trainer/trained_on.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

enum { HASH_DIGITS = 16 };

typedef struct known {
    json_t *root, *people, *recordings, *groups; /* borrowed of root */
    bool same_key;
    json_t *by_recording; /* people of whom a recording is known again: as `people` */
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

/* --- recognising ----------------------------------------------------------------------------- */

static const char *part_of_recording(const known_t *known, const recording_info_t *info) {
    char hash[HASH_DIGITS + 1];
    hash_of(info, hash);
    return json_string_value(json_object_get(known->recordings, hash));
}

static const char *part_of_person(const known_t *known, const recording_info_t *info) {
    const char *by_alias =
        known->same_key ? json_string_value(json_object_get(known->people, info->subject)) : NULL;
    const char *by_recording =
        json_string_value(json_object_get(known->by_recording, info->subject));
    bool train = by_recording != NULL && strcmp(by_recording, "train") == 0;
    return by_alias == NULL || train ? by_recording : by_alias;
}

static known_t known_open(const char *text, const dataset_t *dataset) {
    known_t known = {.root = json_loads(text, 0, NULL), .by_recording = json_object()};
    known.people = json_object_get(known.root, "people");
    known.recordings = json_object_get(known.root, "recordings");
    known.groups = json_object_get(known.root, "groups");
    const char *key = json_string_value(json_object_get(known.root, "key"));
    known.same_key = key != NULL && key[0] != '\0' && strcmp(key, dataset_key_id(dataset)) == 0;
    for (int64_t i = 0; i < dataset_recordings(dataset); i++) {
        recording_info_t info = dataset_recording(dataset, i);
        const char *part = part_of_recording(&known, &info);
        if (part != NULL) {
            put_part(known.by_recording, info.subject, part);
        }
    }
    return known;
}

static void known_close(known_t *known) {
    json_decref(known->root);
    json_decref(known->by_recording);
}

/* Of nobody there is nothing to have seen. */
static seen_t seen_of(const known_t *known, bool seen, bool unseen) {
    if (json_object_size(known->people) == 0) {
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
        bool is_known = json_object_get(known.groups, info.group) != NULL;
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

static status_t check_recording(const known_t *known, const recording_info_t *info, split_t split,
                                bool overlap) {
    const char *person = part_of_person(known, info), *recording = part_of_recording(known, info);
    bool is_person = !overlap && counts(person, split);
    if (!is_person && !counts(recording, split)) {
        return STATUS_OK;
    }
    const char *part = is_person ? person : recording;
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
