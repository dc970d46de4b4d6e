/* product.h - the one product behind `linear`: tiles of a result that stay in registers while k
 * runs over a packed panel of the right factor. Compiled once for each instruction set
 * (ref/real.h).
 *
 * An element is one chain of (fused, where the processor has it) products and sums over k in
 * order, so its bits depend neither on the tile it falls into, nor on the number of rows, nor on
 * how k is cut into runs: a run goes on from what the last one left. */
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
enum { TILE_ROWS = 4, TILE_VECTORS = 3 };
#else
#define VECTOR_BYTES        16
#define VECTOR_FMA(a, b, c) ((a) * (b) + (c))
#define VECTOR_SPREAD(x)    ((vector_t)_mm_set1_ps(x))
enum { TILE_ROWS = 4, TILE_VECTORS = 2 };
#endif

typedef float vector_t __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t bits_t __attribute__((vector_size(VECTOR_BYTES)));
enum { LINE_COLS = 64 / sizeof(float) };
enum { VECTOR_COLS = VECTOR_BYTES / sizeof(float), TILE_COLS = TILE_VECTORS * VECTOR_COLS };

static inline vector_t vector_load(const float *from) {
    vector_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline void vector_store(float *to, vector_t value) { memcpy(to, &value, sizeof value); }

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
    int64_t rows, cols; /* up to TILE_ROWS, TILE_COLS */
    int64_t k;
    const float *a;
    int64_t a_row, a_col; /* strides of a; one of them is 1 */
    const float *panel;   /* [k][panel_cols(cols)] */
    float *c;
    int64_t c_row;
    bool goes_on;          /* c holds what the chain has summed so far */
    const tile_end_t *end; /* NULL: another run of k follows */
} tile_t;
void REAL(product_tile)(const tile_t *tile);

/* A tile of a matrix that is about to be read or written. */
static inline void prefetch_tile(const float *first, int64_t row_stride, int64_t rows,
                                 int64_t cols) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c += LINE_COLS) {
            __builtin_prefetch(first + r * row_stride + c, 1);
        }
    }
}

/* Whole vectors: what a panel of so many columns takes in a row. */
static inline int64_t panel_cols(int64_t cols) { return align_up(cols, VECTOR_COLS); }

/* Packs [k, cols] of a matrix into a panel; what is beyond cols is 0. */
void REAL(product_pack)(int64_t k, int64_t cols, const float *from, int64_t from_row, float *panel);
/* The same of the transposed: from is [cols, k]. */
void REAL(product_pack_transposed)(int64_t k, int64_t cols, const float *from, int64_t from_row,
                                   float *panel);

#endif
