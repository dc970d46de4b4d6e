/* Products of matrices by cuBLASLt, which counts by column: C by row is C' = B' A' by column. */
#include "kernels/cuda/backend.h"

enum { ALIGNED, UNALIGNED, ALIGNMENTS, VECTOR_BYTES = 16 };
static const size_t workspace_most = (size_t)32 << 20;

/* The algorithm is chosen for one product. It holds for as many as a call has, in a batch or as
 * more rows of one product: how the sum of an element goes does not change. Sums cut into parts
 * that are added afterwards (split k) are left out. */
struct product {
    cuda_context_t *context;
    product_shape_t shape;
    cublasLtMatmulDesc_t description;
    cublasLtMatrixLayout_t a, b, c; /* as the shape has them, by column: each transposed */
    cublasLtMatmulAlgo_t algorithm[ALIGNMENTS];
    size_t workspace_bytes[ALIGNMENTS];
};

static cudaDataType_t type_of(dtype_t dtype) {
    return dtype == DTYPE_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

/* --- planning -------------------------------------------------------------------------------- */

static cublasStatus_t set_description(product_t *p) {
    const product_shape_t *s = &p->shape;
    int32_t left = s->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    int32_t right = s->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    uint32_t epilogue = s->bias && s->relu ? CUBLASLT_EPILOGUE_RELU_BIAS
                        : s->bias          ? CUBLASLT_EPILOGUE_BIAS
                        : s->relu          ? CUBLASLT_EPILOGUE_RELU
                                           : CUBLASLT_EPILOGUE_DEFAULT;
    int32_t bias_type = type_of(s->out);
    cublasStatus_t error = cublasLtMatmulDescSetAttribute(
        p->description, CUBLASLT_MATMUL_DESC_TRANSA, &left, sizeof left);
    error = error != 0 ? error
                       : cublasLtMatmulDescSetAttribute(p->description, CUBLASLT_MATMUL_DESC_TRANSB,
                                                        &right, sizeof right);
    error = error != 0
                ? error
                : cublasLtMatmulDescSetAttribute(p->description, CUBLASLT_MATMUL_DESC_EPILOGUE,
                                                 &epilogue, sizeof epilogue);
    if (error == CUBLAS_STATUS_SUCCESS && s->bias) {
        error = cublasLtMatmulDescSetAttribute(p->description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE,
                                               &bias_type, sizeof bias_type);
    }
    return error;
}

static cublasStatus_t open_layouts(product_t *p) {
    const product_shape_t *s = &p->shape;
    cudaDataType_t in = type_of(s->in);
    uint64_t m = (uint64_t)s->m, n = (uint64_t)s->n, k = (uint64_t)s->k;
    cublasStatus_t error = cublasLtMatrixLayoutCreate(&p->a, in, s->a_transposed ? m : k,
                                                      s->a_transposed ? k : m, s->a_row);
    error = error != 0 ? error
                       : cublasLtMatrixLayoutCreate(&p->b, in, s->b_transposed ? k : n,
                                                    s->b_transposed ? n : k, s->b_row);
    return error != 0 ? error : cublasLtMatrixLayoutCreate(&p->c, type_of(s->out), n, m, s->c_row);
}

static cublasStatus_t prefer(cublasLtMatmulPreference_t preference, uint32_t in_bytes,
                             uint32_t out_bytes) {
    uint32_t no_parts = CUBLASLT_REDUCTION_SCHEME_NONE;
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        const void *value;
        size_t bytes;
    } wishes[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_most, sizeof workspace_most},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &no_parts, sizeof no_parts},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &in_bytes, sizeof in_bytes},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &in_bytes, sizeof in_bytes},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &out_bytes, sizeof out_bytes},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &out_bytes, sizeof out_bytes},
    };
    cublasStatus_t error = CUBLAS_STATUS_SUCCESS;
    for (int i = 0; i < ARRAY_LEN(wishes) && error == CUBLAS_STATUS_SUCCESS; i++) {
        error = cublasLtMatmulPreferenceSetAttribute(preference, wishes[i].name, wishes[i].value,
                                                     wishes[i].bytes);
    }
    return error;
}

static bool rows_are_aligned(int64_t row, dtype_t dtype) {
    return row * (int64_t)dtype_bytes(dtype) % VECTOR_BYTES == 0;
}

static status_t choose(product_t *p, int alignment) {
    const product_shape_t *s = &p->shape;
    bool aligned = alignment == ALIGNED && rows_are_aligned(s->a_row, s->in) &&
                   rows_are_aligned(s->b_row, s->in) && rows_are_aligned(s->c_row, s->out);
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    TRY(cuda_product_status(cublasLtMatmulPreferenceCreate(&preference),
                            "cannot prepare a product"));
    cublasStatus_t error = prefer(preference, aligned ? VECTOR_BYTES : (uint32_t)dtype_bytes(s->in),
                                  aligned ? VECTOR_BYTES : (uint32_t)dtype_bytes(s->out));
    if (error == CUBLAS_STATUS_SUCCESS) {
        error = cublasLtMatmulAlgoGetHeuristic(p->context->products, p->description, p->b, p->a,
                                               p->c, p->c, preference, 1, &found, &count);
    }
    (void)cublasLtMatmulPreferenceDestroy(preference);
    if (error != CUBLAS_STATUS_SUCCESS || count == 0) {
        return status_fail(STATUS_UNAVAILABLE,
                           "cuBLASLt has no algorithm for a product of %lld x %lld by %lld x %lld "
                           "(status %d); use backend: cpu",
                           (long long)s->m, (long long)s->k, (long long)s->k, (long long)s->n,
                           (int)error);
    }
    p->algorithm[alignment] = found.algo;
    p->workspace_bytes[alignment] = found.workspaceSize;
    return STATUS_OK;
}

/* Grows while plans are made; calls read where it is. */
static status_t need_workspace(cuda_context_t *context, size_t bytes) {
    if (bytes <= context->product_workspace_bytes) {
        return STATUS_OK;
    }
    void *memory = NULL;
    TRY(cuda_status(cudaMalloc(&memory, bytes), "cannot allocate the workspace of products"));
    (void)cudaFree(context->product_workspace);
    context->product_workspace = memory;
    context->product_workspace_bytes = bytes;
    return STATUS_OK;
}

static status_t open_parts(product_t *p) {
    cublasComputeType_t compute = p->shape.in == DTYPE_F32 && p->context->tf32
                                      ? CUBLAS_COMPUTE_32F_FAST_TF32
                                      : CUBLAS_COMPUTE_32F;
    TRY(cuda_product_status(cublasLtMatmulDescCreate(&p->description, compute, CUDA_R_32F),
                            "cannot describe a product"));
    TRY(cuda_product_status(set_description(p), "cannot describe a product"));
    TRY(cuda_product_status(open_layouts(p), "cannot describe a matrix"));
    for (int i = 0; i < ALIGNMENTS; i++) {
        TRY(choose(p, i));
        TRY(need_workspace(p->context, p->workspace_bytes[i]));
    }
    return STATUS_OK;
}

status_t product_open(cuda_context_t *context, const product_shape_t *shape,
                      product_t **product_out) {
    product_t *p = alloc_zero(1, sizeof *p);
    p->context = context;
    p->shape = *shape;
    status_t status = open_parts(p);
    if (status != STATUS_OK) {
        product_close(p);
        return status;
    }
    *product_out = p;
    return STATUS_OK;
}

void product_close(product_t *product) {
    if (product == NULL) {
        return;
    }
    cublasLtMatrixLayout_t layouts[] = {product->a, product->b, product->c};
    for (int i = 0; i < ARRAY_LEN(layouts); i++) {
        if (layouts[i] != NULL) {
            (void)cublasLtMatrixLayoutDestroy(layouts[i]);
        }
    }
    if (product->description != NULL) {
        (void)cublasLtMatmulDescDestroy(product->description);
    }
    free(product);
}

/* --- running --------------------------------------------------------------------------------- */

#define PRODUCT_REQUIRE(call) REQUIRE((call) == CUBLAS_STATUS_SUCCESS)

static bool is_aligned(const void *data, int64_t next, dtype_t dtype) {
    return (uintptr_t)data % VECTOR_BYTES == 0 && rows_are_aligned(next, dtype);
}

static void set_batch(cublasLtMatrixLayout_t layout, int32_t batch, int64_t next) {
    PRODUCT_REQUIRE(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                                     &batch, sizeof batch));
    PRODUCT_REQUIRE(cublasLtMatrixLayoutSetAttribute(
        layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &next, sizeof next));
}

static void set_rows(cublasLtMatrixLayout_t layout, int64_t rows) {
    uint64_t cols = (uint64_t)rows; /* by column */
    PRODUCT_REQUIRE(
        cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_COLS, &cols, sizeof cols));
}

void product_run(const product_t *product, const product_call_t *call) {
    const product_shape_t *s = &product->shape;
    const float one = 1.0f, beta = call->add ? 1.0f : 0.0f;
    bool one_matrix = call->b_next == 0 && !s->a_transposed && call->a_next == s->m * s->a_row &&
                      call->c_next == s->m * s->c_row;
    int32_t batch = one_matrix ? 1 : (int32_t)call->batch;
    bool aligned = is_aligned(call->a, call->a_next, s->in) &&
                   is_aligned(call->b, call->b_next, s->in) &&
                   is_aligned(call->c, call->c_next, s->out);
    int alignment = aligned ? ALIGNED : UNALIGNED;
    if (!s->a_transposed) {
        int64_t rows = one_matrix ? s->m * call->batch : s->m;
        set_rows(product->a, rows);
        set_rows(product->c, rows);
    }
    set_batch(product->a, batch, call->a_next);
    set_batch(product->b, batch, call->b_next);
    set_batch(product->c, batch, call->c_next);
    if (s->bias) {
        PRODUCT_REQUIRE(cublasLtMatmulDescSetAttribute(product->description,
                                                       CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                       &call->bias, sizeof call->bias));
    }
    PRODUCT_REQUIRE(cublasLtMatmul(product->context->products, product->description, &one, call->b,
                                   product->b, call->a, product->a, &beta, call->c, product->c,
                                   call->c, product->c, &product->algorithm[alignment],
                                   product->context->product_workspace,
                                   product->workspace_bytes[alignment], product->context->stream));
}
