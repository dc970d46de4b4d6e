/* Weights over the features of a row, or over equal parts of it. */
#include "kernels/cpu/vector.h"

static float *weights_of(const op_plan_t *plan, const op_call_t *call, int shard, int64_t row) {
    return (float *)call->saved + shard * call->saved_shard_stride +
           row * plan->description.in[1].cols;
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

/* The others count as scores of -inf, whose weight is 0. */
static void softmax_of_valid(float *w, const float *score, int64_t count, const uint8_t *valid) {
    bool any = false;
    for (int64_t c = 0; c < count; c++) {
        any |= valid[c] != 0;
        w[c] = valid[c] != 0 ? score[c] : -INFINITY;
    }
    if (any) {
        softmax(w, w, count);
    } else {
        memset(w, 0, (size_t)count * sizeof *w);
    }
}

/* y = x, each part times its weight. */
static void weigh(float *y, const float *x, const float *w, int64_t parts, int64_t width) {
    if (width == 1) {
        for (int64_t c = 0; c < parts; c++) {
            y[c] = x[c] * w[c];
        }
        return;
    }
    for (int64_t p = 0; p < parts; p++) {
        for (int64_t c = p * width; c < (p + 1) * width; c++) {
            y[c] = x[c] * w[p];
        }
    }
}

/* The sum over each part of x dy. */
static void part_products(float *dw, const float *x, const float *dy, int64_t parts,
                          int64_t width) {
    if (width == 1) {
        for (int64_t c = 0; c < parts; c++) {
            dw[c] = x[c] * dy[c];
        }
        return;
    }
    for (int64_t p = 0; p < parts; p++) {
        vec_t total = fill(0.0F);
        for (int64_t c = p * width; c < (p + 1) * width; c += WIDTH) {
            int64_t left = (p + 1) * width - c;
            total = fused(load_lanes(x + c, left), load_lanes(dy + c, left), total);
        }
        dw[p] = lanes_added(total);
    }
}

void REAL(softmax_gate_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t parts = d->in[1].cols, width = d->out.cols / parts;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            float *w = weights_of(plan, call, s, r);
            const float *score = row_of(call->in[1], s, r);
            if (call->mask.data == NULL) {
                softmax(w, score, parts);
            } else {
                softmax_of_valid(w, score, parts,
                                 call->mask.data + s * call->mask.shard_stride + r * parts);
            }
            weigh(row_of(call->out, s, r), row_of(call->in[0], s, r), w, parts, width);
        }
    }
}

void REAL(softmax_gate_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t parts = d->in[1].cols, width = d->out.cols / parts;
    float *dw = call->workspace;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            const float *w = weights_of(plan, call, s, r), *dy = row_of(call->d_out, s, r);
            part_products(dw, row_of(call->in[0], s, r), dy, parts, width);
            vec_t total = fill(0.0F);
            for (int64_t p = 0; p < parts; p += WIDTH) {
                total = fused(load_lanes(dw + p, parts - p), load_lanes(w + p, parts - p), total);
            }
            float mean = lanes_added(total);
            if (call->d_in[0].data != NULL) {
                weigh(row_of(call->d_in[0], s, r), dy, w, parts, width);
            }
            float *d_score = call->d_in[1].data == NULL ? NULL : row_of(call->d_in[1], s, r);
            for (int64_t p = 0; p < parts && d_score != NULL; p++) {
                d_score[p] = w[p] * (dw[p] - mean);
            }
        }
    }
}
