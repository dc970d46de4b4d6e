/* Planted faults in calls of cuBLASLt and cuDNN: what the real libraries refuse, or read past. */
#include <cuda_runtime_api.h>

#include "blas_case.h"
#include "dnn_case.h"
#include "fault_case.h"
#include "sample_kernels.h"

enum { M = 8, N = 12, K = 16 };

static cudaStream_t stream, other;
static float *a, *b, *d, *bias;
static void *work;
static product_case_t product;
static cudnnHandle_t handle;
static conv_t conv;
static const conv_shape_t shape = {
    2, 1, 4, 4, 1, {5, 5}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, CUDNN_DATA_FLOAT};

static float *filled(long n) {
    float *p;
    cudaMalloc((void **)&p, (size_t)n * sizeof *p);
    fill(stream, p, 1, n);
    return p;
}

static void open_all(void) {
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
    a = filled(M * K);
    b = filled(K * N);
    d = filled(M * N);
    bias = filled(N);
    cudaMalloc(&work, 4096);
    cudaStreamSynchronize(stream);
    product = (product_case_t){.rows = M,
                               .columns = N,
                               .inner = K,
                               .in = CUDA_R_32F,
                               .out = CUDA_R_32F,
                               .epilogue = CUBLASLT_EPILOGUE_DEFAULT,
                               .batch = 1,
                               .alignment = 16,
                               .a = a,
                               .b = b,
                               .d = d,
                               .work = work,
                               .work_bytes = 4096};
    cudnnCreate(&handle);
    cudnnSetStream(handle, stream);
    conv_open(&conv, handle, CONV_FORWARD, &shape);
}

static int close_all(void) {
    cudaDeviceSynchronize();
    conv_close(&conv);
    cudnnDestroy(handle);
    cudaFree(a);
    cudaFree(b);
    cudaFree(d);
    cudaFree(bias);
    cudaFree(work);
    cudaStreamDestroy(stream);
    cudaStreamDestroy(other);
    return 0;
}

static int multiplied(void) {
    product_run(&product, stream);
    return close_all();
}

static int product_right(void) {
    open_all();
    product.bias = bias;
    product.epilogue = CUBLASLT_EPILOGUE_RELU_BIAS;
    return multiplied();
}

static int bias_is_missing(void) {
    open_all();
    product.epilogue = CUBLASLT_EPILOGUE_BIAS;
    return multiplied();
}

static int bits_are_missing(void) {
    open_all();
    product.epilogue = CUBLASLT_EPILOGUE_RELU_AUX;
    return multiplied();
}

static int workspace_is_small(void) {
    open_all();
    product.work_bytes = 16;
    return multiplied();
}

static int workspace_is_smaller_than_said(void) {
    open_all();
    product.work = b;
    return multiplied();
}

static int pointer_is_unaligned(void) {
    open_all();
    product.a = a + 1;
    return multiplied();
}

static int batch_is_too_long(void) {
    open_all();
    product.batch = 2;
    return multiplied();
}

/* As found for one, which the library need not make more of. */
static int batch_of_what_makes_one(void) {
    open_all();
    product.columns = N / 2;
    product.batch = 2;
    product.inner = K / 2;
    product.chosen_batch = 1;
    return multiplied();
}

static int workspace_of_fewer_columns(void) {
    open_all();
    product.chosen_columns = 1;
    product.work_bytes = 1792; /* of M x 1 */
    return multiplied();
}

static int bias_is_unaligned(void) {
    open_all();
    product.bias = bias + 1;
    product.epilogue = CUBLASLT_EPILOGUE_BIAS;
    return multiplied();
}

static int product_without_event(void) {
    open_all();
    fill(other, a, 2, M * K);
    return multiplied();
}

static int result_read_without_event(void) {
    open_all();
    product_run(&product, stream);
    scale(other, bias, d, 1, N);
    return close_all();
}

static int product_into_host(void) {
    static float host[M * N];
    open_all();
    product.d = host;
    return multiplied();
}

static int convolved(float *x, float *w, float *y, void *memory) {
    conv_run(&conv, handle, x, w, y, NULL, memory);
    return close_all();
}

static int convolution_right(void) {
    open_all();
    float *x = filled(100), *w = filled(144), *y = filled(100);
    conv_run(&conv, handle, x, w, y, NULL, work);
    cudaFree(x);
    cudaFree(w);
    cudaFree(y);
    return close_all();
}

static int convolution_without_workspace(void) {
    open_all();
    return convolved(filled(100), filled(144), filled(100), NULL);
}

static int convolution_with_small_workspace(void) {
    open_all();
    return convolved(filled(100), filled(144), filled(100), bias);
}

static int tensor_is_short(void) {
    open_all();
    return convolved(filled(100), filled(143), filled(100), work);
}

static int tensor_is_unaligned(void) {
    open_all();
    return convolved(filled(104) + 1, filled(144), filled(100), work);
}

static int tensor_has_no_pointer(void) {
    open_all();
    return convolved(filled(100), NULL, filled(100), work);
}

static int convolution_without_event(void) {
    open_all();
    float *x = filled(100);
    cudaStreamSynchronize(stream);
    fill(other, x, 2, 100);
    return convolved(x, filled(144), filled(100), work);
}

static const fault_t faults[] = {
    RIGHT(product_right),
    FAULT(bias_is_missing, "the epilogue needs a bias"),
    FAULT(bits_are_missing, "the bits of RELU_AUX need a pointer"),
    FAULT(workspace_is_small, "the workspace is less than"),
    FAULT(workspace_is_smaller_than_said, "cublasLtMatmul workspace: out of bounds"),
    FAULT(pointer_is_unaligned, "a pointer is less aligned"),
    FAULT(batch_is_too_long, "cublasLtMatmul: out of bounds"),
    FAULT(batch_of_what_makes_one, "the algorithm makes no batch"),
    FAULT(workspace_of_fewer_columns, "the workspace is less than the algorithm needs for these"),
    FAULT(bias_is_unaligned, "the bias is less aligned"),
    FAULT(product_without_event, "which no event or sync orders"),
    FAULT(result_read_without_event, "which no event or sync orders"),
    FAULT(product_into_host, "cublasLtMatmul: a matrix is not in device memory"),
    RIGHT(convolution_right),
    FAULT(convolution_without_workspace, "the plan needs a workspace"),
    FAULT(convolution_with_small_workspace, "cuDNN workspace: out of bounds"),
    FAULT(tensor_is_short, "out of bounds"),
    FAULT(tensor_is_unaligned, "is not aligned to 16 bytes"),
    FAULT(tensor_has_no_pointer, "has no pointer in the variant pack"),
    FAULT(convolution_without_event, "which no event or sync orders"),
};

int main(void) { return fault_run_all(faults, (int)(sizeof faults / sizeof *faults)); }
