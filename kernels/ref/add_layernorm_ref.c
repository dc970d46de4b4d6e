/* Layer normalisation of a sum (jmt.md 1.10). The sum itself is not kept: the backward adds
 * again. */
#include "kernels/ref/real.h"

static const double EPSILON = 1e-5;

static void input_sum(const op_description_t *d, const op_call_t *call, int shard, int64_t row,
                      real_t *total) {
    copy_row(total, row_of(call->in[0], shard, row), d->out.cols);
    if (d->input_count == 2) {
        const real_t *y = row_of(call->in[1], shard, row);
        for (int64_t c = 0; c < d->out.cols; c++) {
            total[c] += y[c];
        }
    }
}

void REAL(add_layernorm_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const real_t *gain = call->weight[0], *bias = call->weight[1];
    int64_t cols = d->out.cols;
    real_t *x = call->workspace;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        real_t *saved = (real_t *)call->saved + s * call->saved_shard_stride;
        for (int64_t r = 0; r < d->out.rows; r++) {
            input_sum(d, call, s, r, x);
            real_t mean = (real_t)(lanes_sum(x, cols) / (double)cols);
            for (int64_t c = 0; c < cols; c++) {
                x[c] -= mean;
            }
            double variance = lanes_dot(x, x, cols) / (double)cols;
            real_t inverse = (real_t)(1.0 / sqrt(variance + EPSILON));
            real_t *z = row_of(call->out, s, r);
            for (int64_t c = 0; c < cols; c++) {
                z[c] = x[c] * inverse * gain[c] + bias[c];
            }
            saved[2 * r] = mean;
            saved[2 * r + 1] = inverse;
        }
    }
}

static void normalized(const op_description_t *d, const op_call_t *call, int shard, int64_t row,
                       real_t *x) {
    const real_t *saved = (const real_t *)call->saved + shard * call->saved_shard_stride + 2 * row;
    input_sum(d, call, shard, row, x);
    for (int64_t c = 0; c < d->out.cols; c++) {
        x[c] = (x[c] - saved[0]) * saved[1];
    }
}

void REAL(add_layernorm_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const real_t *gain = call->weight[0];
    int64_t cols = d->out.cols;
    real_t *x = call->workspace, *g = x + cols;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        const real_t *saved = (const real_t *)call->saved + s * call->saved_shard_stride;
        for (int64_t r = 0; r < d->out.rows; r++) {
            const real_t *dz = row_of(call->d_out, s, r);
            normalized(d, call, s, r, x);
            for (int64_t c = 0; c < cols; c++) {
                g[c] = gain[c] * dz[c];
            }
            real_t mean = (real_t)(lanes_sum(g, cols) / (double)cols);
            real_t slope = (real_t)(lanes_dot(g, x, cols) / (double)cols);
            for (int64_t c = 0; c < cols; c++) {
                g[c] = saved[2 * r + 1] * (g[c] - mean - x[c] * slope);
            }
            for (int i = 0; i < d->input_count; i++) {
                if (call->d_in[i].data != NULL) {
                    copy_row(row_of(call->d_in[i], s, r), g, cols);
                }
            }
        }
    }
}

void REAL(add_layernorm_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    int64_t cols = d->out.cols;
    real_t *x = call->workspace, *d_gain = call->d_weight[0], *d_bias = call->d_weight[1];
    memset(d_gain, 0, (size_t)cols * sizeof(real_t));
    memset(d_bias, 0, (size_t)cols * sizeof(real_t));
    for (int64_t r = 0; r < d->out.rows; r++) {
        const real_t *dz = row_of(call->d_out, call->shard_begin, r);
        normalized(d, call, call->shard_begin, r, x);
        for (int64_t c = 0; c < cols; c++) {
            d_gain[c] += dz[c] * x[c];
            d_bias[c] += dz[c];
        }
    }
}
