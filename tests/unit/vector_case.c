/* What kernels/cpu/vector.h computes, for test_vector.c; compiled for each instruction set. */
#include "kernels/cpu/vector.h"
#include "unit/vector_case.h"

void REAL(exp_of)(const float *x, float *y, int64_t count) {
    for (int64_t i = 0; i < count; i += WIDTH) {
        store_lanes(y + i, vector_exp(load_lanes(x + i, count - i)), count - i);
    }
}

void REAL(tanh_of)(const float *x, float *y, int64_t count) {
    for (int64_t i = 0; i < count; i += WIDTH) {
        store_lanes(y + i, vector_tanh(load_lanes(x + i, count - i)), count - i);
    }
}
