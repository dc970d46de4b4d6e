/* A product in double of whatever the table holds. As in matmul, a tile of the result stays in
 * registers while k runs, and tiles at the edge overlap their neighbours. */
#include "kernels/ref/real.h"

#if defined(__AVX512F__)
enum { WIDE_COLS = 8 };
#elif defined(__AVX__)
enum { WIDE_COLS = 4 };
#else
enum { WIDE_COLS = 2 };
#endif
enum { TILE_ROWS = 4, TILE_COLS = 2 * WIDE_COLS };

typedef double wide_t __attribute__((vector_size(WIDE_COLS * sizeof(double))));
typedef real_t narrow_t __attribute__((vector_size(WIDE_COLS * sizeof(real_t))));

static inline wide_t widened(const real_t *from) {
    narrow_t value;
    memcpy(&value, from, sizeof value);
    return __builtin_convertvector(value, wide_t);
}

static void put(const multiply_call_t *call, int64_t row, int64_t col, double sum) {
    int64_t at = row * call->n + col;
    double plus = call->plus != NULL ? (double)((const real_t *)call->plus)[at] : 0.0;
    ((real_t *)call->c)[at] = (real_t)(sum + plus);
}

static void tile(const multiply_call_t *call, int64_t row, int64_t col) {
    const real_t *a = (const real_t *)call->a + row * call->a_row;
    const real_t *b = (const real_t *)call->b + col;
    wide_t total[TILE_ROWS][2] = {{{0}}};
    for (int64_t p = 0; p < call->k; p++) {
        wide_t left = widened(b + p * call->b_row);
        wide_t right = widened(b + p * call->b_row + WIDE_COLS);
        for (int r = 0; r < TILE_ROWS; r++) {
            double factor = (double)a[r * call->a_row + p * call->a_col];
            total[r][0] += factor * left;
            total[r][1] += factor * right;
        }
    }
    for (int r = 0; r < TILE_ROWS; r++) {
        for (int c = 0; c < WIDE_COLS; c++) {
            put(call, row + r, col + c, total[r][0][c]);
            put(call, row + r, col + WIDE_COLS + c, total[r][1][c]);
        }
    }
}

static void element(const multiply_call_t *call, int64_t row, int64_t col) {
    const real_t *a = (const real_t *)call->a + row * call->a_row;
    const real_t *b = (const real_t *)call->b + col;
    double total = 0.0;
    for (int64_t p = 0; p < call->k; p++) {
        total += (double)a[p * call->a_col] * (double)b[p * call->b_row];
    }
    put(call, row, col, total);
}

void REAL(multiply)(const multiply_call_t *call) {
    bool tiled = call->m >= TILE_ROWS && call->n >= TILE_COLS;
    int64_t rows = tiled ? TILE_ROWS : 1, cols = tiled ? TILE_COLS : 1;
    for (int64_t i = 0; i < call->m; i += rows) {
        int64_t row = min_i64(i, call->m - rows);
        for (int64_t j = 0; j < call->n; j += cols) {
            int64_t col = min_i64(j, call->n - cols);
            if (tiled) {
                tile(call, row, col);
            } else {
                element(call, row, col);
            }
        }
    }
}
