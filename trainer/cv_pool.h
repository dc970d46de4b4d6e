/* cv_pool.h - predictions of several folds as if they were of one test part. */
#ifndef JMT_CV_POOL_H
#define JMT_CV_POOL_H

#include <stdbool.h>

#include "configs/config.h"
#include "trainer/metrics.h"

/* Predictions of one target by all folds of a seed, fold after fold, each in sample order. */
typedef struct pool {
    float *x, *y; /* x of classes: the predicted one */
    float *post;  /* x as post-processed; NaN: it was not */
    int64_t *sequence;
    int64_t count, sequences, n_invalid;
} pool_t;

void pool_add(pool_t *pool, double target, double prediction, double post, bool same_recording);
void pool_score(const pool_t *pool, const target_config_t *target, scores_t *scores);
void pool_clear(pool_t *pool); /* ready for another seed */

#endif
