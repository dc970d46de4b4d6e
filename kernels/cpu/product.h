/* product.h - the one product behind `linear` and `conv`: tiles of a result that stay in registers
 * while k runs over a packed panel of the right factor. Compiled once for each instruction set
 * (ref/real.h).
 *
 * k runs in units: one number, or with bf16 two that follow one another, which one instruction
 * multiplies and adds; the second of an odd k's last unit is 0.
 *
 * An element is one chain of (fused, where the processor has it) products and sums over k in
 * order, so its bits depend neither on the tile it falls into, nor on the number of rows. */
#ifndef JMT_KERNELS_CPU_PRODUCT_H
#define JMT_KERNELS_CPU_PRODUCT_H

#include <immintrin.h>

#include "kernels/ref/real.h"

#if defined(__AVX512F__)
#define VECTOR_BYTES        64
#define VECTOR_FMA(a, b, c) ((vector_t)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define VECTOR_SPREAD(x)    ((vector_t)_mm512_set1_ps(x))
enum { TILE_ROWS = 8, TILE_VECTORS = 3 };
#elif defined(__FMA__)
#define VECTOR_BYTES        32
#define VECTOR_FMA(a, b, c) ((vector_t)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define VECTOR_SPREAD(x)    ((vector_t)_mm256_set1_ps(x))
enum { TILE_ROWS = 6, TILE_VECTORS = 2 };
#else
#define VECTOR_BYTES        16
#define VECTOR_FMA(a, b, c) ((a) * (b) + (c))
#define VECTOR_SPREAD(x)    ((vector_t)_mm_set1_ps(x))
enum { TILE_ROWS = 4, TILE_VECTORS = 2 };
#endif

typedef float vector_t __attribute__((vector_size(VECTOR_BYTES)));
#ifdef ACTIVATION_BF16
typedef uint32_t unit_t; /* the lower half comes first */
enum { UNIT_K = 2 };
#define UNIT_FMA(a, b, c) ((vector_t)_mm512_dpbf16_ps((__m512)(c), (__m512bh)(a), (__m512bh)(b)))
#define UNIT_SPREAD(x)    ((vector_t)_mm512_set1_epi32((int)(x)))
#else
typedef float unit_t;
enum { UNIT_K = 1 };
#define UNIT_FMA    VECTOR_FMA
#define UNIT_SPREAD VECTOR_SPREAD
#endif
static inline int64_t units_of(int64_t k) { return div_up(k, UNIT_K); }

static inline unit_t unit_load(const act_t *from) {
    unit_t unit;
    memcpy(&unit, from, sizeof unit);
    return unit;
}
/* The unit of two rows' numbers; the second is not looked at where a unit is one. */
static inline unit_t unit_pair(act_t first, act_t second) {
#ifdef ACTIVATION_BF16
    return (unit_t)first | (unit_t)second << 16;
#else
    (void)second;
    return first;
#endif
}
static inline float unit_part(unit_t unit, int part) {
#ifdef ACTIVATION_BF16
    return bf16_to_float((bf16_t)(unit >> 16 * part));
#else
    (void)part;
    return unit;
#endif
}

typedef int32_t bits_t __attribute__((vector_size(VECTOR_BYTES)));
enum { LINE_BYTES = 64, LINE_UNITS = LINE_BYTES / sizeof(unit_t) };
enum { FEW_UNITS = 2 * LINE_UNITS }; /* of k: too few for what is fetched meanwhile to arrive */
enum { VECTOR_COLS = VECTOR_BYTES / sizeof(float), TILE_COLS = TILE_VECTORS * VECTOR_COLS };

static inline vector_t vector_load(const float *from) {
    vector_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline void vector_store(float *to, vector_t value) { memcpy(to, &value, sizeof value); }

/* A tile narrower than whole vectors is computed in full and cut when it is stored. */
static inline vector_t load_part(const float *from, int64_t cols) {
    if (cols >= VECTOR_COLS) {
        return vector_load(from);
    }
    vector_t value = {0};
    memcpy(&value, from, (size_t)cols * sizeof(float));
    return value;
}

static inline void store_part(float *to, vector_t value, int64_t cols) {
    if (cols >= VECTOR_COLS) {
        vector_store(to, value);
    } else {
        memcpy(to, &value, (size_t)cols * sizeof(float));
    }
}

/* Whole vectors of activations as floats, and floats as so many activations. */
#ifdef ACTIVATION_BF16
static inline vector_t load_activation(const act_t *from) {
    __m256i halves = _mm256_loadu_si256((const __m256i *)(const void *)from);
    return (vector_t)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
}

static inline void store_activation(act_t *to, vector_t value, int64_t cols) {
    __m256i rounded = (__m256i)_mm512_cvtneps_pbh((__m512)value);
    if (cols >= VECTOR_COLS) {
        _mm256_storeu_si256((__m256i *)(void *)to, rounded);
    } else {
        memcpy(to, &rounded, (size_t)cols * sizeof *to);
    }
}

/* Numbers of one row and of the next, by pairs. */
static inline __m512i interleave(__m256i first, __m256i second) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(first),
                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
}

/* A vector of units of two rows' numbers, which are rounded to what units hold. */
static inline void unit_store(unit_t *to, vector_t first, vector_t second) {
    _mm512_storeu_si512(to, interleave((__m256i)_mm512_cvtneps_pbh((__m512)first),
                                       (__m256i)_mm512_cvtneps_pbh((__m512)second)));
}
#else
static inline vector_t load_activation(const act_t *from) { return vector_load(from); }

static inline void store_activation(act_t *to, vector_t value, int64_t cols) {
    store_part(to, value, cols);
}

static inline void unit_store(unit_t *to, vector_t first, vector_t second) {
    (void)second;
    vector_store(to, first);
}
#endif

/* Written so that a NaN passes: all_finite() has to see it. */
static inline vector_t relu_of(vector_t x) {
    bits_t below = x <= (vector_t){0};
    return (vector_t)((bits_t)x & ~below);
}

/* What is added to a tile when its k is through, in this order, and then: a bias, relu. */
enum { ADDENDS_MAX = 24 };
typedef struct addend {
    const float *first; /* beside the tile's first element */
    int64_t row_stride;
} addend_t;
typedef struct tile_end {
    addend_t addends[ADDENDS_MAX];
    int addend_count;
    const float *bias; /* at the tile's first column; NULL: none */
    bool relu;
} tile_end_t;

typedef struct tile {
    int64_t rows, cols;   /* up to TILE_ROWS, TILE_COLS */
    int64_t k;            /* units */
    const act_t *a;       /* at its first unit */
    int64_t a_row, a_col; /* strides of a, of whole units; one of them is UNIT_K */
    /* Instead of a: [taps][TILE_ROWS] rows of tap_units each, which make up k; NULL: a. */
    const act_t *const *taps;
    int64_t tap_units;
    const unit_t *panel; /* [k][panel_cols(cols)] */
    const float *start;  /* what the sums begin with, so that a chain goes on; NULL: 0 */
    int64_t start_row;
    float *c;
    int64_t c_row;
    act_t *out; /* where it goes, as an activation, instead of c; NULL: c */
    const tile_end_t *end;
} tile_t;
void REAL(product_tile)(const tile_t *tile);
/* Any number of rows, tile after tile: of a, whose rows are contiguous, to `out`, with k no more
 * than FEW_UNITS. `tile` is used up. */
void REAL(product_few)(tile_t *tile);

/* A tile of a matrix that is about to be read or written; all in bytes, but rows. */
static inline void prefetch_tile(const void *first, int64_t row_stride, int64_t rows,
                                 int64_t width) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < width; c += LINE_BYTES) {
            __builtin_prefetch((const char *)first + r * row_stride + c, 1);
        }
    }
}

/* Whole vectors: what a panel of so many columns takes in a row. */
static inline int64_t panel_cols(int64_t cols) { return align_up(cols, VECTOR_COLS); }

/* Columns of the panel of n that begins with `col`. The last two are alike rather than a whole one
 * and a single vector, whose tiles would load more often than they multiply. */
static inline int64_t panel_width(int64_t n, int64_t col) {
    int64_t left = n - col;
    if (left > TILE_COLS && left <= TILE_COLS + VECTOR_COLS) {
        return panel_cols(div_up(left, 2));
    }
    return min_i64(left, TILE_COLS);
}
static inline int64_t panel_count(int64_t n) { return div_up(n, TILE_COLS); }
static inline int64_t panel_begin(int64_t n, int64_t panel) {
    int64_t before = (panel - 1) * TILE_COLS;
    return panel == 0 ? 0 : before + panel_width(n, before);
}

/* Rows a multiple of a page apart take each other's place in a first-level cache. */
static inline bool rows_collide(int64_t row_stride) {
    enum { PAGE_COLS = 4096 / sizeof(act_t) };
    return row_stride % PAGE_COLS == 0;
}
static inline int64_t stride_apart(int64_t width) {
    enum { LINE_COLS = LINE_BYTES / sizeof(act_t) };
    return rows_collide(width) ? width + LINE_COLS : width;
}

/* Gradient before relu, of some columns of a row: where y is above 0. */
static inline void before_relu(const act_t *restrict y, const act_t *restrict dy, int64_t count,
                               act_t *restrict dz) {
    int64_t c = 0;
#ifndef ACTIVATION_BF16
    for (; c + VECTOR_COLS <= count; c += VECTOR_COLS) { /* gcc's own tests more around a row */
        bits_t above = vector_load(y + c) > (vector_t){0};
        vector_store(dz + c, (vector_t)((bits_t)vector_load(dy + c) & above));
    }
#endif
    for (; c < count; c++) {
        act_t gradient = dy[c]; /* read whether used or not: no branch */
        dz[c] = act_get(y[c]) > 0 ? gradient : 0;
    }
}

/* Packs [k, cols] of activations into a panel; what is beyond cols is 0. */
void REAL(product_pack)(int64_t k, int64_t cols, const act_t *from, int64_t from_row,
                        unit_t *panel);
/* The same of weights, which are rounded to bf16 where that is what units hold. */
void REAL(product_pack_weights)(int64_t k, int64_t cols, const float *from, int64_t from_row,
                                unit_t *panel);
/* The same of the transposed: from is [cols, k]. */
void REAL(product_pack_transposed)(int64_t k, int64_t cols, const float *from, int64_t from_row,
                                   unit_t *panel);

#endif
