/* cublasLtMatmul for what a trainer uses: transposes, strided batches, bias and GELU epilogues. */
#include "sim_number.h"
#include "simgpu.h"
#include <cublasLt.h>
#include <math.h>
#include <stdlib.h>

struct layout {
    enum number type;
    uint64_t rows, cols;
    int64_t ld, stride;
    int32_t batch, order;
};
struct desc {
    int32_t ta, tb;
    uint32_t epilogue;
    void *bias, *aux;
    int64_t aux_ld;
    enum number bias_type;
};
struct matmul {
    sim_op_t op;
    struct desc d;
    struct layout a, b, c, out;
    const void *A, *B, *C;
    void *D, *work;
    size_t work_size;
    float alpha, beta;
};
_Static_assert(sizeof(struct layout) <= sizeof(cublasLtMatrixLayoutOpaque_t), "a layout must fit");
_Static_assert(sizeof(struct desc) <= sizeof(cublasLtMatmulDescOpaque_t), "a descriptor must fit");

static enum number number_of(int t) {
    return t == CUDA_R_32F ? N_F32 : t == CUDA_R_16BF ? N_BF16 : t == CUDA_R_64F ? N_F64 : N_NONE;
}
static void touch(const struct layout *l, const void *p, int kind) {
    size_t span =
        (size_t)(l->ld * (int64_t)(l->cols - 1) + (int64_t)l->rows) * number_size(l->type);
    for (int b = 0; b < l->batch; b++)
        sim_touch((const char *)p + (size_t)b * (size_t)l->stride * number_size(l->type), span,
                  kind, "cublasLtMatmul");
}
static bool run(sim_op_t *op) {
    struct matmul *m = (struct matmul *)op;
    struct desc *d = &m->d;
    size_t M = m->out.rows, N = m->out.cols, K = d->ta ? m->a.rows : m->a.cols;
    float *row = malloc(M * N * sizeof *row);
    touch(&m->a, m->A, SIM_READ);
    touch(&m->b, m->B, SIM_READ);
    if (m->beta != 0)
        touch(&m->c, m->C, SIM_READ);
    sim_touch(m->work, m->work_size, SIM_WRITE, "cublasLtMatmul workspace");
    if (m->work_size)
        memset(m->work, 0xFF, m->work_size); /* what was there is gone */
    if (d->epilogue & CUBLASLT_EPILOGUE_BIAS)
        sim_touch(d->bias, M * number_size(d->bias_type), SIM_READ, "cublasLtMatmul bias");
    for (int b = 0; b < m->out.batch; b++) {
        size_t A = (size_t)(b * m->a.stride), B = (size_t)(b * m->b.stride),
               C = (size_t)(b * m->c.stride), D = (size_t)(b * m->out.stride);
        for (size_t j = 0; j < N; j++)
            for (size_t i = 0; i < M; i++) {
                float sum = 0;
                for (size_t k = 0; k < K; k++)
                    sum += (float)number_load(
                               m->a.type, m->A,
                               A + (d->ta ? k + i * (size_t)m->a.ld : i + k * (size_t)m->a.ld)) *
                           (float)number_load(
                               m->b.type, m->B,
                               B + (d->tb ? j + k * (size_t)m->b.ld : k + j * (size_t)m->b.ld));
                sum *= m->alpha;
                if (m->beta != 0)
                    sum +=
                        m->beta * (float)number_load(m->c.type, m->C, C + i + j * (size_t)m->c.ld);
                if (d->epilogue & CUBLASLT_EPILOGUE_BIAS)
                    sum += (float)number_load(d->bias_type, d->bias, i);
                if ((d->epilogue & CUBLASLT_EPILOGUE_GELU_AUX) == CUBLASLT_EPILOGUE_GELU_AUX)
                    number_store(m->out.type, d->aux, i + j * (size_t)d->aux_ld, sum);
                if (d->epilogue & CUBLASLT_EPILOGUE_GELU)
                    sum =
                        0.5f * sum * (1 + tanhf(0.79788456f * (sum + 0.044715f * sum * sum * sum)));
                if (d->epilogue & CUBLASLT_EPILOGUE_RELU)
                    sum = fmaxf(sum, 0);
                row[i + j * M] = sum; /* D may be C */
            }
        for (size_t j = 0; j < N; j++)
            for (size_t i = 0; i < M; i++)
                number_store(m->out.type, m->D, D + i + j * (size_t)m->out.ld, row[i + j * M]);
    }
    free(row);
    touch(&m->out, m->D, SIM_WRITE);
    return true;
}
static const char *wrong(const struct matmul *m) {
    const struct desc *d = &m->d;
    uint64_t am = d->ta ? m->a.cols : m->a.rows, ak = d->ta ? m->a.rows : m->a.cols,
             bk = d->tb ? m->b.cols : m->b.rows, bn = d->tb ? m->b.rows : m->b.cols;
    const struct layout *all[] = {&m->a, &m->b, &m->c, &m->out};
    if (am != m->out.rows || bn != m->out.cols || ak != bk || m->c.rows != m->out.rows ||
        m->c.cols != m->out.cols)
        return "the shapes do not fit";
    for (int i = 0; i < 4; i++)
        if (all[i]->type == N_NONE || all[i]->order || all[i]->ld < (int64_t)all[i]->rows ||
            all[i]->batch != m->out.batch)
            return "a layout is wrong: type, order, leading dimension or batch count";
    if (d->epilogue & ~(uint32_t)(CUBLASLT_EPILOGUE_BIAS | CUBLASLT_EPILOGUE_GELU_AUX |
                                  CUBLASLT_EPILOGUE_RELU | CUBLASLT_EPILOGUE_DEFAULT))
        return "this epilogue is not simulated";
    return NULL;
}
cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *A, cublasLtMatrixLayout_t a, const void *B,
                              cublasLtMatrixLayout_t b, const void *beta, const void *C,
                              cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t out,
                              const cublasLtMatmulAlgo_t *algo, void *work, size_t work_size,
                              cudaStream_t stream) {
    (void)h, (void)algo;
    struct matmul *m = sim_op_new(sizeof *m, "cublasLtMatmul", run, NULL);
    *m = (struct matmul){m->op,
                         *(struct desc *)desc,
                         *(struct layout *)a,
                         *(struct layout *)b,
                         *(struct layout *)c,
                         *(struct layout *)out,
                         A,
                         B,
                         C,
                         D,
                         work,
                         work_size,
                         *(const float *)alpha,
                         *(const float *)beta};
    if (wrong(m))
        sim_report(__builtin_return_address(0), "cublasLtMatmul: %s", wrong(m));
    return sim_enqueue(stream, m) ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}

/* ---- descriptors: the opaque structs of the header, with our fields in them ---- */
cublasStatus_t cublasLtCreate(cublasLtHandle_t *h) { return *h = malloc(1), CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) { return free(h), CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld) {
    *l = calloc(1, sizeof **l);
    *(struct layout *)*l = (struct layout){number_of(type), rows, cols, ld, 0, 1, 0};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) {
    return free(l), CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t p,
                                                cublasLtMatrixLayoutAttribute_t a, const void *v,
                                                size_t n) {
    struct layout *l = (struct layout *)p;
    if (a == CUBLASLT_MATRIX_LAYOUT_ROWS && n == 8)
        return l->rows = *(const uint64_t *)v, CUBLAS_STATUS_SUCCESS;
    if (a == CUBLASLT_MATRIX_LAYOUT_COLS && n == 8)
        return l->cols = *(const uint64_t *)v, CUBLAS_STATUS_SUCCESS;
    if (a == CUBLASLT_MATRIX_LAYOUT_LD && n == 8)
        return l->ld = *(const int64_t *)v, CUBLAS_STATUS_SUCCESS;
    if (a == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT && n == 4)
        return l->batch = *(const int32_t *)v, CUBLAS_STATUS_SUCCESS;
    if (a == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET && n == 8)
        return l->stride = *(const int64_t *)v, CUBLAS_STATUS_SUCCESS;
    sim_report(__builtin_return_address(0),
               "cublasLt: layout attribute %d of %zu bytes is not simulated", a, n);
    return CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
    if (scale != CUDA_R_32F ||
        (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    *d = calloc(1, sizeof **d);
    *(struct desc *)*d = (struct desc){.epilogue = CUBLASLT_EPILOGUE_DEFAULT, .bias_type = N_F32};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) {
    return free(d), CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t p,
                                              cublasLtMatmulDescAttributes_t a, const void *v,
                                              size_t n) {
    struct desc *d = (struct desc *)p;
    switch (a) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        d->ta = *(const int32_t *)v;
        break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
        d->tb = *(const int32_t *)v;
        break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        d->epilogue = *(const uint32_t *)v;
        break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        d->bias = *(void *const *)v;
        break;
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        d->bias_type = number_of(*(const int *)v);
        break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
        d->aux = *(void *const *)v;
        break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
        d->aux_ld = *(const int64_t *)v;
        break;
    default:
        sim_report(__builtin_return_address(0),
                   "cublasLt: matmul attribute %d of %zu bytes is not simulated", a, n);
    }
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p) {
    return *p = calloc(1, sizeof **p), CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
    return free(p), CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t a,
                                                    const void *v, size_t n) {
    (void)p, (void)a, (void)v, (void)n;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t d,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t out,
                                              cublasLtMatmulPreference_t p, int want,
                                              cublasLtMatmulHeuristicResult_t r[], int *got) {
    (void)h, (void)d, (void)a, (void)b, (void)c, (void)out, (void)p;
    *got = want > 0;
    if (want > 0)
        memset(r, 0, sizeof *r);
    return CUBLAS_STATUS_SUCCESS;
}
