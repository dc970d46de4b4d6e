#include "data-sharding/raw_world.h"

#include <math.h>

#include "kernels/base/rng.h"

static const double least_hz = 0.05, most_hz = 0.25;

mood_t world_mood_of(uint64_t seed, const char *sense, int64_t number) {
    rng_key_t key = {seed, rng_name(sense), (uint64_t)number};
    return (mood_t){least_hz + (most_hz - least_hz) * (double)rng_uniform(key, 0),
                    (double)rng_uniform(key, 1)};
}

double world_mood_at(mood_t mood, double time_s) {
    return sin(2.0 * M_PI * (mood.hz * time_s + mood.phase));
}

double world_mood(uint64_t seed, const char *sense, int64_t number, double time_s) {
    return world_mood_at(world_mood_of(seed, sense, number), time_s);
}

void world_best(int set, double seen, double heard, double best_out[SYNTHETIC_TARGETS]) {
    double s = set == WORLD_OTHER ? 0.0 : seen, h = set == WORLD_FACE ? 0.0 : heard;
    best_out[0] = 0.5 * s + 0.4 * h;
    best_out[1] = 0.4 * s - 0.5 * h;
}

double world_label_noise(uint64_t seed, int64_t person, int64_t frame, int target, double most) {
    rng_key_t key = {seed, rng_name("raw.label"), (uint64_t)person};
    uint64_t index = (uint64_t)(frame * SYNTHETIC_TARGETS + target);
    return most * (2.0 * (double)rng_uniform(key, index) - 1.0);
}

double world_pain(uint64_t seed, const char *sense, int64_t person, int64_t sample, int pain,
                  double separation) {
    rng_key_t key = {seed, rng_name(sense), (uint64_t)person};
    return separation * pain / 4.0 + rng_normal(key, (uint64_t)sample);
}

int world_pain_best(int set, const double numbers[2], const double separations[2], int apart) {
    int best = 0, step = apart > 0 ? apart : 1;
    int end = apart > 0 ? apart : WORLD_PAIN_CLASSES - 1;
    double least = INFINITY;
    for (int pain = 0; pain <= end; pain += step) {
        double distance = 0.0;
        for (int i = 0; i < 2; i++) {
            double off = numbers[i] - separations[i] * pain / 4.0;
            distance += set == WORLD_BOTH || set == i ? off * off : 0.0;
        }
        if (distance < least) {
            least = distance;
            best = pain;
        }
    }
    return best;
}

double world_pain_accuracy(int set, const double separations[2], int apart) {
    double squares = 0.0;
    for (int i = 0; i < 2; i++) {
        squares += set == WORLD_BOTH || set == i ? separations[i] * separations[i] : 0.0;
    }
    return 0.5 * erfc(-sqrt(squares) * apart / 4.0 / 2.0 / sqrt(2.0));
}
