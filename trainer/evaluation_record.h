/* evaluation_record.h - what may be asked of a checkpoint, and what its evaluation says besides
 * scores: of which checkpoint, chosen by what, on which data, with which settings, and what a
 * reader must know. */
#ifndef JMT_EVALUATION_RECORD_H
#define JMT_EVALUATION_RECORD_H

#include "trainer/checkpoint.h"

typedef struct evaluation_source {
    const checkpoint_t *checkpoint;
    char *name;            /* last, best-METRIC, step-NNNNNNNN */
    const char *settings;  /* evaluation_settings; NULL: those of the training */
    const char *data_path; /* NULL: not said */
    const char *taken; /* JSON by target whose predictions are another checkpoint's; NULL: none */
} evaluation_source_t;

/* Which settings differ from those of the training, as a JSON object of KEY: VALUE; caller frees.
 * STATUS_INPUT: one of them belongs to the trained model. path: of the checkpoint, for messages. */
status_t evaluation_settings(const checkpoint_t *checkpoint, const char *path,
                             const config_t *config, char **settings_out) MUST_CHECK;

/* STATUS_INPUT if the split is said to be held out and the model was trained on its people
 * (trained_on.h). */
status_t evaluation_check(const checkpoint_t *checkpoint, const trainer_t *trainer,
                          split_t split) MUST_CHECK;

/* evaluation_json, and with it: checkpoint, step, selected_on (a metric of validation people; last;
 * step N), seed, marks (of run_marks; "other data": than that of the training), data (identity of
 * what was scored), data_path, training_data (identity of that), taken, settings, config (YAML: all
 * of them, as they were when it was scored). Caller frees. */
char *evaluation_record(const evaluation_t *evaluation, const trainer_t *trainer, split_t split,
                        const evaluation_source_t *source);

#endif
