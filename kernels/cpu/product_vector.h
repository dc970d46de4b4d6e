/* product_vector.h - the small products inside other operations. */
#ifndef JMT_KERNELS_CPU_PRODUCT_VECTOR_H
#define JMT_KERNELS_CPU_PRODUCT_VECTOR_H

#include <stdint.h>

#include "kernels/ref/real.h"

/* c[m,n] = a[m,k] b[k,n], each element summed over k in order, so that its bits depend on nothing
 * but its row of a and column of b. One of a's strides is 1; rows of b and c are contiguous; c
 * overlaps neither. */
void REAL(product)(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, int64_t a_col,
                   const float *b, int64_t b_row, float *c, int64_t c_row);

/* c[m,n] = a[m,k] b[n,k]': rows by rows, for rows that are long enough not to be transposed first.
 * Each element is summed over k lane by lane and then over the lanes, in an order that only k
 * decides. The columns of c from n to the next multiple of WIDTH become 0. */
void REAL(dot_products)(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row,
                        const float *b, int64_t b_row, float *c, int64_t c_row);

/* to[cols, to_row] = from[rows, cols] transposed; its columns from `rows` to the next multiple of
 * WIDTH become 0. */
void REAL(pack_transposed)(int64_t rows, int64_t cols, const float *from, int64_t from_row,
                           float *to, int64_t to_row);

#endif
