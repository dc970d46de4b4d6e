#include "kernels/cpu/product.h"

/* What the loops below say of each vector of a tile: rows and vectors are constants wherever they
 * are inlined, so that all sums lie in registers. Only the last vector of a row may be cut. */
#define EACH_VECTOR                                                                                \
    _Pragma("GCC unroll 8") for (int r = 0; r < rows; r++)                                         \
        _Pragma("GCC unroll 8") for (int v = 0; v < vectors; v++)
#define COLS_LEFT (v + 1 < vectors ? VECTOR_COLS : cols - v * VECTOR_COLS)

typedef vector_t totals_t[TILE_ROWS][TILE_VECTORS];

#define TILE_INLINE static inline __attribute__((always_inline))

TILE_INLINE void end_tile(const tile_t *tile, totals_t total, const int rows, const int vectors,
                          int64_t cols) {
    const tile_end_t *end = tile->end;
    act_t *out = tile->out;
    float *c = tile->c;
    int64_t c_row = tile->c_row;
    for (int i = 0; i < end->addend_count; i++) {
        const addend_t *addend = &end->addends[i];
        EACH_VECTOR {
            const float *left = addend->first + r * addend->row_stride + v * VECTOR_COLS;
            total[r][v] = load_part(left, COLS_LEFT) + total[r][v];
        }
    }
    if (end->bias != NULL) {
        EACH_VECTOR { total[r][v] += load_part(end->bias + v * VECTOR_COLS, COLS_LEFT); }
    }
    if (end->relu) {
        EACH_VECTOR { total[r][v] = relu_of(total[r][v]); }
    }
    if (out != NULL) {
        EACH_VECTOR { store_activation(out + r * c_row + v * VECTOR_COLS, total[r][v], COLS_LEFT); }
        return;
    }
    EACH_VECTOR { store_part(c + r * c_row + v * VECTOR_COLS, total[r][v], COLS_LEFT); }
}

/* A unit of each row r by a row of the panel. */
#define ADD_UNIT(unit_of_row, panel)                                                               \
    do {                                                                                           \
        vector_t right[TILE_VECTORS];                                                              \
        _Pragma("GCC unroll 8") for (int v = 0; v < vectors; v++) {                                \
            memcpy(&right[v], (panel) + v * VECTOR_COLS, sizeof right[v]);                         \
        }                                                                                          \
        _Pragma("GCC unroll 8") for (int r = 0; r < rows; r++) {                                   \
            vector_t left = UNIT_SPREAD(unit_load(unit_of_row));                                   \
            _Pragma("GCC unroll 8") for (int v = 0; v < vectors; v++) {                            \
                total[r][v] = UNIT_FMA(left, right[v], total[r][v]);                               \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* Four units at a time share what counts and moves pointers. Returns the panel's next row. */
TILE_INLINE const unit_t *add_run(const act_t *const row[TILE_ROWS], int64_t units,
                                  const unit_t *panel, totals_t total, const int rows,
                                  const int vectors) {
    enum { STEP = 4 };
    int64_t p = 0, step = vectors * VECTOR_COLS;
    for (; units >= STEP; units -= STEP, p += STEP * UNIT_K, panel += STEP * step) {
#pragma GCC unroll 4
        for (int u = 0; u < STEP; u++) {
            ADD_UNIT(row[r] + p + u * UNIT_K, panel + u * step);
        }
    }
    for (; units > 0; units--, p += UNIT_K, panel += step) {
        ADD_UNIT(row[r] + p, panel);
    }
    return panel;
}

TILE_INLINE void add_taps(const tile_t *tile, totals_t total, const int rows, const int vectors) {
    const act_t *const *tap = tile->taps;
    const unit_t *panel = tile->panel;
    for (int64_t units = tile->k; units > 0; units -= tile->tap_units, tap += TILE_ROWS) {
        const act_t *row[TILE_ROWS];
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            row[r] = tap[r];
        }
        panel = add_run(row, tile->tap_units, panel, total, rows, vectors);
    }
}

/* The rows of the next tile are fetched meanwhile, but those of few lines. */
TILE_INLINE void add_rows(const tile_t *tile, totals_t total, const int rows, const int vectors) {
    const act_t *row[TILE_ROWS], *next = tile->a + TILE_ROWS * tile->a_row;
    const unit_t *panel = tile->panel;
    int64_t a_row = tile->a_row, k = tile->k;
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        row[r] = tile->a + r * a_row;
    }
    if (k <= FEW_UNITS) {
        add_run(row, k, panel, total, rows, vectors);
        return;
    }
    for (int64_t p = 0; p < k; p += LINE_UNITS, next += LINE_UNITS * UNIT_K) {
        for (int r = 0; r < rows; r++) {
            __builtin_prefetch(next + r * a_row, 0, 2);
        }
        panel = add_run(row, min_i64(LINE_UNITS, k - p), panel, total, rows, vectors);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            row[r] += LINE_UNITS * UNIT_K;
        }
    }
}

/* Where the left factor is transposed. */
TILE_INLINE void add_cols(const tile_t *tile, totals_t total, const int rows, const int vectors) {
    const act_t *a = tile->a;
    const unit_t *panel = tile->panel;
    int64_t a_col = tile->a_col;
#pragma GCC unroll 4
    for (int64_t p = tile->k; p > 0; p--, a += a_col, panel += vectors * VECTOR_COLS) {
        ADD_UNIT(a + r * UNIT_K, panel);
    }
}

TILE_INLINE void tile_of(const tile_t *tile, const int rows, const int vectors) {
    totals_t total;
    EACH_VECTOR { total[r][v] = (vector_t){0}; }
    if (tile->start != NULL) {
        int64_t cols = tile->cols;
        EACH_VECTOR {
            total[r][v] = load_part(tile->start + r * tile->start_row + v * VECTOR_COLS, COLS_LEFT);
        }
    }
    if (tile->taps != NULL) {
        add_taps(tile, total, rows, vectors);
    } else if (tile->a_col == UNIT_K) {
        add_rows(tile, total, rows, vectors);
    } else {
        add_cols(tile, total, rows, vectors);
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
#if defined(__FMA__)
TILE_OF(5)
TILE_OF(6)
#endif
#if defined(__AVX512F__)
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
#if defined(__FMA__)
        tile_5,
        tile_6,
#endif
#if defined(__AVX512F__)
        tile_7,
        tile_8,
#endif
    };
    of_rows[tile->rows](tile);
}

/* Whole tiles of a column, where k is short enough that what surrounds a tile is seen. */
TILE_INLINE void few_of(tile_t *tile, const int vectors) {
    enum { rows = TILE_ROWS };
    for (; tile->rows >= rows; tile->rows -= rows) {
        totals_t total;
        const act_t *row[TILE_ROWS];
        EACH_VECTOR { total[r][v] = (vector_t){0}; }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            row[r] = tile->a + r * tile->a_row;
        }
        add_run(row, tile->k, tile->panel, total, rows, vectors);
        if (tile->cols == vectors * VECTOR_COLS) {
            end_tile(tile, total, rows, vectors, vectors * VECTOR_COLS);
        } else {
            end_tile(tile, total, rows, vectors, tile->cols);
        }
        tile->a += rows * tile->a_row;
        tile->out += rows * tile->c_row;
    }
}

void REAL(product_few)(tile_t *tile) {
    int64_t vectors = panel_cols(tile->cols) / VECTOR_COLS;
    if (vectors == 1) {
        few_of(tile, 1);
    } else if (vectors == 2) {
        few_of(tile, 2);
    } else {
        few_of(tile, TILE_VECTORS);
    }
    if (tile->rows > 0) {
        REAL(product_tile)(tile);
    }
}

/* --- packing --------------------------------------------------------------------------------- */

#ifdef ACTIVATION_BF16

static inline __mmask16 lanes_below(int64_t count) {
    return (__mmask16)(count >= VECTOR_COLS ? 0xFFFF : (1U << count) - 1U);
}

void REAL(product_pack)(int64_t k, int64_t cols, const act_t *from, int64_t from_row,
                        unit_t *panel) {
    int64_t width = panel_cols(cols);
    for (int64_t p = 0; p < k; p += UNIT_K, from += UNIT_K * from_row, panel += width) {
        for (int64_t c = 0; c < cols; c += VECTOR_COLS) {
            __mmask16 lanes = lanes_below(cols - c), next = p + 1 < k ? lanes : 0;
            __m256i second = _mm256_maskz_loadu_epi16(next, from + (next != 0 ? from_row : 0) + c);
            __m256i first = _mm256_maskz_loadu_epi16(lanes, from + c);
            _mm512_storeu_si512(panel + c, interleave(first, second));
        }
    }
}

void REAL(product_pack_weights)(int64_t k, int64_t cols, const float *from, int64_t from_row,
                                unit_t *panel) {
    int64_t width = panel_cols(cols);
    for (int64_t p = 0; p < k; p += UNIT_K, from += UNIT_K * from_row, panel += width) {
        for (int64_t c = 0; c < cols; c += VECTOR_COLS) {
            __mmask16 lanes = lanes_below(cols - c), next = p + 1 < k ? lanes : 0;
            __m512 second = _mm512_maskz_loadu_ps(next, from + (next != 0 ? from_row : 0) + c);
            __m512 first = _mm512_maskz_loadu_ps(lanes, from + c);
            _mm512_storeu_si512(panel + c, interleave((__m256i)_mm512_cvtneps_pbh(first),
                                                      (__m256i)_mm512_cvtneps_pbh(second)));
        }
    }
}

/* The units of two numbers from k on, of which the second may be missing. */
static inline unit_t weight_unit(const float *from, int64_t count) {
    float pair[UNIT_K] = {from[0], count > 1 ? from[1] : 0};
    __m128i rounded = (__m128i)_mm_cvtneps_pbh(_mm_setr_ps(pair[0], pair[1], 0, 0));
    return (unit_t)_mm_cvtsi128_si32(rounded);
}

/* Four units of a row. */
static inline __m128 load_units(const float *from) {
    return (__m128)_mm256_cvtneps_pbh(_mm256_loadu_ps(from));
}

#else

void REAL(product_pack)(int64_t k, int64_t cols, const act_t *from, int64_t from_row,
                        unit_t *panel) {
    int64_t width = panel_cols(cols);
    int64_t whole = cols / VECTOR_COLS * VECTOR_COLS;
    if (cols == TILE_COLS) {
        for (int64_t p = 0; p < k; p++, from += from_row, panel += TILE_COLS) {
            memcpy(panel, from, TILE_COLS * sizeof *panel);
        }
        return;
    }
    for (int64_t p = 0; p < k; p++, from += from_row, panel += width) {
        for (int64_t c = 0; c < whole; c += VECTOR_COLS) {
            vector_store(panel + c, vector_load(from + c));
        }
        if (whole < cols) {
            vector_store(panel + whole, load_part(from + whole, cols - whole));
        }
    }
}

void REAL(product_pack_weights)(int64_t k, int64_t cols, const float *from, int64_t from_row,
                                unit_t *panel) {
    REAL(product_pack)(k, cols, from, from_row, panel);
}

static inline unit_t weight_unit(const float *from, int64_t count) {
    (void)count;
    return from[0];
}

static inline __m128 load_units(const float *from) { return _mm_loadu_ps(from); }

#endif

/* What does not fill a block of the transposition; begin_k counts units. */
static void pack_edge(int64_t begin_k, int64_t k, int64_t begin, int64_t cols, const float *from,
                      int64_t from_row, unit_t *panel) {
    int64_t width = panel_cols(cols);
    for (int64_t p = begin_k; p < units_of(k); p++) {
        for (int64_t c = begin; c < width; c++) {
            panel[p * width + c] =
                c < cols ? weight_unit(from + c * from_row + p * UNIT_K, k - p * UNIT_K) : 0;
        }
    }
}

static inline void transpose_4(const float *from, int64_t from_row, unit_t *to, int64_t to_row) {
    __m128 row[4];
    for (int i = 0; i < 4; i++) {
        row[i] = load_units(from + i * from_row);
    }
    _MM_TRANSPOSE4_PS(row[0], row[1], row[2], row[3]);
    for (int i = 0; i < 4; i++) {
        _mm_storeu_ps((float *)(void *)(to + i * to_row), row[i]);
    }
}

/* Blocks of a cache line's units, so that lines read and written are still there for the next. */
void REAL(product_pack_transposed)(int64_t k, int64_t cols, const float *from, int64_t from_row,
                                   unit_t *panel) {
    enum { BLOCK = 16, STEP = 4 };
    int64_t width = panel_cols(cols), whole_cols = cols / STEP * STEP;
    int64_t whole_k = k / UNIT_K / STEP * STEP; /* units */
    for (int64_t c0 = 0; c0 < whole_cols; c0 += BLOCK) {
        for (int64_t p0 = 0; p0 < whole_k; p0 += BLOCK) {
            for (int64_t c = c0; c < min_i64(c0 + BLOCK, whole_cols); c += STEP) {
                for (int64_t p = p0; p < min_i64(p0 + BLOCK, whole_k); p += STEP) {
                    transpose_4(from + c * from_row + p * UNIT_K, from_row, panel + p * width + c,
                                width);
                }
            }
        }
    }
    pack_edge(0, UNIT_K * whole_k, whole_cols, cols, from, from_row, panel);
    pack_edge(whole_k, k, 0, cols, from, from_row, panel);
}
