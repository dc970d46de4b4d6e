#include "kernels/cpu/product_onednn.h"

#include "kernels/base/bytes.h"

enum { SCRATCH_ALIGN = 64 };

static status_t memory_open(dnnl_engine_t engine, const operand_t *operand,
                            dnnl_memory_desc_t *desc_out, dnnl_memory_t *memory_out) {
    dnnl_dims_t dims = {operand->rows, operand->cols};
    dnnl_dims_t strides = {operand->row_stride, operand->col_stride};
    TRY_DNNL(dnnl_memory_desc_init_by_strides(desc_out, 2, dims, dnnl_f32, strides));
    TRY_DNNL(dnnl_memory_create(memory_out, desc_out, engine, DNNL_MEMORY_NONE));
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

static status_t primitive_open(dnnl_engine_t engine, const dnnl_matmul_desc_t *matmul, bool relu,
                               product_t *product) {
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t desc = NULL;
    TRY_DNNL(dnnl_primitive_attr_create(&attributes));
    status_t status = attributes_fill(attributes, relu);
    dnnl_status_t made = dnnl_runtime_error;
    if (status == STATUS_OK) {
        made = dnnl_primitive_desc_create(&desc, matmul, attributes, engine, NULL);
    }
    dnnl_primitive_attr_destroy(attributes);
    TRY(status);
    TRY_DNNL(made);
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    int64_t scratch_bytes = (int64_t)dnnl_memory_desc_get_size(scratch);
    product->scratch_bytes = scratch_bytes > 0 ? scratch_bytes + SCRATCH_ALIGN : 0;
    made = dnnl_memory_create(&product->scratch, scratch, engine, DNNL_MEMORY_NONE);
    if (made == dnnl_success) {
        made = dnnl_primitive_create(&product->primitive, desc);
    }
    dnnl_primitive_desc_destroy(desc);
    TRY_DNNL(made);
    return STATUS_OK;
}

status_t product_open(dnnl_engine_t engine, operand_t left, operand_t right, operand_t dst,
                      bool with_bias, bool relu, product_t *product) {
    dnnl_memory_desc_t left_desc, right_desc, dst_desc, bias_desc;
    TRY(memory_open(engine, &left, &left_desc, &product->left));
    TRY(memory_open(engine, &right, &right_desc, &product->right));
    TRY(memory_open(engine, &dst, &dst_desc, &product->dst));
    if (with_bias) {
        operand_t bias = {1, dst.cols, dst.cols, 1};
        TRY(memory_open(engine, &bias, &bias_desc, &product->bias));
    }
    dnnl_matmul_desc_t matmul;
    TRY_DNNL(dnnl_matmul_desc_init(&matmul, &left_desc, &right_desc, with_bias ? &bias_desc : NULL,
                                   &dst_desc));
    return primitive_open(engine, &matmul, relu, product);
}

void product_close(product_t *product) {
    dnnl_primitive_destroy(product->primitive);
    dnnl_memory_t memories[] = {product->left, product->right, product->bias, product->dst,
                                product->scratch};
    for (int i = 0; i < ARRAY_LEN(memories); i++) {
        if (memories[i] != NULL) {
            dnnl_memory_destroy(memories[i]);
        }
    }
    *product = (product_t){0};
}

void product_run(const product_t *product, dnnl_stream_t stream, const void *left,
                 const void *right, const void *bias, void *dst, void *scratch) {
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
        uintptr_t at = (uintptr_t)scratch;
        at = (at + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
        dnnl_memory_set_data_handle(product->scratch, (void *)at);
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, product->scratch};
    }
    REQUIRE(dnnl_primitive_execute(product->primitive, stream, count, args) == dnnl_success);
    REQUIRE(dnnl_stream_wait(stream) == dnnl_success);
}
