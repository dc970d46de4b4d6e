/* Products of matrices by cuBLASLt, which counts by column: C by row is C' = B' A' by column. */
#include "kernels/cuda/backend.h"

enum { ALIGNED, UNALIGNED, ALIGNMENTS, VECTOR_BYTES = 16, PROPOSALS_MAX = 8 };
static const size_t workspace_most = (size_t)32 << 20;

/* The algorithm is chosen for one product. It holds for as many as a call has, in a batch or as
 * more rows of one product: how the sum of an element goes does not change. Not every algorithm
 * takes a batch, and more products may ask for more workspace, so the library is asked for two, and
 * how much for the most. Sums cut into parts that are added afterwards (split k) are left out. */
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

#define PRODUCT_REQUIRE(call) REQUIRE((call) == CUBLAS_STATUS_SUCCESS)

static void set_batch(cublasLtMatrixLayout_t layout, int32_t batch, int64_t next) {
    PRODUCT_REQUIRE(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                                     &batch, sizeof batch));
    PRODUCT_REQUIRE(cublasLtMatrixLayoutSetAttribute(
        layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &next, sizeof next));
}

/* As a product of that many rows. */
static void set_rows(const product_t *p, int64_t count) {
    uint64_t cols = (uint64_t)(p->shape.m * count); /* by column */
    if (p->shape.a_transposed) {
        return;
    }
    PRODUCT_REQUIRE(
        cublasLtMatrixLayoutSetAttribute(p->a, CUBLASLT_MATRIX_LAYOUT_COLS, &cols, sizeof cols));
    PRODUCT_REQUIRE(
        cublasLtMatrixLayoutSetAttribute(p->c, CUBLASLT_MATRIX_LAYOUT_COLS, &cols, sizeof cols));
}

/* Whether the algorithm makes that many products as a batch, and as rows of one; with how many
 * bytes at most. */
static bool makes(product_t *p, const cublasLtMatmulAlgo_t *algorithm, int64_t count,
                  size_t *bytes_inout) {
    const product_shape_t *s = &p->shape;
    cublasLtMatmulHeuristicResult_t batch, rows;
    cublasLtHandle_t handle = p->context->products;
    set_batch(p->a, (int32_t)count, (s->a_transposed ? s->k : s->m) * s->a_row);
    set_batch(p->b, (int32_t)count, (s->b_transposed ? s->n : s->k) * s->b_row);
    set_batch(p->c, (int32_t)count, s->m * s->c_row);
    bool can = cublasLtMatmulAlgoCheck(handle, p->description, p->b, p->a, p->c, p->c, algorithm,
                                       &batch) == CUBLAS_STATUS_SUCCESS;
    set_batch(p->a, 1, 0);
    set_batch(p->b, 1, 0);
    set_batch(p->c, 1, 0);
    set_rows(p, count);
    can = can && cublasLtMatmulAlgoCheck(handle, p->description, p->b, p->a, p->c, p->c, algorithm,
                                         &rows) == CUBLAS_STATUS_SUCCESS;
    set_rows(p, 1);
    if (can) {
        *bytes_inout = batch.workspaceSize > *bytes_inout ? batch.workspaceSize : *bytes_inout;
        *bytes_inout = rows.workspaceSize > *bytes_inout ? rows.workspaceSize : *bytes_inout;
    }
    return can && *bytes_inout <= workspace_most;
}

static cublasStatus_t propose(product_t *p, bool aligned, cublasLtMatmulHeuristicResult_t *found,
                              int *count_out) {
    const product_shape_t *s = &p->shape;
    cublasLtMatmulPreference_t preference = NULL;
    cublasStatus_t error = cublasLtMatmulPreferenceCreate(&preference);
    if (error != CUBLAS_STATUS_SUCCESS) {
        return error;
    }
    error = prefer(preference, aligned ? VECTOR_BYTES : (uint32_t)dtype_bytes(s->in),
                   aligned ? VECTOR_BYTES : (uint32_t)dtype_bytes(s->out));
    if (error == CUBLAS_STATUS_SUCCESS) {
        error =
            cublasLtMatmulAlgoGetHeuristic(p->context->products, p->description, p->b, p->a, p->c,
                                           p->c, preference, PROPOSALS_MAX, found, count_out);
    }
    (void)cublasLtMatmulPreferenceDestroy(preference);
    return error;
}

/* Which one does not depend on how many a call makes. */
static status_t choose(product_t *p, int alignment) {
    const product_shape_t *s = &p->shape;
    bool aligned = alignment == ALIGNED && rows_are_aligned(s->a_row, s->in) &&
                   rows_are_aligned(s->b_row, s->in) && rows_are_aligned(s->c_row, s->out);
    cublasLtMatmulHeuristicResult_t found[PROPOSALS_MAX];
    int count = 0;
    cublasStatus_t error = propose(p, aligned, found, &count);
    for (int i = 0; i < count && error == CUBLAS_STATUS_SUCCESS; i++) {
        size_t bytes = found[i].workspaceSize;
        if (found[i].state == CUBLAS_STATUS_SUCCESS && makes(p, &found[i].algo, 2, &bytes)) {
            p->algorithm[alignment] = found[i].algo;
            if (!makes(p, &found[i].algo, max_i64(s->most, 1), &bytes)) {
                break;
            }
            p->workspace_bytes[alignment] = bytes;
            return STATUS_OK;
        }
    }
    return status_fail(STATUS_UNAVAILABLE,
                       "cuBLASLt has no algorithm for a product of %lld x %lld by %lld x %lld "
                       "(status %d); use backend: cpu",
                       (long long)s->m, (long long)s->k, (long long)s->k, (long long)s->n,
                       (int)error);
}

/* Grows while plans are made; calls read where it is. What it was before stays: a step that is
 * recorded has its address. */
static status_t need_workspace(cuda_context_t *context, size_t bytes) {
    if (bytes <= context->product_workspace_bytes) {
        return STATUS_OK;
    }
    void *memory = NULL;
    TRY(cuda_status(cudaMalloc(&memory, bytes), "cannot allocate the workspace of products"));
    context->workspaces =
        array_grow(context->workspaces, context->workspace_count, sizeof *context->workspaces);
    context->workspaces[context->workspace_count++] = memory;
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

static bool is_aligned(const void *data, int64_t next, dtype_t dtype) {
    return (uintptr_t)data % VECTOR_BYTES == 0 && rows_are_aligned(next, dtype);
}

void product_run(const product_t *product, const product_call_t *call) {
    const product_shape_t *s = &product->shape;
    const float one = 1.0f, beta = call->add ? 1.0f : 0.0f;
    bool one_matrix = call->b_next == 0 && !s->a_transposed && call->a_next == s->m * s->a_row &&
                      call->c_next == s->m * s->c_row;
    int32_t batch = one_matrix ? 1 : (int32_t)call->batch;
    bool aligned = is_aligned(call->a, call->a_next, s->in) &&
                   is_aligned(call->b, call->b_next, s->in) &&
                   is_aligned(call->c, call->c_next, s->out) &&
                   (!s->bias || is_aligned(call->bias, 0, s->out));
    int alignment = aligned ? ALIGNED : UNALIGNED;
    set_rows(product, one_matrix ? call->batch : 1);
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
