/* Convolutions by cuDNN, shard by shard at the shard's shape, so that no shard's bits depend on how
 * many there are. cuDNN reads packed rows at 16 bytes' multiples and filters [out, taps, in]; what
 * lies otherwise is copied first. A bias and ReLU follow in a launch of their own: bf16 is rounded
 * before it, and after it. The gradient of a filter is of the activations' type, and widened. */
#include "kernels/cuda/column_sums.cuh"

namespace {

struct conv_plan {
    op_plan_t base; /* first */
    dtype_t dtype;
    int64_t in_group, taps, weights; /* columns of a group; elements of the filter */
    convolution_t *forward, *data, *filter;
    bool packs_in, packs_out, packs_dz, packs_d_in; /* copied to or from a packed place */
    int64_t leaf; /* floats from one shard's gradient to the next */
    /* Of the workspace, bytes. */
    int64_t leaves_at, sums_at, filter_at, x_at, y_at, d_filter_at, library_at;
};

conv_plan *conv_of(op_plan_t *plan) { return reinterpret_cast<conv_plan *>(plan); }
const conv_plan *conv_of(const op_plan_t *plan) {
    return reinterpret_cast<const conv_plan *>(plan);
}

bool has_relu(const op_description_t *d) { return d->attributes.activation == ACTIVATION_RELU; }

/* --- planning -------------------------------------------------------------------------------- */

bool is_packed(const op_shape_t *shape, int64_t element) {
    return shape->row_stride == shape->cols && shape->rows * shape->cols * element % 16 == 0;
}

bool window_fits(const op_description_t *d) {
    const op_axis_t *axis = d->attributes.axis;
    int64_t in = 1, out = 1;
    bool fits = true;
    for (int a = 0; a < OP_AXES; a++) {
        in *= axis[a].in;
        out *= axis[a].out;
        fits = fits && axis[a].in > 0 && axis[a].out > 0 && axis[a].size > 0 &&
               axis[a].stride > 0 && axis[a].dilation > 0 && axis[a].before >= 0;
    }
    return fits && d->in[0].rows % in == 0 && d->in[0].rows / in * out == d->out.rows;
}

status_t open_convolutions(conv_plan *plan) {
    const op_description_t *d = &plan->base.description;
    const op_axis_t *axis = d->attributes.axis;
    convolution_shape_t shape = {};
    shape.samples = d->in[0].rows / (axis[0].in * axis[1].in * axis[2].in);
    shape.in = d->in[0].cols;
    shape.out = d->out.cols;
    shape.groups = d->attributes.groups;
    memcpy(shape.axis, axis, sizeof shape.axis);
    shape.dtype = plan->dtype;
    shape.what = CONVOLVE;
    TRY(convolution_open(plan->base.context, &shape, &plan->forward));
    if (d->d_out.rows == 0) {
        return STATUS_OK;
    }
    shape.what = CONVOLVE_FILTER;
    TRY(convolution_open(plan->base.context, &shape, &plan->filter));
    if (d->d_in[0].rows == 0) {
        return STATUS_OK;
    }
    shape.what = CONVOLVE_DATA;
    return convolution_open(plan->base.context, &shape, &plan->data);
}

void place_regions(conv_plan *plan, op_needs_t *needs) {
    const op_description_t *d = &plan->base.description;
    const int64_t element = static_cast<int64_t>(dtype_bytes(plan->dtype));
    const int64_t shards = plan_shards(d), filter = plan->weights * element;
    const int64_t x = d->in[0].rows * d->in[0].cols * element;
    const int64_t y = d->out.rows * d->out.cols * element;
    const bool backward = d->d_out.rows > 0;
    plan->packs_in = !is_packed(&d->in[0], element);
    plan->packs_out = !is_packed(&d->out, element);
    plan->packs_dz = backward && (has_relu(d) || !is_packed(&d->d_out, element));
    plan->packs_d_in = d->d_in[0].rows > 0 && !is_packed(&d->d_in[0], element);
    plan->leaf = align_up(plan->weights + d->out.cols, 16);
    int64_t bytes = 0, library = convolution_workspace_bytes(plan->forward);
    library = max_i64(library, convolution_workspace_bytes(plan->data));
    library = max_i64(library, convolution_workspace_bytes(plan->filter));
    plan->leaves_at = region_add(&bytes, backward && shards > 1 ? shards * plan->leaf * 4 : 0);
    plan->sums_at = region_add(
        &bytes, backward ? column_parts_bytes(shards, 1, d->out.rows, d->out.cols, 1) : 0);
    plan->filter_at = region_add(&bytes, filter);
    plan->d_filter_at = region_add(&bytes, backward ? filter : 0);
    plan->x_at = region_add(&bytes, plan->packs_in || plan->packs_d_in ? x : 0);
    plan->y_at = region_add(&bytes, plan->packs_out || plan->packs_dz ? y : 0);
    plan->library_at = region_add(&bytes, library);
    *needs = op_needs_t{};
    needs->workspace_count = floats_of(bytes);
    needs->kept_count = d->weights_stay ? floats_of(filter) : 0;
}

} // namespace

extern "C" void conv_plan_close_cuda(op_plan_t *plan) {
    if (plan != nullptr) {
        convolution_close(conv_of(plan)->forward);
        convolution_close(conv_of(plan)->data);
        convolution_close(conv_of(plan)->filter);
        free(plan);
    }
}

namespace {

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const int64_t groups = description->attributes.groups;
    REQUIRE(description->input_count == 1 && groups > 0 && window_fits(description));
    REQUIRE(description->in[0].cols % groups == 0 && description->out.cols % groups == 0);
    conv_plan *plan = static_cast<conv_plan *>(cuda_plan_open(description, sizeof(conv_plan)));
    plan->dtype = sizeof(T) == 2 ? DTYPE_BF16 : DTYPE_F32;
    plan->in_group = description->in[0].cols / groups;
    plan->taps = window_taps(description->attributes.axis);
    plan->weights = description->out.cols * plan->in_group * plan->taps;
    const status_t status = open_convolutions(plan);
    if (status != STATUS_OK) {
        conv_plan_close_cuda(&plan->base);
        return status;
    }
    place_regions(plan, needs_out);
    *plan_out = &plan->base;
    return STATUS_OK;
}

/* --- filters --------------------------------------------------------------------------------- */

/* to [out, taps, in] = from [out, in, taps] */
template <class T>
__global__ void __launch_bounds__(BLOCK_THREADS)
    pack_filter(T *to, const float *from, int64_t in, int64_t taps, int64_t count) {
    const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at < count) {
        const int64_t o = at / (taps * in), tap = at / in % taps, i = at % in;
        narrow(to + at, from[(o * in + i) * taps + tap]);
    }
}

/* The other way, to what is there or in its place. */
template <class T>
__global__ void __launch_bounds__(BLOCK_THREADS)
    unpack_filter(float *to, const T *from, int64_t in, int64_t taps, int64_t count, bool add) {
    const int64_t at = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (at < count) {
        const int64_t o = at / (taps * in), i = at / taps % in, tap = at % taps;
        const float value = widen(from[(o * taps + tap) * in + i]);
        to[at] = add ? to[at] + value : value;
    }
}

template <class T> void pack(const op_plan_t *base, const op_call_t *call, void *to) {
    const conv_plan *plan = conv_of(base);
    LAUNCH((pack_filter<T>), static_cast<unsigned>(div_up(plan->weights, BLOCK_THREADS)),
           BLOCK_THREADS, 0, base->context->stream, static_cast<T *>(to),
           static_cast<const float *>(call->weight[0]), plan->in_group, plan->taps, plan->weights);
    CUDA_REQUIRE(cudaGetLastError());
}

template <class T> void *filter_of(const op_plan_t *plan, const op_call_t *call) {
    if (plan->description.weights_stay) {
        return call->kept;
    }
    void *filter = region_at(call, conv_of(plan)->filter_at);
    pack<T>(plan, call, filter);
    return filter;
}

/* --- rows ------------------------------------------------------------------------------------ */

/* to = act(from + bias), or where `sign` is above 0 from, else 0; packed places are one shard's. */
template <class T> struct move_rows_op {
    view<T> from, to, sign; /* sign: absent, or the result of the ReLU */
    const float *bias;      /* NULL: none */
    bool relu;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float x[CHUNK<T>];
        load<T, WIDE>(from.at(shard, row) + col, left, x);
        if (bias != nullptr) {
            for (int k = 0; k < CHUNK<T>; k++) {
                x[k] += k < left ? bias[col + k] : 0.0f;
            }
        }
        if (sign.data != nullptr) {
            float y[CHUNK<T>];
            load<T, WIDE>(sign.at(shard, row) + col, left, y);
            for (int k = 0; k < CHUNK<T>; k++) {
                x[k] = y[k] > 0.0f ? x[k] : 0.0f;
            }
        }
        for (int k = 0; k < CHUNK<T>; k++) {
            x[k] = relu && x[k] <= 0.0f ? 0.0f : x[k];
        }
        store<T, WIDE>(to.at(shard, row) + col, left, x);
    }
};

/* One shard as if it were the first and only one. */
template <class T> matrix_t shard_alone(matrix_t matrix, int shard) {
    if (matrix.data != nullptr) {
        matrix.data = static_cast<T *>(matrix.data) + shard * matrix.shard_stride;
    }
    matrix.shard_stride = 0;
    return matrix;
}

matrix_t packed_at(const op_call_t *call, int64_t at, const op_shape_t *shape) {
    matrix_t matrix = {};
    matrix.data = region_at(call, at);
    matrix.rows = shape->rows;
    matrix.cols = matrix.row_stride = shape->cols;
    return matrix;
}

template <class T>
void move_rows(const op_plan_t *plan, const matrix_t &from, const matrix_t &to,
               const matrix_t &sign, const float *bias, bool relu, const op_shape_t *shape) {
    op_call_t alone = {};
    alone.shard_end = 1;
    const move_rows_op<T> op = {view_of<T>(from), view_of<T>(to), view_of<T>(sign), bias, relu};
    launch_rows<T>(plan, &alone, op, is_wide<T>(from) && is_wide<T>(to) && is_wide<T>(sign),
                   shape->rows, shape->cols);
}

void *aligned(const matrix_t &matrix) {
    REQUIRE(reinterpret_cast<uintptr_t>(matrix.data) % 16 == 0);
    return matrix.data;
}

template <class T> void *input_of(const op_plan_t *plan, const op_call_t *call, int shard) {
    const matrix_t x = shard_alone<T>(call->in[0], shard);
    if (!conv_of(plan)->packs_in) {
        return aligned(x);
    }
    const op_shape_t *shape = &plan->description.in[0];
    const matrix_t to = packed_at(call, conv_of(plan)->x_at, shape);
    move_rows<T>(plan, x, to, matrix_t{}, nullptr, false, shape);
    return to.data;
}

/* The gradient before the activation, packed. */
template <class T>
matrix_t before_activation(const op_plan_t *plan, const op_call_t *call, int shard) {
    const matrix_t dy = shard_alone<T>(call->d_out, shard);
    const op_shape_t *shape = &plan->description.out;
    if (!conv_of(plan)->packs_dz) {
        return dy;
    }
    const matrix_t to = packed_at(call, conv_of(plan)->y_at, shape);
    const bool relu = has_relu(&plan->description);
    move_rows<T>(plan, dy, to, relu ? shard_alone<T>(call->out, shard) : matrix_t{}, nullptr, false,
                 shape);
    return to;
}

/* --- calls ----------------------------------------------------------------------------------- */

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const conv_plan *conv = conv_of(plan);
    void *filter = filter_of<T>(plan, call);
    const float *bias = d->attributes.bias ? static_cast<const float *>(call->weight[1]) : nullptr;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        const matrix_t out = shard_alone<T>(call->out, s);
        const matrix_t y = conv->packs_out ? packed_at(call, conv->y_at, &d->out) : out;
        convolution_run(conv->forward, input_of<T>(plan, call, s), filter, aligned(y),
                        region_at(call, conv->library_at));
        if (conv->packs_out || bias != nullptr || has_relu(d)) {
            move_rows<T>(plan, y, out, matrix_t{}, bias, has_relu(d), &d->out);
        }
    }
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const conv_plan *conv = conv_of(plan);
    if (call->d_in[0].data == nullptr) {
        return;
    }
    void *filter = filter_of<T>(plan, call);
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        const matrix_t d_in = shard_alone<T>(call->d_in[0], s);
        const matrix_t dx = conv->packs_d_in ? packed_at(call, conv->x_at, &d->in[0]) : d_in;
        const matrix_t dz = before_activation<T>(plan, call, s);
        convolution_run(conv->data, aligned(dx), filter, aligned(dz),
                        region_at(call, conv->library_at));
        if (conv->packs_d_in) {
            move_rows<T>(plan, dx, d_in, matrix_t{}, nullptr, false, &d->in[0]);
        }
    }
}

template <class T> struct bias_sums_op {
    view<T> dz; /* of one shard */

    __device__ __forceinline__ void terms(int, int64_t, int64_t row, int64_t col,
                                          float *term) const {
        term[0] = widen(dz.at(0, row)[col]);
    }
};

template <class T>
void shard_gradient(const op_plan_t *plan, const op_call_t *call, int shard, float *weight,
                    float *bias, bool add) {
    const op_description_t *d = &plan->description;
    const conv_plan *conv = conv_of(plan);
    const matrix_t dz = before_activation<T>(plan, call, shard);
    T *d_filter = static_cast<T *>(region_at(call, conv->d_filter_at));
    convolution_run(conv->filter, input_of<T>(plan, call, shard), d_filter, aligned(dz),
                    region_at(call, conv->library_at));
    LAUNCH((unpack_filter<T>), static_cast<unsigned>(div_up(conv->weights, BLOCK_THREADS)),
           BLOCK_THREADS, 0, plan->context->stream, weight, static_cast<const T *>(d_filter),
           conv->in_group, conv->taps, conv->weights, add);
    CUDA_REQUIRE(cudaGetLastError());
    if (d->attributes.bias) {
        const bias_sums_op<T> op = {view_of<T>(dz)};
        column_sums_out<1> out = {};
        out.to[0] = bias;
        out.add = add;
        launch_column_sums<1>(plan->context, op, out, region_at(call, conv->sums_at), 0, 1, 1,
                              d->out.rows, d->out.cols);
    }
}

template <class T> void backward_weights(const op_plan_t *plan, const op_call_t *call) {
    shard_gradient<T>(plan, call, call->shard_begin, static_cast<float *>(call->d_weight[0]),
                      static_cast<float *>(call->d_weight[1]), false);
}

/* A leaf is the uses of a shard, one added to the other. */
template <class T>
void backward_tree(const op_use_t *uses, int use_count, int shard_begin, int shard_end,
                   void *const *d_weight) {
    const op_plan_t *base = uses[0].plan;
    const conv_plan *plan = conv_of(base);
    const bool biased = base->description.attributes.bias;
    const int shards = shard_end - shard_begin;
    float *weight = static_cast<float *>(d_weight[0]), *bias = static_cast<float *>(d_weight[1]);
    float *leaves = static_cast<float *>(region_at(uses[0].call, plan->leaves_at));
    for (int use = 0; use < use_count; use++) {
        REQUIRE(uses[use].plan->description.attributes.groups ==
                base->description.attributes.groups);
    }
    for (int use = 0; use < use_count; use++) {
        for (int s = 0; s < shards; s++) {
            float *leaf = leaves + s * plan->leaf;
            shard_gradient<T>(uses[use].plan, uses[use].call, shard_begin + s,
                              shards > 1 ? leaf : weight, shards > 1 ? leaf + plan->weights : bias,
                              use > 0);
        }
    }
    if (shards > 1) {
        cuda_tree_sum(base->context, weight, leaves, plan->leaf, shards, plan->weights);
        cuda_tree_sum(base->context, bias, leaves + plan->weights, plan->leaf, shards,
                      biased ? base->description.out.cols : 0);
    }
}

} // namespace

CUDA_OP_WITH_WEIGHTS(conv)

extern "C" void conv_prepare_cuda_f32(const op_plan_t *plan, const op_call_t *call) {
    pack<float>(plan, call, call->kept);
}

extern "C" void conv_prepare_cuda_bf16(const op_plan_t *plan, const op_call_t *call) {
    pack<bf16>(plan, call, call->kept);
}

extern "C" void conv_backward_tree_cuda_f32(const op_use_t *uses, int use_count, int shard_begin,
                                            int shard_end, void *const d_weight[OP_WEIGHTS_MAX],
                                            void *scratch) {
    (void)scratch;
    backward_tree<float>(uses, use_count, shard_begin, shard_end, d_weight);
}

extern "C" void conv_backward_tree_cuda_bf16(const op_use_t *uses, int use_count, int shard_begin,
                                             int shard_end, void *const d_weight[OP_WEIGHTS_MAX],
                                             void *scratch) {
    (void)scratch;
    backward_tree<bf16>(uses, use_count, shard_begin, shard_end, d_weight);
}
