/* Weights over the features of a row (jmt.md 1.8, concat + attention), or over equal parts of it.
 * Those kept for the backward are 0 where a part is masked, so the backward needs no mask. */
#include "kernels/ref/real.h"

static real_t *weights_of(const op_plan_t *plan, const op_call_t *call, int shard, int64_t row) {
    return (real_t *)call->saved + shard * call->saved_shard_stride +
           row * plan->description.in[1].cols;
}

/* `first`: of the row's parts in the mask. */
static void softmax(real_t *w, const real_t *score, int64_t count, const op_call_t *call, int shard,
                    int64_t first) {
    real_t top = -INFINITY;
    bool any = false;
    for (int64_t c = 0; c < count; c++) {
        bool valid = mask_valid(call->mask, shard, first + c);
        any |= valid;
        top = valid && score[c] > top ? score[c] : top;
    }
    for (int64_t c = 0; c < count; c++) {
        w[c] = mask_valid(call->mask, shard, first + c) ? real_exp(score[c] - top) : 0;
    }
    real_t inverse = any ? (real_t)(1.0 / lanes_sum(w, count)) : 0;
    for (int64_t c = 0; c < count; c++) {
        w[c] *= inverse;
    }
}

void REAL(softmax_gate_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t parts = d->in[1].cols, width = d->out.cols / parts;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            real_t *w = weights_of(plan, call, s, r), *y = row_of(call->out, s, r);
            const real_t *x = row_of(call->in[0], s, r);
            softmax(w, row_of(call->in[1], s, r), parts, call, s, r * parts);
            for (int64_t c = 0; c < d->out.cols; c++) {
                y[c] = x[c] * w[c / width];
            }
        }
    }
}

void REAL(softmax_gate_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t parts = d->in[1].cols, width = d->out.cols / parts;
    real_t *dw = call->workspace;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            const real_t *w = weights_of(plan, call, s, r), *dy = row_of(call->d_out, s, r);
            const real_t *x = row_of(call->in[0], s, r);
            for (int64_t p = 0; p < parts; p++) {
                dw[p] = (real_t)lanes_dot(x + p * width, dy + p * width, width);
            }
            real_t mean = (real_t)lanes_dot(dw, w, parts);
            for (int64_t c = 0; c < d->out.cols && call->d_in[0].data != NULL; c++) {
                row_of(call->d_in[0], s, r)[c] = dy[c] * w[c / width];
            }
            for (int64_t p = 0; p < parts && call->d_in[1].data != NULL; p++) {
                row_of(call->d_in[1], s, r)[p] = w[p] * (dw[p] - mean);
            }
        }
    }
}
