/* ReLU with a learned slope below 0 for each column. */
#include "kernels/ref/real.h"

enum { COLS_AT_ONCE = 64 };

status_t REAL(prelu_plan)(const op_description_t *description, op_plan_t **plan_out,
                          op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

void REAL(prelu_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    const real_t *slope = call->weight[0];
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const real_t *x = row_of(call->in[0], s, r);
            real_t *y = row_of(call->out, s, r);
            for (int64_t c = 0; c < shape->cols; c++) {
                y[c] = x[c] > 0 ? x[c] : slope[c] * x[c];
            }
        }
    }
}

void REAL(prelu_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    const real_t *slope = call->weight[0];
    for (int s = call->shard_begin; s < call->shard_end && call->d_in[0].data != NULL; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const real_t *x = row_of(call->in[0], s, r), *dy = row_of(call->d_out, s, r);
            real_t *dx = row_of(call->d_in[0], s, r);
            for (int64_t c = 0; c < shape->cols; c++) {
                dx[c] = x[c] > 0 ? dy[c] : slope[c] * dy[c];
            }
        }
    }
}

/* Over all rows, so in double. */
void REAL(prelu_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    int s = call->shard_begin;
    REQUIRE(call->shard_end == s + 1);
    for (int64_t begin = 0; begin < shape->cols; begin += COLS_AT_ONCE) {
        int64_t count = min_i64(COLS_AT_ONCE, shape->cols - begin);
        double sum[COLS_AT_ONCE] = {0};
        for (int64_t r = 0; r < shape->rows; r++) {
            const real_t *x = row_of(call->in[0], s, r) + begin;
            const real_t *dy = row_of(call->d_out, s, r) + begin;
            for (int64_t c = 0; c < count; c++) {
                sum[c] += x[c] > 0 ? 0.0 : (double)x[c] * (double)dy[c];
            }
        }
        for (int64_t c = 0; c < count; c++) {
            ((real_t *)call->d_weight[0])[begin + c] = (real_t)sum[c];
        }
    }
}
