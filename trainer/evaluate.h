/* evaluate.h - predictions of a split, each sample exactly once whatever the number of ranks,
 * scored by plain functions in sample order. */
#ifndef JMT_EVALUATE_H
#define JMT_EVALUATE_H

#include "comm/comm.h"
#include "configs/config.h"
#include "trainer/batch.h"
#include "trainer/metrics.h"
#include "trainer/target_fit.h"

typedef struct evaluation {
    int target_count;
    int64_t steps; /* samples * length */
    int64_t length;
    int64_t data_steps; /* without padding, each step of each recording once */
    int64_t *columns;   /* by target */
    float **prediction; /* by target: [steps, columns] */
    float **label;      /* by target: [steps]; NaN: not scored */
    int64_t *sequence;  /* [steps]: number of the recording */
    /* [steps]: number of the stretch of a recording that was predicted without a gap; -1: padding,
     * and a step that an earlier window has */
    int64_t *stretch;
    int64_t *by_name; /* samples in the order of their recordings' names and time */
    float **post;     /* by target: [steps], as post-processed; NULL: no post-processing */
    int64_t *widths;  /* by target: of the moving average */
    scores_t *scores; /* by target */
    double *cuts;     /* by target: of predicted_class; NULL: predictions of several models */
    double loss;      /* the training loss over the whole split */
} evaluation_t;

/* Collective. Every rank gets the whole result. batch's executor has its weights bound; its
 * training state is not touched. samples_per_shard: a sample's bits depend on its place in its
 * group alone. kernels: of floats, on the host, where predictions are gathered. doing: what a
 * terminal is told of a long one; NULL: nothing. */
status_t evaluate_split(comm_t *comm, const config_t *config, const target_fit_t *fit,
                        const kernels_t *kernels, batch_t *batch, int64_t samples_per_shard,
                        split_t split, const char *doing, evaluation_t **evaluation_out) MUST_CHECK;
void evaluation_free(evaluation_t *evaluation); /* NULL allowed */
/* Fits the cuts of targets with threshold: fit, and the widths of those with smooth: fit, to these
 * predictions, and scores those anew. */
void evaluation_fit(evaluation_t *evaluation, const config_t *config, target_fit_t *fit);

/* The JSON of `jmt evaluate --json`; n: steps at which a target has a valid label,
 * n_invalid: the split's other steps; targets.NAME has its own. Caller frees. */
char *evaluation_json(const evaluation_t *evaluation, const config_t *config, const char *split);

/* recording,subject,step,name,target,prediction: one line per scored step and target, in order.
 * Where a target is post-processed, `post` is a seventh column: the prediction after it,
 * of other targets the prediction. */
status_t evaluation_write_csv(const evaluation_t *evaluation, const config_t *config,
                              const dataset_t *dataset, split_t split, const char *path) MUST_CHECK;

/* The value of `select_on` (auto, loss, METRIC, TARGET.METRIC) and whether higher is better. */
double evaluation_selected(const evaluation_t *evaluation, const config_t *config,
                           bool *higher_is_better_out);
/* The same of any such metric but auto. */
double evaluation_metric(const evaluation_t *evaluation, const config_t *config, const char *name,
                         bool *higher_is_better_out);
/* "ccc", "loss", ...: what `auto` stands for, for file names. */
const char *select_on_name(const config_t *config);

#endif
