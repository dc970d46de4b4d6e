/* Convolution over time: what each output row reads is laid side by side [taps, in], and the rest
 * are products by cuBLASLt. bf16 multiplies a normed weight that is rounded to it. */
#include "kernels/cuda/column_sums.cuh"

namespace {

enum { WARPS = 4, THREADS = 32 * WARPS };

struct conv_plan {
    op_plan_t base; /* first */
    dtype_t dtype;
    int64_t width; /* taps * in */
    product_t *forward, *data, *weights;
    /* Of the workspace, bytes: the normed weight [out, taps, in] and the bias, what rows read, its
     * gradient in floats, the normed weight's gradient. */
    int64_t weight_at, bias_at, patches_at, d_patches_at, d_weight_at, sums_at;
};

conv_plan *conv_of(op_plan_t *plan) { return reinterpret_cast<conv_plan *>(plan); }
const conv_plan *conv_of(const op_plan_t *plan) {
    return reinterpret_cast<const conv_plan *>(plan);
}

/* --- planning -------------------------------------------------------------------------------- */

status_t open_products(conv_plan *plan) {
    const op_description_t *d = &plan->base.description;
    product_shape_t y = {};
    y.most = plan_shards(d);
    y.m = d->out.rows;
    y.n = d->out.cols;
    y.k = plan->width;
    y.a_row = plan->width;
    y.b_transposed = true;
    y.b_row = plan->width;
    y.c_row = d->out.row_stride;
    y.in = y.out = plan->dtype;
    y.bias = true;
    TRY(product_open(plan->base.context, &y, &plan->forward));
    if (d->d_out.rows == 0) {
        return STATUS_OK;
    }
    product_shape_t w = {};
    w.most = plan_shards(d);
    w.m = d->out.cols;
    w.n = plan->width;
    w.k = d->out.rows;
    w.a_transposed = true;
    w.a_row = d->d_out.row_stride;
    w.b_row = plan->width;
    w.c_row = plan->width;
    w.in = plan->dtype;
    w.out = DTYPE_F32;
    TRY(product_open(plan->base.context, &w, &plan->weights));
    product_shape_t x = {};
    x.most = plan_shards(d);
    x.m = d->out.rows;
    x.n = plan->width;
    x.k = d->out.cols;
    x.a_row = d->d_out.row_stride;
    x.b_row = plan->width;
    x.c_row = plan->width;
    x.in = plan->dtype;
    x.out = DTYPE_F32;
    return product_open(plan->base.context, &x, &plan->data);
}

void place_regions(conv_plan *plan, op_needs_t *needs) {
    const op_description_t *d = &plan->base.description;
    const int64_t element = static_cast<int64_t>(dtype_bytes(plan->dtype));
    const int64_t weights = d->out.cols * plan->width;
    const int64_t patches = plan_shards(d) * d->out.rows * plan->width;
    const bool backward = d->d_out.rows > 0;
    int64_t bytes = 0;
    plan->weight_at = region_add(&bytes, weights * element);
    plan->bias_at = region_add(&bytes, d->out.cols * element);
    plan->patches_at = region_add(&bytes, patches * element);
    plan->d_patches_at = region_add(&bytes, backward ? patches * 4 : 0);
    plan->d_weight_at = region_add(&bytes, backward ? weights * 4 : 0);
    plan->sums_at =
        region_add(&bytes, backward ? column_parts_bytes(1, 1, d->out.rows, d->out.cols, 1) : 0);
    *needs = op_needs_t{};
    needs->workspace_count = floats_of(bytes);
}

} // namespace

extern "C" void temporal_conv_plan_close_cuda(op_plan_t *plan) {
    if (plan != nullptr) {
        product_close(conv_of(plan)->forward);
        product_close(conv_of(plan)->data);
        product_close(conv_of(plan)->weights);
        free(plan);
    }
}

namespace {

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const op_attributes_t *a = &description->attributes;
    REQUIRE(description->input_count == 1 && description->in[0].rows == description->out.rows);
    REQUIRE(a->period > 0 && description->out.rows % a->period == 0);
    REQUIRE(a->taps > 0 && a->dilation > 0 && a->before >= 0);
    conv_plan *plan = static_cast<conv_plan *>(cuda_plan_open(description, sizeof(conv_plan)));
    plan->dtype = sizeof(T) == 2 ? DTYPE_BF16 : DTYPE_F32;
    plan->width = a->taps * description->in[0].cols;
    const status_t status = open_products(plan);
    if (status != STATUS_OK) {
        temporal_conv_plan_close_cuda(&plan->base);
        return status;
    }
    place_regions(plan, needs_out);
    *plan_out = &plan->base;
    return STATUS_OK;
}

/* --- the normed weight: W[o] = g[o] v[o] / norm of v[o] --- */

/* A block for each output; v is [out, in, taps], to [out, taps, in]. */
template <class T>
__global__ void __launch_bounds__(THREADS)
    norm_weight(T *to, T *bias_to, const float *v, const float *g, const float *bias, int64_t in,
                int64_t taps) {
    __shared__ double scratch[WARPS];
    const int64_t o = blockIdx.x, width = in * taps;
    const float *from = v + o * width;
    double square = 0.0;
    for (int64_t i = threadIdx.x; i < width; i += THREADS) {
        square += static_cast<double>(from[i]) * static_cast<double>(from[i]);
    }
    square = block_all<WARPS>(square, scratch, added());
    const float scale = static_cast<float>(static_cast<double>(g[o]) / sqrt(square));
    for (int64_t i = threadIdx.x; i < width; i += THREADS) {
        narrow(to + o * width + i % taps * in + i / taps, scale * from[i]);
    }
    if (threadIdx.x == 0) {
        narrow(bias_to + o, bias[o]);
    }
}

/* dg = dW.v / |v|; dv = g / |v| (dW - v dW.v / |v|^2). */
__global__ void __launch_bounds__(THREADS)
    norm_gradient(float *d_v, float *d_g, const float *d_w, const float *v, const float *g,
                  int64_t in, int64_t taps) {
    __shared__ double scratch[WARPS];
    const int64_t o = blockIdx.x, width = in * taps;
    const float *from = v + o * width, *dw = d_w + o * width;
    double square = 0.0, along = 0.0;
    for (int64_t i = threadIdx.x; i < width; i += THREADS) {
        const double value = static_cast<double>(from[i]);
        square += value * value;
        along += value * static_cast<double>(dw[i % taps * in + i / taps]);
    }
    square = block_all<WARPS>(square, scratch, added());
    along = block_all<WARPS>(along, scratch, added());
    const float scale = static_cast<float>(static_cast<double>(g[o]) / sqrt(square));
    const float part = static_cast<float>(along / square);
    for (int64_t i = threadIdx.x; i < width; i += THREADS) {
        d_v[o * width + i] = scale * (dw[i % taps * in + i / taps] - part * from[i]);
    }
    if (threadIdx.x == 0) {
        d_g[o] = static_cast<float>(along / sqrt(square));
    }
}

template <class T> void norm(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const conv_plan *conv = conv_of(plan);
    LAUNCH((norm_weight<T>), static_cast<unsigned>(d->out.cols), THREADS, 0, plan->context->stream,
           static_cast<T *>(region_at(call, conv->weight_at)),
           static_cast<T *>(region_at(call, conv->bias_at)),
           static_cast<const float *>(call->weight[0]), static_cast<const float *>(call->weight[1]),
           static_cast<const float *>(call->weight[2]), d->in[0].cols, d->attributes.taps);
    CUDA_REQUIRE(cudaGetLastError());
}

/* --- what rows read -------------------------------------------------------------------------- */

struct window_t {
    int64_t rows, cols, taps, period, dilation, before;
    mask_t mask;
    int first; /* the call's first shard */
};

/* A row here is a row and a tap of it. */
template <class T> struct gather_op {
    view<T> in;
    T *patches;
    window_t w;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row_tap, int64_t col, int64_t left) const {
        const int64_t row = row_tap / w.taps, tap = row_tap % w.taps;
        const int64_t shift = tap * w.dilation - w.before, step = row % w.period + shift;
        float x[CHUNK<T>] = {0};
        if (step >= 0 && step < w.period && valid(w.mask, shard, row + shift)) {
            load<T, WIDE>(in.at(shard, row + shift) + col, left, x);
        }
        T *to = patches + ((shard - w.first) * w.rows * w.taps + row_tap) * w.cols;
        store<T, WIDE>(to + col, left, x);
    }
};

/* Of the rows that read a row, tap by tap. */
template <class T> struct scatter_op {
    view<T> d_in;
    const float *d_patches;
    window_t w;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float sum[CHUNK<T>] = {0}, dx[CHUNK<T>];
        for (int64_t tap = 0; tap < w.taps && valid(w.mask, shard, row); tap++) {
            const int64_t shift = tap * w.dilation - w.before, step = row % w.period - shift;
            if (step >= 0 && step < w.period) {
                const int64_t at =
                    (shard - w.first) * w.rows * w.taps + (row - shift) * w.taps + tap;
                load_floats<T, WIDE>(d_patches + at * w.cols + col, left, dx);
                for (int k = 0; k < CHUNK<T>; k++) {
                    sum[k] += dx[k];
                }
            }
        }
        store<T, WIDE>(d_in.at(shard, row) + col, left, sum);
    }
};

window_t window_of(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    return window_t{d->out.rows,          d->in[0].cols,          d->attributes.taps,
                    d->attributes.period, d->attributes.dilation, d->attributes.before,
                    call->mask,           call->shard_begin};
}

template <class T> void gather(const op_plan_t *plan, const op_call_t *call) {
    const window_t w = window_of(plan, call);
    T *patches = static_cast<T *>(region_at(call, conv_of(plan)->patches_at));
    const gather_op<T> op = {view_of<T>(call->in[0]), patches, w};
    const bool wide = is_wide<T>(call->in[0]) && is_wide_flat(patches) && w.cols % CHUNK<T> == 0;
    launch_rows<T>(plan, call, op, wide, w.rows * w.taps, w.cols);
}

template <class T> T *shard_of(const matrix_t &m, int shard) {
    return static_cast<T *>(m.data) + shard * m.shard_stride;
}

/* --- calls ----------------------------------------------------------------------------------- */

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const conv_plan *conv = conv_of(plan);
    norm<T>(plan, call);
    gather<T>(plan, call);
    product_call_t y = {};
    y.a = region_at(call, conv->patches_at);
    y.a_next = plan->description.out.rows * conv->width;
    y.b = region_at(call, conv->weight_at);
    y.bias = region_at(call, conv->bias_at);
    y.c = shard_of<T>(call->out, call->shard_begin);
    y.c_next = call->out.shard_stride;
    y.batch = call->shard_end - call->shard_begin;
    product_run(conv->forward, &y);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const conv_plan *conv = conv_of(plan);
    if (call->d_in[0].data == nullptr) {
        return;
    }
    norm<T>(plan, call);
    float *d_patches = static_cast<float *>(region_at(call, conv->d_patches_at));
    product_call_t x = {};
    x.a = shard_of<T>(call->d_out, call->shard_begin);
    x.a_next = call->d_out.shard_stride;
    x.b = region_at(call, conv->weight_at);
    x.c = d_patches;
    x.c_next = plan->description.out.rows * conv->width;
    x.batch = call->shard_end - call->shard_begin;
    product_run(conv->data, &x);
    const scatter_op<T> op = {view_of<T>(call->d_in[0]), d_patches, window_of(plan, call)};
    const bool wide = is_wide<T>(call->d_in[0]) && is_wide_flat(d_patches) && op.w.cols % 4 == 0;
    launch_rows<T>(plan, call, op, wide, op.w.rows, op.w.cols);
}

template <class T> struct bias_sums_op {
    view<T> d_out;

    __device__ __forceinline__ void terms(int shard, int64_t, int64_t row, int64_t col,
                                          float *term) const {
        term[0] = widen(d_out.at(shard, row)[col]);
    }
};

template <class T> void backward_weights(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const conv_plan *conv = conv_of(plan);
    float *d_weight = static_cast<float *>(region_at(call, conv->d_weight_at));
    gather<T>(plan, call);
    product_call_t w = {};
    w.a = shard_of<T>(call->d_out, call->shard_begin);
    w.b = region_at(call, conv->patches_at);
    w.c = d_weight;
    w.batch = 1;
    product_run(conv->weights, &w);
    LAUNCH(norm_gradient, static_cast<unsigned>(d->out.cols), THREADS, 0, plan->context->stream,
           static_cast<float *>(call->d_weight[0]), static_cast<float *>(call->d_weight[1]),
           static_cast<const float *>(d_weight), static_cast<const float *>(call->weight[0]),
           static_cast<const float *>(call->weight[1]), d->in[0].cols, d->attributes.taps);
    CUDA_REQUIRE(cudaGetLastError());
    const bias_sums_op<T> op = {view_of<T>(call->d_out)};
    launch_column_sums<1>(plan->context, op, sums_into<1>(call->d_weight + 2, d->out.cols),
                          region_at(call, conv->sums_at), call->shard_begin, call->shard_end, 1,
                          d->out.rows, d->out.cols);
}

} // namespace

CUDA_OP_WITH_WEIGHTS(temporal_conv)
