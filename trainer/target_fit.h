/* target_fit.h - what the training people's labels say about the targets: weights of classes, and
 * thresholds and widths of smoothing (by those of them held out for validation). Part of a
 * checkpoint, like the means and scales of the features. */
#ifndef JMT_TARGET_FIT_H
#define JMT_TARGET_FIT_H

#include "data-sharding/dataset.h"
#include "trainer/metrics.h"
#include "trainer/models.h"
#include "trainer/safetensors.h"

typedef struct target_fit {
    bool weighted[CONFIG_TARGETS_MAX];
    double class_weights[CONFIG_TARGETS_MAX][CLASSES_MAX]; /* binary: [0] is of the label 1 */
    double cuts[CONFIG_TARGETS_MAX];   /* two classes: log-odds above which it is class 1 */
    double widths[CONFIG_TARGETS_MAX]; /* values: steps of the moving average, whole */
} target_fit_t;

/* Numbers from the configuration; thresholds yet to be fitted 0.5, widths 0; balanced weights from
 * the labels of the training split: n / (classes * n_c), and n_0 / n_1 for a binary target. The
 * labels of all splits must be what the loss takes. dataset NULL: STATUS_INPUT where balanced
 * is asked for. */
status_t target_fit_open(const config_t *config, const dataset_t *dataset,
                         target_fit_t *fit_out) MUST_CHECK;

/* What was counted and fitted, as tensors "targets.NAME.class_weights", ".cut", ".smooth". */
void target_fit_save(const config_t *config, const target_fit_t *fit, tensor_set_t *set);
/* Numbers from the configuration, what was counted or fitted from the checkpoint's statistics. */
status_t target_fit_load(const config_t *config, const tensor_set_t *set,
                         target_fit_t *fit_out) MUST_CHECK;

#endif
