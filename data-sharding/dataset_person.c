#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/dataset_internal.h"
#include "kernels/base/bytes.h"

/* The slot of a person's feature: sums while they are gathered, then mean and 1 / deviation. */
static person_scale_t *scales_of(const dataset_t *dataset, int64_t subject, int modality) {
    return dataset->person_scales[modality] + subject * dataset->dims[modality];
}

/* Two passes, so that values far from zero lose no digits. What is not finite is left to the read
 * that meets it, which names the place. */
typedef enum { PASS_MEAN, PASS_DEVIATION } pass_t;

static void add_block(const float *values, const uint8_t *valid, int64_t rows, int64_t dim,
                      pass_t pass, person_scale_t *scales) {
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t d = 0; valid[i] != 0 && d < dim; d++) {
            double value = values[i * dim + d];
            if (!isfinite(value)) {
                continue;
            }
            if (pass == PASS_MEAN) {
                scales[d].mean += value;
                scales[d].count++;
            } else {
                scales[d].factor += (value - scales[d].mean) * (value - scales[d].mean);
            }
        }
    }
}

static status_t add_recording(dataset_t *dataset, int64_t recording, int modality, pass_t pass,
                              float *buffer, int64_t room) {
    const dataset_recording_t *r = &dataset->recordings[recording];
    int64_t at = (int64_t)modality * dataset->shard_count + r->shard, dim = dataset->dims[modality];
    const shard_track_t *track = dataset->modalities[at];
    const shard_span_t *span = &track->spans[r->row];
    for (int64_t done = 0; done < span->length; done += room) {
        int64_t rows = min_i64(room, span->length - done), first = span->offset + done;
        TRY(shard_read_values(dataset->shards[r->shard], track, first, rows, buffer));
        add_block(buffer, dataset->masks[at] + first, rows, dim, pass,
                  scales_of(dataset, r->subject, modality));
    }
    return STATUS_OK;
}

static void finish(person_scale_t *scales, int64_t count, pass_t pass) {
    for (int64_t i = 0; i < count; i++) {
        double n = (double)max_i64(scales[i].count, 1);
        if (pass == PASS_MEAN) {
            scales[i].mean /= n;
        } else {
            double variance = scales[i].factor / n, mean = scales[i].mean;
            bool varies = variance > 1e-12 * (mean * mean + 1e-12);
            scales[i].factor = varies ? 1.0 / sqrt(variance) : 0.0;
        }
    }
}

static status_t fit_modality(dataset_t *dataset, int modality) {
    enum { BUFFER = 1 << 16 };
    int64_t dim = dataset->dims[modality], room = max_i64(BUFFER / dim, 1);
    int64_t count = dataset->subject_count * dim;
    dataset->person_scales[modality] = alloc_zero(max_i64(count, 1), sizeof(person_scale_t));
    float *buffer = alloc_zero(room * dim, sizeof *buffer);
    status_t status = STATUS_OK;
    for (int pass = PASS_MEAN; pass <= PASS_DEVIATION && status == STATUS_OK; pass++) {
        for (int64_t i = 0; i < dataset->recording_count && status == STATUS_OK; i++) {
            status = add_recording(dataset, i, modality, (pass_t)pass, buffer, room);
        }
        finish(dataset->person_scales[modality], count, (pass_t)pass);
    }
    free(buffer);
    return status;
}

status_t dataset_fit_people(dataset_t *dataset) {
    dataset->person_scales =
        alloc_zero(max_i64(dataset->modality_count, 1), sizeof *dataset->person_scales);
    for (int m = 0; m < dataset->modality_count; m++) {
        if (dataset->built_in[m] != BUILT_IN_NONE) {
            continue;
        }
        TRY(fit_modality(dataset, m));
    }
    return STATUS_OK;
}

void dataset_scale_person(const dataset_t *dataset, int64_t subject, int modality, float *row) {
    const person_scale_t *scales = scales_of(dataset, subject, modality);
    for (int64_t d = 0; d < dataset->dims[modality]; d++) {
        row[d] = (float)((row[d] - scales[d].mean) * scales[d].factor);
    }
}
