/* What operations say of each shard (op_row_t's sums) made one by the canonical tree. */
#include "kernels/cuda/kernel.cuh"
#include "kernels/cuda/tree.cuh"
#include "kernels/ref/norm_sums.h"

namespace {

/* As op_sums_add makes one of two. */
struct moment {
    double n, mean, square;

    __device__ __forceinline__ moment operator+(const moment &other) const {
        const double all = n + other.n, part = all > 0.0 ? other.n / all : 0.0;
        const double apart = other.mean - mean;
        return {all, mean + apart * part, square + (other.square + apart * apart * n * part)};
    }
};

__global__ void __launch_bounds__(BLOCK_THREADS, 2)
    total_moments(const double *all, double *total, int shards, int64_t cols) {
    const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (c >= cols) {
        return;
    }
    const moment sum = tree_total<moment>(shards, [=](int s) {
        const double *of = all + s * NORM_SUMS(cols);
        return moment{of[0], norm_first(of)[c], norm_second(of, cols)[c]};
    });
    if (c == 0) {
        total[0] = sum.n;
    }
    norm_first(total)[c] = sum.mean;
    norm_second(total, cols)[c] = sum.square;
}

__global__ void __launch_bounds__(BLOCK_THREADS, 2)
    total_sums(const double *all, double *total, int shards, int64_t count) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < count) {
        total[i] = tree_total<double>(shards, [=](int s) { return all[s * count + i]; });
    }
}

} // namespace

extern "C" void sums_total_cuda(const device_t *device, pass_t pass, int64_t sum_count, int shards,
                                double *all, double *total) {
    cudaStream_t stream = cuda_context_of(device)->stream;
    const bool forward = pass == PASS_FORWARD;
    const int64_t threads = forward ? sum_count / 2 : sum_count;
    const unsigned blocks = static_cast<unsigned>(div_up(threads, BLOCK_THREADS));
    REQUIRE(shards >= 1 && shards < 1 << TREE_LEVELS);
    if (forward) {
        LAUNCH(total_moments, blocks, BLOCK_THREADS, 0, stream, all, total, shards, threads);
    } else {
        LAUNCH(total_sums, blocks, BLOCK_THREADS, 0, stream, all, total, shards, threads);
    }
    CUDA_REQUIRE(cudaGetLastError());
}
