/* Masks from masks: a thread for each byte. */
#include "kernels/cuda/kernel.cuh"

namespace {

enum { MASKS_MOST = OP_INPUTS_MAX };

struct mask_list {
    int count;
    mask_t mask[MASKS_MOST];
};

/* Any: one that is valid decides; all: one that is not. */
__global__ void __launch_bounds__(BLOCK_THREADS)
    combine_masks(mask_t out, mask_list in, bool deciding, int shard_begin) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int shard = shard_begin + static_cast<int>(blockIdx.y);
    if (row >= out.count) {
        return;
    }
    bool result = !deciding;
    for (int i = 0; i < in.count && result != deciding; i++) {
        result = valid(in.mask[i], shard, row);
    }
    out.data[shard * out.shard_stride + row] = result ? 1 : 0;
}

/* Whether row i of a group of `length` rows sees a valid key. */
__device__ __forceinline__ bool sees(const mask_t &keys, int shard, int64_t groups, int64_t group,
                                     int64_t i, bool causal) {
    const int64_t key_len = keys.data == nullptr ? 1 : keys.count / groups;
    const int64_t last = causal && i < key_len ? i + 1 : key_len;
    bool any = false;
    for (int64_t j = 0; j < last && !any; j++) {
        any = valid(keys, shard, group * key_len + j);
    }
    return any;
}

__global__ void __launch_bounds__(BLOCK_THREADS)
    seen_masks(mask_t out, mask_t keys, int64_t groups, bool causal, int shard_begin) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int shard = shard_begin + static_cast<int>(blockIdx.y);
    if (row >= out.count) {
        return;
    }
    const int64_t length = out.count / groups;
    const bool any = sees(keys, shard, groups, row / length, row % length, causal);
    out.data[shard * out.shard_stride + row] = any ? 1 : 0;
}

__global__ void __launch_bounds__(BLOCK_THREADS)
    token_masks(mask_t out, mask_list query, mask_list key, int64_t groups, bool causal,
                int shard_begin) {
    const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int shard = shard_begin + static_cast<int>(blockIdx.y);
    if (at >= out.count) {
        return;
    }
    const int64_t tokens = query.count, length = out.count / tokens / groups;
    const int64_t row = at / tokens;
    const int k = static_cast<int>(at % tokens);
    const bool any = sees(key.mask[k], shard, groups, row / length, row % length, causal);
    out.data[shard * out.shard_stride + at] = any && valid(query.mask[k], shard, row) ? 1 : 0;
}

mask_list list_of(const mask_t *masks, int count) {
    REQUIRE(count <= MASKS_MOST);
    mask_list list = {};
    list.count = count;
    for (int i = 0; i < count; i++) {
        list.mask[i] = masks[i];
    }
    return list;
}

dim3 grid_of(const mask_t &out, int shard_begin, int shard_end) {
    return dim3(static_cast<unsigned>(div_up(out.count, BLOCK_THREADS)),
                static_cast<unsigned>(shard_end - shard_begin));
}

bool is_empty(const mask_t &out, int shard_begin, int shard_end) {
    return out.count == 0 || shard_end <= shard_begin;
}

void combine(const device_t *device, const mask_t &out, const mask_t *in, int count, bool deciding,
             int shard_begin, int shard_end) {
    if (is_empty(out, shard_begin, shard_end)) {
        return;
    }
    LAUNCH(combine_masks, grid_of(out, shard_begin, shard_end), BLOCK_THREADS, 0,
           cuda_context_of(device)->stream, out, list_of(in, count), deciding, shard_begin);
    CUDA_REQUIRE(cudaGetLastError());
}

} // namespace

extern "C" void mask_any_cuda(const device_t *device, mask_t out, const mask_t *in, int count,
                              int shard_begin, int shard_end) {
    combine(device, out, in, count, true, shard_begin, shard_end);
}

extern "C" void mask_all_cuda(const device_t *device, mask_t out, const mask_t *in, int count,
                              int shard_begin, int shard_end) {
    combine(device, out, in, count, false, shard_begin, shard_end);
}

extern "C" void mask_seen_cuda(const device_t *device, mask_t out, mask_t keys, int64_t groups,
                               bool causal, int shard_begin, int shard_end) {
    if (is_empty(out, shard_begin, shard_end)) {
        return;
    }
    LAUNCH(seen_masks, grid_of(out, shard_begin, shard_end), BLOCK_THREADS, 0,
           cuda_context_of(device)->stream, out, keys, groups, causal, shard_begin);
    CUDA_REQUIRE(cudaGetLastError());
}

extern "C" void mask_tokens_cuda(const device_t *device, mask_t out, const mask_t *query,
                                 const mask_t *key, int tokens, int64_t groups, bool causal,
                                 int shard_begin, int shard_end) {
    if (is_empty(out, shard_begin, shard_end)) {
        return;
    }
    LAUNCH(token_masks, grid_of(out, shard_begin, shard_end), BLOCK_THREADS, 0,
           cuda_context_of(device)->stream, out, list_of(query, tokens), list_of(key, tokens),
           groups, causal, shard_begin);
    CUDA_REQUIRE(cudaGetLastError());
}
