/* The one product behind linear and attention. A tile of the result stays in registers while k
 * runs; tiles at the edge overlap their neighbours and write the same values twice. */
#include "kernels/ref/real.h"

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

typedef real_t vector_t __attribute__((vector_size(VECTOR_BYTES)));
enum {
    VECTOR_COLS = VECTOR_BYTES / sizeof(real_t),
    TILE_ROWS = 4,
    TILE_COLS = 2 * VECTOR_COLS,
};

static inline vector_t vector_load(const real_t *from) {
    vector_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

/* Vector types, because gcc does not keep a plain array of sums in registers. */
static void tile(int64_t k, const real_t *a, int64_t a_row, int64_t a_col, const real_t *b,
                 int64_t b_row, real_t *c, int64_t c_row) {
    vector_t total[TILE_ROWS][2] = {{{0}}};
    for (int64_t p = 0; p < k; p++) {
        vector_t left = vector_load(b + p * b_row);
        vector_t right = vector_load(b + p * b_row + VECTOR_COLS);
        for (int r = 0; r < TILE_ROWS; r++) {
            real_t factor = a[r * a_row + p * a_col];
            total[r][0] += factor * left;
            total[r][1] += factor * right;
        }
    }
    for (int r = 0; r < TILE_ROWS; r++) {
        memcpy(c + r * c_row, total[r], sizeof total[r]);
    }
}

static void narrow(int64_t m, int64_t n, int64_t k, const real_t *a, int64_t a_row, int64_t a_col,
                   const real_t *b, int64_t b_row, real_t *c, int64_t c_row) {
    for (int64_t i = 0; i < m; i++) {
        real_t *total = c + i * c_row;
        for (int64_t j = 0; j < n; j++) {
            total[j] = 0;
        }
        for (int64_t p = 0; p < k; p++) {
            real_t factor = a[i * a_row + p * a_col];
            for (int64_t j = 0; j < n; j++) {
                total[j] += factor * b[p * b_row + j];
            }
        }
    }
}

void REAL(matmul)(int64_t m, int64_t n, int64_t k, const real_t *a, int64_t a_row, int64_t a_col,
                  const real_t *b, int64_t b_row, real_t *c, int64_t c_row) {
    if (m < TILE_ROWS || n < TILE_COLS) {
        narrow(m, n, k, a, a_row, a_col, b, b_row, c, c_row);
        return;
    }
    for (int64_t i = 0; i < m; i += TILE_ROWS) {
        int64_t row = min_i64(i, m - TILE_ROWS);
        for (int64_t j = 0; j < n; j += TILE_COLS) {
            int64_t col = min_i64(j, n - TILE_COLS);
            tile(k, a + row * a_row, a_row, a_col, b + col, b_row, c + row * c_row + col, c_row);
        }
    }
}

void REAL(transpose)(int64_t rows, int64_t cols, const real_t *from, int64_t from_row, real_t *to) {
    for (int64_t c = 0; c < cols; c++) {
        for (int64_t r = 0; r < rows; r++) {
            to[c * rows + r] = from[r * from_row + c];
        }
    }
}
