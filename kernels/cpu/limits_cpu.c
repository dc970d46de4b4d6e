#include "kernels/cpu/limits_cpu.h"

#include <immintrin.h>
#include <stddef.h>

enum { CHAINS = 12, STREAMS = 8 }; /* enough to hide the latency of one operation */

/* One set of loops by instruction set. VECTOR holds WIDTH floats; FUSED is a * b + c of vectors. */
#define LIMIT_LOOPS(NAME, TARGET, VECTOR, WIDTH, SET, FUSED)                                       \
    TARGET static float fma_##NAME(int64_t turns) {                                                \
        VECTOR x[CHAINS], factor = SET(0.999f), term = SET(0.001f);                                \
        float total = 0.0f;                                                                        \
        for (int k = 0; k < CHAINS; k++) {                                                         \
            x[k] = SET((float)k);                                                                  \
        }                                                                                          \
        for (int64_t i = 0; i < turns; i++) {                                                      \
            _Pragma("GCC unroll 12") for (int k = 0; k < CHAINS; k++) {                            \
                x[k] = FUSED(x[k], factor, term);                                                  \
            }                                                                                      \
        }                                                                                          \
        for (int k = 0; k < CHAINS; k++) {                                                         \
            total += x[k][0];                                                                      \
        }                                                                                          \
        return total;                                                                              \
    }                                                                                              \
    TARGET static void triad_##NAME(float *a, const float *b, const float *c, int64_t count) {     \
        VECTOR *out = (VECTOR *)a, factor = SET(3.0f);                                             \
        const VECTOR *left = (const VECTOR *)b, *right = (const VECTOR *)c;                        \
        for (int64_t i = 0; i < count / (WIDTH); i++) {                                            \
            out[i] = FUSED(right[i], factor, left[i]);                                             \
        }                                                                                          \
    }                                                                                              \
    TARGET static float read_##NAME(const float *a, int64_t count) {                               \
        const VECTOR *x = (const VECTOR *)a;                                                       \
        VECTOR sum[STREAMS];                                                                       \
        float total = 0.0f;                                                                        \
        for (int k = 0; k < STREAMS; k++) {                                                        \
            sum[k] = SET(0.0f);                                                                    \
        }                                                                                          \
        for (int64_t i = 0; i < count / (WIDTH); i += STREAMS) {                                   \
            _Pragma("GCC unroll 8") for (int k = 0; k < STREAMS; k++) { sum[k] += x[i + k]; }      \
        }                                                                                          \
        for (int k = 0; k < STREAMS; k++) {                                                        \
            total += sum[k][0];                                                                    \
        }                                                                                          \
        return total;                                                                              \
    }                                                                                              \
    const limit_loops_t limit_loops_##NAME = {                                                     \
        .isa = #NAME,                                                                              \
        .fma_flop = 2.0 * CHAINS * (WIDTH),                                                        \
        .fma = fma_##NAME,                                                                         \
        .triad = triad_##NAME,                                                                     \
        .read = read_##NAME,                                                                       \
    };

#define TWO_STEPS(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
LIMIT_LOOPS(generic, , __m128, 4, _mm_set1_ps, TWO_STEPS)
LIMIT_LOOPS(avx2, __attribute__((target("avx2,fma"))), __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps)
LIMIT_LOOPS(avx512, __attribute__((target("avx512f"))), __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps)

__attribute__((target("avx512f,avx512bf16"))) static float bf16(int64_t turns) {
    __m512 x[CHAINS];
    __m512bh left = (__m512bh)_mm512_set1_epi16(0x3f80), right = left; /* 1 */
    float total = 0.0f;
    for (int k = 0; k < CHAINS; k++) {
        x[k] = _mm512_set1_ps((float)k);
    }
    for (int64_t i = 0; i < turns; i++) {
        _Pragma("GCC unroll 12") for (int k = 0; k < CHAINS; k++) {
            x[k] = _mm512_dpbf16_ps(x[k], left, right);
        }
    }
    for (int k = 0; k < CHAINS; k++) {
        total += x[k][0];
    }
    return total;
}

limit_bf16_t *limit_bf16(double *flop_out) {
    *flop_out = 2.0 * 32 * CHAINS;
    return __builtin_cpu_supports("avx512bf16") ? bf16 : NULL;
}
