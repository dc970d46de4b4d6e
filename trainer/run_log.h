/* run_log.h - what a run leaves to read: metrics.jsonl, and a bar or lines on stderr. Rank 0 only; on
 * other ranks every call does nothing. */
#ifndef JMT_RUN_LOG_H
#define JMT_RUN_LOG_H

#include "trainer/trainer.h"

typedef struct run_log run_log_t;

/* Appends to DIR/metrics.jsonl; on resume, events after `step` of a lost future are dropped first. */
status_t run_log_open(const char *directory, bool active, int64_t step, int64_t step_total,
                      int ranks, run_log_t **log_out) MUST_CHECK;
void run_log_close(run_log_t *log);

void run_log_step(run_log_t *log, const progress_t *progress, const step_result_t *result);
void run_log_valid(run_log_t *log, const progress_t *progress, const evaluation_t *evaluation,
                   const config_t *config, double selected, bool best);
void run_log_checkpoint(run_log_t *log, const progress_t *progress, double save_ms);
void run_log_end(run_log_t *log, const progress_t *progress, const char *reason);

/* A write to metrics.jsonl that failed (full disk); looked at before checkpoints. */
status_t run_log_status(const run_log_t *log) MUST_CHECK;

#endif
