/* sim_number.h - the number formats of the three libraries, read and written through float or
 * double. */
#ifndef JMT_SIM_NUMBER_H
#define JMT_SIM_NUMBER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum sim_number {
    SIM_I8,
    SIM_U8,
    SIM_I32,
    SIM_U32,
    SIM_I64,
    SIM_U64,
    SIM_BF16,
    SIM_F32,
    SIM_F64,
    SIM_NO_NUMBER
} sim_number_t;

static inline size_t sim_number_size(sim_number_t type) {
    switch (type) {
    case SIM_I8:
    case SIM_U8:
        return 1;
    case SIM_BF16:
        return 2;
    case SIM_I64:
    case SIM_U64:
    case SIM_F64:
        return 8;
    default:
        return 4;
    }
}

static inline float sim_bits_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t sim_float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline uint16_t sim_float_bf16(float x) { /* to nearest, ties to even; NaN stays one */
    uint32_t bits = sim_float_bits(x);
    return (bits & 0x7FFFFFFF) > 0x7F800000 ? (uint16_t)(bits >> 16 | 0x40)
                                            : (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/* As tensor cores read a float: ten bits behind the point. */
static inline float sim_float_tf32(float x) {
    uint32_t bits = sim_float_bits(x);
    return (bits & 0x7F800000) == 0x7F800000
               ? x
               : sim_bits_float((bits + 0xFFF + (bits >> 13 & 1)) & ~0x1FFFu);
}

static inline double sim_number_load(sim_number_t type, const void *p, size_t i) {
    switch (type) {
    case SIM_I8:
        return ((const int8_t *)p)[i];
    case SIM_U8:
        return ((const uint8_t *)p)[i];
    case SIM_I32:
        return ((const int32_t *)p)[i];
    case SIM_U32:
        return ((const uint32_t *)p)[i];
    case SIM_I64:
        return (double)((const int64_t *)p)[i];
    case SIM_U64:
        return (double)((const uint64_t *)p)[i];
    case SIM_BF16:
        return sim_bits_float((uint32_t)((const uint16_t *)p)[i] << 16);
    case SIM_F32:
        return ((const float *)p)[i];
    case SIM_F64:
        return ((const double *)p)[i];
    case SIM_NO_NUMBER:
        break;
    }
    return 0;
}

static inline void sim_number_store(sim_number_t type, void *p, size_t i, double x) {
    switch (type) {
    case SIM_I8:
        ((int8_t *)p)[i] = (int8_t)x;
        break;
    case SIM_U8:
        ((uint8_t *)p)[i] = (uint8_t)x;
        break;
    case SIM_I32:
        ((int32_t *)p)[i] = (int32_t)x;
        break;
    case SIM_U32:
        ((uint32_t *)p)[i] = (uint32_t)x;
        break;
    case SIM_I64:
        ((int64_t *)p)[i] = (int64_t)x;
        break;
    case SIM_U64:
        ((uint64_t *)p)[i] = (uint64_t)x;
        break;
        break;
    case SIM_BF16:
        ((uint16_t *)p)[i] = sim_float_bf16((float)x);
        break;
    case SIM_F32:
        ((float *)p)[i] = (float)x;
        break;
    case SIM_F64:
        ((double *)p)[i] = x;
        break;
    case SIM_NO_NUMBER:
        break;
    }
}

#endif
