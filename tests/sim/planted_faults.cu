/* One planted fault a kernel. */
#include "planted_faults.h"
#include "sample_cuda.h"
#include "sample_sum.cuh"

static __global__ void missing_barrier(float *out, const float *in, int n) {
    __shared__ float s[256];
    s[threadIdx.x] = in[threadIdx.x];
    out[threadIdx.x] = s[n - 1 - threadIdx.x];
}

static __global__ void divergent(float *out, int n) {
    if (int(threadIdx.x) < n / 2) {
        __syncthreads();
    }
    out[threadIdx.x] = 1;
}

static __global__ void divergent_shuffle(float *out, int n) {
    float x = threadIdx.x;
    if (int(threadIdx.x) < n / 2) {
        x += __shfl_xor_sync(~0u, x, 1);
    }
    out[threadIdx.x] = x;
}

static __global__ void global_index(float *out) { out[blockIdx.x * blockDim.x + threadIdx.x] = 1; }

static __global__ void shared_index(float *out, int n) {
    __shared__ float a[32];
    a[threadIdx.x % 32] = 1;
    if (threadIdx.x == 0) {
        a[n] = 2;
    }
    __syncthreads();
    out[threadIdx.x] = a[threadIdx.x % 32];
}

static __global__ void dynamic_shared(float *out) {
    DYNAMIC_SHARED(float, s);
    s[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = s[threadIdx.x];
}

static __global__ void block_race(float *out) { out[0] += 1; }

static __global__ void copy(float *out, const float *in) { out[threadIdx.x] = in[threadIdx.x]; }

static __global__ void overflow(int *out, int x) { *out = x * x; }

static __global__ void spin(float *out, unsigned *flag) {
    while (atomicAdd(flag, 0u) == 0) {}
    *out = 1;
}

/* The last block to finish adds up what all wrote: right with the fence, a race without. */
template <bool fence> static __global__ void last_block(float *out, float *part, unsigned *count) {
    __shared__ bool last;
    __shared__ float scratch[32];
    float x = block_sum(1.0f, scratch);
    if (threadIdx.x == 0) {
        part[blockIdx.x] = x;
        if (fence) {
            __threadfence();
        }
        last = atomicAdd(count, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (last) {
        x = block_sum(threadIdx.x < gridDim.x ? part[threadIdx.x] : 0.0f, scratch);
        if (threadIdx.x == 0) {
            *out = x;
        }
    }
}

template <async_t fault> static __global__ void copied(float *out, const float *in) {
    __shared__ float s[64];
    int i = threadIdx.x;
    if (fault != NEVER_WAITED || i > 0) {
        __pipeline_memcpy_async(&s[i], &in[i], sizeof *in);
    }
    if (fault != NOT_COMMITTED) {
        __pipeline_commit();
    }
    if (fault != NO_WAIT) {
        __pipeline_wait_prior(0);
    }
    if (fault == NEVER_WAITED && i == 0) {
        __pipeline_memcpy_async(&s[i], &in[i], sizeof *in);
        __pipeline_commit();
    }
    if (fault != NO_BARRIER) {
        __syncthreads();
    }
    if (fault != NEVER_WAITED || i < 63) {
        out[i] = s[63 - i];
    }
}

/* --- launchers ------------------------------------------------------------------------------ */

void bad_missing_barrier(cudaStream_t stream, float *out, const float *in, int n) {
    LAUNCH(missing_barrier, 1, n, 0, stream, out, in, n);
}
void bad_divergent(cudaStream_t stream, float *out, int n) {
    LAUNCH(divergent, 1, n, 0, stream, out, n);
}
void bad_divergent_shuffle(cudaStream_t stream, float *out, int n) {
    LAUNCH(divergent_shuffle, 1, n, 0, stream, out, n);
}
void bad_global_index(cudaStream_t stream, float *out, int n) {
    LAUNCH(global_index, n / 64 + 1, 64, 0, stream, out);
}
void bad_shared_index(cudaStream_t stream, float *out, int n) {
    LAUNCH(shared_index, 1, 64, 0, stream, out, n);
}
void bad_dynamic_shared(cudaStream_t stream, float *out, int n) {
    LAUNCH(dynamic_shared, 1, n, (n - 1) * sizeof(float), stream, out);
}
void bad_block_race(cudaStream_t stream, float *out, int blocks) {
    LAUNCH(block_race, blocks, 1, 0, stream, out);
}
void bad_copy(cudaStream_t stream, float *out, const float *in, int n) {
    LAUNCH(copy, 1, n, 0, stream, out, in);
}
void bad_overflow(cudaStream_t stream, int *out, int x) {
    LAUNCH(overflow, 1, 1, 0, stream, out, x);
}
void bad_spin(cudaStream_t stream, float *out, unsigned *flag) {
    LAUNCH(spin, 1, 1, 0, stream, out, flag);
}
void last_block_sum(cudaStream_t stream, float *out, float *part, unsigned *count, int fence) {
    if (fence) {
        LAUNCH(last_block<true>, 20, 64, 0, stream, out, part, count);
    } else {
        LAUNCH(last_block<false>, 20, 64, 0, stream, out, part, count);
    }
}
void async_copy(cudaStream_t stream, float *out, const float *in, async_t fault) {
    switch (fault) {
    case ASYNC_RIGHT:
        LAUNCH(copied<ASYNC_RIGHT>, 1, 64, 0, stream, out, in);
        break;
    case NO_WAIT:
        LAUNCH(copied<NO_WAIT>, 1, 64, 0, stream, out, in);
        break;
    case NO_BARRIER:
        LAUNCH(copied<NO_BARRIER>, 1, 64, 0, stream, out, in);
        break;
    case NOT_COMMITTED:
        LAUNCH(copied<NOT_COMMITTED>, 1, 64, 0, stream, out, in);
        break;
    case NEVER_WAITED:
        LAUNCH(copied<NEVER_WAITED>, 1, 64, 0, stream, out, in);
        break;
    }
}
