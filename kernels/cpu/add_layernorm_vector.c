/* Layer normalisation of a sum. Rows side by side, so that the sums of none wait for those of
 * another, and a vector of rows shares what is computed once for each. A row is read three times
 * from the first-level cache; its sums run over the lanes in float, of values whose mean is taken
 * off before they are squared, alike whichever rows are beside it. */
#include "kernels/cpu/parts.h"
#include "kernels/cpu/vector.h"

static const float EPSILON = 1e-5F;

/* BESIDE rows are read together, and up to WIDTH, as far as CACHED numbers go, are a block; what is
 * left over, row by row. */
enum { BESIDE = 4, CACHED = 4096 };
#define EACH_ROW _Pragma("GCC unroll 4") for (int r = 0; r < rows; r++)

/* Of consecutive rows of a shard, at the first. */
typedef struct block {
    const float *x, *y; /* y NULL: x alone */
    int64_t x_row, y_row;
    const float *gain, *bias, *dz;
    int64_t dz_row, cols;
    float *saved;  /* [rows][2]: mean, 1 / deviation */
    float *out[2]; /* NULL: not wanted */
    int64_t out_row[2];
} block_t;

/* What a block's rows have each. */
typedef struct numbers {
    float of[WIDTH];
} numbers_t;

static void move(block_t *block, int64_t rows) {
    block->x += rows * block->x_row;
    block->y += block->y != NULL ? rows * block->y_row : 0;
    block->dz += block->dz != NULL ? rows * block->dz_row : 0;
    block->saved += 2 * rows;
    for (int i = 0; i < 2; i++) {
        block->out[i] += block->out[i] != NULL ? rows * block->out_row[i] : 0;
    }
}

/* 0 in lanes from `count` on. */
INLINE vec_t sum_at(const block_t *b, const bool two, int64_t row, int64_t c, int64_t count) {
    vec_t x = load_lanes(b->x + row * b->x_row + c, count);
    if (two) {
        x += load_lanes(b->y + row * b->y_row + c, count);
    }
    return x;
}

INLINE void add_sums(const block_t *b, const bool two, const int rows, int64_t first, int64_t c,
                     int64_t count, vec_t total[BESIDE]) {
    EACH_ROW { total[r] += sum_at(b, two, first + r, c, count); }
}

INLINE void add_squares(const block_t *b, const bool two, const int rows, int64_t first, int64_t c,
                        int64_t count, const float *mean, vec_t total[BESIDE]) {
    EACH_ROW {
        vec_t apart = sum_at(b, two, first + r, c, count) - fill(mean[r]);
        if (count < WIDTH) {
            apart = where(lane_numbers() < (int32_t)count, apart, fill(0.0F));
        }
        total[r] = fused(apart, apart, total[r]);
    }
}

/* body(c, count), for each vector of the columns. */
#define EACH_COLUMNS(cols, body)                                                                   \
    do {                                                                                           \
        int64_t c_ = 0;                                                                            \
        for (; c_ + WIDTH <= (cols); c_ += WIDTH) {                                                \
            body(c_, WIDTH);                                                                       \
        }                                                                                          \
        if (c_ < (cols)) {                                                                         \
            body(c_, (cols)-c_);                                                                   \
        }                                                                                          \
    } while (0)

/* Of rows from `first` on, as all that follows. */
INLINE void sum_rows(const block_t *b, const bool two, const int rows, int64_t first,
                     vec_t total[WIDTH]) {
    vec_t sum[BESIDE];
    EACH_ROW { sum[r] = fill(0.0F); }
#define BODY(c, count) add_sums(b, two, rows, first, c, count, sum)
    EACH_COLUMNS(b->cols, BODY);
#undef BODY
    EACH_ROW { total[first + r] = sum[r]; }
}

INLINE void square_rows(const block_t *b, const bool two, const int rows, int64_t first,
                        const numbers_t *mean, vec_t total[WIDTH]) {
    vec_t sum[BESIDE];
    EACH_ROW { sum[r] = fill(0.0F); }
#define BODY(c, count) add_squares(b, two, rows, first, c, count, mean->of + first, sum)
    EACH_COLUMNS(b->cols, BODY);
#undef BODY
    EACH_ROW { total[first + r] = sum[r]; }
}

/* What the rows beside one another are normalised with. */
typedef struct beside {
    vec_t mean[BESIDE], inverse[BESIDE];
} beside_t;

INLINE beside_t beside_of(const block_t *b, const int rows, int64_t first) {
    beside_t beside;
    EACH_ROW {
        beside.mean[r] = fill(b->saved[2 * (first + r)]);
        beside.inverse[r] = fill(b->saved[2 * (first + r) + 1]);
    }
    return beside;
}

INLINE vec_t normalized(const block_t *b, const bool two, const beside_t *beside, int64_t first,
                        int r, int64_t c, int64_t count) {
    return (sum_at(b, two, first + r, c, count) - beside->mean[r]) * beside->inverse[r];
}

INLINE void write_rows(const block_t *b, const bool two, const int rows, int64_t first) {
    beside_t beside = beside_of(b, rows, first);
    float *out = b->out[0] + first * b->out_row[0];
    int64_t out_row = b->out_row[0];
#define BODY(c, count)                                                                             \
    do {                                                                                           \
        vec_t gain = load_lanes(b->gain + (c), count), bias = load_lanes(b->bias + (c), count);    \
        EACH_ROW {                                                                                 \
            vec_t x = normalized(b, two, &beside, first, r, c, count);                             \
            store_lanes(out + r * out_row + (c), fused(x, gain, bias), count);                     \
        }                                                                                          \
    } while (0)
    EACH_COLUMNS(b->cols, BODY);
#undef BODY
}

INLINE vec_t means(vec_t total[WIDTH], int64_t cols) {
    return lanes_added_of_each(total) / fill((float)cols);
}

INLINE void block_forward(const block_t *b, const bool two, const int rows, int64_t count) {
    vec_t total[WIDTH];
    numbers_t mean, inverse;
    EACH_LANE { total[i] = fill(0.0F); }
    for (int64_t first = 0; first < count; first += rows) {
        sum_rows(b, two, rows, first, total);
    }
    store(mean.of, means(total, b->cols));
    EACH_LANE { total[i] = fill(0.0F); }
    for (int64_t first = 0; first < count; first += rows) {
        square_rows(b, two, rows, first, &mean, total);
    }
    store(inverse.of, fill(1.0F) / root(means(total, b->cols) + fill(EPSILON)));
    for (int64_t r = 0; r < count; r++) {
        b->saved[2 * r] = mean.of[r];
        b->saved[2 * r + 1] = inverse.of[r];
    }
    for (int64_t first = 0; first < count; first += rows) {
        write_rows(b, two, rows, first);
    }
}

/* --- blocks of rows -------------------------------------------------------------------------- */

/* Compiled for each number of rows beside one another and of summands. */
#define BLOCK_OF(block)                                                                            \
    static void block##_of(const block_t *of, int64_t count) {                                     \
        const block_t own = *of, *b = &own; /* which no vector that is stored may change */        \
        if (count == 1 && b->y == NULL) {                                                          \
            block(b, false, 1, 1);                                                                 \
        } else if (count == 1) {                                                                   \
            block(b, true, 1, 1);                                                                  \
        } else if (b->y == NULL) {                                                                 \
            block(b, false, BESIDE, count);                                                        \
        } else {                                                                                   \
            block(b, true, BESIDE, count);                                                         \
        }                                                                                          \
    }

static void run_blocks(block_t b, int64_t rows, void (*run)(const block_t *, int64_t)) {
    int64_t most = BESIDE * max_i64(1, min_i64(CACHED / (BESIDE * b.cols), WIDTH / BESIDE));
    while (rows > 0) {
        int64_t count = rows < BESIDE ? 1 : min_i64(most, rows / BESIDE * BESIDE);
        run(&b, count);
        move(&b, count);
        rows -= count;
    }
}

static block_t block_of(const op_plan_t *plan, const op_call_t *call, int s, int64_t r) {
    const op_description_t *d = &plan->description;
    block_t b = {.x = row_of(call->in[0], s, r),
                 .x_row = call->in[0].row_stride,
                 .gain = call->weight[0],
                 .bias = call->weight[1],
                 .cols = d->out.cols,
                 .saved = (float *)call->saved + s * call->saved_shard_stride + 2 * r};
    if (d->input_count == 2) {
        b.y = row_of(call->in[1], s, r);
        b.y_row = call->in[1].row_stride;
    }
    return b;
}

static int64_t row_count(const op_plan_t *plan, const op_call_t *call) {
    return (call->shard_end - call->shard_begin) * plan->description.out.rows;
}

/* Rows of a part that are of one shard: from row `*row_out` of shard `*shard_out` on. */
static int64_t rows_together(const op_plan_t *plan, const op_call_t *call, int64_t at, int64_t end,
                             int *shard_out, int64_t *row_out) {
    int64_t rows = plan->description.out.rows;
    *shard_out = call->shard_begin + (int)(at / rows);
    *row_out = at % rows;
    return min_i64(end - at, rows - *row_out);
}

BLOCK_OF(block_forward)

static void rows_forward(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                         int part) {
    (void)part;
    int shard;
    int64_t row;
    for (int64_t count; begin < end; begin += count) {
        count = rows_together(plan, call, begin, end, &shard, &row);
        block_t b = block_of(plan, call, shard, row);
        b.out[0] = row_of(call->out, shard, row);
        b.out_row[0] = call->out.row_stride;
        run_blocks(b, count, block_forward_of);
    }
}

void REAL(add_layernorm_forward)(const op_plan_t *plan, const op_call_t *call) {
    int64_t rows = row_count(plan, call);
    parts_run(rows_forward, plan, call, rows, rows * plan->description.out.cols);
}

/* --- backward: g = gain * dz ----------------------------------------------------------------- */

/* sum: of g; along: of g by what was normalised. */
INLINE void gradient_sums(const block_t *b, const bool two, const int rows, int64_t first,
                          vec_t sum[WIDTH], vec_t along[WIDTH]) {
    beside_t beside = beside_of(b, rows, first);
    const float *dz = b->dz + first * b->dz_row;
    vec_t total[BESIDE], slope[BESIDE];
    EACH_ROW { total[r] = slope[r] = fill(0.0F); }
#define BODY(c, count)                                                                             \
    do {                                                                                           \
        vec_t gain = load_lanes(b->gain + (c), count);                                             \
        EACH_ROW {                                                                                 \
            vec_t g = gain * load_lanes(dz + r * b->dz_row + (c), count);                          \
            total[r] += g;                                                                         \
            slope[r] = fused(g, normalized(b, two, &beside, first, r, c, count), slope[r]);        \
        }                                                                                          \
    } while (0)
    EACH_COLUMNS(b->cols, BODY);
#undef BODY
    EACH_ROW {
        sum[first + r] = total[r];
        along[first + r] = slope[r];
    }
}

INLINE void write_gradients(const block_t *b, const bool two, const int rows, int64_t first,
                            const numbers_t *mean, const numbers_t *slope) {
    beside_t beside = beside_of(b, rows, first);
    const float *dz = b->dz + first * b->dz_row;
    float *out[2] = {b->out[0], b->out[1]};
    int64_t out_row[2] = {b->out_row[0], b->out_row[1]};
#define BODY(c, count)                                                                             \
    do {                                                                                           \
        vec_t gain = load_lanes(b->gain + (c), count), gradient[BESIDE];                           \
        EACH_ROW {                                                                                 \
            vec_t part = fused(normalized(b, two, &beside, first, r, c, count),                    \
                               fill(slope->of[first + r]), fill(mean->of[first + r]));             \
            vec_t g = gain * load_lanes(dz + r * b->dz_row + (c), count);                          \
            gradient[r] = beside.inverse[r] * (g - part);                                          \
        }                                                                                          \
        _Pragma("GCC unroll 2") for (int i = 0; i < 2; i++) {                                      \
            if (out[i] != NULL) {                                                                  \
                EACH_ROW {                                                                         \
                    store_lanes(out[i] + (first + r) * out_row[i] + (c), gradient[r], count);      \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    } while (0)
    EACH_COLUMNS(b->cols, BODY);
#undef BODY
}

INLINE void block_backward(const block_t *b, const bool two, const int rows, int64_t count) {
    vec_t sum[WIDTH], along[WIDTH];
    numbers_t mean, slope;
    EACH_LANE { sum[i] = along[i] = fill(0.0F); }
    for (int64_t first = 0; first < count; first += rows) {
        gradient_sums(b, two, rows, first, sum, along);
    }
    store(mean.of, means(sum, b->cols));
    store(slope.of, means(along, b->cols));
    for (int64_t first = 0; first < count; first += rows) {
        write_gradients(b, two, rows, first, &mean, &slope);
    }
}

BLOCK_OF(block_backward)

static void rows_backward(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                          int part) {
    (void)part;
    int shard;
    int64_t row;
    for (int64_t count; begin < end; begin += count) {
        count = rows_together(plan, call, begin, end, &shard, &row);
        block_t b = block_of(plan, call, shard, row);
        b.dz = row_of(call->d_out, shard, row);
        b.dz_row = call->d_out.row_stride;
        for (int i = 0; i < plan->description.input_count; i++) {
            if (call->d_in[i].data != NULL) {
                b.out[i] = row_of(call->d_in[i], shard, row);
                b.out_row[i] = call->d_in[i].row_stride;
            }
        }
        run_blocks(b, count, block_backward_of);
    }
}

void REAL(add_layernorm_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    int64_t rows = row_count(plan, call);
    parts_run(rows_backward, plan, call, rows, rows * plan->description.out.cols);
}

/* Rows beside one another, so that the sums of a column are fetched once for all of them. */
INLINE void block_weights(const block_t *b, const bool two, const int rows, int64_t count) {
    float *d_gain = b->out[0], *d_bias = b->out[1];
    for (int64_t first = 0; first < count; first += rows) {
        beside_t beside = beside_of(b, rows, first);
        const float *dz = b->dz + first * b->dz_row;
#define BODY(c, count)                                                                             \
    do {                                                                                           \
        vec_t gain = load_lanes(d_gain + (c), count), bias = load_lanes(d_bias + (c), count);      \
        EACH_ROW {                                                                                 \
            vec_t g = load_lanes(dz + r * b->dz_row + (c), count);                                 \
            gain = fused(g, normalized(b, two, &beside, first, r, c, count), gain);                \
            bias += g;                                                                             \
        }                                                                                          \
        store_lanes(d_gain + (c), gain, count);                                                    \
        store_lanes(d_bias + (c), bias, count);                                                    \
    } while (0)
        EACH_COLUMNS(b->cols, BODY);
#undef BODY
    }
}

BLOCK_OF(block_weights)

void REAL(add_layernorm_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    block_t b = block_of(plan, call, call->shard_begin, 0);
    b.dz = row_of(call->d_out, call->shard_begin, 0);
    b.dz_row = call->d_out.row_stride;
    for (int i = 0; i < 2; i++) { /* one row, into which all are added */
        b.out[i] = call->d_weight[i];
        memset(b.out[i], 0, (size_t)d->out.cols * sizeof(float));
    }
    run_blocks(b, d->out.rows, block_weights_of);
}
