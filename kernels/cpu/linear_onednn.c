/* linear by oneDNN matmul, at the shard's shape, so that no shard's bits depend on another. Nor do
 * a row's on its place: with AVX2 oneDNN computes blocks of six rows, and what is left over (of
 * parts of 72 rows and more) in another order of sums, so that there the forward product is two:
 * whole blocks, and a last block that repeats some of their rows. Which it takes is tried when
 * planning. */
#include <dnnl.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/product_onednn.h"

enum { TRIED_ELEMENTS = 256 };

typedef struct linear_plan {
    op_description_t description;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    product_t forward, forward_last; /* forward_last: of the last rows; perhaps not there */
    int64_t last_row;                /* where those begin */
    product_t backward_data, backward_weights;
    int64_t dz_count; /* workspace elements before the scratch memory: the gradient before relu */
} linear_plan_t;

void linear_plan_close_onednn(op_plan_t *plan) {
    linear_plan_t *linear = (linear_plan_t *)plan;
    if (linear == NULL) {
        return;
    }
    product_close(&linear->forward);
    product_close(&linear->forward_last);
    product_close(&linear->backward_data);
    product_close(&linear->backward_weights);
    if (linear->stream != NULL) {
        dnnl_stream_destroy(linear->stream);
    }
    if (linear->engine != NULL) {
        dnnl_engine_destroy(linear->engine);
    }
    free(linear);
}

/* block 0: all rows at once. */
static status_t forward_open(linear_plan_t *plan, int64_t block) {
    const op_description_t *d = &plan->description;
    bool relu = d->attributes.activation == ACTIVATION_RELU;
    int64_t rows = d->out.rows, in_cols = d->in[0].cols, out_cols = d->out.cols;
    int64_t whole = block > 0 ? rows / block * block : rows;
    operand_t x = {whole, in_cols, d->in[0].row_stride, 1};
    operand_t weight_transposed = {in_cols, out_cols, 1, in_cols};
    operand_t y = {whole, out_cols, d->out.row_stride, 1};
    TRY(product_open(plan->engine, x, weight_transposed, y, true, relu, &plan->forward));
    if (whole == rows) {
        return STATUS_OK;
    }
    x.rows = y.rows = block;
    plan->last_row = rows - block;
    return product_open(plan->engine, x, weight_transposed, y, true, relu, &plan->forward_last);
}

static void forward_run(const linear_plan_t *plan, const float *x, const void *weight,
                        const void *bias, float *y, void *scratch) {
    const op_description_t *d = &plan->description;
    product_run(&plan->forward, plan->stream, x, weight, bias, y, scratch);
    if (plan->forward_last.primitive != NULL) {
        product_run(&plan->forward_last, plan->stream, x + plan->last_row * d->in[0].row_stride,
                    weight, bias, y + plan->last_row * d->out.row_stride, scratch);
    }
}

/* The numbers come again, at another place of each row: a width is seldom a multiple of 251. */
static void fill_randomly(float *values, int64_t count, uint64_t turn) {
    enum { DRAWN = 251 };
    for (int64_t i = 0; i < count; i++) {
        values[i] = i < DRAWN ? 2 * rng_uniform((rng_key_t){.turn = turn}, (uint64_t)i) - 1
                              : values[i - DRAWN];
    }
}

typedef struct trial {
    float *x, *weight, *y, *scratch;
} trial_t;

/* Equal rows in, equal rows out? */
static bool rows_agree_on(const linear_plan_t *plan, const trial_t *trial, int64_t turn) {
    const op_description_t *d = &plan->description;
    int64_t in_cols = d->in[0].cols, out_cols = d->out.cols;
    fill_randomly(trial->x, in_cols, 2 * (uint64_t)turn);
    fill_randomly(trial->weight, out_cols * in_cols, 2 * (uint64_t)turn + 1);
    for (int64_t r = 1; r < d->out.rows; r++) {
        memcpy(trial->x + r * d->in[0].row_stride, trial->x, (size_t)in_cols * sizeof(float));
    }
    forward_run(plan, trial->x, trial->weight, trial->weight, trial->y, trial->scratch);
    bool agree = true;
    for (int64_t r = 1; r < d->out.rows; r++) {
        agree = agree && memcmp(trial->y, trial->y + r * d->out.row_stride,
                                (size_t)out_cols * sizeof(float)) == 0;
    }
    return agree;
}

/* As often as it takes for chance to have no say: another order of sums often rounds alike. */
static bool rows_agree(const linear_plan_t *plan) {
    const op_description_t *d = &plan->description;
    int64_t scratch = max_i64(plan->forward.scratch_bytes, plan->forward_last.scratch_bytes);
    trial_t trial = {
        .x = alloc_zero(d->out.rows * d->in[0].row_stride, sizeof(float)),
        .weight = alloc_zero(d->out.cols * d->in[0].cols, sizeof(float)),
        .y = alloc_zero(d->out.rows * d->out.row_stride, sizeof(float)),
        .scratch = alloc_zero(max_i64(scratch, 1), 1),
    };
    bool agree = true;
    for (int64_t turn = 0; agree && turn < div_up(TRIED_ELEMENTS, d->out.cols); turn++) {
        agree = rows_agree_on(plan, &trial, turn);
    }
    free(trial.x);
    free(trial.weight);
    free(trial.y);
    free(trial.scratch);
    return agree;
}

static status_t forward_find(linear_plan_t *plan) {
    static const int64_t blocks[] = {0, 6, 12, 24, 48, 96};
    for (int i = 0; i < ARRAY_LEN(blocks); i++) {
        if (blocks[i] > plan->description.out.rows) {
            continue;
        }
        TRY(forward_open(plan, blocks[i]));
        if (rows_agree(plan)) {
            return STATUS_OK;
        }
        product_close(&plan->forward);
        product_close(&plan->forward_last);
    }
    return status_fail(STATUS_UNAVAILABLE,
                       "oneDNN computes equal rows of a [%d, %d] linear layer to different bits; "
                       "use backend ref",
                       (int)plan->description.out.cols, (int)plan->description.in[0].cols);
}

static status_t products_open(linear_plan_t *plan) {
    const op_description_t *d = &plan->description;
    bool relu = d->attributes.activation == ACTIVATION_RELU;
    int64_t rows = d->out.rows, in_cols = d->in[0].cols, out_cols = d->out.cols;
    TRY_DNNL(dnnl_engine_create(&plan->engine, dnnl_cpu, 0));
    TRY_DNNL(dnnl_stream_create(&plan->stream, plan->engine, dnnl_stream_default_flags));
    TRY(forward_find(plan));
    if (d->d_out.rows == 0) {
        return STATUS_OK;
    }
    int64_t dz_stride = relu ? out_cols : d->d_out.row_stride;
    plan->dz_count = relu ? rows * out_cols : 0;
    operand_t x = {rows, in_cols, d->in[0].row_stride, 1};
    operand_t weight = {out_cols, in_cols, in_cols, 1};
    operand_t dz = {rows, out_cols, dz_stride, 1};
    operand_t dz_transposed = {out_cols, rows, 1, dz_stride};
    if (d->d_in[0].rows > 0) {
        operand_t dx = {rows, in_cols, d->d_in[0].row_stride, 1};
        TRY(product_open(plan->engine, dz, weight, dx, false, false, &plan->backward_data));
    }
    return product_open(plan->engine, dz_transposed, x, weight, false, false,
                        &plan->backward_weights);
}

status_t linear_plan_onednn(const op_description_t *description, op_plan_t **plan_out,
                            op_needs_t *needs_out) {
    const op_shape_t *in = &description->in[0], *out = &description->out;
    REQUIRE(description->input_count == 1 && in->rows == out->rows);
    linear_plan_t *plan = alloc_zero(1, sizeof *plan);
    plan->description = *description;
    status_t status = products_open(plan);
    if (status != STATUS_OK) {
        linear_plan_close_onednn((op_plan_t *)plan);
        return status;
    }
    int64_t scratch =
        max_i64(max_i64(plan->forward.scratch_bytes, plan->forward_last.scratch_bytes),
                max_i64(plan->backward_data.scratch_bytes, plan->backward_weights.scratch_bytes));
    *needs_out = (op_needs_t){
        .workspace_count = plan->dz_count + div_up(scratch, sizeof(float)),
    };
    *plan_out = (op_plan_t *)plan;
    return STATUS_OK;
}

static float *scratch_of(const linear_plan_t *plan, const op_call_t *call) {
    return (float *)call->workspace + plan->dz_count;
}

static float *row_of(matrix_t matrix, int64_t shard, int64_t row) {
    return (float *)matrix.data + shard * matrix.shard_stride + row * matrix.row_stride;
}

void linear_forward_onednn(const op_plan_t *plan, const op_call_t *call) {
    const linear_plan_t *linear = (const linear_plan_t *)plan;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        forward_run(linear, row_of(call->in[0], s, 0), call->weight[0], call->weight[1],
                    row_of(call->out, s, 0), call->workspace);
    }
}

static const float *before_activation(const linear_plan_t *plan, const op_call_t *call, int shard) {
    const op_description_t *d = &plan->description;
    if (d->attributes.activation == ACTIVATION_NONE) {
        return row_of(call->d_out, shard, 0);
    }
    float *dz = call->workspace;
    for (int64_t r = 0; r < d->out.rows; r++) {
        const float *y = row_of(call->out, shard, r), *dy = row_of(call->d_out, shard, r);
        for (int64_t c = 0; c < d->out.cols; c++) {
            float gradient = dy[c]; /* read whether used or not: no branch */
            dz[r * d->out.cols + c] = y[c] > 0 ? gradient : 0;
        }
    }
    return dz;
}

void linear_backward_data_onednn(const op_plan_t *plan, const op_call_t *call) {
    const linear_plan_t *linear = (const linear_plan_t *)plan;
    if (call->d_in[0].data == NULL) {
        return;
    }
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        product_run(&linear->backward_data, linear->stream, before_activation(linear, call, s),
                    call->weight[0], NULL, row_of(call->d_in[0], s, 0), scratch_of(linear, call));
    }
}

void linear_backward_weights_onednn(const op_plan_t *plan, const op_call_t *call) {
    const linear_plan_t *linear = (const linear_plan_t *)plan;
    const op_description_t *d = &linear->description;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    const float *dz = before_activation(linear, call, call->shard_begin);
    product_run(&linear->backward_weights, linear->stream, dz,
                row_of(call->in[0], call->shard_begin, 0), NULL, call->d_weight[0],
                scratch_of(linear, call));
    bool relu = d->attributes.activation == ACTIVATION_RELU;
    int64_t stride = relu ? d->out.cols : call->d_out.row_stride;
    float *d_bias = call->d_weight[1];
    memset(d_bias, 0, (size_t)d->out.cols * sizeof(float));
    for (int64_t r = 0; r < d->out.rows; r++) {
        for (int64_t c = 0; c < d->out.cols; c++) {
            d_bias[c] += dz[r * stride + c];
        }
    }
}
