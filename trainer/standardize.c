#include "trainer/standardize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "configs/config.h"
#include "kernels/base/bytes.h"

static void allocate(standardize_t *s, int count, const int64_t *dims) {
    s->count = count;
    s->dims = alloc_zero(count, sizeof *s->dims);
    s->mean = alloc_zero(count, sizeof *s->mean);
    s->scale = alloc_zero(count, sizeof *s->scale);
    for (int m = 0; m < count; m++) {
        s->dims[m] = dims[m];
        s->mean[m] = alloc_zero(dims[m], sizeof **s->mean);
        s->scale[m] = alloc_zero(dims[m], sizeof **s->scale);
    }
}

void standardize_free(standardize_t *s) {
    for (int m = 0; m < s->count; m++) {
        free(s->mean[m]);
        free(s->scale[m]);
    }
    free(s->dims);
    free(s->mean);
    free(s->scale);
    *s = (standardize_t){0};
}

/* One row per recording: count, sums [dim], sums of squares [dim]. */
static status_t own_sums(const dataset_t *dataset, int modality, int64_t begin, int64_t end,
                         int64_t dim, double *rows) {
    for (int64_t i = begin; i < end; i++) {
        double *row = rows + (i - begin) * (1 + 2 * dim);
        int64_t count = 0;
        TRY(dataset_recording_sums(dataset, SPLIT_TRAIN, i, modality, &count, row + 1,
                                   row + 1 + dim));
        row[0] = (double)count;
    }
    return STATUS_OK;
}

static void finish(standardize_t *s, int modality, double *rows, int64_t recordings) {
    int64_t dim = s->dims[modality], width = 1 + 2 * dim;
    double *total = alloc_zero(width, sizeof *total);
    for (int64_t i = 0; i < recordings; i++) {
        for (int64_t k = 0; k < width; k++) {
            total[k] += rows[i * width + k];
        }
    }
    for (int64_t k = 0; k < dim; k++) {
        double n = total[0] > 0.0 ? total[0] : 1.0;
        double mean = total[1 + k] / n;
        double variance = total[1 + dim + k] / n - mean * mean;
        bool varies = variance > 1e-12 * (mean * mean + 1e-12);
        s->mean[modality][k] = (float)mean;
        s->scale[modality][k] = varies ? (float)(1.0 / sqrt(variance)) : 1.0f;
    }
    free(total);
}

static status_t fit_modality(comm_t *comm, const dataset_t *dataset, int modality,
                             standardize_t *s) {
    int64_t recordings = dataset_recording_count(dataset, SPLIT_TRAIN);
    int ranks = comm_size(comm), rank = comm_rank(comm);
    size_t row_bytes = (size_t)(1 + 2 * s->dims[modality]) * sizeof(double);
    size_t *lengths = alloc_zero(ranks, sizeof *lengths);
    size_t *offsets = alloc_zero(ranks, sizeof *offsets);
    for (int r = 0; r < ranks; r++) {
        int64_t begin = share_begin(recordings, ranks, r);
        offsets[r] = (size_t)begin * row_bytes;
        lengths[r] = (size_t)(share_begin(recordings, ranks, r + 1) - begin) * row_bytes;
    }
    double *rows = alloc_zero(recordings + 1, row_bytes);
    double *mine = alloc_zero((int64_t)lengths[rank] + 1, 1);
    status_t status = own_sums(dataset, modality, share_begin(recordings, ranks, rank),
                               share_begin(recordings, ranks, rank + 1), s->dims[modality], mine);
    status = comm_agree(comm, status, "read training features");
    if (status == STATUS_OK) {
        status = comm_all_gather_v(comm, mine, rows, lengths, offsets, "feature statistics");
    }
    if (status == STATUS_OK) {
        finish(s, modality, rows, recordings);
    }
    free(rows);
    free(mine);
    free(lengths);
    free(offsets);
    return status;
}

/* Indicators stay 0 and 1; pictures and clips of sound have norms of their own. */
static status_t pass(standardize_t *s, int modality) {
    for (int64_t k = 0; k < s->dims[modality]; k++) {
        s->scale[modality][k] = 1.0f;
    }
    return STATUS_OK;
}

status_t standardize_fit(comm_t *comm, const dataset_t *dataset, int modality_count,
                         standardize_t *out) {
    int64_t dims[CONFIG_MODALITIES_MAX] = {0};
    REQUIRE(modality_count <= ARRAY_LEN(dims));
    for (int m = 0; m < modality_count; m++) {
        dims[m] = dataset_modality_dim(dataset, m);
    }
    standardize_t s = {0};
    allocate(&s, modality_count, dims);
    for (int m = 0; m < modality_count; m++) {
        status_t status =
            dataset_modality(dataset, m).scaled ? fit_modality(comm, dataset, m, &s) : pass(&s, m);
        if (status != STATUS_OK) {
            standardize_free(&s);
            return status;
        }
    }
    *out = s;
    return STATUS_OK;
}

void standardize_apply(const standardize_t *s, int modality, float *x, const uint8_t *mask,
                       int64_t steps, int64_t clip) {
    if (s->count == 0) {
        return;
    }
    int64_t dim = s->dims[modality];
    for (int64_t t = 0; t < steps * clip; t++) {
        for (int64_t k = 0; mask[t / clip] && k < dim; k++) {
            x[t * dim + k] = (x[t * dim + k] - s->mean[modality][k]) * s->scale[modality][k];
        }
    }
}

void standardize_save(const standardize_t *s, const char *const *names, tensor_set_t *set_out) {
    *set_out = (tensor_set_t){0};
    for (int m = 0; m < s->count; m++) {
        char name[160];
        snprintf(name, sizeof name, "%s.mean", names[m]);
        memcpy(tensor_set_add(set_out, name, TENSOR_F32, 1, &s->dims[m])->data, s->mean[m],
               (size_t)s->dims[m] * sizeof(float));
        snprintf(name, sizeof name, "%s.scale", names[m]);
        memcpy(tensor_set_add(set_out, name, TENSOR_F32, 1, &s->dims[m])->data, s->scale[m],
               (size_t)s->dims[m] * sizeof(float));
    }
}

static bool has_means(const tensor_set_t *set) {
    for (int i = 0; i < set->count; i++) {
        const char *dot = strrchr(set->tensors[i].name, '.');
        if (dot != NULL && strcmp(dot, ".mean") == 0) {
            return true;
        }
    }
    return false;
}

status_t standardize_load(const tensor_set_t *set, const char *const *names, const int64_t *dims,
                          int count, standardize_t *out) {
    *out = (standardize_t){0};
    if (!has_means(set)) {
        return STATUS_OK;
    }
    standardize_t s = {0};
    allocate(&s, count, dims);
    for (int m = 0; m < 2 * count; m++) {
        char name[160];
        snprintf(name, sizeof name, "%s.%s", names[m / 2], m % 2 == 0 ? "mean" : "scale");
        const tensor_t *tensor = tensor_set_find(set, name);
        if (tensor == NULL || tensor->type != TENSOR_F32 || tensor_count(tensor) != dims[m / 2]) {
            standardize_free(&s);
            return status_fail(STATUS_FAILED, "checkpoint: statistics lack %s", name);
        }
        memcpy(m % 2 == 0 ? s.mean[m / 2] : s.scale[m / 2], tensor->data,
               (size_t)dims[m / 2] * sizeof(float));
    }
    *out = s;
    return STATUS_OK;
}
