#include "trainer/target_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

static bool is_balanced(const target_config_t *target) {
    return strcmp(target->class_weights, "balanced") == 0;
}

static bool is_fitted(const target_config_t *target) {
    return strcmp(target->threshold, "fit") == 0;
}

static bool is_width_fitted(const target_config_t *target) {
    return strcmp(target->smooth, "fit") == 0;
}

/* Of the target's weights: one per class, or the one of the label 1. */
static int64_t weight_count(const target_config_t *target) { return target_columns(target); }

/* --- from labels ----------------------------------------------------------------------------- */

/* counts[c]: labels of class c in the split. */
static status_t count_labels(const config_t *config, const dataset_t *dataset, split_t split,
                             int target, double counts[CLASSES_MAX]) {
    int64_t classes = target_classes(&config->targets[target]), count = 0;
    float *values = NULL;
    status_t status = dataset_target_values(dataset, split, target, &values, &count);
    memset(counts, 0, CLASSES_MAX * sizeof *counts);
    for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
        if (values[i] >= 0.0f && values[i] < (float)classes && values[i] == floorf(values[i])) {
            counts[(int64_t)values[i]] += 1.0;
        } else {
            status =
                status_fail(STATUS_INPUT,
                            "target %s has the label %g, and %s takes 0 to %lld; use loss: mse "
                            "or ccc, or correct the data",
                            config->targets[target].name, (double)values[i],
                            config->targets[target].loss, (long long)classes - 1);
        }
    }
    free(values);
    return status;
}

static status_t balance(const target_config_t *target, const double *counts, double *weights) {
    int64_t classes = target_classes(target);
    double total = 0.0;
    for (int64_t c = 0; c < classes; c++) {
        if (counts[c] == 0.0) {
            return status_fail(STATUS_INPUT,
                               "targets.%s.class_weights balanced: no training label is of class "
                               "%lld; give the weights as numbers",
                               target->name, (long long)c);
        }
        total += counts[c];
    }
    if (weight_count(target) == 1) {
        weights[0] = counts[0] / counts[1];
        return STATUS_OK;
    }
    for (int64_t c = 0; c < classes; c++) {
        weights[c] = total / ((double)classes * counts[c]);
    }
    return STATUS_OK;
}

/* --- from the configuration ------------------------------------------------------------------ */

static void take_numbers(const config_t *config, target_fit_t *fit) {
    memset(fit, 0, sizeof *fit);
    for (int t = 0; t < config->target_count; t++) {
        if (!is_fitted(&config->targets[t])) {
            double threshold = strtod(config->targets[t].threshold, NULL);
            fit->cuts[t] = log(threshold / (1.0 - threshold));
        }
        if (!is_width_fitted(&config->targets[t])) {
            fit->widths[t] = strtod(config->targets[t].smooth, NULL);
        }
        const char *next = config->targets[t].class_weights;
        fit->weighted[t] = strcmp(next, "none") != 0;
        for (int64_t c = 0; fit->weighted[t] && !is_balanced(&config->targets[t]) &&
                            c < weight_count(&config->targets[t]);
             c++) {
            char *end = NULL;
            fit->class_weights[t][c] = strtod(next, &end);
            next = end;
        }
    }
}

status_t target_fit_open(const config_t *config, const dataset_t *dataset, target_fit_t *fit_out) {
    take_numbers(config, fit_out);
    for (int t = 0; t < config->target_count; t++) {
        const target_config_t *target = &config->targets[t];
        double counts[SPLIT_COUNT][CLASSES_MAX];
        if (dataset == NULL && is_balanced(target)) {
            return status_fail(STATUS_INPUT,
                               "targets.%s.class_weights balanced: there are no training labels "
                               "here; give the weights as numbers",
                               target->name);
        }
        if (dataset == NULL || target_classes(target) == 0) {
            continue;
        }
        for (int split = 0; split < SPLIT_COUNT; split++) {
            TRY(count_labels(config, dataset, (split_t)split, t, counts[split]));
        }
        if (is_balanced(target)) {
            TRY(balance(target, counts[SPLIT_TRAIN], fit_out->class_weights[t]));
        }
    }
    return STATUS_OK;
}

/* --- in a checkpoint ------------------------------------------------------------------------- */

static void put_tensor(tensor_set_t *set, const target_config_t *target, const char *what,
                       int64_t count, const double *values) {
    char *name = text_format("targets.%s.%s", target->name, what);
    memcpy(tensor_set_add(set, name, TENSOR_F64, 1, &count)->data, values,
           (size_t)count * sizeof(double));
    free(name);
}

void target_fit_save(const config_t *config, const target_fit_t *fit, tensor_set_t *set) {
    for (int t = 0; t < config->target_count; t++) {
        const target_config_t *target = &config->targets[t];
        if (is_balanced(target)) {
            put_tensor(set, target, "class_weights", weight_count(target), fit->class_weights[t]);
        }
        if (is_fitted(target)) {
            put_tensor(set, target, "cut", 1, &fit->cuts[t]);
        }
        if (is_width_fitted(target)) {
            put_tensor(set, target, "smooth", 1, &fit->widths[t]);
        }
    }
}

/* `count` doubles of the statistics. */
static status_t take_tensor(const tensor_set_t *set, const target_config_t *target,
                            const char *what, int64_t count, double *values_out) {
    bool cut = strcmp(what, "cut") == 0;
    const char *setting = cut ? "threshold" : what;
    char *name = text_format("targets.%s.%s", target->name, what);
    const tensor_t *tensor = tensor_set_find(set, name);
    status_t status = STATUS_OK;
    if (tensor == NULL || tensor->type != TENSOR_F64 || tensor_count(tensor) != count) {
        status = status_fail(STATUS_INPUT,
                             "targets.%s.%s: the checkpoint has none, for its training was told "
                             "otherwise; give numbers, or train with this setting",
                             target->name, setting);
    } else {
        memcpy(values_out, tensor->data, (size_t)count * sizeof(double));
    }
    free(name);
    return status;
}

status_t target_fit_load(const config_t *config, const tensor_set_t *set, target_fit_t *fit_out) {
    take_numbers(config, fit_out);
    for (int t = 0; t < config->target_count; t++) {
        const target_config_t *target = &config->targets[t];
        if (is_balanced(target)) {
            TRY(take_tensor(set, target, "class_weights", weight_count(target),
                            fit_out->class_weights[t]));
        }
        if (is_fitted(target)) {
            TRY(take_tensor(set, target, "cut", 1, &fit_out->cuts[t]));
        }
        if (is_width_fitted(target)) {
            TRY(take_tensor(set, target, "smooth", 1, &fit_out->widths[t]));
            if (!(fit_out->widths[t] >= 0.0 && fit_out->widths[t] <= 1e6)) {
                return status_fail(STATUS_INPUT,
                                   "the checkpoint's width of targets.%s.smooth is no number of "
                                   "steps; give one",
                                   target->name);
            }
        }
    }
    return STATUS_OK;
}
