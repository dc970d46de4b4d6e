#include "kernels/ref/real.h"

status_t REAL(relu_plan)(const op_description_t *description, op_plan_t **plan_out,
                         op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

/* Written so that a NaN passes: all_finite() has to see it. */
void REAL(relu_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const act_t *x = row_of(call->in[0], s, r);
            act_t *y = row_of(call->out, s, r);
            for (int64_t c = 0; c < shape->cols; c++) {
                y[c] = act_get(x[c]) <= 0 ? 0 : x[c];
            }
        }
    }
}

void REAL(relu_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    if (call->d_in[0].data == NULL) {
        return;
    }
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const act_t *y = row_of(call->out, s, r), *dy = row_of(call->d_out, s, r);
            act_t *dx = row_of(call->d_in[0], s, r);
            for (int64_t c = 0; c < shape->cols; c++) {
                act_t gradient = dy[c]; /* read whether used or not: no branch */
                dx[c] = act_get(y[c]) > 0 ? gradient : 0;
            }
        }
    }
}
