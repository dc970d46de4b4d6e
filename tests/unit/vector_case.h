/* vector_case.h - functions of kernels/cpu/vector.h, of each instruction set, on arrays. */
#ifndef JMT_TESTS_VECTOR_CASE_H
#define JMT_TESTS_VECTOR_CASE_H

#include <stdint.h>

void exp_of_cpu_avx2(const float *x, float *y, int64_t count);
void exp_of_cpu_avx512(const float *x, float *y, int64_t count);
void tanh_of_cpu_avx2(const float *x, float *y, int64_t count);
void tanh_of_cpu_avx512(const float *x, float *y, int64_t count);

#endif
