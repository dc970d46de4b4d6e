#include "kernels/ref/l2_norm.h"
#include "kernels/ref/real.h"

void REAL(l2_normalize_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const real_t *x = row_of(call->in[0], s, r);
            real_t *y = row_of(call->out, s, r);
            if (!mask_valid(call->mask, s, r)) {
                memset(y, 0, (size_t)shape->cols * sizeof(real_t));
                continue;
            }
            double inverse = l2_norm_inverse(sqrt(lanes_dot(x, x, shape->cols)));
            for (int64_t c = 0; c < shape->cols; c++) {
                y[c] = (real_t)(x[c] * inverse);
            }
        }
    }
}

/* dx = (dy - y (y . dy)) / |x|; below the floor the denominator is a constant. */
void REAL(l2_normalize_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    if (call->d_in[0].data == NULL) {
        return;
    }
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const real_t *x = row_of(call->in[0], s, r), *dy = row_of(call->d_out, s, r);
            real_t *dx = row_of(call->d_in[0], s, r);
            if (!mask_valid(call->mask, s, r)) {
                memset(dx, 0, (size_t)shape->cols * sizeof(real_t));
                continue;
            }
            double norm = sqrt(lanes_dot(x, x, shape->cols));
            double inverse = l2_norm_inverse(norm), slope = 0.0;
            if (!l2_norm_floored(norm)) {
                slope = lanes_dot(x, dy, shape->cols) * inverse * inverse;
            }
            for (int64_t c = 0; c < shape->cols; c++) {
                dx[c] = (real_t)((dy[c] - x[c] * slope) * inverse);
            }
        }
    }
}
