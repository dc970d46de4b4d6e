/* taken.h - targets whose predictions come from other checkpoints: jmt evaluate --take. */
#ifndef JMT_TAKEN_H
#define JMT_TAKEN_H

#include "launch/opened.h"

typedef struct taken {
    char *target; /* its name */
    int index;    /* in the evaluation's configuration */
    const char *path;
    opened_t opened;
} taken_t;

typedef struct taken_list {
    taken_t *items;
    int count;
} taken_list_t;

/* Collective. Every --take TARGET=CHECKPOINT, each with the --set, --data and --split of the
 * command line. STATUS_INPUT: no such target. To be closed whatever is returned. */
status_t taken_open(comm_t *comm, const arguments_t *arguments, bool every_window,
                    const opened_t *main, taken_list_t *list_out) MUST_CHECK;
void taken_close(taken_list_t *list);

/* Collective. Puts what each predicts for its target into the evaluation, with its scores, post-
 * processing and threshold, and its width into fit. The loss is then NaN: it is one of whole
 * models. main: its split.* and data.shift hold; shift is added to the latter. STATUS_INPUT: one
 * was trained on people of the split, or predicts other steps. records_out: of which checkpoints,
 * as a JSON object by target, NULL where there is none (itself NULL: not wanted); caller frees. */
status_t taken_apply(comm_t *comm, const taken_list_t *list, const config_t *main, double shift,
                     split_t split, const char *data_path, evaluation_t *evaluation,
                     target_fit_t *fit, char **records_out) MUST_CHECK;

#endif
