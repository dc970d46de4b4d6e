/* An operation of a float table on bf16 activations, shard by shard: see rounded.h. Compiled for
 * every float table. */
#include "kernels/ref/rounded.h"

#include "kernels/base/bytes.h"
#include "kernels/bf16.h"

ROUNDED_PROTOTYPES(KERNEL_SUFFIX)

#define ROUNDED(name) ROW_NAME(rounded_##name, KERNEL_SUFFIX)
#define INNER         ROW_NAME(kernels, KERNEL_SUFFIX)

enum { ALIGN_ELEMENTS = 16, LOSS_NUMBERS = 1024 };

typedef struct rounded_plan {
    op_description_t description; /* rows without gaps: of the floats */
    op_plan_t *inner;
    bool keeps; /* the inner operation keeps the weights */
    /* Of the workspace, in floats. */
    int64_t weight, in[OP_INPUTS_MAX], out, d_in[OP_INPUTS_MAX], d_out;
} rounded_plan_t;

static const op_row_t *row_of_table(const rounded_plan_t *plan) {
    return &INNER.ops[plan->description.kind];
}

/* Numbers of the first weight, if products read it, which round it, too. */
static int64_t rounded_weights(const op_description_t *d) {
    switch (d->kind) {
    case OP_linear:
        return d->out.cols * d->in[0].cols;
    case OP_conv:
        return d->out.cols * (d->in[0].cols / d->attributes.groups) *
               window_taps(d->attributes.axis);
    default:
        return 0;
    }
}

/* --- planning -------------------------------------------------------------------------------- */

static int64_t place(op_shape_t *shape, int64_t *count) {
    int64_t at = *count;
    shape->row_stride = shape->cols;
    *count += align_up(shape->rows * shape->cols, ALIGN_ELEMENTS);
    return at;
}

status_t ROUNDED(plan)(const op_description_t *description, op_plan_t **plan_out,
                       op_needs_t *needs_out) {
    rounded_plan_t *plan = alloc_zero(1, sizeof *plan);
    op_description_t *d = &plan->description;
    *d = *description;
    int64_t count = 0;
    for (int i = 0; i < d->input_count; i++) {
        plan->in[i] = place(&d->in[i], &count);
        plan->d_in[i] = place(&d->d_in[i], &count);
    }
    plan->out = place(&d->out, &count);
    plan->d_out = place(&d->d_out, &count);
    plan->weight = count;
    count += align_up(rounded_weights(d), ALIGN_ELEMENTS);
    op_needs_t needs = {0};
    status_t status = row_of_table(plan)->plan(d, &plan->inner, &needs);
    if (status != STATUS_OK) {
        free(plan);
        return status;
    }
    plan->keeps = needs.kept_count > 0;
    needs.workspace_count = align_up(needs.workspace_count, ALIGN_ELEMENTS) + count;
    *needs_out = needs;
    *plan_out = (op_plan_t *)(void *)plan;
    return STATUS_OK;
}

void ROUNDED(plan_close)(op_plan_t *plan) {
    rounded_plan_t *rounded = (rounded_plan_t *)(void *)plan;
    if (rounded != NULL) {
        row_of_table(rounded)->plan_close(rounded->inner);
        free(rounded);
    }
}

/* --- numbers --------------------------------------------------------------------------------- */

static bf16_t *row_at(matrix_t matrix, int shard, int64_t row) {
    return (bf16_t *)matrix.data + shard * matrix.shard_stride + row * matrix.row_stride;
}

static void widen(float *restrict to, const bf16_t *restrict from, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        to[i] = bf16_to_float(from[i]);
    }
}

static void narrow(bf16_t *restrict to, const float *restrict from, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        to[i] = bf16_of(from[i]);
    }
}

static void widen_shard(matrix_t to, matrix_t from, int shard) {
    for (int64_t r = 0; r < to.rows && from.data != NULL; r++) {
        widen((float *)to.data + r * to.cols, row_at(from, shard, r), to.cols);
    }
}

static void narrow_shard(matrix_t to, matrix_t from, int shard) {
    for (int64_t r = 0; r < from.rows && to.data != NULL; r++) {
        narrow(row_at(to, shard, r), (const float *)from.data + r * from.cols, from.cols);
    }
}

/* --- calls ----------------------------------------------------------------------------------- */

/* Whichever shard is asked for is the one that lies there. */
static matrix_t floats(float *workspace, int64_t at, op_shape_t shape) {
    if (shape.rows == 0) {
        return (matrix_t){0};
    }
    return (matrix_t){workspace + at, shape.rows, shape.cols, shape.cols, 0};
}

static op_call_t inner_call(const rounded_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    op_call_t inner = *call;
    float *workspace = call->workspace;
    for (int i = 0; i < d->input_count; i++) {
        inner.in[i] = floats(workspace, plan->in[i], d->in[i]);
        inner.d_in[i] = floats(workspace, plan->d_in[i], d->d_in[i]);
        if (call->d_in[i].data == NULL) {
            inner.d_in[i] = (matrix_t){0};
        }
    }
    inner.out = floats(workspace, plan->out, d->out);
    inner.d_out = floats(workspace, plan->d_out, d->d_out);
    if (rounded_weights(d) > 0) {
        inner.weight[0] = workspace + plan->weight;
    }
    inner.workspace = workspace + plan->weight + align_up(rounded_weights(d), ALIGN_ELEMENTS);
    return inner;
}

/* Products multiply by weights as bf16 holds them. */
static void round_weight(const rounded_plan_t *plan, const op_call_t *call) {
    int64_t count = rounded_weights(&plan->description);
    const float *from = call->weight[0];
    float *to = (float *)call->workspace + plan->weight;
    for (int64_t i = 0; i < count; i++) {
        to[i] = bf16_to_float(bf16_of(from[i]));
    }
}

static void widen_inputs(const rounded_plan_t *plan, const op_call_t *call, const op_call_t *inner,
                         int shard) {
    for (int i = 0; i < plan->description.input_count; i++) {
        widen_shard(inner->in[i], call->in[i], shard);
    }
}

static void widen_outputs(const rounded_plan_t *plan, const op_call_t *call, const op_call_t *inner,
                          int shard) {
    const op_description_t *d = &plan->description;
    if (op_backward_reads_out(d->kind, &d->attributes)) {
        widen_shard(inner->out, call->out, shard);
    }
    widen_shard(inner->d_out, call->d_out, shard);
}

void ROUNDED(prepare)(const op_plan_t *plan, const op_call_t *call) {
    const rounded_plan_t *rounded = (const rounded_plan_t *)(const void *)plan;
    op_call_t inner = inner_call(rounded, call);
    round_weight(rounded, call);
    row_of_table(rounded)->prepare(rounded->inner, &inner);
}

void ROUNDED(forward)(const op_plan_t *plan, const op_call_t *call) {
    const rounded_plan_t *rounded = (const rounded_plan_t *)(const void *)plan;
    op_call_t inner = inner_call(rounded, call);
    if (!rounded->keeps) {
        round_weight(rounded, call);
    }
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        inner.shard_begin = s;
        inner.shard_end = s + 1;
        widen_inputs(rounded, call, &inner, s);
        row_of_table(rounded)->forward(rounded->inner, &inner);
        narrow_shard(call->out, inner.out, s);
    }
}

void ROUNDED(backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const rounded_plan_t *rounded = (const rounded_plan_t *)(const void *)plan;
    const op_description_t *d = &rounded->description;
    op_call_t inner = inner_call(rounded, call);
    round_weight(rounded, call);
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        inner.shard_begin = s;
        inner.shard_end = s + 1;
        if (op_backward_data_reads_in(d->kind, &d->attributes)) {
            widen_inputs(rounded, call, &inner, s);
        }
        widen_outputs(rounded, call, &inner, s);
        row_of_table(rounded)->backward_data(rounded->inner, &inner);
        for (int i = 0; i < d->input_count; i++) {
            narrow_shard(call->d_in[i], inner.d_in[i], s);
        }
    }
}

void ROUNDED(backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const rounded_plan_t *rounded = (const rounded_plan_t *)(const void *)plan;
    op_call_t inner = inner_call(rounded, call);
    widen_inputs(rounded, call, &inner, call->shard_begin);
    widen_outputs(rounded, call, &inner, call->shard_begin);
    row_of_table(rounded)->backward_weights(rounded->inner, &inner);
}

void ROUNDED(sums)(const op_plan_t *plan, const op_call_t *call, pass_t pass, double *sums) {
    const rounded_plan_t *rounded = (const rounded_plan_t *)(const void *)plan;
    op_call_t inner = inner_call(rounded, call);
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        inner.shard_begin = s;
        inner.shard_end = s + 1;
        widen_inputs(rounded, call, &inner, s);
        if (pass != PASS_FORWARD) {
            widen_outputs(rounded, call, &inner, s);
        }
        row_of_table(rounded)->sums(rounded->inner, &inner, pass, sums);
    }
}

/* --- losses ---------------------------------------------------------------------------------- */

/* Some rows of a shard as float: x, and d_x to be written. */
static loss_call_t loss_rows(const loss_call_t *call, int shard, int64_t first, int64_t rows,
                             float *x, float *d_x) {
    loss_call_t inner = *call;
    int64_t cols = call->x.cols;
    for (int64_t r = 0; r < rows; r++) {
        widen(x + r * cols, row_at(call->x, shard, first + r), cols);
    }
    inner.x = (matrix_t){x, rows, cols, cols, 0};
    inner.d_x = (matrix_t){d_x, rows, cols, cols, 0};
    inner.target = (const float *)call->target + shard * call->x.rows + first;
    inner.shard_begin = 0;
    inner.shard_end = 1;
    return inner;
}

static int64_t rows_at_once(const loss_call_t *call) {
    REQUIRE(call->x.cols <= LOSS_NUMBERS);
    return LOSS_NUMBERS / call->x.cols;
}

static void shard_sums(const loss_call_t *call, int shard, double sums_out[LOSS_SUMS]) {
    memset(sums_out, 0, LOSS_SUMS * sizeof sums_out[0]);
    for (int64_t r = 0; r < call->x.rows; r += rows_at_once(call)) {
        float x[LOSS_NUMBERS];
        double sums[LOSS_SUMS];
        int64_t rows = min_i64(rows_at_once(call), call->x.rows - r);
        loss_call_t inner = loss_rows(call, shard, r, rows, x, NULL);
        INNER.loss_sums(&inner, sums);
        for (int i = 0; i < LOSS_SUMS; i++) {
            sums_out[i] += sums[i];
        }
    }
}

void ROUNDED(loss_sums)(const loss_call_t *call, double *sums) {
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        shard_sums(call, s, sums + s * call->sums_stride);
    }
}

static void shard_gradient(const loss_call_t *call, int shard, const double total[LOSS_SUMS]) {
    for (int64_t r = 0; r < call->x.rows; r += rows_at_once(call)) {
        float x[LOSS_NUMBERS], d_x[LOSS_NUMBERS];
        int64_t rows = min_i64(rows_at_once(call), call->x.rows - r);
        loss_call_t inner = loss_rows(call, shard, r, rows, x, d_x);
        INNER.loss_gradient(&inner, total);
        for (int64_t i = 0; i < rows; i++) {
            narrow(row_at(call->d_x, shard, r + i), d_x + i * call->x.cols, call->x.cols);
        }
    }
}

void ROUNDED(loss_gradient)(const loss_call_t *call, const double total[LOSS_SUMS]) {
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        shard_gradient(call, s, total);
    }
}
