#include "trainer/augment.h"

#include <math.h>
#include <string.h>

#include "kernels/base/bytes.h"

/* What is drawn for a clip, each from a place of its own. */
enum {
    DRAW_BRIGHTNESS,
    DRAW_CONTRAST,
    DRAW_ANGLE,
    DRAW_AREA,
    DRAW_LEFT,
    DRAW_TOP,
    DRAW_MIRROR,
    DRAW_GREY,
    DRAW_JITTER,
    DRAW_JITTER_BRIGHTNESS,
    DRAW_JITTER_CONTRAST,
    DRAW_SATURATION,
    DRAW_HUE,
    DRAW_STRETCH,
    DRAW_FASTER,
    DRAW_FRAMES,
    DRAW_FRAMES_WIDTH,
    DRAW_FRAMES_BEGIN,
    DRAW_BANDS,
    DRAW_BANDS_WIDTH,
    DRAW_BANDS_BEGIN,
    DRAWS = 32
};

typedef struct draws {
    rng_key_t key;
    uint64_t clip;
} draws_t;

static float between(const draws_t *draws, int which, float low, float high) {
    float u = rng_uniform(draws->key, draws->clip * DRAWS + (uint64_t)which);
    return low + (high - low) * u;
}

static bool happens(const draws_t *draws, int which, float probability) {
    return between(draws, which, 0.0f, 1.0f) < probability;
}

augment_rule_t augment_rule(const char *name) {
    static const char *const names[] = {"none", "colour", "strong", "mirror", "spectrum"};
    for (int i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) == 0) {
            return (augment_rule_t)i;
        }
    }
    return AUGMENT_NONE;
}

/* --- colours --------------------------------------------------------------------------------- */

static float clipped(float v) { return fminf(fmaxf(v, 0.0f), 1.0f); }

static float grey_of(const float rgb[3]) {
    return 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
}

/* to + factor (x - to), of all three colours. */
static void blend(float rgb[3], float to, float factor) {
    for (int c = 0; c < 3; c++) {
        rgb[c] = clipped(to + factor * (rgb[c] - to));
    }
}

static void brighten(float *x, int64_t pixels, float factor) {
    for (int64_t i = 0; i < 3 * pixels; i++) {
        x[i] = clipped(x[i] * factor);
    }
}

/* Towards the mean grey of the picture, as PIL has it. */
static void contrast(float *x, int64_t pixels, float factor) {
    double sum = 0.0;
    for (int64_t i = 0; i < pixels; i++) {
        sum += (double)grey_of(x + 3 * i);
    }
    float mean = (float)(sum / (double)pixels);
    for (int64_t i = 0; i < pixels; i++) {
        blend(x + 3 * i, mean, factor);
    }
}

static void saturate(float *x, int64_t pixels, float factor) {
    for (int64_t i = 0; i < pixels; i++) {
        blend(x + 3 * i, grey_of(x + 3 * i), factor);
    }
}

/* Around the circle of hues, which has length 1; lightness and saturation (of HSV) stay. */
static void turn_hue(float *x, int64_t pixels, float by) {
    for (int64_t i = 0; i < pixels; i++) {
        float *rgb = x + 3 * i, high = fmaxf(rgb[0], fmaxf(rgb[1], rgb[2]));
        float low = fminf(rgb[0], fminf(rgb[1], rgb[2])), range = high - low;
        if (range <= 0.0f) {
            continue;
        }
        float hue = high == rgb[0]   ? (rgb[1] - rgb[2]) / range
                    : high == rgb[1] ? 2.0f + (rgb[2] - rgb[0]) / range
                                     : 4.0f + (rgb[0] - rgb[1]) / range;
        hue = hue / 6.0f + by;
        hue -= floorf(hue);
        static const float offset[3] = {5.0f, 3.0f, 1.0f};
        for (int c = 0; c < 3; c++) {
            float k = fmodf(offset[c] + 6.0f * hue, 6.0f);
            rgb[c] = high - range * fmaxf(0.0f, fminf(fminf(k, 4.0f - k), 1.0f));
        }
    }
}

/* --- places ---------------------------------------------------------------------------------- */

/* Where in the picture a place of the result comes from: mirrored, scaled, shifted, turned. */
typedef struct warp {
    float cosine, sine, scale, left, top;
    bool mirrored;
} warp_t;

static warp_t drawn_warp(const draws_t *draws, int64_t size) {
    const float pi = 3.14159265f;
    float angle = between(draws, DRAW_ANGLE, -6.0f, 6.0f) * pi / 180.0f;
    float scale = sqrtf(between(draws, DRAW_AREA, 0.8f, 1.0f)), rest = (1.0f - scale) * (float)size;
    return (warp_t){.cosine = cosf(angle),
                    .sine = sinf(angle),
                    .scale = scale,
                    .left = between(draws, DRAW_LEFT, 0.0f, rest),
                    .top = between(draws, DRAW_TOP, 0.0f, rest),
                    .mirrored = happens(draws, DRAW_MIRROR, 0.5f)};
}

/* One colour of a place between four pixels; black outside. */
static float bilinear(const float *x, int64_t size, float row, float column, int c) {
    float r0 = floorf(row), c0 = floorf(column), sum = 0.0f;
    for (int i = 0; i < 4; i++) {
        int64_t r = (int64_t)r0 + i / 2, k = (int64_t)c0 + i % 2;
        float weight = (i / 2 == 0 ? 1.0f - (row - r0) : row - r0) *
                       (i % 2 == 0 ? 1.0f - (column - c0) : column - c0);
        if (r >= 0 && r < size && k >= 0 && k < size) {
            sum += weight * x[(r * size + k) * 3 + c];
        }
    }
    return sum;
}

static void warp_picture(const warp_t *warp, int64_t size, const float *from, float *to) {
    float middle = 0.5f * (float)(size - 1);
    for (int64_t r = 0; r < size; r++) {
        for (int64_t k = 0; k < size; k++) {
            int64_t column = warp->mirrored ? size - 1 - k : k;
            float y = warp->top + warp->scale * ((float)r + 0.5f) - 0.5f - middle;
            float x = warp->left + warp->scale * ((float)column + 0.5f) - 0.5f - middle;
            float row = middle + warp->cosine * y - warp->sine * x;
            float place = middle + warp->sine * y + warp->cosine * x;
            for (int c = 0; c < 3; c++) {
                to[(r * size + k) * 3 + c] = bilinear(from, size, row, place, c);
            }
        }
    }
}

static void mirror(float *x, int64_t size) {
    for (int64_t r = 0; r < size; r++) {
        for (int64_t k = 0; k < size / 2; k++) {
            for (int c = 0; c < 3; c++) {
                float *a = &x[(r * size + k) * 3 + c], *b = &x[(r * size + size - 1 - k) * 3 + c];
                float kept = *a;
                *a = *b;
                *b = kept;
            }
        }
    }
}

static void jitter(const draws_t *draws, float *x, int64_t pixels) {
    brighten(x, pixels, between(draws, DRAW_JITTER_BRIGHTNESS, 0.6f, 1.4f));
    contrast(x, pixels, between(draws, DRAW_JITTER_CONTRAST, 0.6f, 1.4f));
    saturate(x, pixels, between(draws, DRAW_SATURATION, 0.6f, 1.4f));
    turn_hue(x, pixels, between(draws, DRAW_HUE, -0.1f, 0.1f));
}

static void strengthen(const draws_t *draws, float *x, int64_t size, float *scratch) {
    warp_t warp = drawn_warp(draws, size);
    warp_picture(&warp, size, x, scratch);
    memcpy(x, scratch, (size_t)(size * size * 3) * sizeof *x);
    if (happens(draws, DRAW_GREY, 0.2f)) {
        saturate(x, size * size, 0.0f);
    }
    if (happens(draws, DRAW_JITTER, 0.8f)) {
        jitter(draws, x, size * size);
    }
}

void augment_pictures(augment_rule_t rule, rng_key_t key, uint64_t clip, int64_t frames,
                      int64_t size, float *scratch, float *x) {
    const draws_t draws = {key, clip};
    int64_t pixels = size * size;
    for (int64_t f = 0; f < frames; f++) {
        float *picture = x + f * pixels * 3;
        if (rule == AUGMENT_COLOUR || rule == AUGMENT_STRONG) {
            brighten(picture, pixels, between(&draws, DRAW_BRIGHTNESS, 0.8f, 1.2f));
            contrast(picture, pixels, between(&draws, DRAW_CONTRAST, 0.8f, 1.2f));
        }
        if (rule == AUGMENT_STRONG) {
            strengthen(&draws, picture, size, scratch);
        } else if (rule == AUGMENT_MIRROR && happens(&draws, DRAW_MIRROR, 0.5f)) {
            mirror(picture, size);
        }
    }
}

/* --- sound ----------------------------------------------------------------------------------- */

/* Its last frame stays where it is; what is asked for before the first is the first. */
static void stretch(float *x, int64_t frames, int64_t bands, float rate, float *from) {
    memcpy(from, x, (size_t)(frames * bands) * sizeof *from);
    for (int64_t f = 0; f < frames; f++) {
        float at = fmaxf((float)(frames - 1) - rate * (float)(frames - 1 - f), 0.0f);
        int64_t low = (int64_t)at, high = min_i64(low + 1, frames - 1);
        float rest = at - (float)low;
        for (int64_t b = 0; b < bands; b++) {
            x[f * bands + b] =
                (1.0f - rest) * from[low * bands + b] + rest * from[high * bands + b];
        }
    }
}

/* A run of up to `most` out of `count`. */
static void drawn_run(const draws_t *draws, int width, int begin, int64_t most, int64_t count,
                      int64_t *begin_out, int64_t *end_out) {
    int64_t length = (int64_t)between(draws, width, 0.0f, (float)(min_i64(most, count) + 1));
    length = min_i64(length, min_i64(most, count));
    *begin_out = (int64_t)between(draws, begin, 0.0f, (float)(count - length + 1));
    *begin_out = min_i64(*begin_out, count - length);
    *end_out = *begin_out + length;
}

void augment_sound(augment_rule_t rule, rng_key_t key, uint64_t clip, int64_t frames, int64_t bands,
                   float *scratch, float *x) {
    enum { BANDS_MOST = 10 };
    const float often = 0.6f;
    const draws_t draws = {key, clip};
    int64_t begin = 0, end = 0;
    if (rule != AUGMENT_SPECTRUM) {
        return;
    }
    if (happens(&draws, DRAW_STRETCH, often)) {
        stretch(x, frames, bands, happens(&draws, DRAW_FASTER, 0.5f) ? 1.2f : 0.9f, scratch);
    }
    if (happens(&draws, DRAW_FRAMES, often)) {
        drawn_run(&draws, DRAW_FRAMES_WIDTH, DRAW_FRAMES_BEGIN, frames * 3 / 4, frames, &begin,
                  &end);
        memset(x + begin * bands, 0, (size_t)((end - begin) * bands) * sizeof *x);
    }
    if (happens(&draws, DRAW_BANDS, often)) {
        drawn_run(&draws, DRAW_BANDS_WIDTH, DRAW_BANDS_BEGIN, BANDS_MOST, bands, &begin, &end);
        for (int64_t f = 0; f < frames; f++) {
            memset(x + f * bands + begin, 0, (size_t)(end - begin) * sizeof *x);
        }
    }
}
