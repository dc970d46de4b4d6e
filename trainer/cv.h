/* cv.h - cross-validation: every fold of the data set with every seed, each a training of its own.
 *
 * OUT/config.yaml                  what the folds have in common
 * OUT/fold-K-seed-S/               a run directory, and predictions.csv and evaluation.json of the
 *                                  fold's test people; a fold is done when the latter is there
 * OUT/predictions.csv, summary.json   all of them together
 * Nothing passes from one fold to the next: a fold is trained from the weights that the
 * configuration and the seed make (asserted by their hash), and scored with the checkpoint that is
 * best on held-out training people. Started again, what is done stays, and what is not goes on. */
#ifndef JMT_CV_H
#define JMT_CV_H

#include "comm/comm.h"
#include "configs/config.h"

typedef struct cv_options {
    const char *out;
    const int64_t *folds; /* fold_count 0: all */
    int fold_count;
    bool no_folds;        /* the split as it stands, as if it were the only fold */
    const int64_t *seeds; /* at least one */
    int seed_count;
} cv_options_t;

/* Collective. Folds are dealt to groups of ranks: of one rank each where there are as many folds as
 * ranks. summary.json has the same bytes for every number of ranks. */
status_t cv_run(const config_t *config, comm_t *comm, const cv_options_t *options) MUST_CHECK;

#endif
