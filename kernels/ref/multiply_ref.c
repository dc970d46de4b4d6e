/* A product in double of whatever the table holds: blocks of the left factor and panels of the
 * right one are widened once, and a tile of the result stays in registers while k runs over
 * them. */
#include <stdlib.h>

#include "kernels/ref/real.h"

#if defined(__AVX512F__)
enum { WIDE_COLS = 8, TILE_ROWS = 8, TILE_VECTORS = 3 };
#elif defined(__AVX__)
enum { WIDE_COLS = 4, TILE_ROWS = 4, TILE_VECTORS = 2 };
#else
enum { WIDE_COLS = 2, TILE_ROWS = 4, TILE_VECTORS = 2 };
#endif
enum { TILE_COLS = TILE_VECTORS * WIDE_COLS, BLOCK_ROWS = 64, THREADS_WORK_MIN = 1 << 17 };

typedef double wide_t __attribute__((vector_size(WIDE_COLS * sizeof(double))));

#define INLINE      static inline __attribute__((always_inline))
#define EACH_ROW    _Pragma("GCC unroll 8") for (int r = 0; r < TILE_ROWS; r++)
#define EACH_VECTOR _Pragma("GCC unroll 3") for (int v = 0; v < vectors; v++)

/* left: [k][TILE_ROWS], right: [k][cols]. `vectors` is a constant, so that gcc unrolls. */
INLINE void tile(int64_t k, const double *left, const double *right, const int vectors,
                 double sums[TILE_ROWS][TILE_COLS]) {
    wide_t total[TILE_ROWS][TILE_VECTORS], factor[TILE_VECTORS];
    EACH_ROW {
        EACH_VECTOR { total[r][v] = (wide_t){0}; }
    }
    for (int64_t p = 0; p < k; p++) {
        EACH_VECTOR { memcpy(&factor[v], right + v * WIDE_COLS, sizeof factor[v]); }
        EACH_ROW {
            EACH_VECTOR { total[r][v] += left[r] * factor[v]; }
        }
        left += TILE_ROWS;
        right += vectors * WIDE_COLS;
    }
    EACH_ROW {
        EACH_VECTOR { memcpy(&sums[r][v * WIDE_COLS], &total[r][v], sizeof total[r][v]); }
    }
}

/* [rows, k] of the left factor as tiles [k][TILE_ROWS], what is beyond rows 0. */
static void widen_left(const multiply_call_t *call, int64_t row, int64_t rows, double *to) {
    for (int64_t first = 0; first < rows; first += TILE_ROWS) {
        const real_t *from = (const real_t *)call->a + (row + first) * call->a_row;
        int64_t high = min_i64(TILE_ROWS, rows - first);
        for (int64_t p = 0; p < call->k; p++) {
            for (int64_t r = 0; r < TILE_ROWS; r++) {
                to[r] = r < high ? (double)from[r * call->a_row + p * call->a_col] : 0.0;
            }
            to += TILE_ROWS;
        }
    }
}

/* [k, cols] of the right factor as [k][width], what is beyond cols 0. */
static void widen_right(const multiply_call_t *call, int64_t col, int64_t cols, int64_t width,
                        double *to) {
    for (int64_t p = 0; p < call->k; p++) {
        const real_t *from = (const real_t *)call->b + p * call->b_row + col;
        for (int64_t c = 0; c < cols; c++) {
            to[c] = (double)from[c];
        }
        for (int64_t c = cols; c < width; c++) {
            to[c] = 0.0;
        }
        to += width;
    }
}

static void put(const multiply_call_t *call, int64_t row, int64_t rows, int64_t col, int64_t cols,
                double sums[TILE_ROWS][TILE_COLS]) {
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = (row + r) * call->n + col;
        const real_t *plus = call->plus != NULL ? (const real_t *)call->plus + at : NULL;
        real_t *to = (real_t *)call->c + at;
        for (int64_t c = 0; c < cols; c++) {
            to[c] = (real_t)(sums[r][c] + (plus != NULL ? (double)plus[c] : 0.0));
        }
    }
}

static void block(const multiply_call_t *call, int64_t row, double *left, double *right) {
    int64_t rows = min_i64(BLOCK_ROWS, call->m - row);
    double sums[TILE_ROWS][TILE_COLS];
    widen_left(call, row, rows, left);
    for (int64_t col = 0; col < call->n; col += TILE_COLS) {
        int64_t cols = min_i64(TILE_COLS, call->n - col);
        bool narrow = cols <= WIDE_COLS;
        widen_right(call, col, cols, narrow ? WIDE_COLS : TILE_COLS, right);
        for (int64_t r = 0; r < rows; r += TILE_ROWS) {
            if (narrow) {
                tile(call->k, left + r * call->k, right, 1, sums);
            } else {
                tile(call->k, left + r * call->k, right, TILE_VECTORS, sums);
            }
            put(call, row + r, min_i64(TILE_ROWS, rows - r), col, cols, sums);
        }
    }
}

void REAL(multiply)(const device_t *device, const multiply_call_t *call) {
    (void)device;
#pragma omp parallel if (call->m * call->n * call->k > THREADS_WORK_MIN)
    {
        double *left = alloc_aligned((size_t)(BLOCK_ROWS * call->k) * sizeof *left);
        double *right = alloc_aligned((size_t)(TILE_COLS * call->k) * sizeof *right);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < call->m; row += BLOCK_ROWS) {
            block(call, row, left, right);
        }
        free(right);
        free(left);
    }
}
