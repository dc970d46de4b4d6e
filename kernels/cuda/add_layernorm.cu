/* Layer normalisation of a sum, a warp for each row. The sum itself is not kept: the backward adds
 * again. A row's numbers stay in registers from mean to result; rows too long for that are read
 * again. */
#include "kernels/cuda/column_sums.cuh"

namespace {

constexpr float EPSILON = 1e-5f;
enum { WARPS = 8, LONG_HELD = 32, SHORT_HELD = 8 }; /* numbers of a row that a lane keeps */

template <class T> struct layernorm_rows {
    view<T> x, y; /* y: absent, or added */
    view<T> out;
    const float *gain, *bias;
    float *saved; /* mean and 1/sd of each row */
    int64_t saved_stride, rows, cols;
};

/* A chunk of x + y; returns the columns from there on, 0 or less beyond the row. */
template <class T, bool WIDE>
__device__ __forceinline__ int64_t load_sum(const layernorm_rows<T> &a, int shard, int64_t row,
                                            int64_t col, float *x) {
    const int64_t left = a.cols - col;
    if (left <= 0) {
#pragma unroll
        for (int k = 0; k < CHUNK<T>; k++) {
            x[k] = 0.0f;
        }
        return left;
    }
    load<T, WIDE>(a.x.at(shard, row) + col, left, x);
    if (a.y.data != nullptr) {
        float more[CHUNK<T>];
        load<T, WIDE>(a.y.at(shard, row) + col, left, more);
#pragma unroll
        for (int k = 0; k < CHUNK<T>; k++) {
            x[k] += more[k];
        }
    }
    return left;
}

/* HELD numbers are one piece of a row for a lane; WHOLE: there is one piece. */
template <class T, bool WIDE, int HELD, bool WHOLE>
__global__ void __launch_bounds__(32 * WARPS)
    layernorm_forward(layernorm_rows<T> a, int shard_begin) {
    constexpr int V = CHUNK<T>, CHUNKS = HELD / V, PIECE = 32 * HELD;
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.y;
    const int shard = shard_begin + static_cast<int>(blockIdx.y),
              lane = static_cast<int>(threadIdx.x);
    if (row >= a.rows) {
        return;
    }
    const int64_t end = WHOLE ? 1 : a.cols;
    float x[CHUNKS][V], sum = 0.0f, square = 0.0f;
    for (int64_t first = 0; first < end; first += PIECE) {
#pragma unroll
        for (int i = 0; i < CHUNKS; i++) {
            load_sum<T, WIDE>(a, shard, row, first + (i * 32 + lane) * V, x[i]);
#pragma unroll
            for (int k = 0; k < V; k++) {
                sum += x[i][k];
            }
        }
    }
    const float mean = warp_sum(sum) / static_cast<float>(a.cols);
    for (int64_t first = 0; first < end; first += PIECE) {
#pragma unroll
        for (int i = 0; i < CHUNKS; i++) {
            const int64_t col = first + (i * 32 + lane) * V;
            if (!WHOLE) {
                load_sum<T, WIDE>(a, shard, row, col, x[i]);
            }
#pragma unroll
            for (int k = 0; k < V; k++) {
                x[i][k] -= mean;
                square += col + k < a.cols ? x[i][k] * x[i][k] : 0.0f;
            }
        }
    }
    const float variance = warp_sum(square) / static_cast<float>(a.cols);
    const float inverse = 1.0f / sqrtf(variance + EPSILON);
    for (int64_t first = 0; first < end; first += PIECE) {
#pragma unroll
        for (int i = 0; i < CHUNKS; i++) {
            const int64_t col = first + (i * 32 + lane) * V, left = a.cols - col;
            if (left <= 0) {
                continue;
            }
            if (!WHOLE) {
                load_sum<T, WIDE>(a, shard, row, col, x[i]);
            }
            float gain[V], bias[V];
            load_floats<T, WIDE>(a.gain + col, left, gain);
            load_floats<T, WIDE>(a.bias + col, left, bias);
#pragma unroll
            for (int k = 0; k < V; k++) {
                x[i][k] = (WHOLE ? x[i][k] : x[i][k] - mean) * inverse * gain[k] + bias[k];
            }
            store<T, WIDE>(a.out.at(shard, row) + col, left, x[i]);
        }
    }
    if (lane == 0) {
        float *saved = a.saved + shard * a.saved_stride + 2 * row;
        saved[0] = mean;
        saved[1] = inverse;
    }
}

template <class T> struct layernorm_gradients {
    view<T> d_out, d_x, d_y; /* d_x or d_y may be absent */
};

/* A chunk of the normalised row, and of gain times the gradient. */
template <class T, bool WIDE>
__device__ __forceinline__ void load_pair(const layernorm_rows<T> &a, const view<T> &d_out,
                                          int shard, int64_t row, int64_t col, float mean,
                                          float inverse, float *x, float *g) {
    const int64_t left = load_sum<T, WIDE>(a, shard, row, col, x);
    float gain[CHUNK<T>];
    if (left > 0) {
        load<T, WIDE>(d_out.at(shard, row) + col, left, g);
        load_floats<T, WIDE>(a.gain + col, left, gain);
    }
#pragma unroll
    for (int k = 0; k < CHUNK<T>; k++) {
        const bool inside = k < left;
        x[k] = inside ? (x[k] - mean) * inverse : 0.0f;
        g[k] = inside ? gain[k] * g[k] : 0.0f;
    }
}

template <class T, bool WIDE, int HELD, bool WHOLE>
__global__ void __launch_bounds__(32 * WARPS)
    layernorm_backward(layernorm_rows<T> a, layernorm_gradients<T> d, int shard_begin) {
    constexpr int V = CHUNK<T>, CHUNKS = HELD / V, PIECE = 32 * HELD;
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.y;
    const int shard = shard_begin + static_cast<int>(blockIdx.y),
              lane = static_cast<int>(threadIdx.x);
    if (row >= a.rows) {
        return;
    }
    const float *saved = a.saved + shard * a.saved_stride + 2 * row;
    const float mean = saved[0], inverse = saved[1];
    const int64_t end = WHOLE ? 1 : a.cols;
    float x[CHUNKS][V], g[CHUNKS][V], sum = 0.0f, along = 0.0f;
    for (int64_t first = 0; first < end; first += PIECE) {
#pragma unroll
        for (int i = 0; i < CHUNKS; i++) {
            load_pair<T, WIDE>(a, d.d_out, shard, row, first + (i * 32 + lane) * V, mean, inverse,
                               x[i], g[i]);
#pragma unroll
            for (int k = 0; k < V; k++) {
                sum += g[i][k];
                along += g[i][k] * x[i][k];
            }
        }
    }
    const float level = warp_sum(sum) / static_cast<float>(a.cols);
    const float slope = warp_sum(along) / static_cast<float>(a.cols);
    for (int64_t first = 0; first < end; first += PIECE) {
#pragma unroll
        for (int i = 0; i < CHUNKS; i++) {
            const int64_t col = first + (i * 32 + lane) * V, left = a.cols - col;
            if (left <= 0) {
                continue;
            }
            if (!WHOLE) {
                load_pair<T, WIDE>(a, d.d_out, shard, row, col, mean, inverse, x[i], g[i]);
            }
#pragma unroll
            for (int k = 0; k < V; k++) {
                g[i][k] = inverse * (g[i][k] - level - x[i][k] * slope);
            }
            if (d.d_x.data != nullptr) {
                store<T, WIDE>(d.d_x.at(shard, row) + col, left, g[i]);
            }
            if (d.d_y.data != nullptr) {
                store<T, WIDE>(d.d_y.at(shard, row) + col, left, g[i]);
            }
        }
    }
}

/* Of gain and of bias. */
template <class T> struct layernorm_sums_op {
    layernorm_rows<T> a;
    view<T> d_out;

    __device__ __forceinline__ void terms(int shard, int64_t, int64_t row, int64_t col,
                                          float *term) const {
        const float *saved = a.saved + shard * a.saved_stride + 2 * row;
        float x = widen(a.x.at(shard, row)[col]);
        if (a.y.data != nullptr) {
            x += widen(a.y.at(shard, row)[col]);
        }
        const float dz = widen(d_out.at(shard, row)[col]);
        term[0] = dz * ((x - saved[0]) * saved[1]);
        term[1] = dz;
    }
};

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const op_shape_t *out = &description->out;
    REQUIRE(description->input_count == 1 || description->input_count == 2);
    REQUIRE(all_rows_alike(description));
    TRY(plain_plan(description, plan_out, needs_out));
    needs_out->saved_count = 2 * out->rows;
    needs_out->workspace_count = floats_of(column_parts_bytes(1, 1, out->rows, out->cols, 2));
    return STATUS_OK;
}

template <class T> layernorm_rows<T> rows_of(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    layernorm_rows<T> a = {};
    a.x = view_of<T>(call->in[0]);
    if (d->input_count == 2) {
        a.y = view_of<T>(call->in[1]);
    }
    a.out = view_of<T>(call->out);
    a.gain = static_cast<const float *>(call->weight[0]);
    a.bias = static_cast<const float *>(call->weight[1]);
    a.saved = static_cast<float *>(call->saved);
    a.saved_stride = call->saved_shard_stride;
    a.rows = d->out.rows;
    a.cols = d->out.cols;
    return a;
}

template <class T> bool inputs_are_wide(const op_plan_t *plan, const op_call_t *call) {
    return is_wide<T>(call->in[0]) &&
           (plan->description.input_count == 1 || is_wide<T>(call->in[1])) &&
           is_wide_flat(call->weight[0]) && is_wide_flat(call->weight[1]);
}

/* The one of the kernels that holds such rows; what is not wide is not worth several. */
#define LAUNCH_LAYERNORM(kernel, wide, ...)                                                        \
    do {                                                                                           \
        const dim3 grid(static_cast<unsigned>(div_up(a.rows, WARPS)),                              \
                        static_cast<unsigned>(call->shard_end - call->shard_begin));               \
        const dim3 block(32, WARPS);                                                               \
        cudaStream_t stream = plan->context->stream;                                               \
        if ((wide) && a.cols <= 32 * SHORT_HELD) {                                                 \
            LAUNCH((kernel<T, true, SHORT_HELD, true>), grid, block, 0, stream, __VA_ARGS__);      \
        } else if ((wide) && a.cols <= 32 * LONG_HELD) {                                           \
            LAUNCH((kernel<T, true, LONG_HELD, true>), grid, block, 0, stream, __VA_ARGS__);       \
        } else if (wide) {                                                                         \
            LAUNCH((kernel<T, true, LONG_HELD, false>), grid, block, 0, stream, __VA_ARGS__);      \
        } else {                                                                                   \
            LAUNCH((kernel<T, false, SHORT_HELD, false>), grid, block, 0, stream, __VA_ARGS__);    \
        }                                                                                          \
        CUDA_REQUIRE(cudaGetLastError());                                                          \
    } while (0)

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const layernorm_rows<T> a = rows_of<T>(plan, call);
    const bool wide = inputs_are_wide<T>(plan, call) && is_wide<T>(call->out);
    LAUNCH_LAYERNORM(layernorm_forward, wide, a, call->shard_begin);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const layernorm_rows<T> a = rows_of<T>(plan, call);
    const bool two = plan->description.input_count == 2;
    const layernorm_gradients<T> d = {view_of<T>(call->d_out), view_of<T>(call->d_in[0]),
                                      two ? view_of<T>(call->d_in[1]) : view<T>()};
    if (d.d_x.data == nullptr && d.d_y.data == nullptr) {
        return;
    }
    const bool wide = inputs_are_wide<T>(plan, call) && is_wide<T>(call->d_out) &&
                      is_wide<T>(call->d_in[0]) && (!two || is_wide<T>(call->d_in[1]));
    LAUNCH_LAYERNORM(layernorm_backward, wide, a, d, call->shard_begin);
}

template <class T> void backward_weights(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    const layernorm_sums_op<T> op = {rows_of<T>(plan, call), view_of<T>(call->d_out)};
    launch_column_sums<2>(plan->context, op, sums_into<2>(call->d_weight, shape->cols),
                          call->workspace, call->shard_begin, call->shard_end, 1, shape->rows,
                          shape->cols);
}

} // namespace

CUDA_OP_WITH_WEIGHTS(add_layernorm)
