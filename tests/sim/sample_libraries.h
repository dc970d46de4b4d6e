#pragma once
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
int gemm(cublasLtHandle_t h, cudaStream_t s, void *c, const void *a, const void *b,
         const void *bias, int m, int n, int k, int ta, int tb, cudaDataType type, float beta,
         void *work, size_t work_size);
/* A convolution of `spatial` dimensions, channels last; forward, data gradient or filter gradient. */
enum conv_kind { CONV_FORWARD, CONV_DATA, CONV_FILTER };
struct conv_shape {
    int spatial;
    int64_t n, c, k, in[3], filter[3], pad[3], stride[3];
    cudnnDataType_t type;
};
struct conv {
    cudnnBackendDescriptor_t all[8], plan;
    int n;
    int64_t work;
};
int conv_make(struct conv *, cudnnHandle_t, enum conv_kind, const struct conv_shape *);
int conv_run(const struct conv *, cudnnHandle_t, void *x, void *w, void *y, void *work);
void conv_free(struct conv *);
