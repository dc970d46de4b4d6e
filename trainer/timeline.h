/* timeline.h - `jmt train --profile`: what all ranks did in some steps, on one clock, as a Chrome
 * trace that Perfetto opens (trainer/README.md says what is in it). */
#ifndef JMT_TIMELINE_H
#define JMT_TIMELINE_H

#include "trainer/trainer.h"

enum { TIMELINE_WARM_UP = 5, TIMELINE_STEPS = 20, TIMELINE_STEPS_MAX = 1000 };

typedef struct timeline timeline_t;

/* Collective, before the first step. Of the steps first..last as metrics.jsonl counts them; first
 * 0: TIMELINE_STEPS of this process, behind a warm-up. path: rank 0 writes it; STATUS_INPUT where
 * its folder is not there. */
status_t timeline_open(trainer_t *trainer, const char *path, int64_t first, int64_t last,
                       timeline_t **timeline_out) MUST_CHECK;
void timeline_close(timeline_t *timeline); /* NULL allowed; keeps what was not written */

/* Collective, both; NULL: nothing. Before each step: begins to record at the first one, and writes
 * the file when the last one, with the validation and the checkpoint behind it, is done. */
status_t timeline_step(timeline_t *timeline) MUST_CHECK;
/* No step follows: writes what is there. A file that could not be written, here or before, is
 * STATUS_FAILED. */
status_t timeline_end(timeline_t *timeline) MUST_CHECK;

#endif
