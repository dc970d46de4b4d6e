#include "data-sharding/inspect.h"

#include <jansson.h>
#include <stdlib.h>

#include "data-sharding/dataset_internal.h"
#include "data-sharding/manifest.h"
#include "kernels/base/bytes.h"

dataset_config_t inspect_defaults(const char *dir) {
    return (dataset_config_t){
        .path = dir, .valid_fraction = 0.2, .test_fraction = 0.2, .split_seed = 1};
}

static void add_rate(json_t *rates, double rate) {
    size_t i;
    json_t *known;
    json_array_foreach(rates, i, known) {
        if (json_real_value(known) == rate) {
            return;
        }
    }
    json_array_append_new(rates, json_real(rate));
}

static status_t describe_track(const dataset_t *dataset, const shard_track_t *like,
                               json_t **track_out) {
    int64_t steps = 0, valid = 0;
    json_t *rates = json_array();
    status_t status = STATUS_OK;
    for (int s = 0; s < dataset->shard_count && status == STATUS_OK; s++) {
        const shard_t *shard = dataset->shards[s];
        const shard_track_t *track = shard_track(shard, like->name, like->is_target);
        if (track == NULL) {
            continue;
        }
        uint8_t *mask = alloc_zero(max_i64(track->steps, 1), 1);
        status = shard_read_valid(shard, track, 0, track->steps, mask);
        for (int64_t i = 0; i < track->steps; i++) {
            valid += mask[i] != 0;
        }
        free(mask);
        steps += track->steps;
        for (int64_t i = 0; i < shard_content(shard)->recording_count; i++) {
            if (track->spans[i].length > 0) {
                add_rate(rates, track->spans[i].rate_hz);
            }
        }
    }
    if (status != STATUS_OK) {
        json_decref(rates);
        return status;
    }
    json_t *rate =
        json_array_size(rates) == 1 ? json_incref(json_array_get(rates, 0)) : json_incref(rates);
    json_decref(rates);
    *track_out = json_pack("{s:o, s:I, s:I}", "rate_hz", rate, "steps", (json_int_t)steps, "valid",
                           (json_int_t)valid);
    if (!like->is_target) {
        json_object_set_new(*track_out, "dim", json_integer((json_int_t)like->dim));
        json_object_set_new(*track_out, "kind", json_string(track_kind_name(like->kind)));
    }
    if (like->kind == TRACK_PIXELS) {
        json_object_set_new(*track_out, "shape",
                            json_pack("[I, I, I]", (json_int_t)like->shape[0],
                                      (json_int_t)like->shape[1], (json_int_t)like->shape[2]));
    }
    return STATUS_OK;
}

static status_t describe_tracks(const dataset_t *dataset, json_t *root) {
    json_t *modalities = json_object(), *targets = json_object();
    json_object_set_new(root, "modalities", modalities);
    json_object_set_new(root, "targets", targets);
    const shard_content_t *content = shard_content(dataset->shards[0]);
    for (int i = 0; i < content->track_count; i++) {
        json_t *track;
        TRY(describe_track(dataset, &content->tracks[i], &track));
        json_object_set_new(content->tracks[i].is_target ? targets : modalities,
                            content->tracks[i].name, track);
    }
    return STATUS_OK;
}

/* A second opening, with everything wanted: counts windows, or says why there are none. */
static void describe_windows(const dataset_config_t *config, const dataset_t *dataset, json_t *root,
                             json_t *splits) {
    const shard_content_t *content = shard_content(dataset->shards[0]);
    const char **names = alloc_zero(2 * max_i64(content->track_count, 1), sizeof *names);
    const char **targets = names + content->track_count;
    dataset_config_t all = *config;
    all.modality_count = all.target_count = 0;
    for (int i = 0; i < content->track_count; i++) {
        if (content->tracks[i].is_target) {
            targets[all.target_count++] = content->tracks[i].name;
        } else {
            names[all.modality_count++] = content->tracks[i].name;
        }
    }
    all.modalities = names;
    all.targets = targets;
    dataset_t *whole = NULL;
    if (dataset_open(&all, &whole) == STATUS_OK) {
        int64_t windows = 0, unlabelled = 0;
        for (int split = 0; split < SPLIT_COUNT; split++) {
            json_int_t count = dataset_sample_count(whole, (split_t)split);
            windows += count;
            unlabelled += dataset_unlabelled_count(whole, (split_t)split);
            json_object_set_new(json_object_get(splits, split_name((split_t)split)), "windows",
                                json_integer(count));
        }
        json_object_set_new(root, "windows", json_integer((json_int_t)windows));
        json_object_set_new(root, "windows_unlabelled", json_integer((json_int_t)unlabelled));
    } else {
        json_object_set_new(root, "windows", json_null());
        json_object_set_new(root, "windows_note", json_string(status_text()));
    }
    json_object_set_new(root, "window", json_integer((json_int_t)dataset->window));
    json_object_set_new(root, "stride", json_integer((json_int_t)dataset->stride));
    dataset_close(whole);
    free(names);
}

static json_t *describe_splits(const dataset_t *dataset) {
    json_t *splits = json_object();
    for (int split = 0; split < SPLIT_COUNT; split++) {
        json_object_set_new(splits, split_name((split_t)split),
                            json_pack("{s:I, s:I}", "recordings",
                                      (json_int_t)dataset_recording_count(dataset, (split_t)split),
                                      "subjects",
                                      (json_int_t)dataset_subject_count(dataset, (split_t)split)));
    }
    return splits;
}

static status_t describe(const dataset_config_t *config, const manifest_t *manifest,
                         const dataset_t *dataset, json_t *root) {
    json_object_set_new(root, "format_version", json_integer(manifest->format_version));
    json_object_set_new(root, "importer", json_string(manifest->importer));
    json_object_set_new(root, "source", json_string(manifest->source));
    json_object_set_new(root, "licence", json_string(manifest->licence));
    json_object_set_new(root, "terms", json_string(manifest->terms));
    json_object_set_new(root, "identity", json_string(dataset_identity(dataset)));
    json_object_set_new(root, "recordings", json_integer((json_int_t)dataset->recording_count));
    json_object_set_new(root, "subjects", json_integer((json_int_t)dataset->subject_count));
    TRY(describe_tracks(dataset, root));
    json_t *splits = describe_splits(dataset);
    json_object_set_new(root, "splits", splits);
    describe_windows(config, dataset, root, splits);
    if (manifest->facts != NULL) {
        json_object_set_new(root, "facts", json_loads(manifest->facts, 0, NULL));
    }
    return STATUS_OK;
}

/* Opens with nothing wanted, and deals only where there are people enough for three splits. */
static status_t open_bare(dataset_config_t *config, dataset_t **dataset_out) {
    dataset_config_t dealt = *config;
    config->modality_count = config->target_count = 0;
    config->valid_fraction = config->test_fraction = 0.0;
    dataset_t *dataset = NULL;
    TRY(dataset_open(config, &dataset));
    if (dataset_subject_count(dataset, SPLIT_TRAIN) < SPLIT_COUNT) {
        *dataset_out = dataset;
        return STATUS_OK;
    }
    dataset_close(dataset);
    config->valid_fraction = dealt.valid_fraction;
    config->test_fraction = dealt.test_fraction;
    return dataset_open(config, dataset_out);
}

status_t inspect_dataset(const dataset_config_t *config, char **json_out) {
    dataset_config_t bare = *config;
    manifest_t manifest;
    TRY(manifest_read(config->path, &manifest));
    if (bare.window == 0) {
        bare.window = manifest.window > 0 ? manifest.window : 16;
        bare.rate_hz = manifest.rate_hz;
    }
    dataset_t *dataset = NULL;
    status_t status = open_bare(&bare, &dataset);
    if (status == STATUS_OK) {
        json_t *root = json_object();
        status = describe(&bare, &manifest, dataset, root);
        if (status == STATUS_OK) {
            *json_out = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
        }
        json_decref(root);
    }
    dataset_close(dataset);
    manifest_free(&manifest);
    return status;
}
