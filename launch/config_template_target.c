/* config_template_target.c - the loss of a target, by what its labels are. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "configs/config.h"
#include "data-sharding/inspect.h"
#include "kernels/base/bytes.h"
#include "kernels/base/log.h"
#include "launch/config_template.h"

enum { CLASSES_MAX = 20 };

/* Labels that are whole numbers from 0 on are classes: how many; 0: they are measurements. */
static int64_t classes_of(const float *labels, int64_t count) {
    float lowest = 1.0f, highest = 0.0f;
    for (int64_t i = 0; i < count; i++) {
        if (!(labels[i] >= 0.0f && labels[i] < CLASSES_MAX) || labels[i] != floorf(labels[i])) {
            return 0;
        }
        lowest = fminf(lowest, labels[i]);
        highest = fmaxf(highest, labels[i]);
    }
    return lowest == 0.0f && highest >= 1.0f ? (int64_t)highest + 1 : 0;
}

/* The first class that no label has; -1: each has one. */
static int64_t absent_class(const float *labels, int64_t count, int64_t classes) {
    bool seen[CLASSES_MAX] = {false};
    for (int64_t i = 0; i < count; i++) {
        seen[(int64_t)labels[i]] = true;
    }
    for (int64_t c = 0; c < classes; c++) {
        if (!seen[c]) {
            return c;
        }
    }
    return -1;
}

/* Labels of everybody (split SPLIT_COUNT), or of a split as the written configurations deal it. */
static status_t read_labels(const char *data, const char *target, split_t split, float **labels_out,
                            int64_t *count_out) {
    dataset_config_t config = inspect_defaults(data);
    config_t *defaults = NULL;
    TRY(config_load(NULL, NULL, 0, &defaults));
    config.window = 1;
    config.split_seed = defaults->split.seed;
    config.valid_fraction = split == SPLIT_COUNT ? 0.0 : defaults->split.valid_fraction;
    config.test_fraction = split == SPLIT_COUNT ? 0.0 : defaults->split.test_fraction;
    config_free(defaults);
    config.targets = &target;
    config.target_count = 1;
    dataset_t *dataset = NULL;
    float *labels = NULL;
    int64_t count = 0;
    TRY(dataset_open(&config, &dataset));
    status_t status = STATUS_OK;
    for (int s = 0; s < SPLIT_COUNT && status == STATUS_OK; s++) {
        float *part = NULL;
        int64_t more = 0;
        if (split != SPLIT_COUNT && s != (int)split) {
            continue;
        }
        status = dataset_target_values(dataset, (split_t)s, 0, &part, &more);
        for (int64_t i = 0; i < more && status == STATUS_OK; i++) {
            labels = array_grow(labels, count, sizeof *labels);
            labels[count++] = part[i];
        }
        free(part);
    }
    dataset_close(dataset);
    *labels_out = labels;
    *count_out = count;
    return status;
}

/* Balanced weights need a label of each class among those that are trained on. */
static status_t write_classes(FILE *file, const char *data, const char *name, int64_t classes,
                              split_t trained) {
    float *labels = NULL;
    int64_t count = 0;
    status_t status = read_labels(data, name, trained, &labels, &count);
    int64_t absent = status == STATUS_OK ? absent_class(labels, count, classes) : -1;
    free(labels);
    TRY(status);
    if (absent >= 0) {
        log_info("target %s: no training person has a label of class %lld, so that its classes "
                 "are not balanced",
                 name, (long long)absent);
    }
    fprintf(file, "  %s: {loss: cross_entropy, classes: %lld%s}\n", name, (long long)classes,
            absent < 0 ? ", class_weights: balanced" : "");
    return STATUS_OK;
}

status_t config_template_target(FILE *file, const char *data, const char *name, bool dealt) {
    float *labels = NULL;
    int64_t count = 0;
    status_t status = read_labels(data, name, SPLIT_COUNT, &labels, &count);
    int64_t classes = status == STATUS_OK ? classes_of(labels, count) : 0;
    free(labels);
    TRY(status);
    if (classes > 0) {
        return write_classes(file, data, name, classes, dealt ? SPLIT_TRAIN : SPLIT_COUNT);
    }
    fprintf(file, "  %s: {loss: ccc}\n", name);
    return STATUS_OK;
}
