#include "blas_case.h"

enum { AUX_BITS = 128 };

#define CHECK(call)                                                                                \
    do {                                                                                           \
        cublasStatus_t status_ = (call);                                                           \
        if (status_ != CUBLAS_STATUS_SUCCESS) {                                                    \
            return status_;                                                                        \
        }                                                                                          \
    } while (0)
#define SET_FORM(form, name, value)                                                                \
    CHECK(cublasLtMatmulDescSetAttribute(form, CUBLASLT_MATMUL_DESC_##name, &(value),              \
                                         sizeof(value)))
#define SET_LAYOUT(layout, name, value)                                                            \
    CHECK(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_##name, &(value),        \
                                           sizeof(value)))

static cublasStatus_t describe(const product_case_t *p, cublasLtMatmulDesc_t form) {
    int32_t left = p->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, type = p->out;
    int32_t right = p->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    uint32_t epilogue = p->epilogue;
    int64_t aux_ld = (int64_t)(p->rows + AUX_BITS - 1) / AUX_BITS * AUX_BITS;
    SET_FORM(form, TRANSA, left);
    SET_FORM(form, TRANSB, right);
    SET_FORM(form, EPILOGUE, epilogue);
    if (p->bias != NULL) {
        SET_FORM(form, BIAS_POINTER, p->bias);
        SET_FORM(form, BIAS_DATA_TYPE, type);
    }
    if (p->aux != NULL) {
        SET_FORM(form, EPILOGUE_AUX_POINTER, p->aux);
        SET_FORM(form, EPILOGUE_AUX_LD, aux_ld);
    }
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t lay_out(cublasLtMatrixLayout_t *out, cudaDataType_t type, uint64_t rows,
                              uint64_t columns, int32_t batch) {
    int64_t stride = (int64_t)(rows * columns);
    CHECK(cublasLtMatrixLayoutCreate(out, type, rows, columns, (int64_t)rows));
    SET_LAYOUT(*out, BATCH_COUNT, batch);
    SET_LAYOUT(*out, STRIDED_BATCH_OFFSET, stride);
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t choose(const product_case_t *p, cublasLtHandle_t handle,
                             cublasLtMatmulDesc_t form, cublasLtMatrixLayout_t a,
                             cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t d,
                             cublasLtMatmulHeuristicResult_t *result) {
    cublasLtMatmulPreference_t preference;
    size_t work_most = 4096;
    int count = 0;
    CHECK(cublasLtMatmulPreferenceCreate(&preference));
    cublasLtMatmulPreferenceAttributes_t names[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    for (int i = 0; i < 4; i++) {
        CHECK(cublasLtMatmulPreferenceSetAttribute(preference, names[i], &p->alignment,
                                                   sizeof p->alignment));
    }
    CHECK(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &work_most, sizeof work_most));
    cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle, form, a, b, d, d, preference, 1, result, &count);
    cublasLtMatmulPreferenceDestroy(preference);
    return status;
}

/* More of it than the algorithm was chosen for. */
static cublasStatus_t make_many(const product_case_t *p, cublasLtMatrixLayout_t a,
                                cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t d) {
    if (p->chosen_columns > 0) {
        SET_LAYOUT(b, COLS, p->columns);
        SET_LAYOUT(d, COLS, p->columns);
    }
    SET_LAYOUT(a, BATCH_COUNT, p->batch);
    SET_LAYOUT(b, BATCH_COUNT, p->batch);
    SET_LAYOUT(d, BATCH_COUNT, p->batch);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t product_run(const product_case_t *p, cudaStream_t stream) {
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t form;
    cublasLtMatrixLayout_t a = NULL, b = NULL, d = NULL;
    cublasLtMatmulHeuristicResult_t result;
    const float alpha = 1;
    CHECK(cublasLtCreate(&handle));
    CHECK(cublasLtMatmulDescCreate(
        &form, p->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
    CHECK(describe(p, form));
    int32_t batch = p->chosen_batch > 0 ? p->chosen_batch : p->batch;
    uint64_t columns = p->chosen_columns > 0 ? p->chosen_columns : p->columns;
    CHECK(lay_out(&a, p->in, p->transpose_a ? p->inner : p->rows,
                  p->transpose_a ? p->rows : p->inner, batch));
    CHECK(lay_out(&b, p->in, p->transpose_b ? columns : p->inner,
                  p->transpose_b ? p->inner : columns, batch));
    CHECK(lay_out(&d, p->out, p->rows, columns, batch));
    cublasStatus_t status = choose(p, handle, form, a, b, d, &result);
    CHECK(make_many(p, a, b, d));
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = cublasLtMatmul(handle, form, &alpha, p->a, a, p->b, b, &p->beta, p->d, d, p->d, d,
                                &result.algo, p->work, p->work_bytes, stream);
    }
    cublasLtMatrixLayoutDestroy(a);
    cublasLtMatrixLayoutDestroy(b);
    cublasLtMatrixLayoutDestroy(d);
    cublasLtMatmulDescDestroy(form);
    cublasLtDestroy(handle);
    return status;
}
