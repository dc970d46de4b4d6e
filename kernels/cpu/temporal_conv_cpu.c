/* temporal_conv by the linear operation: what the taps of a row read lies side by side and meets
 * the normed weight in one product per shard. Taps that reach outside every run are left out. The
 * weight's taps come before its inputs here, so that whole rows are copied and added. Compiled for
 * each instruction set. */
#include "kernels/base/bytes.h"
#include "kernels/cpu/cpu.h"
#include "kernels/ref/weight_norm.h"

CPU_OP_PROTOTYPES(KERNEL_SUFFIX)

enum { ALIGN_ELEMENTS = 16 };

typedef struct conv_plan {
    op_description_t description;
    op_plan_t *linear;
    int64_t first_tap, taps; /* that reach */
    int64_t width;           /* of the rows side by side: taps * input columns */
    /* Workspace: the weight [out, taps, in], the rows side by side, what the linear operation
     * needs. */
    int64_t columns_offset, linear_offset;
} conv_plan_t;

/* Tap j of a row reads the row this many steps later. */
static int64_t shift_of(const conv_plan_t *plan, int64_t tap) {
    const op_attributes_t *a = &plan->description.attributes;
    return tap * a->dilation - a->before;
}

static bool reaches(const conv_plan_t *plan, int64_t tap) {
    int64_t period = plan->description.attributes.period;
    return shift_of(plan, tap) > -period && shift_of(plan, tap) < period;
}

/* If no tap reaches, tap 0 stands there and reads zeros. */
static void find_taps(conv_plan_t *plan) {
    int64_t begin = 0, taps = plan->description.attributes.taps;
    while (begin < taps && !reaches(plan, begin)) {
        begin++;
    }
    begin = begin == taps ? 0 : begin;
    int64_t end = begin + 1;
    while (end < taps && reaches(plan, end)) {
        end++;
    }
    plan->first_tap = begin;
    plan->taps = end - begin;
    plan->width = plan->taps * plan->description.in[0].cols;
}

static status_t linear_open(conv_plan_t *plan, op_needs_t *needs_out) {
    const op_description_t *d = &plan->description;
    op_description_t linear = {.kind = OP_linear, .input_count = 1, .out = d->out};
    linear.in[0] = (op_shape_t){d->out.rows, plan->width, plan->width};
    linear.d_out = d->d_out;
    if (d->d_in[0].rows > 0) {
        linear.d_in[0] = linear.in[0];
    }
    return REAL(linear_plan)(&linear, &plan->linear, needs_out);
}

status_t REAL(temporal_conv_plan)(const op_description_t *description, op_plan_t **plan_out,
                                  op_needs_t *needs_out) {
    const op_attributes_t *a = &description->attributes;
    REQUIRE(description->input_count == 1 && description->in[0].rows == description->out.rows);
    REQUIRE(a->period > 0 && description->out.rows % a->period == 0);
    REQUIRE(a->taps > 0 && a->dilation > 0 && a->before >= 0);
    conv_plan_t *plan = alloc_zero(1, sizeof *plan);
    plan->description = *description;
    find_taps(plan);
    op_needs_t linear = {0};
    status_t status = linear_open(plan, &linear);
    if (status != STATUS_OK) {
        REAL(temporal_conv_plan_close)((op_plan_t *)plan);
        return status;
    }
    plan->columns_offset = align_up(description->out.cols * plan->width, ALIGN_ELEMENTS);
    plan->linear_offset =
        plan->columns_offset + align_up(description->out.rows * plan->width, ALIGN_ELEMENTS);
    *needs_out = (op_needs_t){.workspace_count = plan->linear_offset + linear.workspace_count};
    *plan_out = (op_plan_t *)plan;
    return STATUS_OK;
}

void REAL(temporal_conv_plan_close)(op_plan_t *plan) {
    conv_plan_t *conv = (conv_plan_t *)plan;
    if (conv != NULL) {
        REAL(plan_close)(conv->linear);
        free(conv);
    }
}

/* --- rows side by side ----------------------------------------------------------------------- */

static float *columns_of(const conv_plan_t *plan, const op_call_t *call) {
    return (float *)call->workspace + plan->columns_offset;
}

/* The row `shift` steps after r, -1 outside its run. */
static int64_t row_after(const conv_plan_t *plan, int64_t r, int64_t shift) {
    int64_t period = plan->description.attributes.period;
    int64_t step = r % period + shift;
    return step >= 0 && step < period ? r + shift : -1;
}

static void gather(const conv_plan_t *plan, const op_call_t *call, int shard) {
    int64_t in = plan->description.in[0].cols;
    for (int64_t r = 0; r < plan->description.out.rows; r++) {
        float *to = columns_of(plan, call) + r * plan->width;
        for (int64_t j = 0; j < plan->taps; j++, to += in) {
            int64_t source = row_after(plan, r, shift_of(plan, plan->first_tap + j));
            if (source >= 0 && mask_valid(call->mask, shard, source)) {
                copy(to, row_of(call->in[0], shard, source), in);
            } else {
                memset(to, 0, (size_t)in * sizeof *to);
            }
        }
    }
}

static void add(float *restrict to, const float *restrict from, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        to[i] += from[i];
    }
}

/* The gradient of a row: the sum of its places in the rows that read it, tap by tap. */
static void scatter(const conv_plan_t *plan, const op_call_t *call, int shard) {
    int64_t in = plan->description.in[0].cols;
    for (int64_t r = 0; r < plan->description.out.rows; r++) {
        float *to = row_of(call->d_in[0], shard, r);
        memset(to, 0, (size_t)in * sizeof *to);
        for (int64_t j = 0; j < plan->taps && mask_valid(call->mask, shard, r); j++) {
            int64_t reader = row_after(plan, r, -shift_of(plan, plan->first_tap + j));
            if (reader >= 0) {
                add(to, columns_of(plan, call) + reader * plan->width + j * in, in);
            }
        }
    }
}

/* --- the weight ------------------------------------------------------------------------------ */

/* [out, taps that reach, in] of the normed weight from v [out, in, taps] */
static void norm_weight(const conv_plan_t *plan, const op_call_t *call) {
    int64_t in = plan->description.in[0].cols, taps = plan->description.attributes.taps;
    const float *v = call->weight[0], *g = call->weight[1];
    float *to = call->workspace;
    for (int64_t o = 0; o < plan->description.out.cols; o++, v += in * taps) {
        float scale = weight_norm_scale(v, g[o], in * taps);
        for (int64_t j = 0; j < plan->taps; j++, to += in) {
            for (int64_t i = 0; i < in; i++) {
                to[i] = scale * v[i * taps + plan->first_tap + j];
            }
        }
    }
}

/* Back to [out, in, taps]: 0 for the taps that do not reach. */
static void spread_gradient(const conv_plan_t *plan, const float *d_w, float *d_v) {
    int64_t in = plan->description.in[0].cols, taps = plan->description.attributes.taps;
    int64_t out = plan->description.out.cols;
    if (plan->taps < taps) {
        memset(d_v, 0, (size_t)(out * in * taps) * sizeof *d_v);
    }
    for (int64_t o = 0; o < out; o++, d_v += in * taps) {
        for (int64_t j = 0; j < plan->taps; j++, d_w += in) {
            for (int64_t i = 0; i < in; i++) {
                d_v[i * taps + plan->first_tap + j] = d_w[i];
            }
        }
    }
}

/* --- calls ----------------------------------------------------------------------------------- */

static matrix_t shard_of(matrix_t matrix, int shard) {
    if (matrix.data != NULL) {
        matrix.data = row_of(matrix, shard, 0);
    }
    return matrix;
}

/* The linear operation's call for one shard, on the rows side by side. */
static op_call_t linear_call(const conv_plan_t *plan, const op_call_t *call, int shard) {
    op_call_t linear = {.shard_end = 1, .scalars = call->scalars};
    matrix_t columns = {columns_of(plan, call), plan->description.out.rows, plan->width,
                        plan->width, 0};
    linear.in[0] = linear.d_in[0] = columns;
    linear.out = shard_of(call->out, shard);
    linear.d_out = shard_of(call->d_out, shard);
    linear.weight[0] = call->workspace;
    linear.weight[1] = call->weight[2];
    linear.workspace = (float *)call->workspace + plan->linear_offset;
    return linear;
}

void REAL(temporal_conv_forward)(const op_plan_t *plan, const op_call_t *call) {
    const conv_plan_t *conv = (const conv_plan_t *)plan;
    norm_weight(conv, call);
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        gather(conv, call, s);
        op_call_t linear = linear_call(conv, call, s);
        REAL(linear_forward)(conv->linear, &linear);
    }
}

void REAL(temporal_conv_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const conv_plan_t *conv = (const conv_plan_t *)plan;
    if (call->d_in[0].data == NULL) {
        return;
    }
    norm_weight(conv, call);
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        op_call_t linear = linear_call(conv, call, s);
        REAL(linear_backward_data)(conv->linear, &linear);
        scatter(conv, call, s);
    }
}

void REAL(temporal_conv_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const conv_plan_t *conv = (const conv_plan_t *)plan;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    gather(conv, call, call->shard_begin);
    op_call_t linear = linear_call(conv, call, call->shard_begin);
    linear.d_weight[0] = call->workspace;
    linear.d_weight[1] = call->d_weight[2];
    REAL(linear_backward_weights)(conv->linear, &linear);
    const op_description_t *d = &conv->description;
    spread_gradient(conv, call->workspace, call->d_weight[0]);
    weight_norm_gradient(d->out.cols, d->in[0].cols * d->attributes.taps, call->weight[0],
                         call->weight[1], call->d_weight[0], call->d_weight[1]);
}
