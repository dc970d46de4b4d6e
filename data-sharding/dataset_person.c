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

/* Samples of a signal that count: all, or those of the recording's first seconds. */
static void range_of(const dataset_t *dataset, const dataset_recording_t *r,
                     const shard_span_t *span, int64_t *begin_out, int64_t *end_out) {
    const double slack = 1e-6; /* as dataset_clock.c has it */
    *begin_out = 0;
    *end_out = span->length;
    if (dataset->baseline_s > 0.0) {
        double begin = ceil((r->start_s - span->start_s) * span->rate_hz - slack);
        double end =
            ceil((r->start_s + dataset->baseline_s - span->start_s) * span->rate_hz - slack);
        *begin_out = (int64_t)fmin(fmax(begin, 0.0), (double)span->length);
        *end_out = (int64_t)fmin(fmax(end, 0.0), (double)span->length);
    }
}

static status_t add_recording(dataset_t *dataset, int64_t recording, int modality, pass_t pass,
                              float *buffer, int64_t room) {
    const dataset_recording_t *r = &dataset->recordings[recording];
    int64_t at = (int64_t)modality * dataset->shard_count + r->shard, dim = dataset->dims[modality];
    const shard_track_t *track = dataset->modalities[at];
    const shard_span_t *span = &track->spans[r->row];
    int64_t begin = 0, end = 0;
    range_of(dataset, r, span, &begin, &end);
    for (int64_t done = begin; done < end; done += room) {
        int64_t rows = min_i64(room, end - done), first = span->offset + done;
        TRY(shard_read_values(dataset->shards[r->shard], track, first, rows, buffer));
        add_block(buffer, dataset->masks[at] + first, rows, dim, pass,
                  scales_of(dataset, r->subject, modality));
    }
    return STATUS_OK;
}

static void finish(person_scale_t *scales, int64_t count, pass_t pass, double constant) {
    for (int64_t i = 0; i < count; i++) {
        double n = (double)max_i64(scales[i].count, 1);
        if (pass == PASS_MEAN) {
            scales[i].mean /= n;
        } else {
            double variance = scales[i].factor / n, mean = scales[i].mean;
            bool varies = variance > 1e-12 * (mean * mean + 1e-12);
            scales[i].factor = varies ? 1.0 / sqrt(variance) : constant;
        }
    }
}

static int64_t count_valid(const dataset_t *dataset, const dataset_recording_t *r, int modality,
                           bool baseline) {
    int64_t at = (int64_t)modality * dataset->shard_count + r->shard, count = 0;
    const shard_span_t *span = &dataset->modalities[at]->spans[r->row];
    int64_t begin = 0, end = span->length;
    if (baseline) {
        range_of(dataset, r, span, &begin, &end);
    }
    for (int64_t i = begin; i < end; i++) {
        count += dataset->masks[at][span->offset + i] != 0;
    }
    return count;
}

/* A baseline that is all of a person is the person's future, too; one of no sample, or of a single
 * one that has no spread, is none. */
static status_t check_person(dataset_t *dataset, int modality, int64_t subject, int64_t used,
                             int64_t all) {
    dataset->baseline_is_all |= used == all && all > 0;
    if (used < all && used < 2) {
        return status_fail(STATUS_INPUT,
                           "%s of subject %s has %s valid sample in the first %g minutes; raise "
                           "baseline_minutes",
                           dataset->modalities[(int64_t)modality * dataset->shard_count]->name,
                           dataset->subjects[subject], used == 0 ? "no" : "a single",
                           dataset->baseline_s / 60.0);
    }
    return STATUS_OK;
}

static status_t check_baseline(dataset_t *dataset, int modality) {
    int64_t people = max_i64(dataset->subject_count, 1);
    int64_t *used = alloc_zero(people, sizeof *used), *all = alloc_zero(people, sizeof *all);
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        const dataset_recording_t *r = &dataset->recordings[i];
        used[r->subject] += count_valid(dataset, r, modality, true);
        all[r->subject] += count_valid(dataset, r, modality, false);
    }
    status_t status = STATUS_OK;
    for (int64_t s = 0; s < dataset->subject_count && status == STATUS_OK; s++) {
        status = check_person(dataset, modality, s, used[s], all[s]);
    }
    free(used);
    free(all);
    return status;
}

bool dataset_baseline_is_all(const dataset_t *dataset) { return dataset->baseline_is_all; }

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
        double constant = dataset->baseline_s > 0.0 ? 1.0 : 0.0; /* later it may vary */
        finish(dataset->person_scales[modality], count, (pass_t)pass, constant);
    }
    free(buffer);
    bool baseline = status == STATUS_OK && dataset->baseline_s > 0.0;
    return baseline ? check_baseline(dataset, modality) : status;
}

status_t dataset_fit_people(dataset_t *dataset) {
    dataset->person_scales =
        alloc_zero(max_i64(dataset->modality_count, 1), sizeof *dataset->person_scales);
    for (int m = 0; m < dataset->modality_count; m++) {
        if (!dataset->infos[m].scaled) {
            continue;
        }
        TRY(fit_modality(dataset, m));
    }
    return STATUS_OK;
}

void dataset_scale_person(const dataset_t *dataset, int64_t subject, int modality, float *row) {
    if (dataset->person_scales == NULL || dataset->person_scales[modality] == NULL) {
        return;
    }
    const person_scale_t *scales = scales_of(dataset, subject, modality);
    for (int64_t d = 0; d < dataset->dims[modality]; d++) {
        row[d] = (float)((row[d] - scales[d].mean) * scales[d].factor);
    }
}
