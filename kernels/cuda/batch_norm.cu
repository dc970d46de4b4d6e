/* Batch normalisation by column. Statistics of a shard are summed once, less a row of it (the first
 * that is valid), so that a large mean costs no digits. Those of the whole batch are made of the
 * shards' (shard_totals.cu). */
#include "kernels/cuda/column_sums.cuh"
#include "kernels/ref/norm_sums.h"

namespace {

/* Of each column, saved: what is subtracted, what is multiplied, and the variance that the running
 * one averages. */
struct norm_columns {
    float *saved;
    int64_t saved_stride, cols;
    const float *gain, *bias, *mean, *variance; /* mean, variance: the running ones */
    double epsilon;

    __device__ __forceinline__ float *of(int shard) const { return saved + shard * saved_stride; }

    __device__ __forceinline__ void take_running(int shard, int64_t col) const {
        float *to = of(shard) + col;
        to[0] = mean[col];
        to[cols] = static_cast<float>(1.0 / sqrt(static_cast<double>(variance[col]) + epsilon));
        to[2 * cols] = variance[col];
    }

    /* square: the sum of the squares of what is left of n numbers less their mean; n > 0 */
    __device__ __forceinline__ void take(int shard, int64_t col, double n, double average,
                                         double square) const {
        float *to = of(shard) + col;
        to[0] = static_cast<float>(average);
        to[cols] = static_cast<float>(1.0 / sqrt(square / n + epsilon));
        if (n > 1.0) {
            to[2 * cols] = static_cast<float>(square / (n - 1.0));
        }
    }
};

__global__ void __launch_bounds__(BLOCK_THREADS) take_running(norm_columns a, int shard_begin) {
    const int64_t col = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (col < a.cols) {
        a.take_running(shard_begin + static_cast<int>(blockIdx.y), col);
    }
}

__global__ void __launch_bounds__(BLOCK_THREADS)
    take_totals(norm_columns a, const double *totals, int shard_begin) {
    const int64_t col = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int shard = shard_begin + static_cast<int>(blockIdx.y);
    if (col < a.cols) {
        a.take_running(shard, col);
        if (totals[0] > 0.0) {
            a.take(shard, col, totals[0], norm_first(totals)[col],
                   norm_second(totals, a.cols)[col]);
        }
    }
}

/* --- statistics ------------------------------------------------------------------------------ */

template <class T>
__device__ __forceinline__ float shift_of(const view<T> &in, const mask_t &mask, int shard,
                                          int64_t rows, int64_t col) {
    for (int64_t r = 0; r < rows; r++) {
        if (valid(mask, shard, r)) {
            return widen(in.at(shard, r)[col]);
        }
    }
    return 0.0f;
}

/* Of the valid rows: x less the shift, its square, and their number. */
template <class T> struct moments_op {
    view<T> in;
    mask_t mask;
    int64_t rows;

    __device__ __forceinline__ void terms(int shard, int64_t, int64_t row, int64_t col,
                                          float *term) const {
        const bool use = valid(mask, shard, row);
        const float x =
            use ? widen(in.at(shard, row)[col]) - shift_of(in, mask, shard, rows, col) : 0.0f;
        term[0] = x;
        term[1] = x * x;
        term[2] = use ? 1.0f : 0.0f;
    }
};

/* Of a column's sums: the mean, and the squares of what is left; 0 of no rows. */
template <class T>
__device__ __forceinline__ void moments_of(const moments_op<T> &of, int shard, int64_t col,
                                           const double *total, double *mean, double *square) {
    const double n = total[2];
    const double shift = static_cast<double>(shift_of(of.in, of.mask, shard, of.rows, col));
    *mean = n > 0.0 ? shift + total[0] / n : 0.0;
    *square = n > 0.0 ? fmax(total[1] - total[0] * total[0] / n, 0.0) : 0.0;
}

template <class T> struct moments_out {
    moments_op<T> of;
    norm_columns to;
    int shard_begin;

    __device__ __forceinline__ void put(int index, int64_t, int64_t col,
                                        const double *total) const {
        const int shard = shard_begin + index;
        to.take_running(shard, col);
        if (total[2] > 0.0) {
            double mean, square;
            moments_of(of, shard, col, total, &mean, &square);
            to.take(shard, col, total[2], mean, square);
        }
    }
};

/* What is said of a shard (norm_sums.h): forward. */
template <class T> struct moments_told {
    moments_op<T> of;
    double *sums;
    int64_t cols;
    int shard_begin;

    __device__ __forceinline__ void put(int index, int64_t, int64_t col,
                                        const double *total) const {
        const int shard = shard_begin + index;
        double *mine = sums + shard * NORM_SUMS(cols);
        if (col == 0) {
            mine[0] = total[2];
        }
        moments_of(of, shard, col, total, norm_first(mine) + col, norm_second(mine, cols) + col);
    }
};

/* The same: backward. */
struct slopes_told {
    double *sums;
    int64_t cols;
    int shard_begin;

    __device__ __forceinline__ void put(int index, int64_t, int64_t col,
                                        const double *total) const {
        double *mine = sums + (shard_begin + index) * NORM_SUMS(cols);
        if (col == 0) {
            mine[0] = total[2];
        }
        norm_first(mine)[col] = total[1];
        norm_second(mine, cols)[col] = total[0];
    }
};

/* slopes [3 cols], as norm_backward_op reads them */
__global__ void __launch_bounds__(BLOCK_THREADS)
    slopes_of_totals(float *slopes, const double *totals, int64_t cols) {
    const int64_t col = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (col < cols) {
        slopes[col] = static_cast<float>(norm_second(totals, cols)[col]);
        slopes[cols + col] = static_cast<float>(norm_first(totals)[col]);
        slopes[2 * cols + col] = static_cast<float>(totals[0]);
    }
}

/* --- rows ------------------------------------------------------------------------------------ */

template <class T> struct norm_op {
    view<T> in, out;
    mask_t mask;
    norm_columns a;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float x[CHUNK<T>] = {0};
        if (valid(mask, shard, row)) {
            float mean[CHUNK<T>], inverse[CHUNK<T>], gain[CHUNK<T>], bias[CHUNK<T>];
            const float *saved = a.of(shard) + col;
            load<T, WIDE>(in.at(shard, row) + col, left, x);
            load_floats<T, WIDE>(saved, left, mean);
            load_floats<T, WIDE>(saved + a.cols, left, inverse);
            load_floats<T, WIDE>(a.gain + col, left, gain);
            load_floats<T, WIDE>(a.bias + col, left, bias);
#pragma unroll
            for (int k = 0; k < CHUNK<T>; k++) {
                x[k] = (x[k] - mean[k]) * inverse[k] * gain[k] + bias[k];
            }
        }
        store<T, WIDE>(out.at(shard, row) + col, left, x);
    }
};

/* Of the valid rows: dy times the normed x, dy, and their number. */
template <class T> struct slopes_op {
    view<T> in, d_out;
    mask_t mask;
    norm_columns a;

    __device__ __forceinline__ void terms(int shard, int64_t, int64_t row, int64_t col,
                                          float *term) const {
        const bool use = valid(mask, shard, row);
        const float *saved = a.of(shard) + col;
        const float dy = use ? widen(d_out.at(shard, row)[col]) : 0.0f;
        const float x = use ? widen(in.at(shard, row)[col]) : 0.0f;
        term[0] = use ? dy * ((x - saved[0]) * saved[a.cols]) : 0.0f;
        term[1] = dy;
        term[2] = use ? 1.0f : 0.0f;
    }
};

/* dx = gain / sd (dy - mean(dy) - x^ mean(dy x^)); of statistics that are given, gain / sd dy. */
template <class T> struct norm_backward_op {
    view<T> in, d_out, d_in;
    mask_t mask;
    norm_columns a;
    const float *slopes;   /* [shard of the call][3 cols]; NULL: statistics are given */
    int64_t slopes_stride; /* 0: all shards have the same */
    int first;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float dy[CHUNK<T>] = {0};
        if (valid(mask, shard, row)) {
            float inverse[CHUNK<T>], gain[CHUNK<T>];
            const float *saved = a.of(shard) + col;
            load<T, WIDE>(d_out.at(shard, row) + col, left, dy);
            load_floats<T, WIDE>(saved + a.cols, left, inverse);
            load_floats<T, WIDE>(a.gain + col, left, gain);
            if (slopes != nullptr) {
                float x[CHUNK<T>], mean[CHUNK<T>], slope[CHUNK<T>], sum[CHUNK<T>];
                const float *sums = slopes + (shard - first) * slopes_stride + col;
                load<T, WIDE>(in.at(shard, row) + col, left, x);
                load_floats<T, WIDE>(saved, left, mean);
                load_floats<T, WIDE>(sums, left, slope);
                load_floats<T, WIDE>(sums + a.cols, left, sum);
                const float share = 1.0f / sums[2 * a.cols]; /* the same of every column */
#pragma unroll
                for (int k = 0; k < CHUNK<T>; k++) {
                    const float normed = (x[k] - mean[k]) * inverse[k];
                    dy[k] = dy[k] - sum[k] * share - normed * (slope[k] * share);
                }
            }
#pragma unroll
            for (int k = 0; k < CHUNK<T>; k++) {
                dy[k] *= gain[k] * inverse[k];
            }
        }
        store<T, WIDE>(d_in.at(shard, row) + col, left, dy);
    }
};

/* --- calls ----------------------------------------------------------------------------------- */

struct norm_plan {
    op_plan_t base; /* first */
    int64_t parts_at, slopes_at;
};

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const op_shape_t *out = &description->out;
    REQUIRE(description->input_count == 1 && all_rows_alike(description));
    REQUIRE(description->attributes.epsilon > 0.0);
    norm_plan *plan = static_cast<norm_plan *>(cuda_plan_open(description, sizeof(norm_plan)));
    const int64_t shards = plan_shards(description);
    int64_t bytes = 0;
    plan->parts_at = region_add(&bytes, column_parts_bytes(shards, 1, out->rows, out->cols, 3));
    plan->slopes_at =
        region_add(&bytes, description->d_out.rows > 0 ? shards * 3 * out->cols * 4 : 0);
    *needs_out = op_needs_t{};
    needs_out->saved_count = 3 * out->cols;
    needs_out->workspace_count = floats_of(bytes);
    needs_out->sum_count =
        description->attributes.norm_rule == NORM_GLOBAL ? NORM_SUMS(out->cols) : 0;
    *plan_out = &plan->base;
    return STATUS_OK;
}

norm_columns columns_of(const op_plan_t *plan, const op_call_t *call) {
    norm_columns a = {};
    a.saved = static_cast<float *>(call->saved);
    a.saved_stride = call->saved_shard_stride;
    a.cols = plan->description.out.cols;
    a.gain = static_cast<const float *>(call->weight[0]);
    a.bias = static_cast<const float *>(call->weight[1]);
    a.mean = static_cast<const float *>(call->weight[2]);
    a.variance = static_cast<const float *>(call->weight[3]);
    a.epsilon = plan->description.attributes.epsilon;
    return a;
}

bool columns_are_wide(const norm_columns &a) {
    return is_wide_flat(a.saved) && a.saved_stride % 4 == 0 && a.cols % 4 == 0 &&
           is_wide_flat(a.gain) && is_wide_flat(a.bias);
}

bool of_shard(const op_plan_t *plan, const op_call_t *call) {
    return plan->description.attributes.norm_rule == NORM_SHARD && call->scalars->training;
}

bool is_global(const op_plan_t *plan, const op_call_t *call) {
    return plan->description.attributes.norm_rule == NORM_GLOBAL && call->scalars->training;
}

const norm_plan *norm_of(const op_plan_t *plan) {
    return reinterpret_cast<const norm_plan *>(plan);
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    const norm_columns a = columns_of(plan, call);
    const int shards = call->shard_end - call->shard_begin;
    if (of_shard(plan, call)) {
        const moments_op<T> op = {view_of<T>(call->in[0]), call->mask, shape->rows};
        const moments_out<T> out = {op, a, call->shard_begin};
        launch_column_sums<3>(plan->context, op, out, region_at(call, norm_of(plan)->parts_at),
                              call->shard_begin, call->shard_end, 1, shape->rows, shape->cols);
    } else {
        const dim3 grid(static_cast<unsigned>(div_up(shape->cols, BLOCK_THREADS)),
                        static_cast<unsigned>(shards));
        cudaStream_t stream = plan->context->stream;
        if (is_global(plan, call)) {
            LAUNCH(take_totals, grid, BLOCK_THREADS, 0, stream, a, call->totals, call->shard_begin);
        } else {
            LAUNCH(take_running, grid, BLOCK_THREADS, 0, stream, a, call->shard_begin);
        }
        CUDA_REQUIRE(cudaGetLastError());
    }
    const norm_op<T> op = {view_of<T>(call->in[0]), view_of<T>(call->out), call->mask, a};
    const bool wide = is_wide<T>(call->in[0]) && is_wide<T>(call->out) && columns_are_wide(a);
    launch_rows<T>(plan, call, op, wide, shape->rows, shape->cols);
}

/* shard_stride: floats from the sums of one shard to those of the next. */
template <class T>
void sum_slopes(const op_plan_t *plan, const op_call_t *call, float *slope, float *sum, float *n,
                int64_t shard_stride) {
    const op_shape_t *shape = &plan->description.out;
    const slopes_op<T> op = {view_of<T>(call->in[0]), view_of<T>(call->d_out), call->mask,
                             columns_of(plan, call)};
    column_sums_out<3> out = {};
    out.to[0] = slope;
    out.to[1] = sum;
    out.to[2] = n;
    out.shard_stride = shard_stride;
    launch_column_sums<3>(plan->context, op, out, region_at(call, norm_of(plan)->parts_at),
                          call->shard_begin, call->shard_end, 1, shape->rows, shape->cols);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    if (call->d_in[0].data == nullptr) {
        return;
    }
    norm_backward_op<T> op = {};
    op.in = view_of<T>(call->in[0]);
    op.d_out = view_of<T>(call->d_out);
    op.d_in = view_of<T>(call->d_in[0]);
    op.mask = call->mask;
    op.a = columns_of(plan, call);
    op.first = call->shard_begin;
    if (of_shard(plan, call)) {
        float *slopes = static_cast<float *>(region_at(call, norm_of(plan)->slopes_at));
        sum_slopes<T>(plan, call, slopes, slopes + shape->cols, slopes + 2 * shape->cols,
                      3 * shape->cols);
        op.slopes = slopes;
        op.slopes_stride = 3 * shape->cols;
    } else if (is_global(plan, call)) {
        float *slopes = static_cast<float *>(region_at(call, norm_of(plan)->slopes_at));
        LAUNCH(slopes_of_totals, static_cast<unsigned>(div_up(shape->cols, BLOCK_THREADS)),
               BLOCK_THREADS, 0, plan->context->stream, slopes, call->totals, shape->cols);
        CUDA_REQUIRE(cudaGetLastError());
        op.slopes = slopes;
    }
    const bool wide = is_wide<T>(call->in[0]) && is_wide<T>(call->d_out) &&
                      is_wide<T>(call->d_in[0]) && columns_are_wide(op.a) &&
                      is_wide_flat(op.slopes);
    launch_rows<T>(plan, call, op, wide, shape->rows, shape->cols);
}

template <class T>
void sums(const op_plan_t *plan, const op_call_t *call, pass_t pass, double *to) {
    const op_shape_t *shape = &plan->description.out;
    void *parts = region_at(call, norm_of(plan)->parts_at);
    if (pass == PASS_FORWARD) {
        const moments_op<T> op = {view_of<T>(call->in[0]), call->mask, shape->rows};
        const moments_told<T> out = {op, to, shape->cols, call->shard_begin};
        launch_column_sums<3>(plan->context, op, out, parts, call->shard_begin, call->shard_end, 1,
                              shape->rows, shape->cols);
        return;
    }
    const slopes_op<T> op = {view_of<T>(call->in[0]), view_of<T>(call->d_out), call->mask,
                             columns_of(plan, call)};
    const slopes_told out = {to, shape->cols, call->shard_begin};
    launch_column_sums<3>(plan->context, op, out, parts, call->shard_begin, call->shard_end, 1,
                          shape->rows, shape->cols);
}

template <class T> void backward_weights(const op_plan_t *plan, const op_call_t *call) {
    const int64_t cols = plan->description.out.cols;
    const size_t bytes = static_cast<size_t>(cols) * sizeof(float);
    const float *saved =
        static_cast<const float *>(call->saved) + call->shard_begin * call->saved_shard_stride;
    float *slopes = static_cast<float *>(region_at(call, norm_of(plan)->slopes_at));
    sum_slopes<T>(plan, call, static_cast<float *>(call->d_weight[0]),
                  static_cast<float *>(call->d_weight[1]), slopes, 0);
    CUDA_REQUIRE(cudaMemcpyAsync(call->d_weight[2], saved, bytes, cudaMemcpyDeviceToDevice,
                                 plan->context->stream));
    CUDA_REQUIRE(cudaMemcpyAsync(call->d_weight[3], saved + 2 * cols, bytes,
                                 cudaMemcpyDeviceToDevice, plan->context->stream));
}

} // namespace

CUDA_OP_WITH_WEIGHTS(batch_norm)

extern "C" void batch_norm_sums_cuda_f32(const op_plan_t *plan, const op_call_t *call, pass_t pass,
                                         double *to) {
    sums<float>(plan, call, pass, to);
}

extern "C" void batch_norm_sums_cuda_bf16(const op_plan_t *plan, const op_call_t *call, pass_t pass,
                                          double *to) {
    sums<bf16>(plan, call, pass, to);
}
