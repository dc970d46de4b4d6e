/* metrics.h - scores of predictions against labels: plain functions, in sample order, in double. */
#ifndef JMT_METRICS_H
#define JMT_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

/*  name              higher is better; meaning over valid labels. NaN: the target does not have
 * it. */
#define METRIC_LIST(X)                                                                             \
    X(accuracy, true)    /* classes: share of correct */                                           \
    X(uar, true)         /* classes: unweighted mean of the recalls of classes that occur */       \
    X(f1_macro, true)    /* classes: mean F1 of classes that occur or are predicted */             \
    X(f1_weighted, true) /* classes: F1 weighted by how often a class occurs */                    \
    X(f1_positive, true) /* of one logit: F1 of class 1; 0 where it neither occurs nor is said */  \
    X(mae, false)        /* values: mean |x - y| */                                                \
    X(rmse, false)       /* values: root of the mean (x - y)^2 */                                  \
    X(r, true)           /* values: Pearson; 0 where a variance is 0 */                            \
    X(ccc, true)         /* values: concordance over all steps of all sequences (jmt.md 2.2) */    \
    X(ccc_per_sequence, true) /* values: mean of the sequences' own ccc (those with 2+ labels) */  \
    X(rmse_post, false) /* the same after post-processing (post_process.h), if there is any */     \
    X(ccc_post, true)                                                                              \
    X(ccc_per_sequence_post, true)                                                                 \
    X(rmse_frames, false) /* the same of every labelled frame, by jmt evaluate --shifts */         \
    X(ccc_frames, true)                                                                            \
    X(ccc_per_sequence_frames, true)

#define METRIC_ENUM_(name, higher) METRIC_##name,
typedef enum { METRIC_LIST(METRIC_ENUM_) METRIC_COUNT } metric_t;

const char *metric_name(metric_t metric);
bool metric_find(const char *name, metric_t *metric_out);
bool metric_higher_is_better(metric_t metric);

enum { CLASSES_MAX = 64 };
typedef struct scores {
    int64_t n, n_invalid;
    double value[METRIC_COUNT];
    int64_t classes;
    int64_t confusion[CLASSES_MAX][CLASSES_MAX]; /* [true][predicted] */
} scores_t;

/* Values: x[i] against y[i]; y NaN is invalid. sequence[i] numbers i's recording, in runs. */
void score_values(const float *x, const float *y, const int64_t *sequence, int64_t count,
                  scores_t *scores_out);
/* The metrics of *scores whose names end in _post: x[i] as post-processed; or in _frames: x[i] of
 * a frame. */
void score_post(const float *x, const float *y, const int64_t *sequence, int64_t count,
                scores_t *scores);
void score_frames(const float *x, const float *y, const int64_t *sequence, int64_t count,
                  scores_t *scores);
/* The class that `columns` logits mean. One column: 1 where it is above cut; two: 1 where the
 * second is more than cut above the first; more: the largest, the lowest index among equals. */
int64_t predicted_class(const float *x, int64_t columns, double cut);
/* The cut of one or two columns with the largest unweighted average recall: 0, or half-way between
 * two logits that follow one another; of equals the nearest to 0. 0 where only one class occurs. */
double fitted_cut(const float *x, const float *y, int64_t count, int64_t columns);
/* Classes: x[i*columns + c] logits. */
void score_classes(const float *x, const float *y, int64_t count, int64_t columns, double cut,
                   scores_t *scores_out);

/* Mean over those of `count` scores that have the metric; NaN if none. */
double scores_mean(const scores_t *scores, int count, metric_t metric);

#endif
