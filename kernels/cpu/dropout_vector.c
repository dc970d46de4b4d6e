/* Philox on as many counters at once as a vector has lanes; the reference's bits. The mask is drawn
 * again in the backward: nothing is kept. */
#include "kernels/base/rng.h"
#include "kernels/cpu/parts.h"
#include "kernels/cpu/vector.h"

typedef uint32_t uvec_t __attribute__((vector_size(4 * WIDTH)));
enum { DRAWN = 4 * WIDTH }; /* words of WIDTH blocks */

/* 64-bit products of the even lanes. */
INLINE uvec_t even_products(uvec_t x, uint32_t factor) {
#if defined(__AVX512F__)
    return (uvec_t)_mm512_mul_epu32((__m512i)x, _mm512_set1_epi64(factor));
#else
    return (uvec_t)_mm256_mul_epu32((__m256i)x, _mm256_set1_epi64x(factor));
#endif
}

typedef uint64_t wide_t __attribute__((vector_size(4 * WIDTH)));

/* high and low words of x * factor */
INLINE void multiply(uvec_t x, uint32_t factor, uvec_t *high, uvec_t *low) {
    const wide_t upper = (wide_t){0} + 0xFFFFFFFF00000000U;
    wide_t even = (wide_t)even_products(x, factor);
    wide_t odd = (wide_t)even_products((uvec_t)((wide_t)x >> 32), factor);
    *high = (uvec_t)((even >> 32) | (odd & upper));
    *low = (uvec_t)((even & ~upper) | (odd << 32));
}

/* Lane i of a, then of b; from lane `first` on. */
#define PAIR(i, first) (first) + (i), WIDTH + (first) + (i)
#define PAIRS4(first)  PAIR(0, first), PAIR(1, first), PAIR(2, first), PAIR(3, first)
#define TWOS(i, first)                                                                             \
    (first) + 2 * (i), (first) + 2 * (i) + 1, WIDTH + (first) + 2 * (i),                           \
        WIDTH + (first) + 2 * (i) + 1
#if defined(__AVX512F__)
#define PAIRS(half)                                                                                \
    { PAIRS4((half)*8), PAIRS4((half)*8 + 4) }
#define FOURS(half)                                                                                \
    { TWOS(0, (half)*8), TWOS(1, (half)*8), TWOS(2, (half)*8), TWOS(3, (half)*8) }
#else
#define PAIRS(half)                                                                                \
    { PAIRS4((half)*4) }
#define FOURS(half)                                                                                \
    { TWOS(0, (half)*4), TWOS(1, (half)*4) }
#endif

/* The words of block after block from those of all blocks, word by word. */
INLINE void interleave(const uvec_t word[4], uint32_t out[DRAWN]) {
    const uvec_t low = PAIRS(0), high = PAIRS(1), low2 = FOURS(0), high2 = FOURS(1);
    uvec_t front[2] = {__builtin_shuffle(word[0], word[1], low),
                       __builtin_shuffle(word[0], word[1], high)};
    uvec_t back[2] = {__builtin_shuffle(word[2], word[3], low),
                      __builtin_shuffle(word[2], word[3], high)};
    for (int i = 0; i < 2; i++) {
        uvec_t first = __builtin_shuffle(front[i], back[i], low2);
        uvec_t second = __builtin_shuffle(front[i], back[i], high2);
        memcpy(out + 2 * i * WIDTH, &first, sizeof first);
        memcpy(out + (2 * i + 1) * WIDTH, &second, sizeof second);
    }
}

/* rng_block() of blocks index to index + WIDTH - 1. */
static void draw(rng_key_t key, uint64_t index, uint32_t out[DRAWN]) {
    uint64_t upper = key.stream + key.turn * 0x9E3779B97F4A7C15u;
    uint32_t seed[2] = {(uint32_t)key.seed, (uint32_t)(key.seed >> 32)};
    uint32_t low_index = (uint32_t)index;
    uvec_t zero = {0}, word[4];
    word[0] = (uvec_t)lane_numbers() + low_index;
    word[1] = zero + (uint32_t)(index >> 32) - (uvec_t)(word[0] < low_index); /* the carry */
    word[2] = zero + (uint32_t)upper;
    word[3] = zero + (uint32_t)(upper >> 32);
    for (int round = 0; round < 10; round++) {
        uvec_t high0, low0, high1, low1;
        multiply(word[0], 0xD2511F53u, &high0, &low0);
        multiply(word[2], 0xCD9E8D57u, &high1, &low1);
        word[0] = high1 ^ word[1] ^ seed[0];
        word[1] = low1;
        word[2] = high0 ^ word[3] ^ seed[1];
        word[3] = low0;
        seed[0] += 0x9E3779B9u;
        seed[1] += 0xBB67AE85u;
    }
    interleave(word, out);
}

typedef struct drop {
    uint32_t least; /* of the 24 bits of an element that stays */
    float scale;
    rng_key_t key;
} drop_t;

static void drop_row(const drop_t *drop, float *to, const float *from, int64_t cols,
                     uint64_t first_element) {
    int64_t skipped = (int64_t)(first_element % 4);
    for (int64_t c = -skipped; c < cols; c += DRAWN) {
        uint32_t word[DRAWN];
        draw(drop->key, (first_element + (uint64_t)(c + skipped)) / 4, word);
        int64_t begin = max_i64(c, 0), end = min_i64(c + DRAWN, cols);
        for (int64_t i = begin; i < end; i++) {
            float kept = from[i] * drop->scale;
            to[i] = word[i - c] >> 8 >= drop->least ? kept : 0;
        }
    }
}

static void drop_rows(const op_plan_t *plan, const op_call_t *call, matrix_t to, matrix_t from,
                      int64_t begin, int64_t end) {
    const op_shape_t *shape = &plan->description.out;
    const op_attributes_t *a = &plan->description.attributes;
    const step_scalars_t *now = call->scalars;
    const drop_t drop = {
        .least = (uint32_t)ceil(a->probability * 0x1p24),
        .scale = a->probability < 1.0 ? (float)(1.0 / (1.0 - a->probability)) : 0,
        .key = {now->seed, a->node_hash, now->step},
    };
    int64_t period = rows_per_draw(&plan->description);
    for (int64_t i = begin; i < end; i++) {
        int s = call->shard_begin + (int)(i / shape->rows);
        int64_t r = i % shape->rows, global_row = (now->shard_first + s) * shape->rows + r;
        if (now->training && !now->drops_nothing && a->probability > 0.0) {
            drop_row(&drop, row_of(to, s, r), row_of(from, s, r), shape->cols,
                     (uint64_t)(global_row / period * shape->cols));
        } else {
            copy_row(row_of(to, s, r), row_of(from, s, r), shape->cols);
        }
    }
}

static void rows_forward(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                         int part) {
    (void)part;
    drop_rows(plan, call, call->out, call->in[0], begin, end);
}

static void rows_backward(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                          int part) {
    (void)part;
    drop_rows(plan, call, call->d_in[0], call->d_out, begin, end);
}

static void drop_all(part_t run, const op_plan_t *plan, const op_call_t *call) {
    int64_t rows = (call->shard_end - call->shard_begin) * plan->description.out.rows;
    parts_run(run, plan, call, rows, rows * plan->description.out.cols);
}

void REAL(dropout_forward)(const op_plan_t *plan, const op_call_t *call) {
    drop_all(rows_forward, plan, call);
}

void REAL(dropout_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    if (call->d_in[0].data != NULL) {
        drop_all(rows_backward, plan, call);
    }
}
