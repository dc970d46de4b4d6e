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

/* --- pictures -------------------------------------------------------------------------------- */

static void draw_places(const draws_t *draws, int64_t size, picture_change_t *change) {
    const float pi = 3.14159265f;
    float angle = between(draws, DRAW_ANGLE, -6.0f, 6.0f) * pi / 180.0f;
    float scale = sqrtf(between(draws, DRAW_AREA, 0.8f, 1.0f)), rest = (1.0f - scale) * (float)size;
    change->warped = true;
    change->cosine = cosf(angle);
    change->sine = sinf(angle);
    change->scale = scale;
    change->left = between(draws, DRAW_LEFT, 0.0f, rest);
    change->top = between(draws, DRAW_TOP, 0.0f, rest);
}

static void draw_jitter(const draws_t *draws, picture_change_t *change) {
    change->jittered = happens(draws, DRAW_JITTER, 0.8f);
    change->jitter_brightness = between(draws, DRAW_JITTER_BRIGHTNESS, 0.6f, 1.4f);
    change->jitter_contrast = between(draws, DRAW_JITTER_CONTRAST, 0.6f, 1.4f);
    change->saturation = between(draws, DRAW_SATURATION, 0.6f, 1.4f);
    change->hue = between(draws, DRAW_HUE, -0.1f, 0.1f);
}

picture_change_t augment_draw(augment_rule_t rule, rng_key_t key, uint64_t clip, int64_t size) {
    const draws_t draws = {key, clip};
    picture_change_t change = {0};
    if (rule == AUGMENT_COLOUR || rule == AUGMENT_STRONG) {
        change.colours = true;
        change.brightness = between(&draws, DRAW_BRIGHTNESS, 0.8f, 1.2f);
        change.contrast = between(&draws, DRAW_CONTRAST, 0.8f, 1.2f);
    }
    if (rule == AUGMENT_MIRROR || rule == AUGMENT_STRONG) {
        change.mirrored = happens(&draws, DRAW_MIRROR, 0.5f);
    }
    if (rule == AUGMENT_STRONG) {
        draw_places(&draws, size, &change);
        change.grey = happens(&draws, DRAW_GREY, 0.2f);
        draw_jitter(&draws, &change);
    }
    return change;
}

static void brighten(float *x, int64_t pixels, float factor) {
    for (int64_t i = 0; i < pixels; i++) {
        picture_brighten(x + i * PICTURE_COLOURS, factor);
    }
}

/* Towards the mean grey of the picture, as PIL has it. */
static void contrast(float *x, int64_t pixels, float factor) {
    double sums[PICTURE_LANES] = {0.0};
    for (int64_t i = 0; i < pixels; i++) {
        sums[i % PICTURE_LANES] += (double)picture_grey(x + i * PICTURE_COLOURS);
    }
    for (int half = PICTURE_LANES / 2; half > 0; half /= 2) {
        for (int lane = 0; lane < half; lane++) {
            sums[lane] += sums[lane + half];
        }
    }
    float mean = (float)(sums[0] / (double)pixels);
    for (int64_t i = 0; i < pixels; i++) {
        picture_blend(x + i * PICTURE_COLOURS, mean, factor);
    }
}

static void saturate(float *x, int64_t pixels, float factor) {
    for (int64_t i = 0; i < pixels; i++) {
        float *rgb = x + i * PICTURE_COLOURS;
        picture_blend(rgb, picture_grey(rgb), factor);
    }
}

/* One place between four pixels; black outside. */
static void bilinear(const float *x, int64_t size, const picture_source_t *source,
                     float rgb[PICTURE_COLOURS]) {
    memset(rgb, 0, PICTURE_COLOURS * sizeof *rgb);
    for (int i = 0; i < 4; i++) {
        int64_t row = source->row + i / 2, column = source->column + i % 2;
        float part = picture_part(source, i);
        for (int c = 0; c < PICTURE_COLOURS; c++) {
            bool inside = row >= 0 && row < size && column >= 0 && column < size;
            rgb[c] += inside ? part * x[(row * size + column) * PICTURE_COLOURS + c] : 0.0f;
        }
    }
}

static void warp(const picture_change_t *change, int64_t size, float *scratch, float *x) {
    memcpy(scratch, x, (size_t)(size * size * PICTURE_COLOURS) * sizeof *x);
    for (int64_t i = 0; i < size * size; i++) {
        picture_source_t source = picture_source(change, size, i / size, i % size);
        bilinear(scratch, size, &source, x + i * PICTURE_COLOURS);
    }
}

static void mirror(float *x, int64_t size) {
    for (int64_t r = 0; r < size; r++) {
        for (int64_t k = 0; k < size / 2; k++) {
            for (int c = 0; c < PICTURE_COLOURS; c++) {
                float *a = &x[(r * size + k) * PICTURE_COLOURS + c];
                float *b = &x[(r * size + size - 1 - k) * PICTURE_COLOURS + c];
                float kept = *a;
                *a = *b;
                *b = kept;
            }
        }
    }
}

static void jitter(const picture_change_t *change, float *x, int64_t pixels) {
    brighten(x, pixels, change->jitter_brightness);
    contrast(x, pixels, change->jitter_contrast);
    saturate(x, pixels, change->saturation);
    for (int64_t i = 0; i < pixels; i++) {
        picture_turn_hue(x + i * PICTURE_COLOURS, change->hue);
    }
}

void augment_picture(const picture_change_t *change, int64_t size, float *scratch, float *x) {
    int64_t pixels = size * size;
    if (change->colours) {
        brighten(x, pixels, change->brightness);
        contrast(x, pixels, change->contrast);
    }
    if (change->warped) {
        warp(change, size, scratch, x);
    } else if (change->mirrored) {
        mirror(x, size);
    }
    if (change->grey) {
        saturate(x, pixels, 0.0f);
    }
    if (change->jittered) {
        jitter(change, x, pixels);
    }
}

void augment_pictures(augment_rule_t rule, rng_key_t key, uint64_t clip, int64_t frames,
                      int64_t size, float *scratch, float *x) {
    picture_change_t change = augment_draw(rule, key, clip, size);
    for (int64_t f = 0; f < frames; f++) {
        augment_picture(&change, size, scratch, x + f * size * size * PICTURE_COLOURS);
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
