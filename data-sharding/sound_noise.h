/* sound_noise.h - Gaussian noise on sound itself, before anything is made of it. */
#ifndef JMT_SOUND_NOISE_H
#define JMT_SOUND_NOISE_H

#include <stdbool.h>
#include <stdint.h>

#include "data-sharding/audio.h"

enum { SOUND_NOISE_DB_MAX = 200 }; /* that, which float samples do not show, stands for none */

typedef struct sound_noise {
    bool wanted;
    double db; /* power of the sound over that of the noise */
    uint64_t seed;
} sound_noise_t;

/* Of the options noise_db and noise_seed. */
static inline sound_noise_t sound_noise_of(double db, double seed) {
    return (sound_noise_t){db < SOUND_NOISE_DB_MAX, db, (uint64_t)seed};
}

/* Adds white noise over the whole length, as wide as the sound's own rate has it. What is drawn
 * depends on the seed and on the sound alone: at every level the same noise, louder or softer, and
 * the same for two people of one video. Silence stays silence. */
void sound_noise_add(const sound_noise_t *noise, audio_t *audio);

#endif
