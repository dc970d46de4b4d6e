/* How the columns of two matrices go together over the rows of each group. */
#include "kernels/cuda/kernel.cuh"

namespace {

enum { WARPS = 8 };

/* Row i of a group's result, or of d_b: sum over j < count of a factor times row j of `rows`. The
 * factor: column i of row j of `factors`, or (BY_ROW) column j of row i. */
template <class T, bool BY_ROW> struct correlate_op {
    view<T> factors, rows, to;
    int64_t count, to_rows; /* of a group */
    float scale;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        const int64_t group = row / to_rows, i = row % to_rows;
        float sum[CHUNK<T>] = {0}, x[CHUNK<T>];
        for (int64_t j = 0; j < count; j++) {
            const float factor = BY_ROW ? widen(factors.at(shard, row)[j])
                                        : widen(factors.at(shard, group * count + j)[i]);
            load<T, WIDE>(rows.at(shard, group * count + j) + col, left, x);
#pragma unroll
            for (int k = 0; k < CHUNK<T>; k++) {
                sum[k] += factor * x[k];
            }
        }
        for (int k = 0; k < CHUNK<T>; k++) {
            sum[k] *= scale;
        }
        store<T, WIDE>(to.at(shard, row) + col, left, sum);
    }
};

template <class T> struct left_gradient {
    view<T> b, d_out, d_a;
    int64_t rows, group_rows, a_cols, b_cols;
    float scale;
};

/* d_a[r][i] = b[r] . d_out[i]: a warp for each. */
template <class T, bool WIDE>
__global__ void __launch_bounds__(32 * WARPS) correlate_left(left_gradient<T> g, int shard_begin) {
    const int64_t at = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.y;
    const int shard = shard_begin + static_cast<int>(blockIdx.y);
    if (at >= g.rows * g.a_cols) {
        return;
    }
    const int64_t row = at / g.a_cols, i = at % g.a_cols;
    const T *b = g.b.at(shard, row);
    const T *dy = g.d_out.at(shard, row / g.group_rows * g.a_cols + i);
    float x[CHUNK<T>], y[CHUNK<T>], sum = 0.0f;
    for (int64_t col = threadIdx.x * CHUNK<T>; col < g.b_cols; col += 32 * CHUNK<T>) {
        load<T, WIDE>(b + col, g.b_cols - col, x);
        load<T, WIDE>(dy + col, g.b_cols - col, y);
#pragma unroll
        for (int k = 0; k < CHUNK<T>; k++) {
            sum += x[k] * y[k];
        }
    }
    sum = warp_sum(sum);
    if (threadIdx.x == 0) {
        narrow(g.d_a.at(shard, row) + i, sum * g.scale);
    }
}

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const op_shape_t *a = &description->in[0], *b = &description->in[1], *out = &description->out;
    const int64_t groups = description->attributes.groups;
    REQUIRE(description->input_count == 2 && groups > 0);
    REQUIRE(a->rows == b->rows && a->rows % groups == 0);
    REQUIRE(out->rows == groups * a->cols && out->cols == b->cols);
    return plain_plan(description, plan_out, needs_out);
}

float scale_of(const op_description_t *d) {
    return 1.0f / sqrtf(static_cast<float>(d->in[0].cols));
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const correlate_op<T, false> op = {
        view_of<T>(call->in[0]), view_of<T>(call->in[1]),
        view_of<T>(call->out),   d->in[0].rows / d->attributes.groups,
        d->in[0].cols,           scale_of(d)};
    launch_rows<T>(plan, call, op, is_wide<T>(call->in[1]) && is_wide<T>(call->out), d->out.rows,
                   d->out.cols);
}

template <class T> void left_backward(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const op_shape_t *a = &d->in[0], *b = &d->in[1];
    const left_gradient<T> g = {view_of<T>(call->in[1]),
                                view_of<T>(call->d_out),
                                view_of<T>(call->d_in[0]),
                                a->rows,
                                a->rows / d->attributes.groups,
                                a->cols,
                                b->cols,
                                scale_of(d)};
    const dim3 grid(static_cast<unsigned>(div_up(a->rows * a->cols, WARPS)),
                    static_cast<unsigned>(call->shard_end - call->shard_begin));
    const dim3 block(32, WARPS);
    if (is_wide<T>(call->in[1]) && is_wide<T>(call->d_out)) {
        LAUNCH((correlate_left<T, true>), grid, block, 0, plan->context->stream, g,
               call->shard_begin);
    } else {
        LAUNCH((correlate_left<T, false>), grid, block, 0, plan->context->stream, g,
               call->shard_begin);
    }
    CUDA_REQUIRE(cudaGetLastError());
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    if (call->d_in[0].data != nullptr) {
        left_backward<T>(plan, call);
    }
    if (call->d_in[1].data != nullptr) {
        const correlate_op<T, true> op = {view_of<T>(call->in[0]),
                                          view_of<T>(call->d_out),
                                          view_of<T>(call->d_in[1]),
                                          d->in[0].cols,
                                          d->in[0].rows / d->attributes.groups,
                                          scale_of(d)};
        launch_rows<T>(plan, call, op, is_wide<T>(call->d_out) && is_wide<T>(call->d_in[1]),
                       d->in[1].rows, d->in[1].cols);
    }
}

} // namespace

CUDA_OP(correlate)
