/* y = W x over the rows of each group; W is small. */
#include "kernels/cuda/kernel.cuh"

namespace {

enum { WARPS = 4, THREADS = 32 * WARPS };

/* Row o of a group of `to`: its rows of `from`, times weight[o * step_to + i * step_from]. */
template <class T> struct mix_rows_op {
    view<T> from, to;
    const float *weight;
    int64_t from_rows, to_rows; /* of a group */
    int64_t step_to, step_from;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        const int64_t group = row / to_rows, o = row % to_rows;
        float sum[CHUNK<T>] = {0}, x[CHUNK<T>];
        for (int64_t i = 0; i < from_rows; i++) {
            const float factor = weight[o * step_to + i * step_from];
            load<T, WIDE>(from.at(shard, group * from_rows + i) + col, left, x);
#pragma unroll
            for (int k = 0; k < CHUNK<T>; k++) {
                sum[k] += factor * x[k];
            }
        }
        store<T, WIDE>(to.at(shard, row) + col, left, sum);
    }
};

/* An element of the weight's gradient for each block: the sum over groups and columns. */
template <class T>
__global__ void __launch_bounds__(THREADS)
    mix_rows_weights(view<T> in, view<T> d_out, float *d_weight, int shard, int64_t groups,
                     int64_t in_rows, int64_t out_rows, int64_t cols) {
    __shared__ double part[WARPS];
    const int64_t o = blockIdx.y, i = blockIdx.x;
    double total = 0.0;
    for (int64_t g = 0; g < groups; g++) {
        const T *x = in.at(shard, g * in_rows + i), *dy = d_out.at(shard, g * out_rows + o);
        float sum = 0.0f;
        for (int64_t c = threadIdx.x; c < cols; c += THREADS) {
            sum += widen(x[c]) * widen(dy[c]);
        }
        total += static_cast<double>(sum);
    }
    total = warp_sum(total);
    if (threadIdx.x % 32 == 0) {
        part[threadIdx.x / 32] = total;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        total = part[0];
        for (int w = 1; w < WARPS; w++) {
            total += part[w];
        }
        d_weight[o * in_rows + i] = static_cast<float>(total);
    }
}

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const op_shape_t *in = &description->in[0], *out = &description->out;
    const int64_t groups = description->attributes.groups;
    REQUIRE(description->input_count == 1 && groups > 0);
    REQUIRE(in->rows % groups == 0 && out->rows % groups == 0 && in->cols == out->cols);
    return plain_plan(description, plan_out, needs_out);
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const int64_t in_rows = d->in[0].rows / d->attributes.groups;
    const mix_rows_op<T> op = {view_of<T>(call->in[0]),
                               view_of<T>(call->out),
                               static_cast<const float *>(call->weight[0]),
                               in_rows,
                               d->out.rows / d->attributes.groups,
                               in_rows,
                               1};
    launch_rows<T>(plan, call, op, is_wide<T>(call->in[0]) && is_wide<T>(call->out), d->out.rows,
                   d->out.cols);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    if (call->d_in[0].data == nullptr) {
        return;
    }
    const int64_t in_rows = d->in[0].rows / d->attributes.groups;
    const mix_rows_op<T> op = {view_of<T>(call->d_out),
                               view_of<T>(call->d_in[0]),
                               static_cast<const float *>(call->weight[0]),
                               d->out.rows / d->attributes.groups,
                               in_rows,
                               1,
                               in_rows};
    launch_rows<T>(plan, call, op, is_wide<T>(call->d_out) && is_wide<T>(call->d_in[0]),
                   d->in[0].rows, d->in[0].cols);
}

template <class T> void backward_weights(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const int64_t groups = d->attributes.groups;
    const int64_t in_rows = d->in[0].rows / groups, out_rows = d->out.rows / groups;
    const dim3 grid(static_cast<unsigned>(in_rows), static_cast<unsigned>(out_rows));
    LAUNCH((mix_rows_weights<T>), grid, THREADS, 0, plan->context->stream, view_of<T>(call->in[0]),
           view_of<T>(call->d_out), static_cast<float *>(call->d_weight[0]), call->shard_begin,
           groups, in_rows, out_rows, d->out.cols);
    CUDA_REQUIRE(cudaGetLastError());
}

} // namespace

CUDA_OP_WITH_WEIGHTS(mix_rows)
