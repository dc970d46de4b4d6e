#include "kernels/ref/real.h"

void REAL(add)(const device_t *device, void *out, const void *a, const void *b, int64_t count) {
    (void)device;
    real_t *total = out;
    const real_t *x = a, *y = b;
    for (int64_t i = 0; i < count; i++) {
        total[i] = x[i] + y[i];
    }
}

void REAL(sum_squares_spans)(const device_t *device, const void *gradient,
                             const optimizer_span_t *spans, int64_t span_count, double *partials) {
    (void)device;
    for (int64_t i = 0; i < span_count; i++) {
        const real_t *x = (const real_t *)gradient + spans[i].offset;
        partials[i] = spans[i].role == SPAN_LEARNED ? lanes_dot(x, x, spans[i].count) : 0.0;
    }
}

/* x - x is 0 exactly when x is finite. Counting has no early way out, so it vectorises. */
bool REAL(all_finite)(const device_t *device, const void *x, int64_t count) {
    (void)device;
    const real_t *value = x;
    int64_t bad = 0;
    for (int64_t i = 0; i < count; i++) {
        bad += value[i] - value[i] != 0;
    }
    return bad == 0;
}
