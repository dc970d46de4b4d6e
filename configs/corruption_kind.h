/* corruption_kind.h - ways in which a modality's input is made worse on purpose, in training
 * (modalities.NAME.corrupt) and by jmt robustness, and what a level of each is. */
#ifndef JMT_CORRUPTION_KIND_H
#define JMT_CORRUPTION_KIND_H

#include <stdbool.h>

#include "kernels/base/status.h"

typedef enum {
    CORRUPTION_NONE,
    CORRUPTION_NOISE,   /* Gaussian; level: signal to noise of each sample, dB */
    CORRUPTION_DROP,    /* level: probability that a step is missing */
    CORRUPTION_MISSING, /* level: probability that a sample lacks the modality */
    CORRUPTION_MUTED,   /* level: probability that a sample's sound is silence */
    CORRUPTION_SHIFT,   /* level: whole steps by which the modality comes too late (or early) */
    CORRUPTION_COUNT
} corruption_kind_t;

const char *corruption_name(corruption_kind_t kind);
bool corruption_find(const char *name, corruption_kind_t *kind_out);
bool corruption_takes(corruption_kind_t kind, double level); /* is it a level of that kind? */

/* "KIND:LEVEL". STATUS_INPUT: "CAUSE; REMEDY". */
status_t corruption_parse(const char *text, corruption_kind_t *kind_out,
                          double *level_out) MUST_CHECK;

#endif
