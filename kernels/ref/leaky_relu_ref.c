#include "kernels/ref/real.h"

#define LEAK ((real_t)0.01) /* PyTorch's slope below 0 */

status_t REAL(leaky_relu_plan)(const op_description_t *description, op_plan_t **plan_out,
                               op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1 || description->input_count == 2);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

void REAL(leaky_relu_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    bool two = plan->description.input_count == 2;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const real_t *x = row_of(call->in[0], s, r);
            const real_t *y = two ? row_of(call->in[1], s, r) : NULL;
            real_t *out = row_of(call->out, s, r);
            for (int64_t c = 0; c < shape->cols; c++) {
                real_t z = two ? x[c] + y[c] : x[c];
                out[c] = z > 0 ? z : LEAK * z;
            }
        }
    }
}

/* The sign of the result is that of what went in. */
void REAL(leaky_relu_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    for (int i = 0; i < plan->description.input_count; i++) {
        for (int s = call->shard_begin; s < call->shard_end && call->d_in[i].data != NULL; s++) {
            for (int64_t r = 0; r < shape->rows; r++) {
                const real_t *out = row_of(call->out, s, r), *d_out = row_of(call->d_out, s, r);
                real_t *d_in = row_of(call->d_in[i], s, r);
                for (int64_t c = 0; c < shape->cols; c++) {
                    d_in[c] = out[c] > 0 ? d_out[c] : LEAK * d_out[c];
                }
            }
        }
    }
}
