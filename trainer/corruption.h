/* corruption.h - what is done to a modality's input to see how a model bears it. Draws are keyed by
 * (seed, modality, sample): the same on any number of ranks, and for models on the same windows. */
#ifndef JMT_CORRUPTION_H
#define JMT_CORRUPTION_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    CORRUPTION_NONE,
    CORRUPTION_NOISE,   /* Gaussian; level: signal to noise of each sample, dB */
    CORRUPTION_DROP,    /* level: probability that a step is missing */
    CORRUPTION_MISSING, /* level: probability that a sample lacks the modality */
    CORRUPTION_SHIFT,   /* level: whole steps by which the modality comes too late (or early) */
    CORRUPTION_COUNT
} corruption_kind_t;

const char *corruption_name(corruption_kind_t kind);
bool corruption_find(const char *name, corruption_kind_t *kind_out);
bool corruption_takes(corruption_kind_t kind, double level); /* is it a level of that kind? */

typedef struct corruption {
    corruption_kind_t kind;
    int modality; /* of the batch */
    double level;
    uint64_t seed;
} corruption_t;

/* One sample of its modality: features [steps, dim] are zero where the mask is 0, and stay so. */
void corrupt(const corruption_t *corruption, int64_t sample, int64_t steps, int64_t dim,
             float *features, uint8_t *mask);

#endif
