/* Layer normalisation of a sum. A row is read three times from the first-level cache; its sums run
 * over the lanes in float, of values whose mean is taken off before they are squared. */
#include "kernels/cpu/parts.h"
#include "kernels/cpu/vector.h"

static const float EPSILON = 1e-5F;

status_t REAL(add_layernorm_plan)(const op_description_t *description, op_plan_t **plan_out,
                                  op_needs_t *needs_out) {
    const op_shape_t *out = &description->out;
    REQUIRE(description->input_count == 1 || description->input_count == 2);
    for (int i = 0; i < description->input_count; i++) {
        REQUIRE(description->in[i].rows == out->rows && description->in[i].cols == out->cols);
    }
    *needs_out = (op_needs_t){.saved_count = 2 * out->rows};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

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

static void row_statistics(summands_t in, int64_t cols, float saved[2]) {
    vec_t sum = fill(0.0F), squares = fill(0.0F);
    for (int64_t c = 0; c < cols; c += WIDTH) {
        sum += sum_at(in, c, cols - c);
    }
    saved[0] = lanes_added(sum) / (float)cols;
    vec_t mean = fill(saved[0]);
    int64_t c = 0;
    for (; c + WIDTH <= cols; c += WIDTH) {
        vec_t apart = sum_at(in, c, WIDTH) - mean;
        squares = fused(apart, apart, squares);
    }
    if (c < cols) {
        ivec_t inside = lane_numbers() < (int32_t)(cols - c);
        vec_t apart = where(inside, sum_at(in, c, cols - c) - mean, fill(0.0F));
        squares = fused(apart, apart, squares);
    }
    saved[1] = 1.0F / sqrtf(lanes_added(squares) / (float)cols + EPSILON);
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

static void row_gradient(const gradient_row_t *row, int64_t cols, float *dx[2]) {
    vec_t sum = fill(0.0F), along = fill(0.0F);
    for (int64_t c = 0; c < cols; c += WIDTH) { /* g is 0 outside */
        vec_t g = load_lanes(row->gain + c, cols - c) * load_lanes(row->dz + c, cols - c);
        sum += g;
        along = fused(g, normalized(row, c, cols - c), along);
    }
    vec_t mean = fill(lanes_added(sum) / (float)cols);
    vec_t slope = fill(lanes_added(along) / (float)cols);
    for (int64_t c = 0; c < cols; c += WIDTH) {
        vec_t g = load_lanes(row->gain + c, cols - c) * load_lanes(row->dz + c, cols - c);
        vec_t part = fused(normalized(row, c, cols - c), slope, mean);
        vec_t gradient = row->inverse * (g - part);
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

/* A strip of columns stays in registers while the rows run. */
void REAL(add_layernorm_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    enum { STRIP = 4 };
    const op_description_t *d = &plan->description;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    float *d_gain = call->d_weight[0], *d_bias = call->d_weight[1];
    for (int64_t first = 0; first < d->out.cols; first += STRIP * WIDTH) {
        int64_t cols = d->out.cols - first;
        vec_t gain[STRIP] = {{0}}, bias[STRIP] = {{0}};
        for (int64_t r = 0; r < d->out.rows; r++) {
            gradient_row_t row = gradient_row_of(plan, call, call->shard_begin, r);
#pragma GCC unroll 4
            for (int i = 0; i < STRIP; i++) {
                int64_t c = i * WIDTH;
                if (c < cols) {
                    vec_t dz = load_lanes(row.dz + first + c, cols - c);
                    gain[i] = fused(dz, normalized(&row, first + c, cols - c), gain[i]);
                    bias[i] += dz;
                }
            }
        }
        for (int i = 0; i < STRIP && i * WIDTH < cols; i++) {
            store_lanes(d_gain + first + i * WIDTH, gain[i], cols - i * WIDTH);
            store_lanes(d_bias + first + i * WIDTH, bias[i], cols - i * WIDTH);
        }
    }
}
