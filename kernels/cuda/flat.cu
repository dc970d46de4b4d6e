/* Over flat arrays of floats: sums of two, of the leaves of a tree, and copies rounded to bf16. */
#include "kernels/cuda/kernel.cuh"
#include "kernels/cuda/tree.cuh"

namespace {

/* WIDE: four at a time, and the rest one by one. */
template <bool WIDE>
__global__ void __launch_bounds__(BLOCK_THREADS)
    add_flat(float *out, const float *a, const float *b, int64_t count) {
    const int64_t step = WIDE ? 4 : 1;
    const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * step;
    if (WIDE && i + 4 <= count) {
        float x[4], y[4];
        load_wide(a + i, x);
        load_wide(b + i, y);
        for (int k = 0; k < 4; k++) {
            x[k] += y[k];
        }
        store_wide(out + i, x);
        return;
    }
    for (int64_t k = i; k < count && k < i + step; k++) {
        out[k] = a[k] + b[k];
    }
}

__global__ void __launch_bounds__(BLOCK_THREADS)
    find_not_finite(const float *x, int64_t count, int *found) {
    const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
    bool bad = false;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
         i += step) {
        bad = bad || !isfinite(x[i]);
    }
    if (bad) {
        atomicMax(found, 1);
    }
}

__global__ void __launch_bounds__(BLOCK_THREADS)
    round_flat(bf16 *to, const float *from, int64_t count, bool wide) {
    const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * CHUNK<bf16>;
    if (i < count) {
        float x[CHUNK<bf16>];
        if (wide) {
            load_floats<bf16, true>(from + i, count - i, x);
            store<bf16, true>(to + i, count - i, x);
        } else {
            load_floats<bf16, false>(from + i, count - i, x);
            store<bf16, false>(to + i, count - i, x);
        }
    }
}

__global__ void __launch_bounds__(BLOCK_THREADS)
    sum_tree(float *total, const float *leaves, int64_t stride, int n, int64_t count) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < count) {
        total[i] = tree_total<float>(n, [=](int leaf) { return leaves[leaf * stride + i]; });
    }
}

unsigned blocks_of(int64_t threads) {
    return static_cast<unsigned>(div_up(threads, BLOCK_THREADS));
}

} // namespace

extern "C" void add_cuda(const device_t *device, void *out, const void *a, const void *b,
                         int64_t count) {
    if (count == 0) {
        return;
    }
    cudaStream_t stream = cuda_context_of(device)->stream;
    float *to = static_cast<float *>(out);
    const float *x = static_cast<const float *>(a), *y = static_cast<const float *>(b);
    if (is_wide_flat(out) && is_wide_flat(a) && is_wide_flat(b)) {
        LAUNCH((add_flat<true>), blocks_of(div_up(count, 4)), BLOCK_THREADS, 0, stream, to, x, y,
               count);
    } else {
        LAUNCH((add_flat<false>), blocks_of(count), BLOCK_THREADS, 0, stream, to, x, y, count);
    }
    CUDA_REQUIRE(cudaGetLastError());
}

/* Whichever thread finds one, the answer is the same. */
extern "C" bool all_finite_cuda(const device_t *device, const void *x, int64_t count) {
    enum { BLOCKS_MOST = 2048 };
    if (count == 0) {
        return true;
    }
    cuda_context_t *context = cuda_context_of(device);
    CUDA_REQUIRE(cudaMemsetAsync(context->flag, 0, sizeof *context->flag, context->stream));
    const unsigned blocks = static_cast<unsigned>(min_i64(blocks_of(count), BLOCKS_MOST));
    LAUNCH(find_not_finite, blocks, BLOCK_THREADS, 0, context->stream,
           static_cast<const float *>(x), count, context->flag);
    CUDA_REQUIRE(cudaGetLastError());
    CUDA_REQUIRE(cudaMemcpyAsync(context->flag_host, context->flag, sizeof *context->flag,
                                 cudaMemcpyDeviceToHost, context->stream));
    CUDA_REQUIRE(cudaStreamSynchronize(context->stream));
    return *context->flag_host == 0;
}

extern "C" void cuda_round_bf16(cuda_context_t *context, void *to, const float *from,
                                int64_t count) {
    if (count == 0) {
        return;
    }
    LAUNCH(round_flat, blocks_of(div_up(count, CHUNK<bf16>)), BLOCK_THREADS, 0, context->stream,
           static_cast<bf16 *>(to), from, count, is_wide_flat(to) && is_wide_flat(from));
    CUDA_REQUIRE(cudaGetLastError());
}

extern "C" void cuda_tree_sum(cuda_context_t *context, float *total, const float *leaves,
                              int64_t stride, int n, int64_t count) {
    REQUIRE(n >= 1 && n < 1 << TREE_LEVELS);
    if (count == 0) {
        return;
    }
    LAUNCH(sum_tree, blocks_of(count), BLOCK_THREADS, 0, context->stream, total, leaves, stride, n,
           count);
    CUDA_REQUIRE(cudaGetLastError());
}
