/* A row divided by its length. Squares and products are summed in double, where those of no number
 * overflow or vanish; what they give is within float's range. */
#include "kernels/cpu/vector.h"
#include "kernels/ref/l2_norm.h"

enum { WIDE = WIDTH / 2 };
typedef double wide_t __attribute__((vector_size(8 * WIDE)));

INLINE wide_t lower(vec_t x) {
#if defined(__AVX512F__)
    return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
#else
    return _mm256_cvtps_pd(_mm256_castps256_ps128(x));
#endif
}

INLINE wide_t upper(vec_t x) {
#if defined(__AVX512F__)
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
#else
    return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
#endif
}

static double dot(const float *x, const float *y, int64_t count) {
    wide_t even = {0}, odd = {0};
    for (int64_t c = 0; c < count; c += WIDTH) {
        vec_t left = load_lanes(x + c, count - c), right = load_lanes(y + c, count - c);
        even += lower(left) * lower(right);
        odd += upper(left) * upper(right);
    }
    even += odd;
    double total = 0.0;
    for (int i = 0; i < WIDE; i++) {
        total += even[i];
    }
    return total;
}

void REAL(l2_normalize_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const float *x = row_of(call->in[0], s, r);
            float *y = row_of(call->out, s, r);
            if (!mask_valid(call->mask, s, r)) {
                memset(y, 0, (size_t)shape->cols * sizeof(float));
                continue;
            }
            vec_t inverse = fill((float)l2_norm_inverse(sqrt(dot(x, x, shape->cols))));
            for (int64_t c = 0; c < shape->cols; c += WIDTH) {
                store_lanes(y + c, load_lanes(x + c, shape->cols - c) * inverse, shape->cols - c);
            }
        }
    }
}

/* dx = (dy - y (y . dy)) / |x|; below the floor the denominator is a constant. */
static void row_gradient(const float *x, const float *dy, int64_t cols, float *dx) {
    double norm = sqrt(dot(x, x, cols));
    double factor = l2_norm_inverse(norm);
    double along = l2_norm_floored(norm) ? 0.0 : dot(x, dy, cols) * factor * factor;
    vec_t inverse = fill((float)factor), slope = fill(-(float)along);
    for (int64_t c = 0; c < cols; c += WIDTH) {
        vec_t apart = fused(load_lanes(x + c, cols - c), slope, load_lanes(dy + c, cols - c));
        store_lanes(dx + c, apart * inverse, cols - c);
    }
}

void REAL(l2_normalize_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    if (call->d_in[0].data == NULL) {
        return;
    }
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            float *dx = row_of(call->d_in[0], s, r);
            if (mask_valid(call->mask, s, r)) {
                row_gradient(row_of(call->in[0], s, r), row_of(call->d_out, s, r), shape->cols, dx);
            } else {
                memset(dx, 0, (size_t)shape->cols * sizeof(float));
            }
        }
    }
}
