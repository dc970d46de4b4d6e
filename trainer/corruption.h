/* corruption.h - what is done to a modality's input to see how a model bears it, or for it to learn
 * to. Draws are keyed by (seed, modality, step, sample): the same on any number of ranks, and for
 * models on the same windows. */
#ifndef JMT_CORRUPTION_H
#define JMT_CORRUPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "configs/corruption_kind.h"

typedef struct corruption {
    corruption_kind_t kind;
    int modality; /* of the batch */
    double level;
    uint64_t seed;
} corruption_t;

/* Whether the sample is one that becomes silence. What that is depends on how the modality is read
 * (dataset_silence): it is put there before anything is scaled, so `corrupt` leaves muted alone. */
bool corruption_mutes(const corruption_t *corruption, uint64_t step, int64_t sample);

/* One sample of its modality: features [steps, dim] are zero where the mask is 0, and stay so.
 * step: of training; else 0. */
void corrupt(const corruption_t *corruption, uint64_t step, int64_t sample, int64_t steps,
             int64_t dim, float *features, uint8_t *mask);

#endif
