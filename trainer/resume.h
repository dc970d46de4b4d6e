/* resume.h - a checkpoint to go on from: found, verified, and compared with what is asked for
 * now. */
#ifndef JMT_RESUME_H
#define JMT_RESUME_H

#include "trainer/checkpoint.h"

/* Local. resume: "auto" (run_directory's, if it has one) or a path. *found_out false: nothing to go
 * on from. STATUS_INPUT: the configuration decides other numbers than that of the checkpoint. */
status_t resume_read(const char *resume, const char *run_directory, const config_t *config,
                     checkpoint_t *checkpoint_out, bool *found_out) MUST_CHECK;

/* STATUS_INPUT, naming the first setting, unless the text of config_yaml of an earlier start, which
 * lies at `place`, stands for the same results on the same data. A setting that it lacks, being
 * older, has its default. */
status_t resume_same_results(const char *stored_yaml, const char *place,
                             const config_t *config) MUST_CHECK;

/* Local. The checkpoint's state into the trainer. STATUS_INPUT: other data, or another part of it.
 * A fingerprint that differs is one warning. */
status_t resume_restore(const checkpoint_t *checkpoint, trainer_t *trainer) MUST_CHECK;

#endif
