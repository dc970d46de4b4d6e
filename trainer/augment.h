/* augment.h - training clips changed by chance (jmt.md 2.7), once a clip: what is drawn holds for
 * all its pictures, so that motion stays motion. A pure function of seed, step, sample and
 * token. */
#ifndef JMT_AUGMENT_H
#define JMT_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/rng.h"
#include "kernels/picture.h"

/* COLOUR: brightness and contrast times 0.8 to 1.2. STRONG: that, then turned by up to 6 degrees, a
 * square of 80 to 100 % of the area brought to full size, mirrored (half), grey (a fifth), and
 * brightness, contrast and saturation times 0.6 to 1.4 and hue by up to a tenth (four fifths).
 * MIRROR: mirrored (half). SPECTRUM: of sound, each with probability 0.6: 1.2 times as fast or 0.9,
 * keeping its end; up to three quarters of its frames, and up to 10 bands, at the mean. */
typedef enum {
    AUGMENT_NONE,
    AUGMENT_COLOUR,
    AUGMENT_STRONG,
    AUGMENT_MIRROR,
    AUGMENT_SPECTRUM
} augment_rule_t;
augment_rule_t augment_rule(const char *name); /* "none" | "colour" | "strong" | ... */

/* What key and clip draw for a clip of pictures of this size. */
picture_change_t augment_draw(augment_rule_t rule, rng_key_t key, uint64_t clip, int64_t size);
/* One picture of it, [size, size, 3] between 0 and 1, in place; scratch: as large. */
void augment_picture(const picture_change_t *change, int64_t size, float *scratch, float *x);

/* key and clip: which draws. x: [frames, size, size, 3] between 0 and 1, in place; scratch: a
 * picture. */
void augment_pictures(augment_rule_t rule, rng_key_t key, uint64_t clip, int64_t frames,
                      int64_t size, float *scratch, float *x);
/* x: [frames, bands], normalised; scratch: as large. */
void augment_sound(augment_rule_t rule, rng_key_t key, uint64_t clip, int64_t frames, int64_t bands,
                   float *scratch, float *x);

#endif
