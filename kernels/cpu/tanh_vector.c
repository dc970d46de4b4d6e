#include "kernels/cpu/vector.h"

void REAL(tanh_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const float *x = row_of(call->in[0], s, r);
            float *y = row_of(call->out, s, r);
            for (int64_t c = 0; c < shape->cols; c += WIDTH) {
                store_lanes(y + c, vector_tanh(load_lanes(x + c, shape->cols - c)),
                            shape->cols - c);
            }
        }
    }
}

void REAL(tanh_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    if (call->d_in[0].data == NULL) {
        return;
    }
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const float *y = row_of(call->out, s, r), *dy = row_of(call->d_out, s, r);
            float *dx = row_of(call->d_in[0], s, r);
            for (int64_t c = 0; c < shape->cols; c++) {
                dx[c] = dy[c] * (1 - y[c] * y[c]);
            }
        }
    }
}
