/* kernel.cuh - what every .cu file begins with: CUDA under nvcc, C++ against the simulated GPU
 * otherwise. And how kernels here read and write activations.
 *
 * A chunk is what a thread takes at once: 16 bytes of activations, 4 floats or 8 bf16. Which thread
 * takes which chunk never depends on alignment, so that no sum does; only how it is loaded does. */
#ifndef JMT_KERNELS_CUDA_KERNEL_CUH
#define JMT_KERNELS_CUDA_KERNEL_CUH

#include <math.h>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "kernels/cuda/backend.h"

#ifdef __CUDACC__
/* Parentheses around a kernel's template arguments are the caller's. */
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
    kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
#define DYNAMIC_SHARED(type, name)                                                                 \
    extern __shared__ __align__(16) unsigned char dynamic_shared_bytes[];                          \
    type *name = reinterpret_cast<type *>(dynamic_shared_bytes)
#else
#include "sim_device.h"
#endif

typedef __nv_bfloat16 bf16;

template <class T> struct chunk_of { static constexpr int size = 16 / sizeof(T); };
template <class T> constexpr int CHUNK = chunk_of<T>::size;

static __device__ __forceinline__ float widen(float x) { return x; }
static __device__ __forceinline__ float widen(bf16 x) { return __bfloat162float(x); }
static __device__ __forceinline__ void narrow(float *to, float x) { *to = x; }
static __device__ __forceinline__ void narrow(bf16 *to, float x) { *to = __float2bfloat16(x); }

static __device__ __forceinline__ void load_wide(const float *from, float *x) {
    const float4 v = *reinterpret_cast<const float4 *>(from);
    x[0] = v.x;
    x[1] = v.y;
    x[2] = v.z;
    x[3] = v.w;
}

static __device__ __forceinline__ float low_half(unsigned word) {
    return __int_as_float(static_cast<int>(word << 16));
}
static __device__ __forceinline__ float high_half(unsigned word) {
    return __int_as_float(static_cast<int>(word & 0xFFFF0000u));
}

static __device__ __forceinline__ void load_wide(const bf16 *from, float *x) {
    const uint4 v = *reinterpret_cast<const uint4 *>(from);
    x[0] = low_half(v.x);
    x[1] = high_half(v.x);
    x[2] = low_half(v.y);
    x[3] = high_half(v.y);
    x[4] = low_half(v.z);
    x[5] = high_half(v.z);
    x[6] = low_half(v.w);
    x[7] = high_half(v.w);
}

static __device__ __forceinline__ void store_wide(float *to, const float *x) {
    *reinterpret_cast<float4 *>(to) = make_float4(x[0], x[1], x[2], x[3]);
}

static __device__ __forceinline__ unsigned pair_of(float low, float high) {
    return static_cast<unsigned>(__bfloat16_as_ushort(__float2bfloat16(low))) |
           static_cast<unsigned>(__bfloat16_as_ushort(__float2bfloat16(high))) << 16;
}

static __device__ __forceinline__ void store_wide(bf16 *to, const float *x) {
    *reinterpret_cast<uint4 *>(to) = make_uint4(pair_of(x[0], x[1]), pair_of(x[2], x[3]),
                                                pair_of(x[4], x[5]), pair_of(x[6], x[7]));
}

/* The first `left` numbers of a chunk (all, if there are more); the others are 0. */
template <class T, bool WIDE>
static __device__ __forceinline__ void load(const T *from, int64_t left, float *x) {
    if (WIDE && left >= CHUNK<T>) {
        load_wide(from, x);
        return;
    }
#pragma unroll
    for (int k = 0; k < CHUNK<T>; k++) {
        x[k] = k < left ? widen(from[k]) : 0.0f;
    }
}

template <class T, bool WIDE>
static __device__ __forceinline__ void store(T *to, int64_t left, const float *x) {
    if (WIDE && left >= CHUNK<T>) {
        store_wide(to, x);
        return;
    }
#pragma unroll
    for (int k = 0; k < CHUNK<T>; k++) {
        if (k < left) {
            narrow(to + k, x[k]);
        }
    }
}

/* Floats beside a chunk of T: weights, sums. */
template <class T, bool WIDE>
static __device__ __forceinline__ void load_floats(const float *from, int64_t left, float *x) {
    if (WIDE && left >= CHUNK<T>) {
#pragma unroll
        for (int k = 0; k < CHUNK<T>; k += 4) {
            load_wide(from + k, x + k);
        }
        return;
    }
#pragma unroll
    for (int k = 0; k < CHUNK<T>; k++) {
        x[k] = k < left ? from[k] : 0.0f;
    }
}

/* --- matrices and masks ---------------------------------------------------------------------- */

template <class T> struct view {
    T *data; /* NULL: absent */
    int64_t row_stride, shard_stride;

    __device__ __forceinline__ T *at(int shard, int64_t row) const {
        return data + shard * shard_stride + row * row_stride;
    }
};

template <class T> static inline view<T> view_of(const matrix_t &m) {
    return view<T>{static_cast<T *>(m.data), m.row_stride, m.shard_stride};
}

static __device__ __forceinline__ bool valid(const mask_t &mask, int shard, int64_t index) {
    return mask.data == nullptr || mask.data[shard * mask.shard_stride + index] != 0;
}

/* Whether every row begins at a multiple of 16 bytes. */
template <class T> static inline bool is_wide(const matrix_t &m) {
    const int64_t strides = (m.row_stride | m.shard_stride) * static_cast<int64_t>(sizeof(T));
    return m.data == nullptr ||
           (reinterpret_cast<uintptr_t>(m.data) % 16 == 0 && strides % 16 == 0);
}

static inline bool is_wide_flat(const void *p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

/* --- every chunk of every row of a run of shards --------------------------------------------- */

enum { BLOCK_THREADS = 256 };

/* OP::run<WIDE>(shard, row, col, left) does `left` columns from col on, at most a chunk. BLOCKS: of
 * them at once on a multiprocessor; 0: the compiler weighs that against registers and spills. */
template <class T, bool WIDE, int BLOCKS, class OP>
static __global__ void __launch_bounds__(BLOCK_THREADS, BLOCKS)
    map_rows(OP op, int shard_begin, int64_t rows, int64_t cols) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
    const int shard = shard_begin + static_cast<int>(blockIdx.y);
    if (row >= rows) {
        return;
    }
    const int64_t step = static_cast<int64_t>(blockDim.x) * CHUNK<T>;
    for (int64_t col = threadIdx.x * CHUNK<T>; col < cols; col += step) {
        op.template run<WIDE>(shard, row, col, cols - col);
    }
}

/* Threads along a row: a power of two. */
static inline int row_threads(int64_t chunks, int most) {
    int threads = 1;
    while (threads < most && threads < chunks) {
        threads *= 2;
    }
    return threads;
}

template <class T, int BLOCKS = 0, class OP>
static void launch_rows(const op_plan_t *plan, const op_call_t *call, const OP &op, bool wide,
                        int64_t rows, int64_t cols) {
    const int shards = call->shard_end - call->shard_begin;
    if (shards <= 0 || rows == 0 || cols == 0) {
        return;
    }
    const int along = row_threads(div_up(cols, CHUNK<T>), BLOCK_THREADS),
              down = BLOCK_THREADS / along;
    const dim3 grid(static_cast<unsigned>(div_up(rows, down)), static_cast<unsigned>(shards));
    const dim3 block(static_cast<unsigned>(along), static_cast<unsigned>(down));
    cudaStream_t stream = plan->context->stream;
    if (wide) {
        LAUNCH((map_rows<T, true, BLOCKS, OP>), grid, block, 0, stream, op, call->shard_begin, rows,
               cols);
    } else {
        LAUNCH((map_rows<T, false, BLOCKS, OP>), grid, block, 0, stream, op, call->shard_begin,
               rows, cols);
    }
    CUDA_REQUIRE(cudaGetLastError());
}

/* --- sums over a warp, and over a block ------------------------------------------------------ */

struct added {
    template <class N> __device__ __forceinline__ N operator()(N a, N b) const { return a + b; }
};
struct larger {
    __device__ __forceinline__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

/* Of all threads, in one order; the same in each. */
template <class N, class BOTH>
static __device__ __forceinline__ N warp_all(N x, const BOTH &both) {
#pragma unroll
    for (int by = 16; by > 0; by /= 2) {
        x = both(x, __shfl_xor_sync(~0u, x, by));
    }
    return x;
}

/* scratch: shared, a number for each warp. */
template <int WARPS, class N, class BOTH>
static __device__ __forceinline__ N block_all(N x, N *scratch, const BOTH &both) {
    x = warp_all(x, both);
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        scratch[threadIdx.x / 32] = x;
    }
    __syncthreads();
    x = scratch[0];
    for (int w = 1; w < WARPS; w++) {
        x = both(x, scratch[w]);
    }
    return x;
}

template <class N> static __device__ __forceinline__ N warp_sum(N x) {
    return warp_all(x, added());
}

/* --- an operation's functions, of float and of bf16 ------------------------------------------ */

/* A plan that is nothing but its description, and needs no memory. */
static inline status_t plain_plan(const op_description_t *description, op_plan_t **plan_out,
                                  op_needs_t *needs_out) {
    *needs_out = op_needs_t{};
    *plan_out = static_cast<op_plan_t *>(cuda_plan_open(description, sizeof(op_plan_t)));
    return STATUS_OK;
}

/* Its file has templates plan, forward, backward_data and, with weights, backward_weights. */
#define CUDA_OP_OF(name, suffix, T)                                                                \
    extern "C" status_t name##_plan_##suffix(const op_description_t *description,                  \
                                             op_plan_t **plan_out, op_needs_t *needs_out) {        \
        return plan<T>(description, plan_out, needs_out);                                          \
    }                                                                                              \
    extern "C" void name##_forward_##suffix(const op_plan_t *plan, const op_call_t *call) {        \
        forward<T>(plan, call);                                                                    \
    }                                                                                              \
    extern "C" void name##_backward_data_##suffix(const op_plan_t *plan, const op_call_t *call) {  \
        backward_data<T>(plan, call);                                                              \
    }
#define CUDA_WEIGHTS_OF(name, suffix, T)                                                           \
    extern "C" void name##_backward_weights_##suffix(const op_plan_t *plan,                        \
                                                     const op_call_t *call) {                      \
        REQUIRE(call->shard_end == call->shard_begin + 1);                                         \
        backward_weights<T>(plan, call);                                                           \
    }
#define CUDA_OP(name)                                                                              \
    CUDA_OP_OF(name, cuda_f32, float)                                                              \
    CUDA_OP_OF(name, cuda_bf16, bf16)
#define CUDA_OP_WITH_WEIGHTS(name)                                                                 \
    CUDA_OP(name)                                                                                  \
    CUDA_WEIGHTS_OF(name, cuda_f32, float)                                                         \
    CUDA_WEIGHTS_OF(name, cuda_bf16, bf16)

#endif
