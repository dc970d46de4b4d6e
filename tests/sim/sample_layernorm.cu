/* Layer normalisation, a block a row: forward, backward with atomics. */
#include "sample_kernels.h"
#include "sample_sum.cuh"

static __global__ void forward(float *y, float *mean, float *rstd, const float *x, const float *w,
                               const float *b, int cols) {
    __shared__ float scratch[32];
    long row = blockIdx.x;
    float sum = 0, square = 0;
    for (int i = threadIdx.x; i < cols; i += blockDim.x) {
        sum += x[row * cols + i];
    }
    float m = block_sum(sum, scratch) / cols;
    for (int i = threadIdx.x; i < cols; i += blockDim.x) {
        float d = x[row * cols + i] - m;
        square += d * d;
    }
    float r = rsqrtf(block_sum(square, scratch) / cols + 1e-5f);
    for (int i = threadIdx.x; i < cols; i += blockDim.x) {
        y[row * cols + i] = (x[row * cols + i] - m) * r * w[i] + b[i];
    }
    if (threadIdx.x == 0) {
        mean[row] = m;
        rstd[row] = r;
    }
}

static __global__ void backward(float *dx, float *dw, float *db, const float *dy, const float *x,
                                const float *w, const float *mean, const float *rstd, int cols) {
    __shared__ float scratch[32];
    long row = blockIdx.x;
    float m = mean[row], r = rstd[row], a = 0, c = 0;
    for (int i = threadIdx.x; i < cols; i += blockDim.x) {
        float n = (x[row * cols + i] - m) * r, g = dy[row * cols + i] * w[i];
        a += g;
        c += g * n;
        atomicAdd(&dw[i], dy[row * cols + i] * n);
        atomicAdd(&db[i], dy[row * cols + i]);
    }
    a = block_sum(a, scratch) / cols;
    c = block_sum(c, scratch) / cols;
    for (int i = threadIdx.x; i < cols; i += blockDim.x) {
        float n = (x[row * cols + i] - m) * r, g = dy[row * cols + i] * w[i];
        dx[row * cols + i] = r * (g - a - n * c);
    }
}

void layernorm_forward(cudaStream_t stream, float *y, float *mean, float *rstd, const float *x,
                       const float *w, const float *b, int rows, int cols) {
    LAUNCH(forward, rows, 128, 0, stream, y, mean, rstd, x, w, b, cols);
}

void layernorm_backward(cudaStream_t stream, float *dx, float *dw, float *db, const float *dy,
                        const float *x, const float *w, const float *mean, const float *rstd,
                        int rows, int cols) {
    LAUNCH(backward, rows, 128, 0, stream, dx, dw, db, dy, x, w, mean, rstd, cols);
}
