/* linear by oneDNN matmul: one execution per shard at the shard's shape, so that no shard's bits
 * depend on another. Primitives and memory objects are made in plan; a call only points them at its
 * data. */
#include <dnnl.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/cpu/cpu.h"

enum { SCRATCH_ALIGN = 64 };

/* dst[m,n] = left[m,k] right[k,n], and perhaps bias and relu. */
typedef struct product {
    dnnl_primitive_t primitive; /* NULL: never asked for */
    dnnl_memory_t left, right, bias, dst, scratch;
    int64_t scratch_bytes;
} product_t;

typedef struct linear_plan {
    op_description_t description;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    product_t forward, backward_data, backward_weights;
    int64_t dz_count; /* workspace elements before the scratch memory: the gradient before relu */
} linear_plan_t;

typedef struct operand {
    int64_t rows, cols, row_stride, col_stride;
} operand_t;

#define TRY_DNNL(call)                                                                             \
    do {                                                                                           \
        dnnl_status_t dnnl_status_ = (call);                                                       \
        if (dnnl_status_ != dnnl_success) {                                                        \
            return status_fail(STATUS_UNAVAILABLE,                                                 \
                               "oneDNN refuses a linear operation (%s: %d); use backend ref",      \
                               #call, (int)dnnl_status_);                                          \
        }                                                                                          \
    } while (0)

static status_t memory_open(const linear_plan_t *plan, const operand_t *operand,
                            dnnl_memory_desc_t *desc_out, dnnl_memory_t *memory_out) {
    dnnl_dims_t dims = {operand->rows, operand->cols};
    dnnl_dims_t strides = {operand->row_stride, operand->col_stride};
    TRY_DNNL(dnnl_memory_desc_init_by_strides(desc_out, 2, dims, dnnl_f32, strides));
    TRY_DNNL(dnnl_memory_create(memory_out, desc_out, plan->engine, DNNL_MEMORY_NONE));
    return STATUS_OK;
}

static status_t attributes_fill(dnnl_primitive_attr_t attributes, bool relu) {
    TRY_DNNL(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user));
    if (!relu) {
        return STATUS_OK;
    }
    dnnl_post_ops_t post_ops;
    TRY_DNNL(dnnl_post_ops_create(&post_ops));
    dnnl_status_t status =
        dnnl_post_ops_append_eltwise(post_ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
    if (status == dnnl_success) {
        status = dnnl_primitive_attr_set_post_ops(attributes, post_ops);
    }
    dnnl_post_ops_destroy(post_ops);
    TRY_DNNL(status);
    return STATUS_OK;
}

static status_t primitive_open(const linear_plan_t *plan, const dnnl_matmul_desc_t *matmul,
                               bool relu, product_t *product) {
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t desc = NULL;
    TRY_DNNL(dnnl_primitive_attr_create(&attributes));
    status_t status = attributes_fill(attributes, relu);
    dnnl_status_t made = dnnl_runtime_error;
    if (status == STATUS_OK) {
        made = dnnl_primitive_desc_create(&desc, matmul, attributes, plan->engine, NULL);
    }
    dnnl_primitive_attr_destroy(attributes);
    TRY(status);
    TRY_DNNL(made);
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    product->scratch_bytes = (int64_t)dnnl_memory_desc_get_size(scratch);
    made = dnnl_memory_create(&product->scratch, scratch, plan->engine, DNNL_MEMORY_NONE);
    if (made == dnnl_success) {
        made = dnnl_primitive_create(&product->primitive, desc);
    }
    dnnl_primitive_desc_destroy(desc);
    TRY_DNNL(made);
    return STATUS_OK;
}

static status_t product_open(const linear_plan_t *plan, operand_t left, operand_t right,
                             operand_t dst, bool with_bias, bool relu, product_t *product) {
    dnnl_memory_desc_t left_desc, right_desc, dst_desc, bias_desc;
    TRY(memory_open(plan, &left, &left_desc, &product->left));
    TRY(memory_open(plan, &right, &right_desc, &product->right));
    TRY(memory_open(plan, &dst, &dst_desc, &product->dst));
    if (with_bias) {
        operand_t bias = {1, dst.cols, dst.cols, 1};
        TRY(memory_open(plan, &bias, &bias_desc, &product->bias));
    }
    dnnl_matmul_desc_t matmul;
    TRY_DNNL(dnnl_matmul_desc_init(&matmul, &left_desc, &right_desc, with_bias ? &bias_desc : NULL,
                                   &dst_desc));
    return primitive_open(plan, &matmul, relu, product);
}

static void product_close(product_t *product) {
    dnnl_primitive_destroy(product->primitive);
    dnnl_memory_t memories[] = {product->left, product->right, product->bias, product->dst,
                                product->scratch};
    for (int i = 0; i < ARRAY_LEN(memories); i++) {
        if (memories[i] != NULL) {
            dnnl_memory_destroy(memories[i]);
        }
    }
}

void linear_plan_close_onednn(op_plan_t *plan) {
    linear_plan_t *linear = (linear_plan_t *)plan;
    if (linear == NULL) {
        return;
    }
    product_close(&linear->forward);
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

static status_t products_open(linear_plan_t *plan) {
    const op_description_t *d = &plan->description;
    bool relu = d->attributes.activation == ACTIVATION_RELU;
    int64_t rows = d->out.rows, in_cols = d->in[0].cols, out_cols = d->out.cols;
    TRY_DNNL(dnnl_engine_create(&plan->engine, dnnl_cpu, 0));
    TRY_DNNL(dnnl_stream_create(&plan->stream, plan->engine, dnnl_stream_default_flags));
    operand_t x = {rows, in_cols, d->in[0].row_stride, 1};
    operand_t weight = {out_cols, in_cols, in_cols, 1};
    operand_t weight_transposed = {in_cols, out_cols, 1, in_cols};
    operand_t y = {rows, out_cols, d->out.row_stride, 1};
    TRY(product_open(plan, x, weight_transposed, y, true, relu, &plan->forward));
    if (d->d_out.rows == 0) {
        return STATUS_OK;
    }
    int64_t dz_stride = relu ? out_cols : d->d_out.row_stride;
    plan->dz_count = relu ? align_up(rows * out_cols, SCRATCH_ALIGN) : 0;
    operand_t dz = {rows, out_cols, dz_stride, 1};
    operand_t dz_transposed = {out_cols, rows, 1, dz_stride};
    if (d->d_in[0].rows > 0) {
        operand_t dx = {rows, in_cols, d->d_in[0].row_stride, 1};
        TRY(product_open(plan, dz, weight, dx, false, false, &plan->backward_data));
    }
    return product_open(plan, dz_transposed, x, weight, false, false, &plan->backward_weights);
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
    int64_t scratch = max_i64(plan->forward.scratch_bytes, plan->backward_data.scratch_bytes);
    scratch = max_i64(scratch, plan->backward_weights.scratch_bytes);
    *needs_out = (op_needs_t){
        .workspace_count =
            plan->dz_count + (scratch > 0 ? div_up(scratch + SCRATCH_ALIGN, sizeof(float)) : 0),
    };
    *plan_out = (op_plan_t *)plan;
    return STATUS_OK;
}

static void product_run(const linear_plan_t *plan, const product_t *product, const void *left,
                        const void *right, const void *bias, void *dst, void *workspace) {
    dnnl_exec_arg_t args[5] = {
        {DNNL_ARG_SRC, product->left},
        {DNNL_ARG_WEIGHTS, product->right},
        {DNNL_ARG_DST, product->dst},
    };
    int count = 3;
    dnnl_memory_set_data_handle(product->left, (void *)left);
    dnnl_memory_set_data_handle(product->right, (void *)right);
    dnnl_memory_set_data_handle(product->dst, dst);
    if (bias != NULL) {
        dnnl_memory_set_data_handle(product->bias, (void *)bias);
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, product->bias};
    }
    if (product->scratch_bytes > 0) {
        uintptr_t scratch = (uintptr_t)((float *)workspace + plan->dz_count);
        scratch = (scratch + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
        dnnl_memory_set_data_handle(product->scratch, (void *)scratch);
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, product->scratch};
    }
    REQUIRE(dnnl_primitive_execute(product->primitive, plan->stream, count, args) == dnnl_success);
    REQUIRE(dnnl_stream_wait(plan->stream) == dnnl_success);
}

static float *row_of(matrix_t matrix, int64_t shard, int64_t row) {
    return (float *)matrix.data + shard * matrix.shard_stride + row * matrix.row_stride;
}

void linear_forward_onednn(const op_plan_t *plan, const op_call_t *call) {
    const linear_plan_t *linear = (const linear_plan_t *)plan;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        product_run(linear, &linear->forward, row_of(call->in[0], s, 0), call->weight[0],
                    call->weight[1], row_of(call->out, s, 0), call->workspace);
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
        product_run(linear, &linear->backward_data, before_activation(linear, call, s),
                    call->weight[0], NULL, row_of(call->d_in[0], s, 0), call->workspace);
    }
}

void linear_backward_weights_onednn(const op_plan_t *plan, const op_call_t *call) {
    const linear_plan_t *linear = (const linear_plan_t *)plan;
    const op_description_t *d = &linear->description;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    const float *dz = before_activation(linear, call, call->shard_begin);
    product_run(linear, &linear->backward_weights, dz, row_of(call->in[0], call->shard_begin, 0),
                NULL, call->d_weight[0], call->workspace);
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
