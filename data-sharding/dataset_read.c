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

int64_t dataset_sample_count(const dataset_t *dataset, split_t split) {
    return dataset->sample_count[split];
}

int64_t dataset_subject_count(const dataset_t *dataset, split_t split) {
    return dataset->split_subject_count[split];
}

int64_t dataset_recording_count(const dataset_t *dataset, split_t split) {
    return dataset->split_recording_count[split];
}

const char *dataset_identity(const dataset_t *dataset) { return dataset->identity; }

sample_info_t dataset_sample(const dataset_t *dataset, split_t split, int64_t sample) {
    REQUIRE(sample >= 0 && sample < dataset->sample_count[split]);
    const dataset_sample_t *s = &dataset->samples[split][sample];
    const shard_recording_t *origin = dataset_origin(dataset, s->recording);
    return (sample_info_t){origin->name, origin->subject, s->first, s->steps};
}

/* Steps first..first+steps-1 of a recording; features are zero where the mask is. */
static status_t read_modality(const dataset_t *dataset, int64_t recording, int modality,
                              int64_t first, int64_t steps, float *features, uint8_t *mask) {
    const dataset_recording_t *r = &dataset->recordings[recording];
    int64_t at = (int64_t)modality * dataset->shard_count + r->shard;
    const shard_track_t *track = dataset->modalities[at];
    const shard_span_t *span = &track->spans[r->row];
    int64_t there = max_i64(min_i64(span->length - first, steps), 0), dim = track->dim;
    TRY(shard_read_values(dataset->shards[r->shard], track,
                          span->offset + min_i64(first, span->length), there, features));
    memset(features + there * dim, 0, (size_t)((steps - there) * dim) * sizeof(float));
    memset(mask + there, 0, (size_t)(steps - there));
    for (int64_t t = 0; t < there; t++) {
        float *row = features + t * dim;
        mask[t] = dataset->masks[at][span->offset + first + t] != 0;
        if (mask[t] == 0) {
            memset(row, 0, (size_t)dim * sizeof(float));
            continue;
        }
        for (int64_t d = 0; d < dim; d++) {
            if (!isfinite(row[d])) {
                return status_fail(STATUS_INPUT,
                                   "recording %s, modality %s, step %lld: feature %lld is not "
                                   "finite though the step is marked valid; mark it invalid in the "
                                   "source",
                                   dataset_origin(dataset, recording)->name, track->name,
                                   (long long)(first + t), (long long)d);
            }
        }
    }
    return STATUS_OK;
}

static void read_target(const dataset_t *dataset, const dataset_sample_t *s, int target,
                        float *values) {
    const dataset_recording_t *r = &dataset->recordings[s->recording];
    int64_t at = (int64_t)target * dataset->shard_count + r->shard;
    const shard_span_t *span = &dataset->targets[at]->spans[r->row];
    for (int64_t t = 0; t < dataset->window; t++) {
        int64_t step = s->first + t;
        bool scored = t < s->steps && step >= s->scored_from && step < span->length;
        values[t] = scored ? dataset->labels[at][span->offset + step] : NAN;
    }
}

status_t dataset_read(const dataset_t *dataset, split_t split, int64_t sample,
                      float *const *features, uint8_t *const *mask, float *const *target) {
    REQUIRE(sample >= 0 && sample < dataset->sample_count[split]);
    const dataset_sample_t *s = &dataset->samples[split][sample];
    int64_t padding = dataset->window - s->steps;
    for (int m = 0; m < dataset->modality_count; m++) {
        int64_t dim = dataset->dims[m];
        TRY(read_modality(dataset, s->recording, m, s->first, s->steps, features[m], mask[m]));
        memset(features[m] + s->steps * dim, 0, (size_t)(padding * dim) * sizeof(float));
        memset(mask[m] + s->steps, 0, (size_t)padding);
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
    int64_t index = dataset->split_recordings[split][recording];
    int64_t steps = dataset->recordings[index].length, dim = dataset->dims[modality], count = 0;
    float *features = alloc_zero(max_i64(steps * dim, 1), sizeof(float));
    uint8_t *mask = alloc_zero(max_i64(steps, 1), 1);
    status_t status = read_modality(dataset, index, modality, 0, steps, features, mask);
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

status_t dataset_target_values(const dataset_t *dataset, split_t split, int target,
                               float **values_out, int64_t *count_out) {
    REQUIRE(target >= 0 && target < dataset->target_count);
    float *values = NULL;
    int64_t count = 0;
    for (int64_t i = 0; i < dataset->split_recording_count[split]; i++) {
        const dataset_recording_t *r = &dataset->recordings[dataset->split_recordings[split][i]];
        int64_t at = (int64_t)target * dataset->shard_count + r->shard;
        const shard_span_t *span = &dataset->targets[at]->spans[r->row];
        for (int64_t t = 0; t < span->length; t++) {
            float value = dataset->labels[at][span->offset + t];
            if (!isnan(value)) {
                values = array_grow(values, count, sizeof *values);
                values[count++] = value;
            }
        }
    }
    *values_out = values;
    *count_out = count;
    return STATUS_OK;
}
