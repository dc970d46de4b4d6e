/* A warp for each row. */
#include "kernels/cuda/kernel.cuh"

namespace {

enum { WARPS = 8 };
constexpr double NORM_FLOOR = 1e-12; /* of what a row is divided by (ref/l2_norm.h) */

/* Sums over a row, the same in every lane: of x^2 and of x y. Squares leave the range of floats. */
struct row_sums {
    double square, along;
};

template <class T, bool WIDE>
__device__ __forceinline__ row_sums sums_of(const T *x_row, const T *y_row, int64_t cols) {
    row_sums sums = {0.0, 0.0};
    float x[CHUNK<T>], y[CHUNK<T>];
    for (int64_t col = threadIdx.x * CHUNK<T>; col < cols; col += 32 * CHUNK<T>) {
        load<T, WIDE>(x_row + col, cols - col, x);
        load<T, WIDE>(y_row + col, cols - col, y);
#pragma unroll
        for (int k = 0; k < CHUNK<T>; k++) {
            const double wide = static_cast<double>(x[k]);
            sums.square += wide * wide;
            sums.along += wide * static_cast<double>(y[k]);
        }
    }
    return row_sums{warp_sum(sums.square), warp_sum(sums.along)};
}

template <class T> struct l2_rows {
    view<T> in, out, d_out, d_in;
    mask_t mask;
    int64_t rows, cols;
};

/* BACKWARD: d_in = (d_out - x slope) / |x|; below the floor the denominator is a constant. */
template <class T, bool WIDE, bool BACKWARD>
__global__ void __launch_bounds__(32 * WARPS) l2_normalize(l2_rows<T> a, int shard_begin) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.y;
    const int shard = shard_begin + static_cast<int>(blockIdx.y);
    if (row >= a.rows) {
        return;
    }
    const bool use = valid(a.mask, shard, row);
    const T *x_row = a.in.at(shard, row), *dy_row = BACKWARD ? a.d_out.at(shard, row) : x_row;
    T *to = BACKWARD ? a.d_in.at(shard, row) : a.out.at(shard, row);
    double inverse = 0.0, slope = 0.0;
    if (use) {
        const row_sums sums = sums_of<T, WIDE>(x_row, dy_row, a.cols);
        const double norm = sqrt(sums.square);
        const bool floored = norm < NORM_FLOOR;
        inverse = 1.0 / (floored ? NORM_FLOOR : norm);
        slope = floored ? 0.0 : sums.along * inverse * inverse;
    }
    for (int64_t col = threadIdx.x * CHUNK<T>; col < a.cols; col += 32 * CHUNK<T>) {
        float x[CHUNK<T>] = {0}, dy[CHUNK<T>];
        if (use) {
            load<T, WIDE>(x_row + col, a.cols - col, x);
            load<T, WIDE>(dy_row + col, a.cols - col, dy);
#pragma unroll
            for (int k = 0; k < CHUNK<T>; k++) {
                const double wide = static_cast<double>(x[k]);
                const double value = BACKWARD ? static_cast<double>(dy[k]) - wide * slope : wide;
                x[k] = static_cast<float>(value * inverse);
            }
        }
        store<T, WIDE>(to + col, a.cols - col, x);
    }
}

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1 && all_rows_alike(description));
    return plain_plan(description, plan_out, needs_out);
}

template <class T, bool BACKWARD>
void run(const op_plan_t *plan, const op_call_t *call, const l2_rows<T> &a, bool wide) {
    const dim3 grid(static_cast<unsigned>(div_up(a.rows, WARPS)),
                    static_cast<unsigned>(call->shard_end - call->shard_begin));
    const dim3 block(32, WARPS);
    if (wide) {
        LAUNCH((l2_normalize<T, true, BACKWARD>), grid, block, 0, plan->context->stream, a,
               call->shard_begin);
    } else {
        LAUNCH((l2_normalize<T, false, BACKWARD>), grid, block, 0, plan->context->stream, a,
               call->shard_begin);
    }
    CUDA_REQUIRE(cudaGetLastError());
}

template <class T> l2_rows<T> rows_of(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    l2_rows<T> a = {};
    a.in = view_of<T>(call->in[0]);
    a.mask = call->mask;
    a.rows = shape->rows;
    a.cols = shape->cols;
    return a;
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    l2_rows<T> a = rows_of<T>(plan, call);
    a.out = view_of<T>(call->out);
    run<T, false>(plan, call, a, is_wide<T>(call->in[0]) && is_wide<T>(call->out));
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    if (call->d_in[0].data == nullptr) {
        return;
    }
    l2_rows<T> a = rows_of<T>(plan, call);
    a.d_out = view_of<T>(call->d_out);
    a.d_in = view_of<T>(call->d_in[0]);
    const bool wide =
        is_wide<T>(call->in[0]) && is_wide<T>(call->d_out) && is_wide<T>(call->d_in[0]);
    run<T, true>(plan, call, a, wide);
}

} // namespace

CUDA_OP(l2_normalize)
