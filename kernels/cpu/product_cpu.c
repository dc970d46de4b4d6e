#include "kernels/cpu/product.h"

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

/* Written so that a NaN passes: all_finite() has to see it. */
static inline vector_t relu_of(vector_t x) {
    bits_t below = x <= (vector_t){0};
    return (vector_t)((bits_t)x & ~below);
}

/* What the loops below say of each vector of a tile: rows and vectors are constants wherever they
 * are inlined, so that all sums lie in registers. Only the last vector of a row may be cut. */
#define EACH_VECTOR                                                                                \
    _Pragma("GCC unroll 8") for (int r = 0; r < rows; r++)                                         \
        _Pragma("GCC unroll 8") for (int v = 0; v < vectors; v++)
#define COLS_LEFT (v + 1 < vectors ? VECTOR_COLS : cols - v * VECTOR_COLS)

typedef vector_t totals_t[TILE_ROWS][TILE_VECTORS];

static inline __attribute__((always_inline)) void begin_tile(const tile_t *tile, totals_t total,
                                                             const int rows, const int vectors) {
    int64_t cols = tile->cols;
    EACH_VECTOR { total[r][v] = (vector_t){0}; }
    if (tile->goes_on) {
        EACH_VECTOR {
            total[r][v] = load_part(tile->c + r * tile->c_row + v * VECTOR_COLS, COLS_LEFT);
        }
    }
}

static inline __attribute__((always_inline)) void
end_tile(const tile_t *tile, totals_t total, const int rows, const int vectors, int64_t cols) {
    const tile_end_t *end = tile->end;
    for (int i = 0; end != NULL && i < end->addend_count; i++) {
        const addend_t *addend = &end->addends[i];
        EACH_VECTOR {
            const float *left = addend->first + r * addend->row_stride + v * VECTOR_COLS;
            total[r][v] = load_part(left, COLS_LEFT) + total[r][v];
        }
    }
    if (end != NULL && end->bias != NULL) {
        EACH_VECTOR { total[r][v] += load_part(end->bias + v * VECTOR_COLS, COLS_LEFT); }
    }
    if (end != NULL && end->relu) {
        EACH_VECTOR { total[r][v] = relu_of(total[r][v]); }
    }
    EACH_VECTOR { store_part(tile->c + r * tile->c_row + v * VECTOR_COLS, total[r][v], COLS_LEFT); }
}

static inline __attribute__((always_inline)) void tile_of(const tile_t *tile, const int rows,
                                                          const int vectors) {
    totals_t total;
    const float *a = tile->a, *panel = tile->panel;
    int64_t a_row = tile->a_row, a_col = tile->a_col, k = tile->k;
    begin_tile(tile, total, rows, vectors);
    for (int64_t p0 = 0; p0 < k; p0 += LINE_COLS) {
        if (a_col == 1) { /* the rows of the next tile */
            for (int r = 0; r < rows; r++) {
                __builtin_prefetch(a + (TILE_ROWS + r) * a_row, 0, 2);
            }
        }
#pragma GCC unroll 4
        for (int64_t p = min_i64(LINE_COLS, k - p0); p > 0; p--) {
            vector_t right[TILE_VECTORS];
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++) {
                right[v] = vector_load(panel + v * VECTOR_COLS);
            }
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                vector_t left = VECTOR_SPREAD(a[r * a_row]);
#pragma GCC unroll 8
                for (int v = 0; v < vectors; v++) {
                    total[r][v] = VECTOR_FMA(left, right[v], total[r][v]);
                }
            }
            a += a_col;
            panel += vectors * VECTOR_COLS;
        }
    }
    if (tile->cols == vectors * VECTOR_COLS) { /* nothing to cut */
        end_tile(tile, total, rows, vectors, vectors * VECTOR_COLS);
    } else {
        end_tile(tile, total, rows, vectors, tile->cols);
    }
}

#define TILE_OF(rows)                                                                              \
    static void tile_##rows(const tile_t *tile) {                                                  \
        int64_t vectors = panel_cols(tile->cols) / VECTOR_COLS;                                    \
        if (vectors == 1) {                                                                        \
            tile_of(tile, rows, 1);                                                                \
        } else if (vectors == 2) {                                                                 \
            tile_of(tile, rows, 2);                                                                \
        } else {                                                                                   \
            tile_of(tile, rows, TILE_VECTORS);                                                     \
        }                                                                                          \
    }
TILE_OF(1)
TILE_OF(2)
TILE_OF(3)
TILE_OF(4)
#if defined(__AVX512F__)
TILE_OF(5)
TILE_OF(6)
TILE_OF(7)
TILE_OF(8)
#endif

void REAL(product_tile)(const tile_t *tile) {
    static void (*const of_rows[])(const tile_t *) = {
        NULL,
        tile_1,
        tile_2,
        tile_3,
        tile_4,
#if defined(__AVX512F__)
        tile_5,
        tile_6,
        tile_7,
        tile_8,
#endif
    };
    of_rows[tile->rows](tile);
}

void REAL(product_pack)(int64_t k, int64_t cols, const float *from, int64_t from_row,
                        float *panel) {
    int64_t width = panel_cols(cols);
    int64_t whole = cols / VECTOR_COLS * VECTOR_COLS;
    for (int64_t p = 0; p < k; p++, from += from_row, panel += width) {
        for (int64_t c = 0; c < whole; c += VECTOR_COLS) {
            vector_store(panel + c, vector_load(from + c));
        }
        if (whole < cols) {
            vector_store(panel + whole, load_part(from + whole, cols - whole));
        }
    }
}

/* What does not fill a block of the transposition. */
static void pack_edge(int64_t begin_k, int64_t k, int64_t begin, int64_t cols, const float *from,
                      int64_t from_row, float *panel) {
    int64_t width = panel_cols(cols);
    for (int64_t p = begin_k; p < k; p++) {
        for (int64_t c = begin; c < width; c++) {
            panel[p * width + c] = c < cols ? from[c * from_row + p] : 0;
        }
    }
}

static inline void transpose_4(const float *from, int64_t from_row, float *to, int64_t to_row) {
    __m128 row[4];
    for (int i = 0; i < 4; i++) {
        row[i] = _mm_loadu_ps(from + i * from_row);
    }
    _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]);
    for (int i = 0; i < 4; i++) {
        _mm_storeu_ps(to + i * to_row, row[i]);
    }
}

/* Blocks of a cache line's numbers, so that lines read and written are still there for the next. */
void REAL(product_pack_transposed)(int64_t k, int64_t cols, const float *from, int64_t from_row,
                                   float *panel) {
    enum { BLOCK = 16, STEP = 4 };
    int64_t width = panel_cols(cols), whole_cols = cols / STEP * STEP, whole_k = k / STEP * STEP;
    for (int64_t c0 = 0; c0 < whole_cols; c0 += BLOCK) {
        for (int64_t p0 = 0; p0 < whole_k; p0 += BLOCK) {
            for (int64_t c = c0; c < min_i64(c0 + BLOCK, whole_cols); c += STEP) {
                for (int64_t p = p0; p < min_i64(p0 + BLOCK, whole_k); p += STEP) {
                    transpose_4(from + c * from_row + p, from_row, panel + p * width + c, width);
                }
            }
        }
    }
    pack_edge(0, whole_k, whole_cols, cols, from, from_row, panel);
    pack_edge(whole_k, k, 0, cols, from, from_row, panel);
}
