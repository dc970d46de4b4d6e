/* train.h - a whole run: data, epochs, validation on held-out training people, early stopping,
 * checkpoints, resume. */
#ifndef JMT_TRAIN_H
#define JMT_TRAIN_H

#include "trainer/run_view.h"
#include "trainer/trainer.h"

typedef struct train_options {
    const char *run_directory; /* of --run: run_directory.h */
    const char *resume;  /* NULL: a new run; "auto": if there is a checkpoint; else a directory */
    int64_t steps;       /* stop after this many in total, whatever epochs says; 0: no limit */
    int64_t overfit;     /* train on the first N samples only; 0: all */
    const char *profile; /* where a timeline goes (timeline.h); NULL: none */
    int64_t profile_first, profile_last; /* steps of it; 0: as timeline_open chooses */
    bool dry_run;                        /* open everything, run nothing */
    const run_scope_t *scope;            /* NULL: this training is all there is */
    const char *initial_hash;            /* NULL, or what trainer_t's must be, else STATUS_FAILED */
} train_options_t;

/* From here on SIGTERM, SIGINT and SIGUSR1 ask a run to stop, also one that begins later. train_run
 * does it too; a program does it first of all, for signals that come while it starts. */
void train_catch_signals(void);

/* Collective. STATUS_STOPPED after SIGTERM, SIGINT or SIGUSR1 (a checkpoint was written). */
status_t train_run(const config_t *config, comm_t *comm, const train_options_t *options) MUST_CHECK;

#endif
