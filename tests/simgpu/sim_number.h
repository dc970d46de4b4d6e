/* The number formats of the three libraries, read and written through double. */
#pragma once
#include <stdint.h>
#include <string.h>
enum number { N_I8, N_U8, N_I32, N_U32, N_I64, N_BF16, N_F32, N_F64, N_NONE };
static inline size_t number_size(enum number t) {
    return t <= N_U8 ? 1 : t == N_BF16 ? 2 : t == N_I64 || t == N_F64 ? 8 : 4;
}
static inline double number_load(enum number t, const void *p, size_t i) {
    uint32_t u;
    float f;
    switch (t) {
    case N_I8:
        return ((const int8_t *)p)[i];
    case N_U8:
        return ((const uint8_t *)p)[i];
    case N_I32:
        return ((const int32_t *)p)[i];
    case N_U32:
        return ((const uint32_t *)p)[i];
    case N_I64:
        return (double)((const int64_t *)p)[i];
    case N_BF16:
        return u = (uint32_t)((const uint16_t *)p)[i] << 16, memcpy(&f, &u, 4), f;
    case N_F32:
        return ((const float *)p)[i];
    case N_F64:
        return ((const double *)p)[i];
    case N_NONE:
        break;
    }
    return 0;
}
static inline void number_store(enum number t, void *p, size_t i, double x) {
    uint32_t u;
    float f = (float)x;
    switch (t) {
    case N_I8:
        ((int8_t *)p)[i] = (int8_t)x;
        break;
    case N_U8:
        ((uint8_t *)p)[i] = (uint8_t)x;
        break;
    case N_I32:
        ((int32_t *)p)[i] = (int32_t)x;
        break;
    case N_U32:
        ((uint32_t *)p)[i] = (uint32_t)x;
        break;
    case N_I64:
        ((int64_t *)p)[i] = (int64_t)x;
        break;
    case N_BF16:
        memcpy(&u, &f, 4), ((uint16_t *)p)[i] = (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
        break;
    case N_F32:
        ((float *)p)[i] = f;
        break;
    case N_F64:
        ((double *)p)[i] = x;
        break;
    case N_NONE:
        break;
    }
}
