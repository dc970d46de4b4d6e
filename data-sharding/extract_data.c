#include "data-sharding/extract_data.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/dataset_internal.h"
#include "data-sharding/manifest.h"
#include "data-sharding/out_directory.h"
#include "kernels/base/bytes.h"

struct extract_data {
    const dataset_t *dataset;
    char *out, *aside;
    manifest_t manifest; /* the old one's, but for its files */
    char **names;        /* of the shards */
    int added;
    bool published;
};

static status_t begin(extract_data_t *data, const char *path) {
    TRY(out_directory_check(data->out));
    manifest_t *manifest = &data->manifest;
    TRY(manifest_read(path, manifest));
    data->names = alloc_zero(data->dataset->shard_count, sizeof *data->names);
    REQUIRE(manifest->file_count == data->dataset->shard_count);
    for (int i = 0; i < manifest->file_count; i++) {
        data->names[i] = manifest->files[i].name;
    }
    free(manifest->files);
    manifest->files = NULL;
    manifest->file_count = 0;
    TRY(dir_remove(data->aside));
    return dir_make(data->aside);
}

status_t extract_data_open(const dataset_t *dataset, const char *path, const char *out,
                           extract_data_t **data_out) {
    extract_data_t *data = alloc_zero(1, sizeof *data);
    data->dataset = dataset;
    data->out = out_directory_name(out);
    data->aside = text_format("%s.tmp", data->out);
    status_t status = begin(data, path);
    if (status != STATUS_OK) {
        data->published = true; /* nothing of ours lies there */
        extract_data_close(data);
        return status;
    }
    *data_out = data;
    return STATUS_OK;
}

/* --- one shard ------------------------------------------------------------------------------- */

/* Tracks that are copied, their steps at their places. */
static status_t read_old(void *context, int track, int64_t first, int64_t steps, void *out) {
    const shard_t *old = context;
    return shard_read_values(old, &shard_content(old)->tracks[track], first, steps, out);
}

static void copy_recordings(const shard_content_t *old, shard_content_t *content) {
    content->recordings = alloc_zero(max_i64(old->recording_count, 1), sizeof(shard_recording_t));
    for (int64_t i = 0; i < old->recording_count; i++) {
        const shard_recording_t *r = &old->recordings[i];
        content->recordings[i] = (shard_recording_t){
            .name = text_copy(r->name),
            .subject = text_copy(r->subject),
            .session = text_copy(r->session),
            .group = text_copy(r->group),
            .split = text_copy(r->split),
            .source_hash = text_copy(r->source_hash),
        };
    }
    content->recording_count = old->recording_count;
}

static status_t copy_track(const shard_t *shard, const shard_track_t *old, shard_track_t *track) {
    int64_t recordings = max_i64(shard_content(shard)->recording_count, 1);
    *track = *old;
    track->name = text_copy(old->name);
    track->spans = alloc_zero(recordings, sizeof *track->spans);
    memcpy(track->spans, old->spans, (size_t)recordings * sizeof *track->spans);
    track->valid = alloc_zero(max_i64(old->steps, 1), 1);
    return shard_read_valid(shard, old, 0, old->steps, track->valid);
}

/* Its values stay the caller's until they are written. */
static void embed_track(const dataset_t *dataset, int shard, const embedding_t *embedding,
                        shard_track_t *track) {
    int64_t rows = shard_content(dataset->shards[shard])->recording_count;
    *track = (shard_track_t){.name = text_copy(embedding->name),
                             .kind = TRACK_EMBEDDING,
                             .dim = embedding->dim,
                             .spans = alloc_zero(max_i64(rows, 1), sizeof *track->spans)};
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        const dataset_recording_t *r = &dataset->recordings[i];
        if (r->shard == shard) {
            track->spans[r->row] = (shard_span_t){track->steps, r->length, r->rate_hz, r->start_s};
            track->steps += r->length;
        }
    }
    track->valid = alloc_zero(max_i64(track->steps, 1), 1);
    memcpy(track->valid, embedding->valid, (size_t)track->steps);
    track->values = embedding->values;
}

static const embedding_t *find(const embedding_t *embeddings, int count, const shard_track_t *old) {
    for (int i = 0; i < count && !old->is_target; i++) {
        if (strcmp(embeddings[i].track, old->name) == 0) {
            return &embeddings[i];
        }
    }
    return NULL;
}

static status_t check_names(const shard_content_t *content) {
    for (int i = 0; i < content->track_count; i++) {
        for (int k = 0; k < i; k++) {
            if (strcmp(content->tracks[i].name, content->tracks[k].name) == 0 &&
                content->tracks[i].is_target == content->tracks[k].is_target) {
                return status_fail(
                    STATUS_INPUT,
                    "the data has a track %s besides the one that modalities.%s.track "
                    "names; give the modality another name",
                    content->tracks[i].name, content->tracks[i].name);
            }
        }
    }
    return STATUS_OK;
}

/* Of several embeddings of a track the first stands in its place, the others behind all tracks:
 * what is copied keeps its number. */
static status_t fill_content(const extract_data_t *data, const embedding_t *embeddings, int count,
                             shard_content_t *content) {
    const shard_t *shard = data->dataset->shards[data->added];
    const shard_content_t *old = shard_content(shard);
    copy_recordings(old, content);
    content->tracks = alloc_zero(max_i64(old->track_count + count, 1), sizeof *content->tracks);
    bool placed[INT8_MAX] = {false};
    REQUIRE(count <= INT8_MAX);
    for (int i = 0; i < old->track_count; i++) {
        const embedding_t *embedding = find(embeddings, count, &old->tracks[i]);
        content->track_count = i + 1;
        if (embedding != NULL) {
            placed[embedding - embeddings] = true;
            embed_track(data->dataset, data->added, embedding, &content->tracks[i]);
        } else {
            TRY(copy_track(shard, &old->tracks[i], &content->tracks[i]));
        }
    }
    for (int e = 0; e < count; e++) {
        if (!placed[e]) {
            embed_track(data->dataset, data->added, &embeddings[e],
                        &content->tracks[content->track_count++]);
        }
    }
    return check_names(content);
}

status_t extract_data_add(extract_data_t *data, const embedding_t *embeddings, int count) {
    REQUIRE(data->added < data->dataset->shard_count);
    shard_t *shard = data->dataset->shards[data->added];
    const shard_content_t *old = shard_content(shard);
    shard_content_t content = {.importer = text_copy(old->importer),
                               .source = text_copy(old->source),
                               .licence = text_copy(old->licence),
                               .terms = text_copy(old->terms)};
    status_t status = fill_content(data, embeddings, count, &content);
    char *path = text_format("%s/%s", data->aside, data->names[data->added]);
    if (status == STATUS_OK) {
        const shard_source_t source = {read_old, shard};
        status = shard_write(path, &content, &source);
    }
    free(path);
    for (int i = 0; i < content.track_count; i++) {
        content.tracks[i].values = NULL;
    }
    shard_content_free(&content);
    TRY(status);
    return manifest_add_shard(&data->manifest, data->aside, data->names[data->added++]);
}

/* --- all of them ----------------------------------------------------------------------------- */

static void add_fact(manifest_t *manifest, const char *facts) {
    json_t *all = manifest->facts != NULL ? json_loads(manifest->facts, 0, NULL) : NULL;
    all = all != NULL ? all : json_object();
    json_t *made = json_loads(facts, 0, NULL);
    REQUIRE(made != NULL && json_object_set_new(all, "extracted", made) == 0);
    char *text = json_dumps(all, JSON_REAL_PRECISION(12));
    free(manifest->facts);
    manifest->facts = text_copy(text);
    free(text);
    json_decref(all);
}

status_t extract_data_publish(extract_data_t *data, const char *facts, const char *trained_on) {
    REQUIRE(data->added == data->dataset->shard_count);
    add_fact(&data->manifest, facts);
    free(data->manifest.trained_on);
    data->manifest.trained_on = trained_on[0] != '\0' ? text_copy(trained_on) : NULL;
    TRY(manifest_write(data->aside, &data->manifest));
    TRY(out_directory_publish(data->aside, data->out));
    data->published = true;
    return STATUS_OK;
}

void extract_data_close(extract_data_t *data) {
    if (data == NULL) {
        return;
    }
    if (!data->published && dir_remove(data->aside) != STATUS_OK) {
        /* The next one to the same place removes it first, and says so if it cannot. */
    }
    for (int i = 0; data->names != NULL && i < data->dataset->shard_count; i++) {
        free(data->names[i]);
    }
    free(data->names);
    manifest_free(&data->manifest);
    free(data->aside);
    free(data->out);
    free(data);
}
