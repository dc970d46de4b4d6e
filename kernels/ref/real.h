/* real.h - what makes one source file into several: real_t and the suffix of its names.
 *
 * CMake compiles every file of this folder for ref_f32 and ref_f64 and, with wider vectors, those
 * that have no counterpart in kernels/cpu for cpu_avx2 and cpu_avx512. Sums run over fixed lanes or
 * in index order and products are never contracted, so the three float versions give the same
 * bits. */
#ifndef JMT_KERNELS_REF_REAL_H
#define JMT_KERNELS_REF_REAL_H

#include <math.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/bf16.h"
#include "kernels/kernels.h"
#include "kernels/ref/rows.h"

#ifndef KERNEL_SUFFIX
#define KERNEL_SUFFIX ref_f32
#define REAL_BITS     32
#endif

#define REAL(name) ROW_NAME(name, KERNEL_SUFFIX)

#if REAL_BITS == 64
typedef double real_t;
#define REAL_DTYPE DTYPE_F64
static inline real_t real_exp(real_t x) { return exp(x); }
static inline real_t real_sqrt(real_t x) { return sqrt(x); }
static inline real_t real_tanh(real_t x) { return tanh(x); }
#elif REAL_BITS == 16 /* words that are moved alone */
typedef uint16_t real_t;
#else
typedef float real_t;
#define REAL_DTYPE DTYPE_F32
static inline real_t real_exp(real_t x) { return expf(x); }
static inline real_t real_sqrt(real_t x) { return sqrtf(x); }
static inline real_t real_tanh(real_t x) { return tanhf(x); }
#endif

/* What activations and their gradients are stored as: real_t, or bf16 in a table of floats that
 * CMake says so of. */
#ifdef ACTIVATION_BF16
typedef bf16_t act_t;
static inline real_t act_get(act_t x) { return bf16_to_float(x); }
static inline act_t act_of(real_t x) { return bf16_of(x); }
#else
typedef real_t act_t;
static inline real_t act_get(act_t x) { return x; }
static inline act_t act_of(real_t x) { return x; }
#endif

struct op_plan {
    op_description_t description;
};

OP_LIST(REAL_PROTOTYPES)
SUMS_PROTOTYPE(batch_norm, KERNEL_SUFFIX)
TABLE_PROTOTYPES(KERNEL_SUFFIX)

/* Of a description: what holds of every operation of the kind. */
void REAL(attention_check)(const op_description_t *description);
void REAL(mix_rows_check)(const op_description_t *description);
void REAL(correlate_check)(const op_description_t *description);

/* A plan that is nothing but its description; both counts in elements. */
op_plan_t *REAL(plan_open)(const op_description_t *description);

/* c[m,n] = a[m,k] b[k,n], each element summed over k in order. a has any strides; rows of b and c
 * are contiguous; c overlaps neither. */
void REAL(matmul)(int64_t m, int64_t n, int64_t k, const real_t *a, int64_t a_row, int64_t a_col,
                  const real_t *b, int64_t b_row, real_t *c, int64_t c_row);

/* to[cols, rows] contiguous = from[rows, cols] transposed. */
void REAL(transpose)(int64_t rows, int64_t cols, const real_t *from, int64_t from_row, real_t *to);

/* Rows of dropout that share their masks. */
static inline int64_t rows_per_draw(const op_description_t *description) {
    return max_i64(description->attributes.period, 1);
}

static inline act_t *row_of(matrix_t matrix, int64_t shard, int64_t row) {
    return (act_t *)matrix.data + shard * matrix.shard_stride + row * matrix.row_stride;
}

static inline void copy_row(act_t *to, const act_t *from, int64_t count) {
    if (to != from) {
        memcpy(to, from, (size_t)count * sizeof(act_t));
    }
}

static inline bool mask_valid(mask_t mask, int64_t shard, int64_t index) {
    return mask.data == NULL || mask.data[shard * mask.shard_stride + index] != 0;
}

/* to += factor * from */
static inline void add_scaled(real_t *to, real_t factor, const real_t *from, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        to[i] += factor * from[i];
    }
}

enum { LANES = 8 };

static inline double lanes_total(const double lane[LANES]) {
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* Sums in double over eight interleaved lanes: accurate, of one fixed order, and vectorisable. */
static inline double lanes_sum(const real_t *x, int64_t count) {
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            lane[l] += (double)x[i + l];
        }
    }
    for (int l = 0; i + l < count; l++) {
        lane[l] += (double)x[i + l];
    }
    return lanes_total(lane);
}

static inline double lanes_dot(const real_t *x, const real_t *y, int64_t count) {
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            lane[l] += (double)x[i + l] * (double)y[i + l];
        }
    }
    for (int l = 0; i + l < count; l++) {
        lane[l] += (double)x[i + l] * (double)y[i + l];
    }
    return lanes_total(lane);
}

#endif
