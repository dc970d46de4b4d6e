/* C = A B for row-major matrices on cuBLASLt, which is column-major: it computes C' = B' A'. */
#include "sample_libraries.h"

int gemm(cublasLtHandle_t h, cudaStream_t s, void *c, const void *a, const void *b,
         const void *bias, int m, int n, int k, int ta, int tb, cudaDataType type, float beta,
         void *work, size_t work_size) {
    cublasLtMatmulDesc_t d;
    cublasLtMatrixLayout_t A, B, C;
    cublasLtMatmulPreference_t p;
    cublasLtMatmulHeuristicResult_t r;
    float one = 1;
    int32_t opa = ta ? CUBLAS_OP_T : CUBLAS_OP_N, opb = tb ? CUBLAS_OP_T : CUBLAS_OP_N, got = 0;
    cublasLtMatmulDescCreate(&d, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSA, &opb, sizeof opb);
    cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSB, &opa, sizeof opa);
    if (bias) {
        uint32_t e = CUBLASLT_EPILOGUE_BIAS;
        int32_t t = CUDA_R_32F;
        cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE, &e, sizeof e);
        cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
        cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &t, sizeof t);
    }
    cublasLtMatrixLayoutCreate(&A, type, tb ? k : n, tb ? n : k, tb ? k : n);
    cublasLtMatrixLayoutCreate(&B, type, ta ? m : k, ta ? k : m, ta ? m : k);
    cublasLtMatrixLayoutCreate(&C, type, n, m, n);
    cublasLtMatmulPreferenceCreate(&p);
    cublasLtMatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &work_size,
                                         sizeof work_size);
    int e = cublasLtMatmulAlgoGetHeuristic(h, d, A, B, C, C, p, 1, &r, &got);
    if (!e && got)
        e = cublasLtMatmul(h, d, &one, b, A, a, B, &beta, c, C, c, C, &r.algo, work, work_size, s);
    cublasLtMatmulPreferenceDestroy(p);
    cublasLtMatrixLayoutDestroy(A), cublasLtMatrixLayoutDestroy(B), cublasLtMatrixLayoutDestroy(C);
    cublasLtMatmulDescDestroy(d);
    return e || !got;
}
