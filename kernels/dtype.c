#include "kernels/bf16.h"
#include "kernels/kernels.h"

double dtype_get(dtype_t dtype, const void *data, int64_t index) {
    switch (dtype) {
    case DTYPE_F64:
        return ((const double *)data)[index];
    case DTYPE_BF16:
        return (double)bf16_to_float(((const bf16_t *)data)[index]);
    default:
        return (double)((const float *)data)[index];
    }
}

void dtype_set(dtype_t dtype, void *data, int64_t index, double value) {
    switch (dtype) {
    case DTYPE_F64:
        ((double *)data)[index] = value;
        break;
    case DTYPE_BF16:
        ((bf16_t *)data)[index] = bf16_of((float)value);
        break;
    default:
        ((float *)data)[index] = (float)value;
    }
}

void dtype_from_float(dtype_t dtype, void *to, const float *from, int64_t count) {
    if (dtype == DTYPE_F32) {
        memcpy(to, from, (size_t)count * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        if (dtype == DTYPE_BF16) {
            ((bf16_t *)to)[i] = bf16_of(from[i]);
        } else {
            ((double *)to)[i] = (double)from[i];
        }
    }
}

void dtype_to_float(dtype_t dtype, float *to, const void *from, int64_t count) {
    if (dtype == DTYPE_F32) {
        memcpy(to, from, (size_t)count * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        to[i] = dtype == DTYPE_BF16 ? bf16_to_float(((const bf16_t *)from)[i])
                                    : (float)((const double *)from)[i];
    }
}
