#include "trainer/corruption.h"

#include <math.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

static void hide_step(int64_t step, int64_t dim, float *features, uint8_t *mask) {
    memset(features + step * dim, 0, (size_t)dim * sizeof *features);
    mask[step] = 0;
}

/* Noise of the power that the sample's valid steps have on average, less `level` dB. */
static void add_noise(rng_key_t key, double level, int64_t steps, int64_t dim, float *features,
                      const uint8_t *mask) {
    double power = 0.0, count = 0.0;
    for (int64_t i = 0; i < steps * dim; i++) {
        power += mask[i / dim] != 0 ? (double)features[i] * (double)features[i] : 0.0;
        count += mask[i / dim] != 0 ? 1.0 : 0.0;
    }
    if (count == 0.0) {
        return;
    }
    double deviation = sqrt(power / count * pow(10.0, -level / 10.0));
    for (int64_t i = 0; i < steps * dim; i++) {
        if (mask[i / dim] != 0) {
            features[i] += (float)(deviation * rng_normal(key, (uint64_t)i));
        }
    }
}

/* A step shows what the modality had `by` steps before; where that lies outside, nothing. */
static void shift(int64_t by, int64_t steps, int64_t dim, float *features, uint8_t *mask) {
    for (int64_t k = 0; k < steps; k++) {
        int64_t to = by > 0 ? steps - 1 - k : k, from = to - by;
        if (from < 0 || from >= steps) {
            hide_step(to, dim, features, mask);
        } else {
            memmove(features + to * dim, features + from * dim, (size_t)dim * sizeof *features);
            mask[to] = mask[from];
        }
    }
}

static rng_key_t key_of(const corruption_t *c, uint64_t step, int64_t sample) {
    return (rng_key_t){c->seed + 0x9e3779b97f4a7c15u * (uint64_t)(c->modality + 1),
                       rng_name(corruption_name(c->kind)), (step << 32) + (uint64_t)sample};
}

bool corruption_mutes(const corruption_t *c, uint64_t step, int64_t sample) {
    return c->kind == CORRUPTION_MUTED &&
           (double)rng_uniform(key_of(c, step, sample), 0) < c->level;
}

void corrupt(const corruption_t *c, uint64_t step, int64_t sample, int64_t steps, int64_t dim,
             float *features, uint8_t *mask) {
    rng_key_t key = key_of(c, step, sample);
    if (c->kind == CORRUPTION_NOISE) {
        add_noise(key, c->level, steps, dim, features, mask);
    } else if (c->kind == CORRUPTION_SHIFT) {
        shift((int64_t)c->level, steps, dim, features, mask);
    }
    bool missing = c->kind == CORRUPTION_MISSING && (double)rng_uniform(key, 0) < c->level;
    for (int64_t t = 0; t < steps; t++) {
        bool drops = c->kind == CORRUPTION_DROP && (double)rng_uniform(key, (uint64_t)t) < c->level;
        if (missing || drops) {
            hide_step(t, dim, features, mask);
        }
    }
}
