/* cv_summary.h - the finished folds of a cross-validation as one result. */
#ifndef JMT_CV_SUMMARY_H
#define JMT_CV_SUMMARY_H

#include "configs/config.h"
#include "kernels/base/status.h"

typedef struct cv_plan {
    char *out;
    int64_t fold_total; /* that the data set is dealt to */
    int64_t *folds;     /* that were asked for */
    int fold_count;
    const int64_t *seeds;
    int seed_count;
    char *data_identity;
} cv_plan_t;

/* OUT/fold-K-seed-S; caller frees. */
char *cv_fold_directory(const cv_plan_t *plan, int64_t fold, int64_t seed);

/* Reads the folds' predictions.csv and evaluation.json; writes OUT/predictions.csv and
 * OUT/summary.json: pooled (all folds of a seed scored together; mean over the seeds), pooled_std,
 * by_seed[], over_folds.METRIC.{mean,std,n}, folds[], config (but for fold and seed), and marks and
 * selected_on: all that any fold says. */
status_t cv_summarize(const config_t *config, const cv_plan_t *plan) MUST_CHECK;

#endif
