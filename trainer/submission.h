/* submission.h - values or classes for every frame of every recording, as challenges ask for them.
 * Several evaluations of the same people, each with recordings' clocks begun at another part of a
 * step (data.shift), are merged in order of time; their targets are post-processed as one; a frame
 * between two predictions takes its part of both, and one beyond the first or the last takes that.
 */
#ifndef JMT_SUBMISSION_H
#define JMT_SUBMISSION_H

#include "trainer/evaluate.h"

typedef struct submission submission_t;

/* shifts: how many evaluations there will be; a fitted width counts steps, so that it spans so
 * many times as many predictions. STATUS_INPUT: it is not to be written, and there is nothing to
 * score, as all targets have classes. */
status_t submission_open(const config_t *config, const target_fit_t *fit, int shifts, bool to_write,
                         submission_t **submission_out) MUST_CHECK;
void submission_close(submission_t *submission); /* NULL allowed */

void submission_add(submission_t *submission, const evaluation_t *evaluation,
                    const dataset_t *dataset, split_t split);

/* image_location,TARGET...: RECORDING/00001.jpg,VALUE...: frames numbered from 1. A target with
 * classes has the class of the frame, from 0; where it is the only one and has class_names, the
 * first line names these instead of it. */
status_t submission_write(submission_t *submission, const char *path) MUST_CHECK;

/* Sets the metrics of scores[] (by target; not those of classes) whose names end in _frames: the
 * same values against the labels of all frames that have one. Recordings are then in the order of
 * their names: to be written first. */
void submission_score(submission_t *submission, scores_t *scores);

#endif
