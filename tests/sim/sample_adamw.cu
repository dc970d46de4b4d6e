/* AdamW over a flat array, four elements a thread; filling and scaling. */
#include "sample_kernels.h"
#include "sample_cuda.h"

static __global__ void update(float4 *weights, __nv_bfloat162 *half, float4 *m, float4 *v,
                              const float4 *g, long n4, adamw_rule_t rule) {
    long i = blockIdx.x * long(blockDim.x) + threadIdx.x;
    if (i >= n4) {
        return;
    }
    float4 w4 = weights[i], m4 = m[i], v4 = v[i], g4 = g[i];
    float *w = &w4.x, *first = &m4.x, *second = &v4.x;
    const float *gradient = &g4.x;
    for (int k = 0; k < 4; k++) {
        first[k] = rule.beta1 * first[k] + (1 - rule.beta1) * gradient[k];
        second[k] = rule.beta2 * second[k] + (1 - rule.beta2) * gradient[k] * gradient[k];
        float scaled = sqrtf(second[k] * rule.correction2) + rule.epsilon;
        w[k] -= rule.rate * (first[k] * rule.correction1 / scaled + rule.decay * w[k]);
    }
    weights[i] = w4;
    m[i] = m4;
    v[i] = v4;
    half[2 * i] = __floats2bfloat162_rn(w4.x, w4.y);
    half[2 * i + 1] = __floats2bfloat162_rn(w4.z, w4.w);
}

static __global__ void set(float *out, float value, long n) {
    long i = blockIdx.x * long(blockDim.x) + threadIdx.x;
    if (i < n) {
        out[i] = value;
    }
}

static __global__ void times(float *out, const float *in, float factor, long n) {
    long i = blockIdx.x * long(blockDim.x) + threadIdx.x;
    if (i < n) {
        out[i] = factor * in[i];
    }
}

void adamw(cudaStream_t stream, float *weights, void *half, float *m, float *v, const float *g,
           long n, adamw_rule_t rule) {
    LAUNCH(update, (n / 4 + 255) / 256, 256, 0, stream, (float4 *)weights, (__nv_bfloat162 *)half,
           (float4 *)m, (float4 *)v, (const float4 *)g, n / 4, rule);
}

void fill(cudaStream_t stream, float *out, float value, long n) {
    LAUNCH(set, (n + 255) / 256, 256, 0, stream, out, value, n);
}

void scale(cudaStream_t stream, float *out, const float *in, float factor, long n) {
    LAUNCH(times, (n + 255) / 256, 256, 0, stream, out, in, factor, n);
}
