/* Layer normalisation of a sum. A row is read three times from the first-level cache; its sums run
 * over the lanes in float, of values whose mean is taken off before they are squared. */
#include "kernels/cpu/parts.h"
#include "kernels/cpu/vector.h"

static const float EPSILON = 1e-5F;

typedef struct summands {
    const float *x, *y; /* y NULL: x alone */
} summands_t;

static summands_t summands_of(const op_plan_t *plan, const op_call_t *call, int shard,
                              int64_t row) {
    bool two = plan->description.input_count == 2;
    return (summands_t){row_of(call->in[0], shard, row),
                        two ? row_of(call->in[1], shard, row) : NULL};
}

/* 0 in lanes from `count` on. */
INLINE vec_t sum_at(summands_t in, int64_t c, int64_t count) {
    vec_t x = load_lanes(in.x + c, count);
    if (in.y != NULL) {
        x += load_lanes(in.y + c, count);
    }
    return x;
}

/* Sums over a row run in chains side by side, none of which waits for the others. */
enum { CHAINS = 4, BLOCK = CHAINS * WIDTH };
#define EACH_CHAIN _Pragma("GCC unroll 4") for (int i = 0; i < CHAINS; i++)

INLINE float chains_added(const vec_t total[CHAINS]) {
    return lanes_added((total[0] + total[1]) + (total[2] + total[3]));
}

/* Of `left` columns from c on, at most BLOCK. */
INLINE void add_sums(summands_t in, int64_t c, int64_t left, vec_t total[CHAINS]) {
    EACH_CHAIN {
        if (i * WIDTH < left) {
            total[i] += sum_at(in, c + i * WIDTH, left - i * WIDTH);
        }
    }
}

INLINE void add_squares(summands_t in, vec_t mean, int64_t c, int64_t left, vec_t total[CHAINS]) {
    EACH_CHAIN {
        if (i * WIDTH < left) {
            vec_t apart = sum_at(in, c + i * WIDTH, left - i * WIDTH) - mean;
            if (left - i * WIDTH < WIDTH) {
                apart = where(lane_numbers() < (int32_t)(left - i * WIDTH), apart, fill(0.0F));
            }
            total[i] = fused(apart, apart, total[i]);
        }
    }
}

static void row_statistics(summands_t in, int64_t cols, float saved[2]) {
    vec_t sum[CHAINS], square[CHAINS];
    EACH_CHAIN { sum[i] = square[i] = fill(0.0F); }
    int64_t c = 0;
    for (; c + BLOCK <= cols; c += BLOCK) {
        add_sums(in, c, BLOCK, sum);
    }
    add_sums(in, c, cols - c, sum);
    saved[0] = chains_added(sum) / (float)cols;
    vec_t mean = fill(saved[0]);
    for (c = 0; c + BLOCK <= cols; c += BLOCK) {
        add_squares(in, mean, c, BLOCK, square);
    }
    add_squares(in, mean, c, cols - c, square);
    saved[1] = 1.0F / sqrtf(chains_added(square) / (float)cols + EPSILON);
}

static int64_t row_count(const op_plan_t *plan, const op_call_t *call) {
    return (call->shard_end - call->shard_begin) * plan->description.out.rows;
}

static void rows_forward(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                         int part) {
    (void)part;
    const op_description_t *d = &plan->description;
    const float *gain = call->weight[0], *bias = call->weight[1];
    int64_t cols = d->out.cols;
    for (int64_t i = begin; i < end; i++) {
        int s = call->shard_begin + (int)(i / d->out.rows);
        int64_t r = i % d->out.rows;
        float *saved = (float *)call->saved + s * call->saved_shard_stride + 2 * r;
        summands_t in = summands_of(plan, call, s, r);
        row_statistics(in, cols, saved);
        vec_t mean = fill(saved[0]), inverse = fill(saved[1]);
        float *z = row_of(call->out, s, r);
        for (int64_t c = 0; c < cols; c += WIDTH) {
            vec_t x = (sum_at(in, c, cols - c) - mean) * inverse;
            vec_t factor = load_lanes(gain + c, cols - c);
            store_lanes(z + c, fused(x, factor, load_lanes(bias + c, cols - c)), cols - c);
        }
    }
}

void REAL(add_layernorm_forward)(const op_plan_t *plan, const op_call_t *call) {
    int64_t rows = row_count(plan, call);
    parts_run(rows_forward, plan, call, rows, rows * plan->description.out.cols);
}

typedef struct gradient_row {
    summands_t in;
    const float *gain, *dz;
    vec_t mean, inverse; /* of the row */
} gradient_row_t;

INLINE vec_t normalized(const gradient_row_t *row, int64_t c, int64_t count) {
    return (sum_at(row->in, c, count) - row->mean) * row->inverse;
}

/* g = gain * dz, 0 outside the row */
INLINE vec_t scaled(const gradient_row_t *row, int64_t c, int64_t count) {
    return load_lanes(row->gain + c, count) * load_lanes(row->dz + c, count);
}

INLINE void add_gradients(const gradient_row_t *row, int64_t c, int64_t left, vec_t sum[CHAINS],
                          vec_t along[CHAINS]) {
    EACH_CHAIN {
        if (i * WIDTH < left) {
            vec_t g = scaled(row, c + i * WIDTH, left - i * WIDTH);
            sum[i] += g;
            along[i] = fused(g, normalized(row, c + i * WIDTH, left - i * WIDTH), along[i]);
        }
    }
}

static void row_gradient(const gradient_row_t *row, int64_t cols, float *dx[2]) {
    vec_t sum[CHAINS], along[CHAINS];
    EACH_CHAIN { sum[i] = along[i] = fill(0.0F); }
    int64_t begin = 0;
    for (; begin + BLOCK <= cols; begin += BLOCK) {
        add_gradients(row, begin, BLOCK, sum, along);
    }
    add_gradients(row, begin, cols - begin, sum, along);
    vec_t mean = fill(chains_added(sum) / (float)cols);
    vec_t slope = fill(chains_added(along) / (float)cols);
    for (int64_t c = 0; c < cols; c += WIDTH) {
        vec_t part = fused(normalized(row, c, cols - c), slope, mean);
        vec_t gradient = row->inverse * (scaled(row, c, cols - c) - part);
        for (int i = 0; i < 2; i++) {
            if (dx[i] != NULL) {
                store_lanes(dx[i] + c, gradient, cols - c);
            }
        }
    }
}

static gradient_row_t gradient_row_of(const op_plan_t *plan, const op_call_t *call, int shard,
                                      int64_t row) {
    const float *saved = (float *)call->saved + shard * call->saved_shard_stride + 2 * row;
    return (gradient_row_t){
        .in = summands_of(plan, call, shard, row),
        .gain = call->weight[0],
        .dz = row_of(call->d_out, shard, row),
        .mean = fill(saved[0]),
        .inverse = fill(saved[1]),
    };
}

static void rows_backward(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                          int part) {
    (void)part;
    const op_description_t *d = &plan->description;
    for (int64_t j = begin; j < end; j++) {
        int s = call->shard_begin + (int)(j / d->out.rows);
        int64_t r = j % d->out.rows;
        gradient_row_t row = gradient_row_of(plan, call, s, r);
        float *dx[2] = {NULL, NULL};
        for (int i = 0; i < d->input_count; i++) {
            dx[i] = call->d_in[i].data == NULL ? NULL : row_of(call->d_in[i], s, r);
        }
        row_gradient(&row, d->out.cols, dx);
    }
}

void REAL(add_layernorm_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    int64_t rows = row_count(plan, call);
    parts_run(rows_backward, plan, call, rows, rows * plan->description.out.cols);
}

/* Some rows at a time, so that each is read from end to end and the sums of a column are fetched
 * for all of them. */
enum { ROWS_AT_ONCE = 4 };
#define EACH_ROW _Pragma("GCC unroll 4") for (int r = 0; r < ROWS_AT_ONCE; r++)

INLINE void add_columns(const gradient_row_t row[ROWS_AT_ONCE], int64_t rows, int64_t c,
                        int64_t count, float *d_gain, float *d_bias) {
    vec_t gain = load_lanes(d_gain + c, count), bias = load_lanes(d_bias + c, count);
    EACH_ROW {
        if (r < rows) {
            vec_t dz = load_lanes(row[r].dz + c, count);
            gain = fused(dz, normalized(&row[r], c, count), gain);
            bias += dz;
        }
    }
    store_lanes(d_gain + c, gain, count);
    store_lanes(d_bias + c, bias, count);
}

void REAL(add_layernorm_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    float *d_gain = call->d_weight[0], *d_bias = call->d_weight[1];
    memset(d_gain, 0, (size_t)d->out.cols * sizeof(float));
    memset(d_bias, 0, (size_t)d->out.cols * sizeof(float));
    for (int64_t first = 0; first < d->out.rows; first += ROWS_AT_ONCE) {
        gradient_row_t row[ROWS_AT_ONCE];
        int64_t rows = min_i64(ROWS_AT_ONCE, d->out.rows - first);
        for (int64_t r = 0; r < rows; r++) {
            row[r] = gradient_row_of(plan, call, call->shard_begin, first + r);
        }
        int64_t c = 0;
        for (; rows == ROWS_AT_ONCE && c + WIDTH <= d->out.cols; c += WIDTH) {
            add_columns(row, ROWS_AT_ONCE, c, WIDTH, d_gain, d_bias);
        }
        for (; c < d->out.cols; c += WIDTH) {
            add_columns(row, rows, c, d->out.cols - c, d_gain, d_bias);
        }
    }
}
