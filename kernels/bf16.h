/* bf16.h - the upper half of a float: 8 bits of precision, the same range. */
#ifndef JMT_BF16_H
#define JMT_BF16_H

#include <stdint.h>
#include <string.h>

typedef uint16_t bf16_t;

static inline float bf16_to_float(bf16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To nearest, ties to even; a NaN stays one. */
static inline bf16_t bf16_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40U;
    return (bf16_t)((bits & 0x7FFFFFFFU) > 0x7F800000U ? quiet : rounded);
}

#endif
