/* raw_world.h - what generated raw media show and let hear, and how well it can be told at best.
 *
 * Valence and arousal. A face has a mood s(t), a voice a mood h(t): sines of -1 to 1, whose
 * frequencies and phases are drawn apart. Valence is 0.5 s + 0.4 h and arousal 0.4 s - 0.5 h, each
 * with noise that nothing tells. s says nothing of h, so that the best prediction from the face
 * alone is 0.5 s and 0.4 s, from the voice alone 0.4 h and -0.5 h, and from both their sum.
 *
 * Pain. A sample of class c, 0 to 4, has two numbers, one in the face and one in the skin, each
 * normal around c / 4 of its separation, with deviation 1. Of the classes k and l the face alone
 * tells (the part) P((k - l) / 4 separation / 2) at best, P being the normal distribution; both
 * tell as much as one number whose squared separation is the sum of theirs. */
#ifndef JMT_RAW_WORLD_H
#define JMT_RAW_WORLD_H

#include <stdint.h>

#include "data-sharding/synthetic_model.h"

enum { WORLD_PAIN_CLASSES = 5 };
/* What is looked at: the face (or s), the other (voice, skin), both. */
enum { WORLD_FACE, WORLD_OTHER, WORLD_BOTH, WORLD_SETS };

typedef struct mood {
    double hz, phase;
} mood_t;
mood_t world_mood_of(uint64_t seed, const char *sense, int64_t number);
double world_mood_at(mood_t mood, double time_s);
double world_mood(uint64_t seed, const char *sense, int64_t number, double time_s);
/* Without noise, of what is looked at. */
void world_best(int set, double seen, double heard, double best_out[SYNTHETIC_TARGETS]);
/* The noise of a label: even within +-most. */
double world_label_noise(uint64_t seed, int64_t person, int64_t frame, int target, double most);

double world_pain(uint64_t seed, const char *sense, int64_t person, int64_t sample, int pain,
                  double separation);
/* The likeliest of all classes (apart 0), or of 0 and `apart`. numbers, separations: of face and
 * skin. */
int world_pain_best(int set, const double numbers[2], const double separations[2], int apart);
/* The part of two classes k / 4 of the separations apart that is told rightly at best. */
double world_pain_accuracy(int set, const double separations[2], int apart);

#endif
