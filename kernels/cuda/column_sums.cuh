/* column_sums.cuh - sums over the rows of each column, in one order that depends on their number
 * alone: gradients of what is added to or multiplies every row, and statistics.
 *
 * Threads of a block are 32 columns by 8 runs of rows; numbers are added as floats at most 32 at a
 * time, then as doubles. Many rows are cut into parts that blocks share; a second launch adds the
 * parts in their order. */
#ifndef JMT_KERNELS_CUDA_COLUMN_SUMS_CUH
#define JMT_KERNELS_CUDA_COLUMN_SUMS_CUH

#include "kernels/cuda/kernel.cuh"

enum { SUM_COLS = 32, SUM_ROWS = 8, SUM_RUN = 32, SUM_PART_ROWS = 512, SUM_PARTS_MOST = 64 };

/* Parts that so many rows are cut into. */
static inline int64_t column_parts(int64_t rows) {
    return min_i64(max_i64(rows / SUM_PART_ROWS, 1), SUM_PARTS_MOST);
}

/* Bytes of workspace for K sums of each column. */
static inline int64_t column_parts_bytes(int64_t shards, int64_t sets, int64_t rows, int64_t cols,
                                         int k) {
    const int64_t parts = column_parts(rows);
    return parts == 1 ? 0 : shards * sets * parts * k * cols * static_cast<int64_t>(sizeof(double));
}

/* Where sum k of column c of a set goes: to[k] + shard * shard_stride + set * set_stride + c. */
template <int K> struct column_sums_out {
    float *to[K];
    int64_t shard_stride, set_stride;
    bool add; /* to what is there */

    __device__ __forceinline__ void put(int shard, int64_t set, int64_t col,
                                        const double *total) const {
#pragma unroll
        for (int k = 0; k < K; k++) {
            float *at = to[k] + shard * shard_stride + set * set_stride + col;
            const float value = static_cast<float>(total[k]);
            *at = add ? *at + value : value;
        }
    }
};

/* OP::terms(shard, set, i, col, term): what row i of the set adds to the K sums of a column;
 * OUT::put(shard of the call, set, col, sums). */
template <int K, class OP, class OUT>
static __global__ void __launch_bounds__(SUM_COLS *SUM_ROWS)
    sum_columns(OP op, OUT out, double *partial, int parts, int shard_begin, int64_t rows,
                int64_t cols) {
    __shared__ double seen[K][SUM_ROWS][SUM_COLS];
    const int64_t col = static_cast<int64_t>(blockIdx.x) * SUM_COLS + threadIdx.x;
    const int64_t set = blockIdx.y / parts, part = blockIdx.y % parts;
    const int64_t begin = rows * part / parts, end = rows * (part + 1) / parts;
    const int shard = shard_begin + static_cast<int>(blockIdx.z);
    double total[K] = {0};
    float run[K] = {0};
    int length = 0;
    for (int64_t i = begin + threadIdx.y; i < end && col < cols; i += SUM_ROWS) {
        float term[K];
        op.terms(shard, set, i, col, term);
        length++;
#pragma unroll
        for (int k = 0; k < K; k++) {
            run[k] += term[k];
            total[k] += length == SUM_RUN ? static_cast<double>(run[k]) : 0.0;
            run[k] = length == SUM_RUN ? 0.0f : run[k];
        }
        length %= SUM_RUN;
    }
#pragma unroll
    for (int k = 0; k < K; k++) {
        seen[k][threadIdx.y][threadIdx.x] = total[k] + static_cast<double>(run[k]);
    }
    __syncthreads();
    if (threadIdx.y != 0 || col >= cols) {
        return;
    }
    const int64_t block = static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y;
#pragma unroll
    for (int k = 0; k < K; k++) {
        total[k] = 0.0;
#pragma unroll
        for (int y = 0; y < SUM_ROWS; y++) {
            total[k] += seen[k][y][threadIdx.x];
        }
        if (parts > 1) {
            partial[(block * K + k) * cols + col] = total[k];
        }
    }
    if (parts == 1) {
        out.put(static_cast<int>(blockIdx.z), set, col, total);
    }
}

template <int K, class OUT>
static __global__ void __launch_bounds__(BLOCK_THREADS)
    sum_column_parts(OUT out, const double *partial, int parts, int64_t cols) {
    const int64_t col = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (col >= cols) {
        return;
    }
    const int64_t first = (static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y) * parts;
    double total[K];
#pragma unroll
    for (int k = 0; k < K; k++) {
        total[k] = 0.0;
        for (int part = 0; part < parts; part++) {
            total[k] += partial[((first + part) * K + k) * cols + col];
        }
    }
    out.put(static_cast<int>(blockIdx.z), blockIdx.y, col, total);
}

/* Of the shards from shard_begin on; the first's sums go to out.to. workspace: as many bytes as
 * column_parts_bytes says. */
template <int K, class OP, class OUT>
static void launch_column_sums(const cuda_context_t *context, const OP &op, const OUT &out,
                               void *workspace, int shard_begin, int shard_end, int64_t sets,
                               int64_t rows, int64_t cols) {
    const int parts = static_cast<int>(column_parts(rows));
    const unsigned shards = static_cast<unsigned>(shard_end - shard_begin);
    double *partial = static_cast<double *>(workspace);
    const dim3 grid(static_cast<unsigned>(div_up(cols, SUM_COLS)),
                    static_cast<unsigned>(sets * parts), shards);
    LAUNCH((sum_columns<K, OP, OUT>), grid, dim3(SUM_COLS, SUM_ROWS), 0, context->stream, op, out,
           partial, parts, shard_begin, rows, cols);
    if (parts > 1) {
        const dim3 rest(static_cast<unsigned>(div_up(cols, BLOCK_THREADS)),
                        static_cast<unsigned>(sets), shards);
        LAUNCH((sum_column_parts<K, OUT>), rest, BLOCK_THREADS, 0, context->stream, out, partial,
               parts, cols);
    }
    CUDA_REQUIRE(cudaGetLastError());
}

/* Into d_weight of one shard's call. */
template <int K> static inline column_sums_out<K> sums_into(void *const to[K], int64_t cols) {
    column_sums_out<K> out = {};
    for (int k = 0; k < K; k++) {
        out.to[k] = static_cast<float *>(to[k]);
    }
    out.set_stride = cols;
    return out;
}

#endif
