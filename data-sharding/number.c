#include "data-sharding/number.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

bool number_type_known(number_type_t type) {
    bool power = type.bytes == 1 || type.bytes == 2 || type.bytes == 4 || type.bytes == 8;
    switch (type.kind) {
    case 'f':
        return power && type.bytes > 1;
    case 't':
        return type.bytes == 2;
    case 'b':
        return type.bytes == 1;
    default:
        return power && (type.kind == 'i' || type.kind == 'u');
    }
}

static float half_value(uint16_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = exponent == 31  ? (fraction == 0 ? INFINITY : NAN)
                 : exponent == 0 ? ldexpf((float)fraction, -24)
                                 : ldexpf((float)(fraction | 1024), exponent - 25);
    return (bits & 0x8000) != 0 ? -size : size;
}

static double float_value(uint64_t bits, int bytes) {
    uint32_t low = (uint32_t)bits;
    float f;
    double d;
    memcpy(&f, &low, sizeof f);
    memcpy(&d, &bits, sizeof d);
    return bytes == 2 ? half_value((uint16_t)bits) : bytes == 4 ? f : d;
}

static uint64_t bits_of(const uint8_t *at, number_type_t type) {
    uint64_t bits = 0;
    for (int i = 0; i < type.bytes; i++) {
        bits = bits << 8 | at[type.big ? i : type.bytes - 1 - i];
    }
    return bits;
}

int64_t number_read_int(const void *at, number_type_t type) {
    uint64_t bits = bits_of(at, type), sign = UINT64_C(1) << (8 * type.bytes - 1);
    return (int64_t)(type.kind == 'i' ? (bits ^ sign) - sign : type.kind == 'b' ? bits != 0 : bits);
}

double number_read(const void *at, number_type_t type) {
    uint64_t bits = bits_of(at, type);
    switch (type.kind) {
    case 'f':
        return float_value(bits, type.bytes);
    case 't': /* the upper half of a float */
        return float_value(bits << 16, 4);
    case 'u':
        return (double)bits;
    default:
        return (double)number_read_int(at, type);
    }
}
