/* Weights over the features of a row (jmt.md 1.8, concat + attention). */
#include "kernels/ref/real.h"

static real_t *weights_of(const op_plan_t *plan, const op_call_t *call, int shard, int64_t row) {
    return (real_t *)call->saved + shard * call->saved_shard_stride +
           row * plan->description.out.cols;
}

static void softmax(real_t *w, const real_t *score, int64_t count) {
    real_t top = score[0];
    for (int64_t c = 1; c < count; c++) {
        top = score[c] > top ? score[c] : top;
    }
    for (int64_t c = 0; c < count; c++) {
        w[c] = real_exp(score[c] - top);
    }
    real_t inverse = (real_t)(1.0 / lanes_sum(w, count));
    for (int64_t c = 0; c < count; c++) {
        w[c] *= inverse;
    }
}

void REAL(softmax_gate_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            real_t *w = weights_of(plan, call, s, r), *y = row_of(call->out, s, r);
            const real_t *x = row_of(call->in[0], s, r);
            softmax(w, row_of(call->in[1], s, r), shape->cols);
            for (int64_t c = 0; c < shape->cols; c++) {
                y[c] = x[c] * w[c];
            }
        }
    }
}

void REAL(softmax_gate_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    real_t *dw = call->workspace;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const real_t *w = weights_of(plan, call, s, r), *dy = row_of(call->d_out, s, r);
            const real_t *x = row_of(call->in[0], s, r);
            for (int64_t c = 0; c < shape->cols; c++) {
                dw[c] = x[c] * dy[c];
            }
            real_t mean = (real_t)lanes_dot(dw, w, shape->cols);
            for (int64_t c = 0; c < shape->cols && call->d_in[0].data != NULL; c++) {
                row_of(call->d_in[0], s, r)[c] = dy[c] * w[c];
            }
            for (int64_t c = 0; c < shape->cols && call->d_in[1].data != NULL; c++) {
                row_of(call->d_in[1], s, r)[c] = w[c] * (dw[c] - mean);
            }
        }
    }
}
