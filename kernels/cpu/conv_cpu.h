/* conv_cpu.h - what the files of the convolution share. What a block of rows reads is laid side by
 * side as the product needs it, block by block: the whole unfolded input never exists. */
#ifndef JMT_KERNELS_CPU_CONV_CPU_H
#define JMT_KERNELS_CPU_CONV_CPU_H

#include <omp.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/product.h"
#include "kernels/ref/window.h"

CPU_OP_PROTOTYPES(KERNEL_SUFFIX)

/* The order of a patch: taps before columns, so that whole rows are copied. */
typedef struct patches {
    op_axis_t axis[OP_AXES]; /* over the rows of `from`; dilation and before of either sign */
    int64_t cols;            /* of each row: those of one group */
    int64_t width;           /* taps * cols */
    matrix_t from;
    const matrix_t *mask; /* from counts where this is above 0; NULL: everywhere */
} patches_t;

/* Patches [begin, begin + rows) of a shard, columns from `col` on, row by row. */
void REAL(conv_gather)(const patches_t *patches, int shard, int64_t col, int64_t begin,
                       int64_t rows, float *to, int64_t to_row);

/* A patch is a row of `from`, where it lies. */
bool REAL(conv_in_place)(const patches_t *patches);

typedef struct conv_plan {
    op_plan_t base; /* first: freed as one */
    int threads;
    int64_t in, out, taps, width; /* of one group: columns, taps * in */
    int64_t part_rows;            /* in patches at a time: the weights' gradient */
    /* Of the workspace, for the weights' gradient; for the others: panels, then a block of patches
     * and one of results for each thread. */
    int64_t total_offset, right_offset;
    int64_t panels_count, blocks_count;
} conv_plan_t;

/* Workspace elements of backward_weights; fills the plan's part of it. */
int64_t REAL(conv_weights_plan)(conv_plan_t *plan);

static inline bool conv_has_relu(const op_plan_t *plan) {
    return plan->description.attributes.activation == ACTIVATION_RELU;
}

/* Rows of a weight (of `taps` numbers each) that are moved between layouts at a time. */
static inline int64_t conv_block_of(int64_t taps) { return max_i64(1, 64 / taps); }

#endif
