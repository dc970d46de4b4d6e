/* vector.h - float vectors as wide as the instruction set that this file is compiled for: CMake
 * compiles every *_vector.c once for AVX2 (with FMA) and once for AVX-512. What is computed of an
 * element depends neither on its lane nor on what stands in the others, but for reductions.
 *
 * A part of a vector is its first `count` lanes: the others are neither read nor written. */
#ifndef JMT_KERNELS_CPU_VECTOR_H
#define JMT_KERNELS_CPU_VECTOR_H

#include <immintrin.h>

#include "kernels/ref/real.h"

#if defined(__AVX512F__)
enum { WIDTH = 16, TILE_ROWS_MAX = 8 };
typedef __m512 vec_t;
#elif defined(__AVX2__)
enum { WIDTH = 8, TILE_ROWS_MAX = 6 };
typedef __m256 vec_t;
#else
#error "kernels/cpu/*_vector.c are compiled for AVX2 and AVX-512"
#endif
typedef int32_t ivec_t __attribute__((vector_size(4 * WIDTH)));

#define INLINE static inline __attribute__((always_inline))

INLINE ivec_t lane_numbers(void) {
    ivec_t lanes = {0};
    for (int i = 0; i < WIDTH; i++) {
        lanes[i] = i;
    }
    return lanes;
}

#if defined(__AVX512F__)
INLINE __mmask16 part_mask(int64_t count) { return (__mmask16)((1U << count) - 1U); }
INLINE vec_t load(const float *from) { return _mm512_loadu_ps(from); }
INLINE void store(float *to, vec_t x) { _mm512_storeu_ps(to, x); }
INLINE vec_t load_part(const float *from, int64_t count) {
    return _mm512_maskz_loadu_ps(part_mask(count), from);
}
INLINE void store_part(float *to, vec_t x, int64_t count) {
    _mm512_mask_storeu_ps(to, part_mask(count), x);
}
INLINE vec_t fill(float x) { return _mm512_set1_ps(x); }
INLINE vec_t fused(vec_t a, vec_t b, vec_t c) { return _mm512_fmadd_ps(a, b, c); }
/* The second where one of them is a NaN. */
INLINE vec_t larger(vec_t a, vec_t b) { return _mm512_max_ps(a, b); }
INLINE vec_t smaller(vec_t a, vec_t b) { return _mm512_min_ps(a, b); }
INLINE vec_t root(vec_t x) { return _mm512_sqrt_ps(x); }
INLINE vec_t nearest(vec_t x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE ivec_t to_int(vec_t x) { return (ivec_t)_mm512_cvtps_epi32(x); }
INLINE float largest_lane(vec_t x) { return _mm512_reduce_max_ps(x); }
INLINE __m256 folded(vec_t x) {
    return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
}
#else
INLINE __m256i part_mask(int64_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), (__m256i)lane_numbers());
}
INLINE vec_t load(const float *from) { return _mm256_loadu_ps(from); }
INLINE void store(float *to, vec_t x) { _mm256_storeu_ps(to, x); }
INLINE vec_t load_part(const float *from, int64_t count) {
    return _mm256_maskload_ps(from, part_mask(count));
}
INLINE void store_part(float *to, vec_t x, int64_t count) {
    _mm256_maskstore_ps(to, part_mask(count), x);
}
INLINE vec_t fill(float x) { return _mm256_set1_ps(x); }
INLINE vec_t fused(vec_t a, vec_t b, vec_t c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vec_t larger(vec_t a, vec_t b) { return _mm256_max_ps(a, b); }
INLINE vec_t smaller(vec_t a, vec_t b) { return _mm256_min_ps(a, b); }
INLINE vec_t root(vec_t x) { return _mm256_sqrt_ps(x); }
INLINE vec_t nearest(vec_t x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE ivec_t to_int(vec_t x) { return (ivec_t)_mm256_cvtps_epi32(x); }
INLINE float largest_lane(vec_t x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
INLINE __m256 folded(vec_t x) { return x; }
#endif

INLINE float lanes_added(vec_t x) {
    __m256 eight = folded(x);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* Of two vectors and every other block of `size` lanes: those blocks change places. */
#define EXCHANGE(size, x, y)                                                                       \
    do {                                                                                           \
        const ivec_t low_ = BLOCKS(size, 0), high_ = BLOCKS(size, size);                           \
        vec_t x_ = (x), y_ = (y);                                                                  \
        (x) = __builtin_shuffle(x_, y_, low_);                                                     \
        (y) = __builtin_shuffle(x_, y_, high_);                                                    \
    } while (0)

/* Lane l takes lane l of x where l / size is even (from: l + size), else lane l - size of y. */
#define LANE(l, size, from) ((l) & (size) ? WIDTH + (l) - (size) + (from) : (l) + (from))
#define LANES4(l, size, from)                                                                      \
    LANE(l, size, from), LANE((l) + 1, size, from), LANE((l) + 2, size, from),                     \
        LANE((l) + 3, size, from)
#define LANES8(l, size, from) LANES4(l, size, from), LANES4((l) + 4, size, from)
#if defined(__AVX512F__)
#define BLOCKS(size, from)                                                                         \
    { LANES8(0, size, from), LANES8(8, size, from) }
#else
#define BLOCKS(size, from)                                                                         \
    { LANES8(0, size, from) }
#endif

#define EACH_LANE _Pragma("GCC unroll 16") for (int i = 0; i < WIDTH; i++)

/* Lane i becomes the sum over the lanes of x[i]: neighbours, then pairs of them, and so on,
 * wherever in x a vector stands. x is lost. */
#if defined(__AVX512F__)
INLINE vec_t lanes_added_of_each(vec_t x[WIDTH]) {
#define STAGE(size)                                                                                \
    EACH_LANE {                                                                                    \
        if ((i & (2 * (size)-1)) == 0) {                                                           \
            EXCHANGE(size, x[i], x[i + (size)]);                                                   \
            x[i] += x[i + (size)];                                                                 \
        }                                                                                          \
    }
    STAGE(1)
    STAGE(2)
    STAGE(4)
    STAGE(8)
#undef STAGE
    return x[0];
}
#else
INLINE vec_t lanes_added_of_each(vec_t x[WIDTH]) {
    vec_t low = _mm256_hadd_ps(_mm256_hadd_ps(x[0], x[1]), _mm256_hadd_ps(x[2], x[3]));
    vec_t high = _mm256_hadd_ps(_mm256_hadd_ps(x[4], x[5]), _mm256_hadd_ps(x[6], x[7]));
    return _mm256_permute2f128_ps(low, high, 0x20) + _mm256_permute2f128_ps(low, high, 0x31);
}
#endif

/* The same with the bits of lanes_added(): halves are added, then halves of these, and so on. */
INLINE vec_t lanes_added_of_rows(vec_t x[WIDTH]) {
#define STAGE(size)                                                                                \
    _Pragma("GCC unroll 8") for (int i = 0; i < (size); i++) {                                     \
        EXCHANGE(size, x[i], x[i + (size)]);                                                       \
        x[i] += x[i + (size)];                                                                     \
    }
#if defined(__AVX512F__)
    STAGE(8)
#endif
    STAGE(4)
    STAGE(2)
    STAGE(1)
#undef STAGE
    return x[0];
}

/* Of four rows: out[2 * i] is the sum over the lanes of x[i] with the bits of lanes_added(), or the
 * largest of them. The other numbers mean nothing. */
INLINE __m256 joined(__m256 x, __m256 y, const bool largest) {
    return largest ? _mm256_max_ps(x, y) : _mm256_add_ps(x, y);
}
INLINE void four_joined(const vec_t x[4], const bool largest, float out[8]) {
    __m256 row[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
#if defined(__AVX512F__)
        row[i] = joined(_mm512_castps512_ps256(x[i]), _mm512_extractf32x8_ps(x[i], 1), largest);
#else
        row[i] = x[i];
#endif
    }
    __m256 even = joined(_mm256_permute2f128_ps(row[0], row[2], 0x20),
                         _mm256_permute2f128_ps(row[0], row[2], 0x31), largest);
    __m256 odd = joined(_mm256_permute2f128_ps(row[1], row[3], 0x20),
                        _mm256_permute2f128_ps(row[1], row[3], 0x31), largest);
    __m256d pairs[2] = {_mm256_castps_pd(even), _mm256_castps_pd(odd)};
    __m256 two = joined(_mm256_castpd_ps(_mm256_unpacklo_pd(pairs[0], pairs[1])),
                        _mm256_castpd_ps(_mm256_unpackhi_pd(pairs[0], pairs[1])), largest);
    _mm256_storeu_ps(out, joined(two, _mm256_movehdup_ps(two), largest));
}

/* keep has all bits or none set in a lane. */
INLINE vec_t where(ivec_t keep, vec_t x, vec_t otherwise) {
    return (vec_t)((keep & (ivec_t)x) | (~keep & (ivec_t)otherwise));
}

/* Whole vectors and a last part, by one text: count is WIDTH or less. */
INLINE vec_t load_lanes(const float *from, int64_t count) {
    return count >= WIDTH ? load(from) : load_part(from, count);
}
INLINE void store_lanes(float *to, vec_t x, int64_t count) {
    if (count >= WIDTH) {
        store(to, x);
    } else {
        store_part(to, x, count);
    }
}

INLINE vec_t power_of_two(ivec_t exponent) { return (vec_t)((exponent + 127) << 23); }

/* exp within 1.1 ulp of the true value (1.5e-45 where that is no normal number); 0 below -104, inf
 * above 88.73, a NaN stays one. exp(x) = 2^n exp(r), |r| <= ln(2) / 2; exp(r) by its Taylor
 * polynomial of degree 7; 2^n in two factors, since n may leave the range of exponents. */
INLINE vec_t vector_exp(vec_t x) {
    x = smaller(fill(89.0F), larger(fill(-104.5F), x));
    vec_t n = nearest(x * fill(0x1.715476p+0F));
    vec_t r = fused(n, fill(-0x1.62e4p-1F), x);
    r = fused(n, fill(-0x1.7f7d1cp-20F), r);
    vec_t p = fill(1.0F / 5040);
    p = fused(p, r, fill(1.0F / 720));
    p = fused(p, r, fill(1.0F / 120));
    p = fused(p, r, fill(1.0F / 24));
    p = fused(p, r, fill(1.0F / 6));
    p = fused(p, r, fill(0.5F));
    p = fused(p, r * r, r) + fill(1.0F);
    ivec_t exponent = to_int(n), half = exponent >> 1;
    return p * power_of_two(half) * power_of_two(exponent - half);
}

/* tanh within 2 ulp; a NaN stays one. Near 0 by the polynomial of Cephes' tanhf, else by exp. */
INLINE vec_t vector_tanh(vec_t x) {
    const ivec_t magnitude = (ivec_t){0} + 0x7FFFFFFF;
    vec_t size = (vec_t)((ivec_t)x & magnitude), square = x * x;
    vec_t p = fill(-5.70498872745e-3F);
    p = fused(p, square, fill(2.06390887954e-2F));
    p = fused(p, square, fill(-5.37397155531e-2F));
    p = fused(p, square, fill(1.33314422036e-1F));
    p = fused(p, square, fill(-3.33332819422e-1F));
    vec_t near = fused(p * square, size, size);
    vec_t far = fill(1.0F) - fill(2.0F) / (vector_exp(size + size) + fill(1.0F));
    vec_t result = where((ivec_t)(size < fill(0.625F)), near, far);
    return (vec_t)((ivec_t)result | ((ivec_t)x & ~magnitude));
}

#endif
