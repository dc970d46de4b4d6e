/* Attention, a block a query and head: scores in dynamic shared memory; bf16 in and out. */
#include "sample_kernels.h"
#include "sample_sum.cuh"

static __device__ float dot(const __nv_bfloat16 *a, const __nv_bfloat16 *b, int d) {
    const __nv_bfloat162 *a2 = (const __nv_bfloat162 *)a, *b2 = (const __nv_bfloat162 *)b;
    float sum = 0;
    for (int i = 0; i < d / 2; i++) {
        float2 x = __bfloat1622float2(a2[i]), y = __bfloat1622float2(b2[i]);
        sum += x.x * y.x + x.y * y.y;
    }
    return sum;
}

static __global__ void attend(__nv_bfloat16 *out, const __nv_bfloat16 *q, const __nv_bfloat16 *k,
                              const __nv_bfloat16 *v, int t, int d) {
    DYNAMIC_SHARED(float, score);
    __shared__ float scratch[32];
    long head = blockIdx.y, row = blockIdx.x;
    for (int j = threadIdx.x; j < t; j += blockDim.x) {
        score[j] = dot(q + (head * t + row) * d, k + (head * t + j) * d, d) * rsqrtf(float(d));
    }
    __syncthreads();
    float top = -INFINITY, sum = 0;
    for (int j = 0; j < t; j++) {
        top = fmaxf(top, score[j]);
    }
    __syncthreads();
    for (int j = threadIdx.x; j < t; j += blockDim.x) {
        sum += score[j] = __expf(score[j] - top);
    }
    sum = block_sum(sum, scratch);
    for (int i = threadIdx.x; i < d; i += blockDim.x) {
        float a = 0;
        for (int j = 0; j < t; j++) {
            a += score[j] * __bfloat162float(v[(head * t + j) * d + i]);
        }
        out[(head * t + row) * d + i] = __float2bfloat16(a / sum);
    }
}

void attention_forward(cudaStream_t stream, void *out, const void *q, const void *k, const void *v,
                       int heads, int t, int d) {
    typedef __nv_bfloat16 half;
    LAUNCH(attend, dim3(t, heads), 64, t * sizeof(float), stream, (half *)out, (const half *)q,
           (const half *)k, (const half *)v, t, d);
}
