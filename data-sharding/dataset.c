#include "data-sharding/dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/dataset_internal.h"
#include "data-sharding/manifest.h"
#include "data-sharding/name_table.h"
#include "kernels/base/bytes.h"

static status_t check_config(const dataset_config_t *config) {
    if (config->window < 1 || config->stride < 0 || config->stride > config->window) {
        return status_fail(
            STATUS_INPUT,
            "data.window %lld, data.stride %lld: steps between windows would be left "
            "out; use 1 <= stride <= window (stride 0: window)",
            (long long)config->window, (long long)config->stride);
    }
    if (!(config->rate_hz >= 0.0 && isfinite(config->rate_hz))) {
        return status_fail(STATUS_INPUT, "data.rate_hz %g is no rate; use 0 or more",
                           config->rate_hz);
    }
    return STATUS_OK;
}

static status_t open_shard(const char *dir, const manifest_file_t *file, shard_t **shard_out,
                           sha256_t *identity) {
    char *path = text_format("%s/%s", dir, file->name);
    status_t status = shard_open(path, shard_out);
    if (status == STATUS_OK) {
        int64_t bytes;
        const void *trailer = shard_trailer(*shard_out, &bytes);
        char hash[SHA256_TEXT_BYTES];
        sha256_memory(trailer, (size_t)bytes, hash);
        sha256_add(identity, trailer, (size_t)bytes);
        if (strcmp(hash, file->trailer) != 0) {
            status = status_fail(STATUS_FAILED,
                                 "shard %s: not the file that %s lists; restore it or import again",
                                 path, MANIFEST_NAME);
        }
    }
    free(path);
    return status;
}

static status_t open_shards(const char *dir, dataset_t *dataset) {
    manifest_t manifest;
    TRY(manifest_read(dir, &manifest));
    dataset->shards = alloc_zero(manifest.file_count, sizeof(shard_t *));
    sha256_t *identity = sha256_open();
    status_t status = STATUS_OK;
    for (int i = 0; i < manifest.file_count && status == STATUS_OK; i++) {
        status = open_shard(dir, &manifest.files[i], &dataset->shards[i], identity);
        dataset->shard_count = i + 1;
    }
    sha256_close(identity, dataset->identity);
    dataset->key_id = text_copy(manifest.key_id != NULL ? manifest.key_id : "");
    dataset->trained_on = text_copy(manifest.trained_on != NULL ? manifest.trained_on : "");
    manifest_free(&manifest);
    return status;
}

static void list_recordings(dataset_t *dataset) {
    name_table_t subjects = {0};
    for (int s = 0; s < dataset->shard_count; s++) {
        const shard_content_t *content = shard_content(dataset->shards[s]);
        for (int64_t row = 0; row < content->recording_count; row++) {
            int64_t count = dataset->recording_count++;
            dataset->recordings =
                array_grow(dataset->recordings, count, sizeof *dataset->recordings);
            dataset->recordings[count] = (dataset_recording_t){
                .shard = s,
                .row = row,
                .subject = name_add(&subjects, content->recordings[row].subject),
            };
        }
    }
    dataset->subjects = subjects.items; /* the dataset's now */
    dataset->subject_count = subjects.count;
    subjects.items = NULL;
    name_table_free(&subjects);
}

static status_t no_such_track(const dataset_config_t *config, const shard_content_t *content,
                              const char *name, bool is_target) {
    char *names = text_copy("");
    for (int i = 0; i < content->track_count; i++) {
        if (content->tracks[i].is_target == is_target) {
            char *longer = text_format("%s %s", names, content->tracks[i].name);
            free(names);
            names = longer;
        }
    }
    bool maskable = !is_target && !config->mask_missing;
    status_t status =
        status_fail(STATUS_INPUT, "%s: no %s \"%s\", only:%s; take one of these%s", config->path,
                    is_target ? "target" : "modality", name, names,
                    maskable ? ", or set data.missing=mask to have it masked everywhere" : "");
    free(names);
    return status;
}

static status_t find_tracks(const dataset_config_t *config, dataset_t *dataset,
                            const char *const *names, int count, bool is_target,
                            const shard_track_t **tracks) {
    for (int i = 0; i < count; i++) {
        if (!is_target && dataset->built_in[i] != BUILT_IN_NONE) {
            continue;
        }
        for (int s = 0; s < dataset->shard_count; s++) {
            const shard_track_t *track = shard_track(dataset->shards[s], names[i], is_target);
            if (track == NULL) {
                return no_such_track(config, shard_content(dataset->shards[s]), names[i],
                                     is_target);
            }
            int64_t at = (int64_t)i * dataset->shard_count + s;
            tracks[at] = track;
            const shard_track_t *like = tracks[at - s];
            if (track->kind != like->kind ||
                memcmp(track->shape, like->shape, sizeof like->shape) != 0) {
                return status_fail(STATUS_INPUT,
                                   "%s: %s is of one kind or shape in one shard and of another in "
                                   "another; import again",
                                   config->path, names[i]);
            }
            if (track->dim != like->dim) {
                return status_fail(STATUS_INPUT,
                                   "%s: %s has %lld features in one shard and %lld in another; "
                                   "import again",
                                   config->path, names[i], (long long)like->dim,
                                   (long long)track->dim);
            }
        }
    }
    return STATUS_OK;
}

static const char *recording_at(const shard_t *shard, const shard_track_t *track, int64_t step,
                                int64_t *step_out) {
    const shard_content_t *content = shard_content(shard);
    for (int64_t i = 0; i < content->recording_count; i++) {
        const shard_span_t *span = &track->spans[i];
        if (step >= span->offset && step < span->offset + span->length) {
            *step_out = step - span->offset;
            return content->recordings[i].name;
        }
    }
    *step_out = step;
    return "?";
}

static status_t load_labels(const char *path, const shard_t *shard, const shard_track_t *track,
                            float *labels) {
    uint8_t *valid = alloc_zero(max_i64(track->steps, 1), 1);
    status_t status = shard_read_values(shard, track, 0, track->steps, labels);
    if (status == STATUS_OK) {
        status = shard_read_valid(shard, track, 0, track->steps, valid);
    }
    for (int64_t i = 0; i < track->steps && status == STATUS_OK; i++) {
        if (valid[i] == 0) {
            labels[i] = NAN;
        } else if (!isfinite(labels[i])) {
            int64_t step;
            const char *recording = recording_at(shard, track, i, &step);
            status = status_fail(STATUS_INPUT,
                                 "%s: recording %s, target %s, step %lld is not finite though "
                                 "marked valid; mark it invalid in the source",
                                 path, recording, track->name, (long long)step);
        }
    }
    free(valid);
    return status;
}

/* What a step of each modality's windows is; widths of built-in ones come later. */
static status_t describe_modalities(const dataset_config_t *config, dataset_t *dataset) {
    for (int m = 0; m < config->modality_count; m++) {
        const shard_track_t *track = dataset->modalities[(int64_t)m * dataset->shard_count];
        const clip_config_t *clip = config->clips != NULL ? &config->clips[m] : NULL;
        modality_info_t *info = &dataset->infos[m];
        info->clip = clip != NULL ? max_i64(clip->steps, 1) : 1;
        info->dilation = clip != NULL ? max_i64(clip->dilation, 1) : 1;
        if (track == NULL && info->clip > 1) {
            return status_fail(STATUS_INPUT,
                               "%s: %s is not stored in it, so it has no clips; set "
                               "modalities.%s.clip to 1",
                               config->path, config->modalities[m], config->modalities[m]);
        }
        if (track != NULL) {
            dataset->dims[m] = info->dim = track->dim;
            info->kind = track->kind;
            memcpy(info->shape, track->shape, sizeof info->shape);
            info->scaled = info->kind != TRACK_PIXELS && info->kind != TRACK_EMBEDDING &&
                           !(track_is_sound(info->kind) && info->clip > 1);
        }
    }
    return STATUS_OK;
}

/* Validity and labels are small and asked for often: they are read and verified once. */
static status_t load_small(const dataset_config_t *config, dataset_t *dataset) {
    int shards = dataset->shard_count;
    for (int i = 0; i < dataset->modality_count * shards; i++) {
        const shard_track_t *track = dataset->modalities[i];
        if (track == NULL) {
            continue; /* built in */
        }
        dataset->masks[i] = alloc_zero(max_i64(track->steps, 1), 1);
        TRY(shard_read_valid(dataset->shards[i % shards], track, 0, track->steps,
                             dataset->masks[i]));
    }
    for (int i = 0; i < dataset->target_count * shards; i++) {
        const shard_track_t *track = dataset->targets[i];
        dataset->labels[i] = alloc_zero(max_i64(track->steps, 1), sizeof(float));
        TRY(load_labels(config->path, dataset->shards[i % shards], track, dataset->labels[i]));
    }
    return STATUS_OK;
}

static status_t open_all(const dataset_config_t *config, dataset_t *dataset) {
    TRY(check_config(config));
    dataset->window = config->window;
    dataset->every_window = config->every_window;
    dataset->whole_windows = config->whole_windows;
    dataset->stride = config->stride == 0 ? config->window : config->stride;
    TRY(open_shards(config->path, dataset));
    list_recordings(dataset);
    dataset->modality_count = config->modality_count;
    dataset->target_count = config->target_count;
    int64_t modality_slots = max_i64((int64_t)config->modality_count * dataset->shard_count, 1);
    int64_t target_slots = max_i64((int64_t)config->target_count * dataset->shard_count, 1);
    dataset->modalities = alloc_zero(modality_slots, sizeof *dataset->modalities);
    dataset->masks = alloc_zero(modality_slots, sizeof *dataset->masks);
    dataset->targets = alloc_zero(target_slots, sizeof *dataset->targets);
    dataset->labels = alloc_zero(target_slots, sizeof *dataset->labels);
    dataset->last_only = alloc_zero(max_i64(config->target_count, 1), sizeof(bool));
    for (int t = 0; config->last_only != NULL && t < config->target_count; t++) {
        dataset->last_only[t] = config->last_only[t];
    }
    dataset->dims = alloc_zero(max_i64(config->modality_count, 1), sizeof *dataset->dims);
    dataset->infos = alloc_zero(max_i64(config->modality_count, 1), sizeof *dataset->infos);
    TRY(dataset_find_built_in(config, dataset));
    TRY(find_tracks(config, dataset, config->modalities, config->modality_count, false,
                    dataset->modalities));
    TRY(find_tracks(config, dataset, config->targets, config->target_count, true,
                    dataset->targets));
    TRY(describe_modalities(config, dataset));
    TRY(load_small(config, dataset));
    TRY(dataset_set_clocks(config, dataset));
    dataset_number_groups(dataset);
    TRY(dataset_deal(config, dataset));
    TRY(dataset_open_built_in(config, dataset));
    for (int i = 0; i < config->modality_count; i++) {
        dataset->infos[i].dim = dataset->dims[i];
    }
    dataset_cut(dataset);
    dataset->baseline_s = config->baseline_s;
    bool scale = config->standardize_person || config->baseline_s > 0.0;
    return scale ? dataset_fit_people(dataset) : STATUS_OK;
}

status_t dataset_open(const dataset_config_t *config, dataset_t **dataset_out) {
    dataset_t *dataset = alloc_zero(1, sizeof *dataset);
    status_t status = open_all(config, dataset);
    if (status != STATUS_OK) {
        dataset_close(dataset);
        return status;
    }
    *dataset_out = dataset;
    return STATUS_OK;
}

void dataset_close(dataset_t *dataset) {
    if (dataset == NULL) {
        return;
    }
    for (int i = 0; dataset->masks != NULL && i < dataset->modality_count * dataset->shard_count;
         i++) {
        free(dataset->masks[i]);
    }
    for (int i = 0; dataset->labels != NULL && i < dataset->target_count * dataset->shard_count;
         i++) {
        free(dataset->labels[i]);
    }
    for (int i = 0; dataset->person_scales != NULL && i < dataset->modality_count; i++) {
        free(dataset->person_scales[i]);
    }
    for (int i = 0; i < dataset->shard_count; i++) {
        shard_close(dataset->shards[i]);
    }
    for (int split = 0; split < SPLIT_COUNT; split++) {
        free(dataset->split_recordings[split]);
        free(dataset->samples[split]);
    }
    free(dataset->key_id);
    free(dataset->trained_on);
    free(dataset->person_scales);
    free(dataset->built_in);
    free(dataset->trained);
    free(dataset->masks);
    free(dataset->labels);
    free(dataset->last_only);
    free(dataset->modalities);
    free(dataset->targets);
    free(dataset->dims);
    free(dataset->infos);
    free(dataset->shards);
    free(dataset->recordings);
    free(dataset->subjects);
    free(dataset);
}
