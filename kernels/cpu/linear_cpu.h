/* linear_cpu.h - what linear_cpu.c plans and linear_weights_cpu.c uses. */
#ifndef JMT_KERNELS_CPU_LINEAR_CPU_H
#define JMT_KERNELS_CPU_LINEAR_CPU_H

#include <omp.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/product.h"

CPU_OP_PROTOTYPES(KERNEL_SUFFIX)

enum {
    BLOCK_ROWS = 256,         /* of a left factor: what stays near while all panels pass */
    STRIP_COLS = 32,          /* of d_out at a time */
    GROUP_UNITS_MOST = 384,   /* of rows of x in panels at a time */
    GROUP_BYTES = 768 * 1024, /* of these: most of a usual second-level cache */
    STRIDE_IN_PLACE = 64,     /* of d_out at most, for columns of it to be read in their place */
    TREE_TILES = 10,          /* sums over leaves that wait for their right side */
};
_Static_assert(GROUP_UNITS_MOST < 1 << (TREE_TILES - 1), "a leaf has a unit or more");

typedef struct linear_plan {
    op_plan_t base; /* first: freed as one */
    int threads;
    int64_t group_units;                 /* of rows of x in panels at a time: weights' gradient */
    int64_t strips_offset, tiles_offset; /* of the workspace, for the weights' gradient */
} linear_plan_t;

/* Workspace elements of backward_weights; fills the plan's part of it. */
int64_t REAL(linear_weights_plan)(linear_plan_t *plan);

/* Shards follow one another without a gap. */
static inline bool shards_follow(const matrix_t *matrix) {
    return matrix->shard_stride == matrix->rows * matrix->row_stride;
}

/* Those of a sample's rows that count; samples are numbered over all shards. */
typedef struct row_range {
    int64_t begin, end;
} row_range_t;
static inline row_range_t live_rows(const live_t *live, int64_t sample, int64_t rows) {
    int64_t of_step = rows / live->length;
    step_range_t range = live->ranges[sample];
    return (row_range_t){range.begin * of_step, range.end * of_step};
}

static inline bool has_relu(const linear_plan_t *plan) {
    return plan->base.description.attributes.activation == ACTIVATION_RELU;
}

static inline bool is_transposed(const linear_plan_t *plan) {
    return plan->base.description.attributes.transposed;
}

#endif
