#include "sample_kernels.h"
#include "sample_sum.cuh"

static __global__ void update(float4 *p, __nv_bfloat162 *h, float4 *m, float4 *v, const float4 *g,
                              long n4, float lr, float b1, float b2, float eps, float wd, float c1,
                              float c2) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i >= n4)
        return;
    float4 P = p[i], M = m[i], V = v[i], G = g[i];
    float *pp = &P.x, *mm = &M.x, *vv = &V.x, *gg = &G.x;
#pragma unroll
    for (int k = 0; k < 4; k++) {
        mm[k] = b1 * mm[k] + (1 - b1) * gg[k];
        vv[k] = b2 * vv[k] + (1 - b2) * gg[k] * gg[k];
        pp[k] -= lr * (mm[k] * c1 / (sqrtf(vv[k] * c2) + eps) + wd * pp[k]);
    }
    p[i] = P, m[i] = M, v[i] = V;
    h[2 * i] = __floats2bfloat162_rn(P.x, P.y);
    h[2 * i + 1] = __floats2bfloat162_rn(P.z, P.w);
}
void adamw(cudaStream_t s, float *p, void *h, float *m, float *v, const float *g, long n, float lr,
           float b1, float b2, float eps, float wd, int step) {
    LAUNCH(update, (n / 4 + 255) / 256, 256, 0, s, (float4 *)p, (__nv_bfloat162 *)h, (float4 *)m,
           (float4 *)v, (const float4 *)g, n / 4, lr, b1, b2, eps, wd, 1 / (1 - powf(b1, step)),
           1 / (1 - powf(b2, step)));
}

static __global__ void set(float *p, float value, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n)
        p[i] = value;
}
static __global__ void times(float *y, const float *x, float a, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = a * x[i];
}
void fill(cudaStream_t s, float *p, float value, long n) {
    LAUNCH(set, (n + 255) / 256, 256, 0, s, p, value, n);
}
void scale(cudaStream_t s, float *y, const float *x, float a, long n) {
    LAUNCH(times, (n + 255) / 256, 256, 0, s, y, x, a, n);
}
