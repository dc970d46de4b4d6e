#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/dataset_internal.h"
#include "kernels/base/bytes.h"

int64_t dataset_window(const dataset_t *dataset) { return dataset->window; }

int64_t dataset_modality_dim(const dataset_t *dataset, int modality) {
    REQUIRE(modality >= 0 && modality < dataset->modality_count);
    return dataset->dims[modality];
}

modality_info_t dataset_modality(const dataset_t *dataset, int modality) {
    REQUIRE(modality >= 0 && modality < dataset->modality_count);
    return dataset->infos[modality];
}

int64_t dataset_sample_count(const dataset_t *dataset, split_t split) {
    return dataset->sample_count[split];
}

int64_t dataset_unlabelled_count(const dataset_t *dataset, split_t split) {
    return dataset->unlabelled_count[split];
}
int dataset_file_count(const dataset_t *dataset) { return dataset->shard_count; }

int64_t dataset_fold_count(const dataset_t *dataset) { return dataset->fold_count; }

int64_t dataset_subject_count(const dataset_t *dataset, split_t split) {
    return dataset->split_subject_count[split];
}

int64_t dataset_recording_count(const dataset_t *dataset, split_t split) {
    return dataset->split_recording_count[split];
}

const char *dataset_identity(const dataset_t *dataset) { return dataset->identity; }

const char *dataset_key_id(const dataset_t *dataset) { return dataset->key_id; }

const char *dataset_trained_on(const dataset_t *dataset) { return dataset->trained_on; }

int64_t dataset_recordings(const dataset_t *dataset) { return dataset->recording_count; }

recording_info_t dataset_recording(const dataset_t *dataset, int64_t recording) {
    const shard_recording_t *origin = dataset_origin(dataset, recording);
    const dataset_recording_t *r = &dataset->recordings[recording];
    return (recording_info_t){.name = origin->name,
                              .subject = origin->subject,
                              .group = origin->group != NULL ? origin->group : "",
                              .content = origin->source_hash != NULL ? origin->source_hash : "",
                              .split = r->split,
                              .file = r->shard,
                              .steps = r->length,
                              .start_s = r->start_s,
                              .rate_hz = r->rate_hz};
}

sample_info_t dataset_sample(const dataset_t *dataset, split_t split, int64_t sample) {
    REQUIRE(sample >= 0 && sample < dataset->sample_count[split]);
    const dataset_sample_t *s = &dataset->samples[split][sample];
    const shard_recording_t *origin = dataset_origin(dataset, s->recording);
    return (sample_info_t){origin->name, origin->subject, s->first, s->steps,
                           dataset->recordings[s->recording].shard};
}

/* Samples of the track's own rate from the block in `buffer`, which is filled as steps need it.
 * Nothing is allocated: what does not fit is read sample by sample. */
static status_t resample(const signal_reader_t *reader, float *features) {
    enum { BUFFER = 4096 };
    float buffer[BUFFER];
    int64_t dim = reader->track->dim, begin = 0, count = 0, room = max_i64(BUFFER / dim, 1);
    for (int64_t t = 0; t < reader->steps; t++) {
        int64_t sample = signal_sample(&reader->line, reader->first + t);
        if (sample < 0) {
            continue;
        }
        float *row = features + t * dim;
        if (dim > BUFFER) {
            TRY(shard_read_values(reader->shard, reader->track, reader->span->offset + sample, 1,
                                  row));
            continue;
        }
        if (sample < begin || sample >= begin + count) {
            double last = floor((double)sample + reader->line.ratio * (double)(reader->steps - t));
            int64_t wanted = (int64_t)fmin(last, (double)reader->span->length) - sample;
            begin = sample;
            count = min_i64(max_i64(wanted, 1), room);
            TRY(shard_read_values(reader->shard, reader->track, reader->span->offset + begin, count,
                                  buffer));
        }
        memcpy(row, buffer + (sample - begin) * dim, (size_t)dim * sizeof(float));
    }
    return STATUS_OK;
}

/* Equal rates: the samples of a window follow each other, and lie in it as they lie in the file. */
static status_t read_run(const signal_reader_t *reader, float *features) {
    int64_t t = 0, end = reader->steps;
    while (t < end && signal_sample(&reader->line, reader->first + t) < 0) {
        t++;
    }
    while (end > t && signal_sample(&reader->line, reader->first + end - 1) < 0) {
        end--;
    }
    int64_t sample = t < end ? signal_sample(&reader->line, reader->first + t) : 0;
    return shard_read_values(reader->shard, reader->track, reader->span->offset + sample, end - t,
                             features + t * reader->track->dim);
}

status_t signal_check(const signal_reader_t *reader, int64_t sample, const float *row) {
    for (int64_t d = 0; d < reader->track->dim; d++) {
        if (!isfinite(row[d])) {
            return status_fail(STATUS_INPUT,
                               "recording %s, modality %s, step %lld: feature %lld is not finite "
                               "though the step is marked valid; mark it invalid in the source",
                               reader->recording, reader->track->name, (long long)sample,
                               (long long)d);
        }
    }
    return STATUS_OK;
}

static signal_reader_t reader_of(const dataset_t *dataset, int64_t recording, int modality,
                                 int64_t first, int64_t steps) {
    const dataset_recording_t *r = &dataset->recordings[recording];
    int64_t at = (int64_t)modality * dataset->shard_count + r->shard;
    const shard_track_t *track = dataset->modalities[at];
    const shard_span_t *span = &track->spans[r->row];
    return (signal_reader_t){.shard = dataset->shards[r->shard],
                             .track = track,
                             .span = span,
                             .valid = dataset->masks[at] + span->offset,
                             .line = signal_line(r, span),
                             .recording = dataset_origin(dataset, recording)->name,
                             .first = first,
                             .steps = steps};
}

/* A single step of floats at each step of the clock, not scaled. */
static status_t read_steps(const signal_reader_t *reader, float *features, uint8_t *mask) {
    int64_t dim = reader->track->dim;
    TRY(reader->line.ratio == 1.0 ? read_run(reader, features) : resample(reader, features));
    for (int64_t t = 0; t < reader->steps; t++) {
        float *row = features + t * dim;
        int64_t sample = signal_sample(&reader->line, reader->first + t);
        mask[t] = sample >= 0 && reader->valid[sample] != 0;
        if (mask[t] == 0) {
            memset(row, 0, (size_t)dim * sizeof(float));
            continue;
        }
        TRY(signal_check(reader, sample, row));
    }
    return STATUS_OK;
}

/* Steps first..first+steps-1 of a recording's clock, zero where the mask is; with clips or not. */
static status_t read_modality(const dataset_t *dataset, int64_t recording, int modality,
                              int64_t first, int64_t steps, int64_t clip,
                              dataset_scratch_t *scratch, void *tokens, uint8_t *mask) {
    if (dataset->built_in[modality] != BUILT_IN_NONE) {
        dataset_read_built_in(dataset, recording, modality, first, steps, tokens, mask);
        return STATUS_OK;
    }
    const modality_info_t *info = &dataset->infos[modality];
    signal_reader_t reader = reader_of(dataset, recording, modality, first, steps);
    if (clip == 1 && info->kind != TRACK_PIXELS) {
        TRY(read_steps(&reader, tokens, mask));
    } else {
        TRY(dataset_read_clips(&reader, info, scratch, tokens, mask));
    }
    for (int64_t t = 0; info->scaled && t < steps * clip; t++) {
        if (mask[t / clip] != 0) {
            dataset_scale_person(dataset, dataset->recordings[recording].subject, modality,
                                 (float *)tokens + t * info->dim);
        }
    }
    return STATUS_OK;
}

static void read_target(const dataset_t *dataset, const dataset_sample_t *s, int target,
                        float *values) {
    const dataset_recording_t *r = &dataset->recordings[s->recording];
    for (int64_t t = 0; t < dataset->window; t++) {
        int64_t step = s->first + t;
        bool scored = t < s->steps && step >= s->scored_from;
        values[t] = scored ? dataset_label(dataset, r, target, step) : NAN;
    }
    bool found = !dataset->last_only[target];
    for (int64_t t = dataset->window - 1; t >= 0 && !found; t--) {
        found = !isnan(values[t]);
        for (int64_t earlier = 0; found && earlier < t; earlier++) {
            values[earlier] = NAN;
        }
    }
}

status_t dataset_read_stretch(const dataset_t *dataset, int64_t recording, int modality,
                              int64_t first, int64_t steps, dataset_scratch_t *scratch,
                              void *tokens, uint8_t *mask) {
    REQUIRE(first >= 0 && first + steps <= dataset->recordings[recording].length);
    return read_modality(dataset, recording, modality, first, steps, dataset->infos[modality].clip,
                         scratch, tokens, mask);
}

static status_t read_one(const dataset_t *dataset, const dataset_sample_t *s, int modality,
                         dataset_scratch_t *scratch, void *tokens, uint8_t *mask) {
    const modality_info_t *info = &dataset->infos[modality];
    size_t token = (size_t)(info->clip * info->dim) * track_element_bytes(info->kind);
    size_t padding = (size_t)(dataset->window - s->steps);
    TRY(read_modality(dataset, s->recording, modality, s->first, s->steps, info->clip, scratch,
                      tokens, mask));
    memset((char *)tokens + (size_t)s->steps * token, 0, padding * token);
    memset(mask + s->steps, 0, padding);
    return STATUS_OK;
}

status_t dataset_read_tokens(const dataset_t *dataset, split_t split, int64_t sample,
                             dataset_scratch_t *scratch, void *const *tokens, uint8_t *const *mask,
                             float *const *target) {
    REQUIRE(sample >= 0 && sample < dataset->sample_count[split]);
    const dataset_sample_t *s = &dataset->samples[split][sample];
    for (int m = 0; m < dataset->modality_count; m++) {
        TRY(read_one(dataset, s, m, scratch, tokens[m], mask[m]));
    }
    for (int t = 0; t < dataset->target_count; t++) {
        read_target(dataset, s, t, target[t]);
    }
    return STATUS_OK;
}

status_t dataset_read(const dataset_t *dataset, split_t split, int64_t sample,
                      float *const *features, uint8_t *const *mask, float *const *target) {
    REQUIRE(sample >= 0 && sample < dataset->sample_count[split]);
    const dataset_sample_t *s = &dataset->samples[split][sample];
    for (int m = 0; m < dataset->modality_count; m++) {
        REQUIRE(dataset->infos[m].kind != TRACK_PIXELS && dataset->infos[m].clip == 1);
        TRY(read_one(dataset, s, m, NULL, features[m], mask[m]));
    }
    for (int t = 0; t < dataset->target_count; t++) {
        read_target(dataset, s, t, target[t]);
    }
    return STATUS_OK;
}

status_t dataset_recording_sums(const dataset_t *dataset, split_t split, int64_t recording,
                                int modality, int64_t *count_out, double *sum,
                                double *sum_squares) {
    REQUIRE(recording >= 0 && recording < dataset->split_recording_count[split]);
    REQUIRE(modality >= 0 && modality < dataset->modality_count);
    REQUIRE(dataset->infos[modality].scaled);
    int64_t index = dataset->split_recordings[split][recording];
    int64_t steps = dataset->recordings[index].length, dim = dataset->dims[modality], count = 0;
    float *features = alloc_zero(max_i64(steps * dim, 1), sizeof(float));
    uint8_t *mask = alloc_zero(max_i64(steps, 1), 1);
    status_t status = read_modality(dataset, index, modality, 0, steps, 1, NULL, features, mask);
    if (status == STATUS_OK) {
        memset(sum, 0, (size_t)dim * sizeof(double));
        memset(sum_squares, 0, (size_t)dim * sizeof(double));
        for (int64_t t = 0; t < steps; t++) {
            count += mask[t];
            for (int64_t d = 0; mask[t] != 0 && d < dim; d++) {
                double value = features[t * dim + d];
                sum[d] += value;
                sum_squares[d] += value * value;
            }
        }
        *count_out = count;
    }
    free(mask);
    free(features);
    return status;
}

/* Labels that count, behind the *count there already. */
static float *add_values(const float *labels, int64_t steps, float *values, int64_t *count) {
    for (int64_t t = 0; t < steps; t++) {
        if (!isnan(labels[t])) {
            values = array_grow(values, *count, sizeof *values);
            values[(*count)++] = labels[t];
        }
    }
    return values;
}

status_t dataset_target_values(const dataset_t *dataset, split_t split, int target,
                               float **values_out, int64_t *count_out) {
    REQUIRE(target >= 0 && target < dataset->target_count);
    float *values = NULL, *labels = alloc_zero(dataset->window, sizeof *labels);
    int64_t count = 0;
    for (int64_t i = 0; i < dataset->sample_count[split]; i++) {
        read_target(dataset, &dataset->samples[split][i], target, labels);
        values = add_values(labels, dataset->window, values, &count);
    }
    free(labels);
    *values_out = values;
    *count_out = count;
    return STATUS_OK;
}
