/* picture.h - what clips of pictures become before the first operation, place by place: bytes to
 * colours between 0 and 1, changed by chance (a training clip's, once for all its pictures), in the
 * scale that a backbone wants, enlarged. In float, each step rounded, and nothing contracted: the
 * same bits from the host and from a GPU. C11, and CUDA. */
#ifndef JMT_KERNELS_PICTURE_H
#define JMT_KERNELS_PICTURE_H

#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define PICTURE_INLINE static __host__ __device__ __forceinline__
#else
#define PICTURE_INLINE static inline
#endif

/* LANES: place i of a picture is added to sum i % LANES, and these by halves. */
enum { PICTURE_COLOURS = 3, PICTURE_LANES = 128 };

/* Each is done if its flag says so, in this order: brightness and contrast; a place of the result
 * taken from elsewhere (warped), or mirrored alone; grey; brightness, contrast, saturation and
 * hue. All zeros: nothing. */
typedef struct picture_change {
    int32_t colours, warped, mirrored, grey, jittered; /* 0 or 1 */
    float brightness, contrast;
    float cosine, sine, scale, left, top; /* mirrored, scaled, shifted, turned */
    float jitter_brightness, jitter_contrast, saturation, hue;
} picture_change_t;

/* --- colours --------------------------------------------------------------------------------- */

PICTURE_INLINE float picture_smaller(float a, float b) { return a < b ? a : b; }
PICTURE_INLINE float picture_larger(float a, float b) { return a > b ? a : b; }

PICTURE_INLINE float picture_clipped(float v) {
    return picture_smaller(picture_larger(v, 0.0f), 1.0f);
}

PICTURE_INLINE float picture_grey(const float rgb[PICTURE_COLOURS]) {
    return 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
}

PICTURE_INLINE void picture_brighten(float rgb[PICTURE_COLOURS], float factor) {
    for (int c = 0; c < PICTURE_COLOURS; c++) {
        rgb[c] = picture_clipped(rgb[c] * factor);
    }
}

/* to + factor (x - to), of all three colours. */
PICTURE_INLINE void picture_blend(float rgb[PICTURE_COLOURS], float to, float factor) {
    for (int c = 0; c < PICTURE_COLOURS; c++) {
        rgb[c] = picture_clipped(to + factor * (rgb[c] - to));
    }
}

/* Around the circle of hues, which has length 1; lightness and saturation (of HSV) stay. */
PICTURE_INLINE void picture_turn_hue(float rgb[PICTURE_COLOURS], float by) {
    float high = picture_larger(rgb[0], picture_larger(rgb[1], rgb[2]));
    float low = picture_smaller(rgb[0], picture_smaller(rgb[1], rgb[2])), range = high - low;
    if (range <= 0.0f) {
        return;
    }
    float hue = high == rgb[0]   ? (rgb[1] - rgb[2]) / range
                : high == rgb[1] ? 2.0f + (rgb[2] - rgb[0]) / range
                                 : 4.0f + (rgb[0] - rgb[1]) / range;
    hue = hue / 6.0f + by;
    hue -= floorf(hue);
    for (int c = 0; c < PICTURE_COLOURS; c++) {
        float k = fmodf((float)(5 - 2 * c) + 6.0f * hue, 6.0f);
        float part = picture_smaller(picture_smaller(k, 4.0f - k), 1.0f);
        rgb[c] = high - range * picture_larger(0.0f, part);
    }
}

/* --- places ---------------------------------------------------------------------------------- */

/* Between which four pixels a place of the result lies: the first, and the parts of those below and
 * to the right. */
typedef struct picture_source {
    int64_t row, column;
    float below, right;
} picture_source_t;

PICTURE_INLINE picture_source_t picture_source(const picture_change_t *change, int64_t size,
                                               int64_t r, int64_t k) {
    float middle = 0.5f * (float)(size - 1);
    int64_t from = change->mirrored ? size - 1 - k : k;
    float y = change->top + change->scale * ((float)r + 0.5f) - 0.5f - middle;
    float x = change->left + change->scale * ((float)from + 0.5f) - 0.5f - middle;
    float row = middle + change->cosine * y - change->sine * x;
    float column = middle + change->sine * y + change->cosine * x;
    float r0 = floorf(row), k0 = floorf(column);
    picture_source_t source = {(int64_t)r0, (int64_t)k0, row - r0, column - k0};
    return source;
}

/* The part of corner i of four, in the order of reading. */
PICTURE_INLINE float picture_part(const picture_source_t *source, int i) {
    return (i / 2 == 0 ? 1.0f - source->below : source->below) *
           (i % 2 == 0 ? 1.0f - source->right : source->right);
}

/* Between which two of `size` places a place of an enlarged picture lies, and the part of the
 * second. */
typedef struct picture_between {
    int64_t low, high;
    float part;
} picture_between_t;

PICTURE_INLINE picture_between_t picture_between(int64_t size, int64_t times, int64_t place) {
    float at = picture_larger(((float)place + 0.5f) / (float)times - 0.5f, 0.0f);
    int64_t low = (int64_t)at < size - 1 ? (int64_t)at : size - 1;
    picture_between_t between = {low, low + 1 < size - 1 ? low + 1 : size - 1, at - (float)low};
    return between;
}

/* --- one place at a time --------------------------------------------------------------------- */

/* A picture of a clip, of which any place can be asked, without memory for what is between. */
typedef struct picture {
    const uint8_t *bytes; /* [size, size, 3] */
    int64_t size;
    picture_change_t change;
    float mean, jitter_mean; /* greys of the whole, to which contrasts are: picture_lane_grey */
} picture_t;

PICTURE_INLINE void picture_widen(const picture_t *p, int64_t pixel, float rgb[PICTURE_COLOURS]) {
    for (int c = 0; c < PICTURE_COLOURS; c++) {
        rgb[c] = (float)p->bytes[pixel * PICTURE_COLOURS + c] / 255.0f;
    }
}

PICTURE_INLINE void picture_bright(const picture_t *p, int64_t pixel, float rgb[PICTURE_COLOURS]) {
    picture_widen(p, pixel, rgb);
    if (p->change.colours) {
        picture_brighten(rgb, p->change.brightness);
    }
}

PICTURE_INLINE void picture_coloured(const picture_t *p, int64_t pixel,
                                     float rgb[PICTURE_COLOURS]) {
    picture_bright(p, pixel, rgb);
    if (p->change.colours) {
        picture_blend(rgb, p->mean, p->change.contrast);
    }
}

PICTURE_INLINE void picture_warped(const picture_t *p, int64_t r, int64_t k,
                                   float rgb[PICTURE_COLOURS]) {
    picture_source_t source = picture_source(&p->change, p->size, r, k);
    rgb[0] = rgb[1] = rgb[2] = 0.0f;
    for (int i = 0; i < 4; i++) {
        int64_t row = source.row + i / 2, column = source.column + i % 2;
        if (row >= 0 && row < p->size && column >= 0 && column < p->size) {
            float x[PICTURE_COLOURS];
            picture_coloured(p, row * p->size + column, x);
            for (int c = 0; c < PICTURE_COLOURS; c++) {
                rgb[c] += picture_part(&source, i) * x[c];
            }
        }
    }
}

/* All but the contrast of the jitter and what follows it. */
PICTURE_INLINE void picture_placed(const picture_t *p, int64_t r, int64_t k,
                                   float rgb[PICTURE_COLOURS]) {
    if (p->change.warped) {
        picture_warped(p, r, k, rgb);
    } else {
        picture_coloured(p, r * p->size + (p->change.mirrored ? p->size - 1 - k : k), rgb);
    }
    if (p->change.grey) {
        picture_blend(rgb, picture_grey(rgb), 0.0f);
    }
    if (p->change.jittered) {
        picture_brighten(rgb, p->change.jitter_brightness);
    }
}

/* scale: the mean of each colour, then its deviation. */
PICTURE_INLINE void picture_scaled(const picture_t *p, const float *scale, int64_t r, int64_t k,
                                   float rgb[PICTURE_COLOURS]) {
    picture_placed(p, r, k, rgb);
    if (p->change.jittered) {
        picture_blend(rgb, p->jitter_mean, p->change.jitter_contrast);
        picture_blend(rgb, picture_grey(rgb), p->change.saturation);
        picture_turn_hue(rgb, p->change.hue);
    }
    for (int c = 0; c < PICTURE_COLOURS; c++) {
        rgb[c] = (rgb[c] - scale[c]) / scale[PICTURE_COLOURS + c];
    }
}

/* A place of the picture `times` as large. */
PICTURE_INLINE void picture_enlarged(const picture_t *p, const float *scale, int64_t times,
                                     int64_t r, int64_t k, float rgb[PICTURE_COLOURS]) {
    if (times == 1) {
        picture_scaled(p, scale, r, k, rgb);
        return;
    }
    picture_between_t row = picture_between(p->size, times, r);
    picture_between_t column = picture_between(p->size, times, k);
    float left[PICTURE_COLOURS], right[PICTURE_COLOURS], bottom[PICTURE_COLOURS];
    picture_scaled(p, scale, row.low, column.low, rgb);
    picture_scaled(p, scale, row.low, column.high, right);
    picture_scaled(p, scale, row.high, column.low, left);
    picture_scaled(p, scale, row.high, column.high, bottom);
    for (int c = 0; c < PICTURE_COLOURS; c++) {
        float above = rgb[c] + column.part * (right[c] - rgb[c]);
        float below = left[c] + column.part * (bottom[c] - left[c]);
        rgb[c] = above + row.part * (below - above);
    }
}

/* What lane `lane` adds to the mean grey: of the first contrast, or of the jitter's, for which the
 * first is known. */
PICTURE_INLINE double picture_lane_grey(const picture_t *p, int64_t lane, int jitters) {
    double sum = 0.0;
    for (int64_t i = lane; i < p->size * p->size; i += PICTURE_LANES) {
        float rgb[PICTURE_COLOURS];
        if (jitters) {
            picture_placed(p, i / p->size, i % p->size, rgb);
        } else {
            picture_bright(p, i, rgb);
        }
        sum += (double)picture_grey(rgb);
    }
    return sum;
}

#endif
