#include "kernels/cpu/product_vector.h"

#include "kernels/cpu/vector.h"

typedef struct factors {
    int64_t k;
    const float *a;
    int64_t a_row, a_col;
    const float *b;
    int64_t b_row;
    float *c;
    int64_t c_row;
} factors_t;

/* A tile of c stays in registers while k runs: loops over it must be unrolled before gcc decides
 * where it lives. last: lanes of the last vector of a row. */
#define EACH_ROW    _Pragma("GCC unroll 8") for (int r = 0; r < rows; r++)
#define EACH_VECTOR _Pragma("GCC unroll 2") for (int v = 0; v < vectors; v++)

/* A number of each row by a row of b. */
#define ADD_NUMBER(number_of_row)                                                                  \
    do {                                                                                           \
        EACH_VECTOR { right[v] = load_lanes(b + v * WIDTH, v < vectors - 1 ? WIDTH : last); }      \
        EACH_ROW {                                                                                 \
            vec_t left = fill(number_of_row);                                                      \
            EACH_VECTOR { total[r][v] = fused(left, right[v], total[r][v]); }                      \
        }                                                                                          \
        b += b_row;                                                                                \
    } while (0)

/* A row of a is contiguous, or a column: then all are found from one pointer. */
INLINE void tile(const factors_t *f, const int rows, const int vectors, int64_t last) {
    vec_t total[TILE_ROWS_MAX][2], right[2];
    const float *a = f->a, *b = f->b;
    float *c = f->c;
    int64_t a_row = f->a_row, a_col = f->a_col, b_row = f->b_row, c_row = f->c_row, k = f->k;
    EACH_ROW {
        EACH_VECTOR { total[r][v] = fill(0.0F); }
    }
    if (a_col == 1) {
        const float *row[TILE_ROWS_MAX];
        EACH_ROW { row[r] = a + r * a_row; }
#pragma GCC unroll 4
        for (int64_t p = 0; p < k; p++) {
            ADD_NUMBER(row[r][p]);
        }
    } else {
#pragma GCC unroll 4
        for (int64_t p = k; p > 0; p--, a += a_col) {
            ADD_NUMBER(a[r]);
        }
    }
    EACH_ROW {
        EACH_VECTOR {
            store_lanes(c + r * c_row + v * WIDTH, total[r][v], v < vectors - 1 ? WIDTH : last);
        }
    }
}

/* The counts as constants, so that the compiler unrolls. */
INLINE void tile_of(const factors_t *f, const int rows, int vectors, int64_t last) {
    if (vectors == 2 && last == WIDTH) {
        tile(f, rows, 2, WIDTH);
    } else if (vectors == 2) {
        tile(f, rows, 2, last);
    } else if (last == WIDTH) {
        tile(f, rows, 1, WIDTH);
    } else {
        tile(f, rows, 1, last);
    }
}

static void rows_of_tile(const factors_t *f, int64_t rows, int vectors, int64_t last) {
    switch (rows) {
    case 1:
        tile_of(f, 1, vectors, last);
        break;
    case 2:
        tile_of(f, 2, vectors, last);
        break;
    case 3:
        tile_of(f, 3, vectors, last);
        break;
    case 4:
        tile_of(f, 4, vectors, last);
        break;
    case 5:
        tile_of(f, 5, vectors, last);
        break;
#if defined(__AVX512F__)
    case 6:
        tile_of(f, 6, vectors, last);
        break;
    case 7:
        tile_of(f, 7, vectors, last);
        break;
#endif
    default:
        tile_of(f, TILE_ROWS_MAX, vectors, last);
        break;
    }
}

/* A call: inlined, a loop around it would hold more strides than there are registers. */
static __attribute__((noinline)) void whole_tile(const factors_t *f) {
    tile(f, TILE_ROWS_MAX, 2, WIDTH);
}

void REAL(product)(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, int64_t a_col,
                   const float *b, int64_t b_row, float *c, int64_t c_row) {
    REQUIRE(a_row == 1 || a_col == 1);
    for (int64_t j = 0; j < n; j += 2 * WIDTH) {
        int64_t width = min_i64(2 * WIDTH, n - j);
        int vectors = width > WIDTH ? 2 : 1;
        factors_t f = {k, a, a_row, a_col, b + j, b_row, c + j, c_row};
        int64_t rows = m;
        for (; rows >= TILE_ROWS_MAX && width == 2 * WIDTH; rows -= TILE_ROWS_MAX) {
            whole_tile(&f);
            f.a += TILE_ROWS_MAX * a_row;
            f.c += TILE_ROWS_MAX * c_row;
        }
        for (; rows > 0; rows -= TILE_ROWS_MAX) {
            rows_of_tile(&f, min_i64(TILE_ROWS_MAX, rows), vectors, width - (vectors - 1) * WIDTH);
            f.a += TILE_ROWS_MAX * a_row;
            f.c += TILE_ROWS_MAX * c_row;
        }
    }
}

/* A block of dot products stays in registers while k runs: BLOCK_KEYS of each of its rows. */
enum { BLOCK_KEYS = 8, DOT_ROWS = WIDTH / BLOCK_KEYS };
#define EACH_DOT_ROW _Pragma("GCC unroll 2") for (int r = 0; r < rows; r++)
#define EACH_KEY     _Pragma("GCC unroll 8") for (int j = 0; j < keys; j++)

INLINE void dot_step(const factors_t *f, vec_t total[WIDTH], int64_t p, const int rows,
                     const int keys, int64_t count) {
    vec_t left[DOT_ROWS];
    EACH_DOT_ROW { left[r] = load_lanes(f->a + r * f->a_row + p, count); }
    EACH_KEY {
        vec_t right = load_lanes(f->b + j * f->b_row + p, count);
        __asm__("" : "+v"(right)); /* loaded once for all rows: gcc would do so for each */
        EACH_DOT_ROW {
            vec_t *sum = &total[r * BLOCK_KEYS + j];
            *sum = fused(left[r], right, *sum);
        }
    }
}

INLINE void dot_block(const factors_t *f, const int rows, const int keys) {
    vec_t total[WIDTH];
    EACH_LANE { total[i] = fill(0.0F); }
    int64_t p = 0;
    for (; p + WIDTH <= f->k; p += WIDTH) {
        dot_step(f, total, p, rows, keys, WIDTH);
    }
    if (p < f->k) {
        dot_step(f, total, p, rows, keys, f->k - p);
    }
    vec_t dots = lanes_added_of_each(total);
    EACH_DOT_ROW { memcpy(f->c + r * f->c_row, (float *)&dots + r * BLOCK_KEYS, 4 * BLOCK_KEYS); }
}

static void dots_of_keys(const factors_t *f, int64_t rows, int64_t keys) {
#define KEYS(count)                                                                                \
    case count:                                                                                    \
        if (rows == DOT_ROWS) {                                                                    \
            dot_block(f, DOT_ROWS, count);                                                         \
        } else {                                                                                   \
            dot_block(f, 1, count);                                                                \
        }                                                                                          \
        break;
    switch (keys) {
        KEYS(1)
        KEYS(2)
        KEYS(3)
        KEYS(4)
        KEYS(5)
        KEYS(6)
        KEYS(7)
        KEYS(8)
    default: /* none */
        for (int r = 0; r < rows; r++) {
            memset(f->c + r * f->c_row, 0, BLOCK_KEYS * sizeof(float));
        }
    }
#undef KEYS
}

void REAL(dot_products)(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row,
                        const float *b, int64_t b_row, float *c, int64_t c_row) {
    for (int64_t j = 0; j < align_up(n, WIDTH); j += BLOCK_KEYS) {
        for (int64_t i = 0; i < m; i += DOT_ROWS) {
            factors_t f = {k,     a + i * a_row,     a_row, 1, b + j * b_row,
                           b_row, c + i * c_row + j, c_row};
            dots_of_keys(&f, min_i64(DOT_ROWS, m - i), min_i64(BLOCK_KEYS, n - j));
        }
    }
}

#if defined(__AVX512F__)
INLINE void transpose_square(vec_t x[WIDTH]) {
#define STAGE(size)                                                                                \
    EACH_LANE {                                                                                    \
        if ((i & (size)) == 0) {                                                                   \
            EXCHANGE(size, x[i], x[i + (size)]);                                                   \
        }                                                                                          \
    }
    STAGE(1)
    STAGE(2)
    STAGE(4)
    STAGE(8)
#undef STAGE
}
#else
/* Pairs of rows, of pairs, and of halves, by one instruction for each vector and stage. */
INLINE void transpose_square(vec_t x[WIDTH]) {
    __m256d pair[WIDTH];
    vec_t four[WIDTH];
#pragma GCC unroll 4
    for (int i = 0; i < WIDTH; i += 2) {
        pair[i] = _mm256_castps_pd(_mm256_unpacklo_ps(x[i], x[i + 1]));
        pair[i + 1] = _mm256_castps_pd(_mm256_unpackhi_ps(x[i], x[i + 1]));
    }
#pragma GCC unroll 4
    for (int i = 0; i < WIDTH; i += 2) {
        int low = i / 4 * 4 + i % 4 / 2; /* of pair: columns 0 and 1, or 2 and 3, of its halves */
        four[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(pair[low], pair[low + 2]));
        four[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(pair[low], pair[low + 2]));
    }
#pragma GCC unroll 4
    for (int i = 0; i < WIDTH / 2; i++) {
        x[i] = _mm256_permute2f128_ps(four[i], four[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(four[i], four[i + 4], 0x31);
    }
}
#endif

INLINE void transpose_block(const float *from, int64_t from_row, int64_t high, int64_t wide,
                            float *to, int64_t to_row) {
    vec_t square[WIDTH];
    EACH_LANE {
        square[i] = fill(0.0F);
        if (i < high) {
            square[i] = load_lanes(from + i * from_row, wide);
        }
    }
    transpose_square(square);
    EACH_LANE {
        if (i < wide) {
            store(to + i * to_row, square[i]);
        }
    }
}

void REAL(pack_transposed)(int64_t rows, int64_t cols, const float *from, int64_t from_row,
                           float *to, int64_t to_row) {
    for (int64_t r = 0; r < rows; r += WIDTH) {
        const float *block = from + r * from_row;
        int64_t high = min_i64(WIDTH, rows - r), c = 0;
        for (; high == WIDTH && c + WIDTH <= cols; c += WIDTH) {
            transpose_block(block + c, from_row, WIDTH, WIDTH, to + c * to_row + r, to_row);
        }
        for (; c + WIDTH <= cols; c += WIDTH) {
            transpose_block(block + c, from_row, high, WIDTH, to + c * to_row + r, to_row);
        }
        if (c < cols) {
            transpose_block(block + c, from_row, high, cols - c, to + c * to_row + r, to_row);
        }
    }
}
