/* trained_on.h - who a model was trained on, as a checkpoint keeps it, and whether data at hand
 * holds the same people.
 *
 * JSON: {"key": KEY_ID, "people": {ALIAS: PART}, "recordings": {HASH: PART}, "groups": {NAME:
 * "train"}, "before": [the same of each training whose weights it began with]}; PART: "train" or
 * "valid" (chose the checkpoint and thresholds); HASH: 16 digits of recording_info_t.content, which
 * does not depend on names, aliases or the salt. A recording is known again by its hash, a person
 * by the alias where the key is the same, and by any recording of theirs. A hash that recordings of
 * two people share says nothing and is left out. */
#ifndef JMT_TRAINED_ON_H
#define JMT_TRAINED_ON_H

#include <stdbool.h>

#include "data-sharding/dataset.h"

/* Of a training on the data set's parts train and valid; caller frees. */
char *trained_on_text(const dataset_t *dataset);

/* Of a training that began with weights of `before`; one may be "": nobody. Caller frees. */
char *trained_on_join(const char *text, const char *before);
/* What was joined to it; "": nothing. Caller frees. */
char *trained_on_before(const char *text);

/* Whether the people (or the groups) of a split's recordings are of the training. SEEN_NOTHING: the
 * split names none, or the training had nobody ("{}"). */
typedef enum { SEEN_NOTHING, SEEN_ALL, SEEN_NONE, SEEN_SOME } seen_t;
seen_t trained_on_people(const char *text, const dataset_t *dataset, split_t split);
seen_t trained_on_groups(const char *text, const dataset_t *dataset, split_t split);

/* Of the people in a split those who may not be scored there by trained_on_check, and all. */
void trained_on_count(const char *text, const dataset_t *dataset, split_t split, bool overlap,
                      int64_t *seen_out, int64_t *all_out);

/* STATUS_INPUT, naming the alias or the recording, if the split is said to be held out (test:
 * nothing of train or valid; valid: nothing of train) and is not. overlap: the training allowed the
 * same people; then recordings count alone. */
status_t trained_on_check(const char *text, const dataset_t *dataset, split_t split,
                          bool overlap) MUST_CHECK;

#endif
