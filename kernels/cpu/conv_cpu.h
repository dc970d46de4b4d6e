/* conv_cpu.h - what the files of the convolution share. What a block of rows reads is laid side by
 * side as the product needs it, some lines of taps at a time: the whole unfolded input never
 * exists. */
#ifndef JMT_KERNELS_CPU_CONV_CPU_H
#define JMT_KERNELS_CPU_CONV_CPU_H

#include <omp.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/product.h"
#include "kernels/ref/window.h"

CPU_OP_PROTOTYPES(KERNEL_SUFFIX)

/* The order of a patch: taps before columns, so that whole rows are copied. The taps of the last
 * axis are a line; lines are counted over the first two axes. */
typedef struct patches {
    op_axis_t axis[OP_AXES]; /* over the rows of `from`; dilation and before of either sign */
    int64_t cols;            /* of each row: those of one group */
    matrix_t from;
    const matrix_t *mask; /* from counts where this is above 0; NULL: everywhere */
} patches_t;

typedef struct range {
    int64_t begin, end;
} range_t;

static inline int64_t line_width(const patches_t *patches) {
    return patches->axis[2].size * patches->cols;
}
static inline int64_t line_count(const patches_t *patches) {
    return patches->axis[0].size * patches->axis[1].size;
}
static inline int64_t patch_width(const patches_t *patches) {
    return line_count(patches) * line_width(patches);
}

/* What one shard's patches [begin, begin + rows) have of these lines, columns from `col` on: row
 * by row, each followed by 0 up to whole units. */
void REAL(conv_gather)(const patches_t *patches, int shard, int64_t col, int64_t begin,
                       int64_t rows, range_t lines, act_t *to, int64_t to_row);

/* The same without a copy: where each tap of these patches reads `cols` numbers, `nothing` where it
 * meets padding, as tiles need them: [rows / TILE_ROWS][taps of the lines][TILE_ROWS]. */
void REAL(conv_point)(const patches_t *patches, int shard, int64_t col, int64_t begin, int64_t rows,
                      range_t lines, const act_t *nothing, const act_t **to);

/* Whether patches are better pointed to than copied. */
bool REAL(conv_can_point)(const patches_t *patches);

/* A patch is a row of `from`, where it lies. */
bool REAL(conv_in_place)(const patches_t *patches);

/* Taps of an axis that a result of [first, last] reads a place by: the others meet padding alone.
 * What lies between two such counts as one. */
range_t REAL(conv_live_taps)(const op_axis_t *axis, int64_t first, int64_t last);

/* Rows of results whose places on the first axis are equal, so that they all do without the taps
 * that meet padding there. */
typedef struct planes {
    int64_t rows;  /* one after the other; 0: they are not told apart */
    int64_t count; /* of a sample */
} planes_t;
planes_t REAL(conv_planes)(const op_axis_t axis[OP_AXES]);

/* Lines of the patches of a row's plane. */
range_t REAL(conv_lines)(const patches_t *patches, const planes_t *planes, int64_t row);

/* What the taps of a pass are in the weight: tap j of an axis is first + j * step. */
typedef struct tap_run {
    int64_t first, step;
} tap_run_t;

/* Without the taps of an axis that no result needs. */
void REAL(conv_trim)(op_axis_t *axis, tap_run_t *taps);

typedef struct conv_plan {
    op_plan_t base; /* first: freed as one */
    int threads;
    int64_t in, out, taps, width; /* of one group: columns, taps * in */
    int64_t part_rows;            /* in patches at a time: the weights' gradient */
    int64_t chunk_lines;          /* of these */
    /* Of the workspace, for the weights' gradient; for the others: panels, then what each thread
     * has for itself. */
    int64_t left_offset, right_offset, total_offset;
    int64_t panels_count, blocks_count;
} conv_plan_t;

/* conv_winograd_cpu.c: four results at a time from fewer products, two by two on the last axes or
 * in a row on the first. */
typedef enum { WINOGRAD_NONE, WINOGRAD_SPACE, WINOGRAD_TIME } winograd_t;

typedef struct conv_pass {
    const conv_plan_t *plan;
    bool backward;
    patches_t patches;
    tap_run_t taps[OP_AXES];
    planes_t planes;
    winograd_t winograd;
    int64_t n, rows; /* columns of one group, rows of one shard: of the result */
    matrix_t out;
    op_axis_t places[OP_AXES];  /* where the result's rows lie in out */
    bool spread;                /* not one after the other */
    const float *weight, *bias; /* bias NULL: none */
    bool relu;
    unit_t *panels; /* of one group after the other */
    bool packed;    /* they are there already */
    float *blocks;
    int shard_begin, shard_end;
} conv_pass_t;

/* The weight as panels for the product with patches. */
typedef struct weight_panels {
    const conv_plan_t *plan;
    bool backward; /* of the transposed weight */
    const patches_t *patches;
    const tap_run_t *taps;
    const float *weight;
} weight_panels_t;

/* Columns [col, col + cols) of a group's weight: [tap, cols of the patches] rows of `cols`, of
 * W [out, in, taps] (forward) or of its transposed. left: which columns of the patches, all in turn
 * by one call or by several; each begins with a whole unit. */
void REAL(conv_pack)(const weight_panels_t *weight, int64_t group, int64_t col, int64_t cols,
                     range_t left, unit_t *panel);

/* The same as floats, rows TILE_COLS apart and 0 beyond cols in whole vectors: [tap, left] of one
 * group. */
void REAL(conv_pack_floats)(const weight_panels_t *weight, int64_t col, int64_t cols, range_t left,
                            float *to);

weight_panels_t REAL(conv_weight_of)(const conv_pass_t *pass);

/* conv_winograd_cpu.c: by transforming the weight and the input. Whether that pays is decided by
 * the weight's shape and the extents of a sample, never by how many there are: a sample's bits must
 * not depend on its company. */
winograd_t REAL(conv_winograd)(const conv_pass_t *pass);
/* Floats: of the transformed weight; of what a thread has for itself. */
int64_t REAL(conv_winograd_panels)(const conv_pass_t *pass);
int64_t REAL(conv_winograd_block)(const conv_pass_t *pass);
/* Called by all threads of a region, which share the work. */
void REAL(conv_winograd_pack)(const conv_pass_t *pass);
void REAL(conv_winograd_blocks)(const conv_pass_t *pass);

/* Workspace elements of backward_weights; fills the plan's part of it. */
int64_t REAL(conv_weights_plan)(conv_plan_t *plan);

static inline bool conv_has_relu(const op_plan_t *plan) {
    return plan->description.attributes.activation == ACTIVATION_RELU;
}

/* Floats of the workspace that hold so many activations. */
static inline int64_t floats_of(int64_t activations) {
    enum { PER_FLOAT = sizeof(float) / sizeof(act_t), LINE_FLOATS = LINE_BYTES / sizeof(float) };
    return align_up(div_up(activations, PER_FLOAT), LINE_FLOATS);
}

/* Between the rows of patches of this width. */
static inline int64_t row_apart(int64_t width) { return stride_apart(align_up(width, UNIT_K)); }

#endif
