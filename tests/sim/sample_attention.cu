#include "sample_kernels.h"
#include "sample_sum.cuh"

/* One block a query and head; scores in dynamic shared memory; bf16 in and out, float inside. */
static __global__ void attend(__nv_bfloat16 *out, const __nv_bfloat16 *q, const __nv_bfloat16 *k,
                              const __nv_bfloat16 *v, int t, int d) {
    DYNAMIC_SHARED(float, score);
    __shared__ float scratch[32];
    long head = blockIdx.y, row = blockIdx.x;
    const __nv_bfloat16 *mine = q + (head * t + row) * d;
    for (int j = threadIdx.x; j < t; j += blockDim.x) {
        const __nv_bfloat162 *kj = (const __nv_bfloat162 *)(k + (head * t + j) * d),
                             *qi = (const __nv_bfloat162 *)mine;
        float s = 0;
        for (int i = 0; i < d / 2; i++) {
            float2 a = __bfloat1622float2(qi[i]), b = __bfloat1622float2(kj[i]);
            s += a.x * b.x + a.y * b.y;
        }
        score[j] = s * rsqrtf((float)d);
    }
    __syncthreads();
    float top = -INFINITY, sum = 0;
    for (int j = 0; j < t; j++)
        top = fmaxf(top, score[j]);
    __syncthreads();
    for (int j = threadIdx.x; j < t; j += blockDim.x)
        sum += score[j] = __expf(score[j] - top);
    sum = block_sum(sum, scratch);
    for (int i = threadIdx.x; i < d; i += blockDim.x) {
        float a = 0;
        for (int j = 0; j < t; j++)
            a += score[j] * __bfloat162float(v[(head * t + j) * d + i]);
        out[(head * t + row) * d + i] = __float2bfloat16(a / sum);
    }
}
void attention_forward(cudaStream_t s, void *out, const void *q, const void *k, const void *v,
                       int heads, int t, int d) {
    typedef __nv_bfloat16 h;
    LAUNCH(attend, dim3(t, heads), 64, t * sizeof(float), s, (h *)out, (const h *)q, (const h *)k,
           (const h *)v, t, d);
}
