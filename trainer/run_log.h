/* run_log.h - what a run leaves to read: metrics.jsonl, and what run_view.h shows on stderr. Rank 0
 * only; on other ranks every call does nothing. */
#ifndef JMT_RUN_LOG_H
#define JMT_RUN_LOG_H

#include "trainer/run_view.h"
#include "trainer/trainer.h"

typedef struct run_log run_log_t;

typedef struct run_log_config {
    const char *directory;
    bool active; /* rank 0 */
    const config_t *config;
    const progress_t *progress;
    const run_scope_t *scope;        /* NULL: on its own */
    int64_t step_total, epoch_total; /* as for run_view_open */
    int ranks;
} run_log_config_t;

/* DIRECTORY/metrics.jsonl: what it has behind `progress` stays, events of a lost future go. */
status_t run_log_open(const run_log_config_t *config, run_log_t **log_out) MUST_CHECK;
void run_log_close(run_log_t *log);

void run_log_step(run_log_t *log, const progress_t *progress, const step_result_t *result);
void run_log_valid(run_log_t *log, const progress_t *progress, const evaluation_t *evaluation,
                   const config_t *config, double selected, bool best);
void run_log_doing(run_log_t *log, const char *what); /* shown until the next step; no event */
void run_log_epoch(run_log_t *log, const progress_t *progress); /* its end; no event */
void run_log_checkpoint(run_log_t *log, const progress_t *progress, double save_ms);
void run_log_end(run_log_t *log, const progress_t *progress, const char *reason);

/* All so far is on the disk; STATUS_FAILED if a write failed at any time (full disk). Before
 * checkpoints: what a checkpoint has behind it is in the file. */
status_t run_log_sync(run_log_t *log) MUST_CHECK;

#endif
