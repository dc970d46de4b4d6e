/* run_view.h - a run for people, on stderr: a bar on a terminal, else a line now and then. Fed by
 * run_log.c with the numbers that it writes into metrics.jsonl, and with nothing else. */
#ifndef JMT_RUN_VIEW_H
#define JMT_RUN_VIEW_H

#include "trainer/progress_bar.h"
#include "trainer/trainer.h"

/* A training that is one of several of about equal length. */
typedef struct run_scope {
    const char *title;    /* "fold 3 of 34" */
    int part, part_count; /* trained before this one, and all that are to be trained */
    double begin_s;       /* clock_s() when the first began */
} run_scope_t;

typedef struct run_view {
    bar_t bar;
    run_scope_t scope;
    double doing_begin_s, doing_s; /* of the last validation */
    double fraction_first;         /* where this process began: done by an earlier one */
    double begin_s, lined_s, drawn_s, rated_s;
    int64_t samples; /* since the rate was last worked out */
    double steps, steps_s, wait_ms;
    double epoch_loss; /* sum over the steps of the current epoch */
    int64_t epoch_steps, best_step;
} run_view_t;

/* Neither allocates nor fails. step_total and epoch_total: where the run ends at the latest (0: not
 * limited by epochs). scope NULL: on its own. */
void run_view_open(run_view_t *view, const config_t *config, const run_scope_t *scope,
                   const progress_t *progress, int64_t step_total, int64_t epoch_total, int ranks);
/* An event of before, found in metrics.jsonl: shows nothing. */
void run_view_recall_step(run_view_t *view, int64_t epoch, double loss);
void run_view_recall_valid(run_view_t *view, double selected);

void run_view_step(run_view_t *view, const progress_t *progress, const step_result_t *result,
                   double step_s);
void run_view_doing(run_view_t *view,
                    const char *what); /* until the next step, if it takes a while */
void run_view_valid(run_view_t *view, const progress_t *progress, double selected, bool best);
void run_view_epoch(run_view_t *view, const progress_t *progress); /* at its end */
void run_view_end(run_view_t *view, const progress_t *progress, const char *reason);

#endif
