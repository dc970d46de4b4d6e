/* Weights over the features of a row. */
#include "kernels/cpu/vector.h"

static float *weights_of(const op_plan_t *plan, const op_call_t *call, int shard, int64_t row) {
    return (float *)call->saved + shard * call->saved_shard_stride +
           row * plan->description.out.cols;
}

/* Lanes from `count` on are `outside`. */
INLINE vec_t load_or(const float *from, int64_t count, float outside) {
    return count >= WIDTH
               ? load(from)
               : where(lane_numbers() < (int32_t)count, load_part(from, count), fill(outside));
}

static void softmax(float *w, const float *score, int64_t count) {
    vec_t top = fill(-INFINITY), total = fill(0.0F);
    for (int64_t c = 0; c < count; c += WIDTH) {
        top = larger(load_or(score + c, count - c, -INFINITY), top);
    }
    vec_t largest = fill(largest_lane(top));
    for (int64_t c = 0; c < count; c += WIDTH) {
        vec_t power = vector_exp(load_or(score + c, count - c, -INFINITY) - largest);
        store_lanes(w + c, power, count - c);
        total += power;
    }
    vec_t inverse = fill(1.0F / lanes_added(total));
    for (int64_t c = 0; c < count; c += WIDTH) {
        store_lanes(w + c, load_lanes(w + c, count - c) * inverse, count - c);
    }
}

void REAL(softmax_gate_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            float *w = weights_of(plan, call, s, r), *y = row_of(call->out, s, r);
            const float *x = row_of(call->in[0], s, r);
            softmax(w, row_of(call->in[1], s, r), shape->cols);
            for (int64_t c = 0; c < shape->cols; c++) {
                y[c] = x[c] * w[c];
            }
        }
    }
}

void REAL(softmax_gate_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const float *w = weights_of(plan, call, s, r), *dy = row_of(call->d_out, s, r);
            const float *x = row_of(call->in[0], s, r);
            vec_t total = fill(0.0F);
            for (int64_t c = 0; c < shape->cols; c += WIDTH) {
                int64_t left = shape->cols - c;
                vec_t dw = load_lanes(x + c, left) * load_lanes(dy + c, left);
                total = fused(dw, load_lanes(w + c, left), total);
            }
            float mean = lanes_added(total);
            float *dx = call->d_in[0].data == NULL ? NULL : row_of(call->d_in[0], s, r);
            float *d_score = call->d_in[1].data == NULL ? NULL : row_of(call->d_in[1], s, r);
            for (int64_t c = 0; c < shape->cols && dx != NULL; c++) {
                dx[c] = dy[c] * w[c];
            }
            for (int64_t c = 0; c < shape->cols && d_score != NULL; c++) {
                d_score[c] = w[c] * (x[c] * dy[c] - mean);
            }
        }
    }
}
