#include "trainer/control.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/models.h"

/* Log-frequencies of classes, log-odds of yes and no, or the mean: the best constant that training
 * people suggest. */
static status_t fit_constant(trainer_t *t, int target, float *bias, int64_t columns) {
    float *values = NULL;
    int64_t count = 0;
    TRY(dataset_target_values(t->dataset, SPLIT_TRAIN, target, &values, &count));
    double sums[CLASSES_MAX] = {0.0};
    int64_t classes = target_classes(&t->config->targets[target]);
    for (int64_t i = 0; i < count; i++) {
        if (classes > 0) {
            sums[(int64_t)values[i]] += 1.0;
        } else {
            sums[0] += (double)values[i];
        }
    }
    double n = count > 0 ? (double)count : 1.0;
    for (int64_t c = 0; c < columns; c++) {
        bias[c] = columns > 1   ? (float)log((sums[c] + 1.0) / (n + (double)columns))
                  : classes > 0 ? (float)log((sums[1] + 1.0) / (sums[0] + 1.0))
                                : (float)(sums[0] / n);
    }
    free(values);
    return STATUS_OK;
}

/* Labels by the feature that is 1 where they stand. */
typedef struct entries {
    bool odds; /* of yes and no: sums is of yes */
    int64_t features, columns;
    double *count; /* [features] */
    double *sums;  /* [columns, features]: of values, or of labels of a class */
} entries_t;

static void add_sample(const batch_t *batch, int target, const float *features, const uint8_t *mask,
                       entries_t *e) {
    for (int64_t i = 0; i < batch->length; i++) {
        float label = batch->direct.target[target][i];
        const float *row = features + i * e->features;
        int64_t k = 0;
        while (mask[i] != 0 && k < e->features && row[k] == 0.0f) {
            k++;
        }
        if (mask[i] == 0 || k == e->features || isnan(label)) {
            continue;
        }
        e->count[k] += 1.0;
        e->sums[(e->columns > 1 ? (int64_t)label * e->features : 0) + k] +=
            e->columns > 1 ? 1.0 : (double)label;
    }
}

/* A mean; or the frequencies of classes, or odds, with those of all labels counted once more. */
static void set_weights(const entries_t *e, const float *bias, float *weight) {
    for (int64_t c = 0; c < e->columns; c++) {
        for (int64_t k = 0; k < e->features; k++) {
            double n = e->count[k], sum = e->sums[c * e->features + k], value = (double)bias[c];
            if (n > 0.0) {
                double yes = 1.0 / (1.0 + exp(-(double)bias[c]));
                value = e->columns > 1 ? log((sum + exp((double)bias[c])) / (n + 1.0))
                        : e->odds      ? log((sum + yes) / (n - sum + 1.0 - yes))
                                       : sum / n;
            }
            weight[c * e->features + k] = (float)(value - (double)bias[c]);
        }
    }
}

static status_t fit_entries(trainer_t *t, entries_t *entries, float *weights) {
    const float *features = t->batch.direct.features[0];
    const uint8_t *mask = t->batch.direct.masks[0];
    for (int64_t s = 0; s < dataset_sample_count(t->dataset, SPLIT_TRAIN); s++) {
        TRY(batch_fill(&t->batch, &t->batch.direct, SPLIT_TRAIN, 0, s));
        for (int i = 0; i < t->config->target_count; i++) {
            add_sample(&t->batch, i, features, mask, &entries[i]);
        }
    }
    for (int i = 0; i < t->config->target_count; i++) {
        set_weights(&entries[i], weights + t->flat.offsets[2 * i + 1],
                    weights + t->flat.offsets[2 * i]);
    }
    return STATUS_OK;
}

status_t control_fit(trainer_t *t, float *weights) {
    const config_t *config = t->config;
    for (int i = 0; i < config->target_count; i++) {
        TRY(fit_constant(t, i, weights + t->flat.offsets[2 * i + 1],
                         target_columns(&config->targets[i])));
    }
    if (strcmp(config->model.name, "majority") == 0) {
        return STATUS_OK;
    }
    entries_t entries[CONFIG_TARGETS_MAX] = {{0}};
    for (int i = 0; i < config->target_count; i++) {
        entries_t *e = &entries[i];
        e->features = t->dims[0];
        e->columns = target_columns(&config->targets[i]);
        e->odds = e->columns == 1 && target_classes(&config->targets[i]) == 2;
        e->count = alloc_zero(e->features, sizeof *e->count);
        e->sums = alloc_zero(e->features * e->columns, sizeof *e->sums);
    }
    status_t status = fit_entries(t, entries, weights);
    for (int i = 0; i < config->target_count; i++) {
        free(entries[i].count);
        free(entries[i].sums);
    }
    return status;
}
