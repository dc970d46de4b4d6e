#include "kernels/ref/real.h"

void REAL(add)(void *out, const void *a, const void *b, int64_t count) {
    real_t *total = out;
    const real_t *x = a, *y = b;
    for (int64_t i = 0; i < count; i++) {
        total[i] = x[i] + y[i];
    }
}

double REAL(sum_squares)(const void *x, int64_t count) { return lanes_dot(x, x, count); }

/* x - x is 0 exactly when x is finite. Counting has no early way out, so it vectorises. */
bool REAL(all_finite)(const void *x, int64_t count) {
    const real_t *value = x;
    int64_t bad = 0;
    for (int64_t i = 0; i < count; i++) {
        bad += value[i] - value[i] != 0;
    }
    return bad == 0;
}
