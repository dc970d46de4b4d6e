/* run_directory.h - DIR of `jmt train`: config.yaml, manifest.json, metrics.jsonl, checkpoints/.
 * Rank 0 writes; run_directory_of is for every rank. */
#ifndef JMT_RUN_DIRECTORY_H
#define JMT_RUN_DIRECTORY_H

#include "trainer/trainer.h"

/* The run directory of the checkpoint that `resume` means (DIR, DIR/checkpoints,
 * DIR/checkpoints/X). STATUS_INPUT: there is none, or it lies outside any run. Caller frees. */
status_t run_directory_of(const char *resume, char **directory_out) MUST_CHECK;

/* resume: NULL, "auto" or a path, as train_options_t has it. Refuses (STATUS_INPUT) to write over a
 * run that is not the resumed one. Changes nothing. */
status_t run_directory_check(const char *directory, const char *resume) MUST_CHECK;

/* Makes DIR/checkpoints and takes the next generation of it. */
status_t run_directory_claim(const char *directory, int64_t *generation_out) MUST_CHECK;

/* manifest.json and config.yaml. */
status_t run_directory_describe(const char *directory, const char *data_path,
                                const trainer_t *trainer) MUST_CHECK;

/* What a table calls runs of this configuration: the model, or the modality of a unimodal one, and
 * what was done to the labels. Caller frees. */
char *run_row_name(const config_t *config);
/* What a reader of a table must know of a row, separated by "; ": SCORED ON TRAINING PEOPLE, SCORED
 * ON VALIDATION PEOPLE (another split than test), control, transductive, baseline N min, schedule
 * known, stimulus known, seen people, some people seen, seen stimuli, unseen stimuli, some stimuli
 * seen. trained_on: of the model (trained_on.h). "": nothing. Caller frees. */
char *run_marks(const config_t *config, const dataset_t *dataset, split_t split,
                const char *trained_on);
/* What chose the checkpoint called best: a metric of held-out training people; "last": nothing. */
const char *run_selected_on(const config_t *config);

#endif
