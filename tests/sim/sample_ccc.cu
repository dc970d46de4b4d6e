/* 1 - concordance correlation of two series, and its gradient: five sums over the block. */
#include "sample_kernels.h"
#include "sample_sum.cuh"

static __global__ void ccc(float *loss, float *gradient, const float *x, const float *y, int n) {
    __shared__ float scratch[32];
    float sx = 0, sy = 0, xx = 0, yy = 0, xy = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        sx += x[i];
        sy += y[i];
    }
    float mx = block_sum(sx, scratch) / n, my = block_sum(sy, scratch) / n;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
        xy += (x[i] - mx) * (y[i] - my);
    }
    xx = block_sum(xx, scratch) / n;
    yy = block_sum(yy, scratch) / n;
    xy = block_sum(xy, scratch) / n;
    float d = xx + yy + (mx - my) * (mx - my), c = 2 * xy / d;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        gradient[i] = -(2 * (y[i] - my) - c * 2 * (x[i] - mx + mx - my)) / (d * n);
    }
    if (threadIdx.x == 0) {
        *loss = 1 - c;
    }
}

void ccc_loss(cudaStream_t stream, float *loss, float *gradient, const float *prediction,
              const float *gold, int n) {
    LAUNCH(ccc, 1, 256, 0, stream, loss, gradient, prediction, gold, n);
}
