/* limits_cpu.h - loops that do nothing but keep one unit of the processor busy, by instruction set.
 */
#ifndef JMT_KERNELS_CPU_LIMITS_CPU_H
#define JMT_KERNELS_CPU_LIMITS_CPU_H

#include <stdint.h>

typedef struct limit_loops {
    const char *isa;
    double fma_flop;             /* of one turn */
    float (*fma)(int64_t turns); /* returns what must not be left out */
    void (*triad)(float *a, const float *b, const float *c, int64_t count); /* a = b + 3 c */
    float (*read)(const float *a, int64_t count);
} limit_loops_t;

/* Arrays are aligned to 64 bytes, their counts multiples of 128. */
extern const limit_loops_t limit_loops_generic, limit_loops_avx2, limit_loops_avx512;

/* Products of bf16; NULL where the processor has none. */
typedef float limit_bf16_t(int64_t turns);
limit_bf16_t *limit_bf16(double *flop_out);

#endif
