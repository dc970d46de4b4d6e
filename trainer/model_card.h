/* model_card.h - what somebody who gets exported weights must know: a page of Markdown. */
#ifndef JMT_MODEL_CARD_H
#define JMT_MODEL_CARD_H

#include "trainer/checkpoint.h"

/* Of the file of weights called `name`. data: what `jmt inspect` says of the data that it was
 * trained on, or NULL: not at hand. evaluation: evaluation.json of this checkpoint, or NULL. No
 * path of this machine is in it. Caller frees. */
status_t model_card(const checkpoint_t *checkpoint, const char *name, const char *data,
                    const char *evaluation, char **text_out) MUST_CHECK;

#endif
