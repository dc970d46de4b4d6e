/* resume.h - a checkpoint to go on from: found, verified, and compared with what is asked for
 * now. */
#ifndef JMT_RESUME_H
#define JMT_RESUME_H

#include "trainer/checkpoint.h"

/* Local. resume: "auto" (run_directory's, if it has one) or a path. *found_out false: nothing to go
 * on from. STATUS_INPUT: the configuration decides other numbers than that of the checkpoint. */
status_t resume_read(const char *resume, const char *run_directory, const config_t *config,
                     checkpoint_t *checkpoint_out, bool *found_out) MUST_CHECK;

/* STATUS_INPUT unless two texts of config_yaml stand for the same results on the same data. */
status_t resume_same_results(const char *old_yaml, const char *new_yaml) MUST_CHECK;

/* Local. The checkpoint's state into the trainer. STATUS_INPUT: other data, or another part of it.
 * A fingerprint that differs is one warning. */
status_t resume_restore(const checkpoint_t *checkpoint, trainer_t *trainer) MUST_CHECK;

#endif
