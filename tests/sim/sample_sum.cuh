/* Sums over a warp and over a block. */
#pragma once
#include "sample_cuda.h"

static __device__ __forceinline__ float warp_sum(float x) {
    for (int o = 16; o > 0; o >>= 1) {
        x += __shfl_xor_sync(~0u, x, o);
    }
    return x;
}

/* In every thread. scratch: 32 floats of shared memory. */
static __device__ __forceinline__ float block_sum(float x, float *scratch) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    x = warp_sum(x);
    __syncthreads(); /* scratch may still be read from an earlier sum */
    if (lane == 0) {
        scratch[warp] = x;
    }
    __syncthreads();
    return warp_sum(lane < int(blockDim.x) / 32 ? scratch[lane] : 0.0f);
}
