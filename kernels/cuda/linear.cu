/* linear: y = act(x W' + b), or x W, the gradient of x, and those of W and b for a run of shards in the
 * order of the canonical tree, all by cuBLASLt: one product over all rows of a call, one batch of
 * products over its shards. bf16 multiplies weights and adds biases that are rounded to it. */
#include "kernels/cuda/column_sums.cuh"

namespace {

struct linear_plan {
    op_plan_t base; /* first */
    dtype_t dtype;
    product_t *forward, *data, *weights;
    int64_t leaf; /* floats from one shard's gradient to the next */
    int64_t leaves_at, sums_at, weight_at, bias_at, dz_at; /* of the workspace, bytes */
    int64_t kept_bias_at;                                  /* of kept */
};

linear_plan *linear_of(op_plan_t *plan) { return reinterpret_cast<linear_plan *>(plan); }
const linear_plan *linear_of(const op_plan_t *plan) {
    return reinterpret_cast<const linear_plan *>(plan);
}

bool has_relu(const op_plan_t *plan) {
    return plan->description.attributes.activation == ACTIVATION_RELU;
}

bool is_transposed(const op_plan_t *plan) { return plan->description.attributes.transposed; }

int64_t bias_count(const op_description_t *d) {
    return d->attributes.transposed ? d->in[0].cols : d->out.cols;
}

/* --- planning -------------------------------------------------------------------------------- */

status_t open_products(linear_plan *plan) {
    const op_description_t *d = &plan->base.description;
    const int64_t rows = d->out.rows, in = d->in[0].cols, out = d->out.cols;
    const int64_t dz_row = has_relu(&plan->base) ? out : d->d_out.row_stride;
    const bool transposed = is_transposed(&plan->base);
    product_shape_t y = {};
    y.most = plan_shards(d);
    y.m = rows;
    y.n = out;
    y.k = in;
    y.a_row = d->in[0].row_stride;
    y.b_transposed = !transposed;
    y.b_row = transposed ? out : in;
    y.c_row = d->out.row_stride;
    y.in = y.out = plan->dtype;
    y.bias = !transposed;
    y.relu = has_relu(&plan->base);
    TRY(product_open(plan->base.context, &y, &plan->forward));
    if (d->d_out.rows == 0) {
        return STATUS_OK;
    }
    product_shape_t w = {};
    w.most = plan_shards(d);
    w.m = transposed ? in : out;
    w.n = transposed ? out : in;
    w.k = rows;
    w.a_transposed = true;
    w.a_row = transposed ? d->in[0].row_stride : dz_row;
    w.b_row = transposed ? dz_row : d->in[0].row_stride;
    w.c_row = w.n;
    w.in = plan->dtype;
    w.out = DTYPE_F32;
    TRY(product_open(plan->base.context, &w, &plan->weights));
    if (d->d_in[0].rows == 0) {
        return STATUS_OK;
    }
    product_shape_t x = {};
    x.most = plan_shards(d);
    x.m = rows;
    x.n = in;
    x.k = out;
    x.a_row = dz_row;
    x.b_transposed = transposed;
    x.b_row = transposed ? out : in;
    x.c_row = d->d_in[0].row_stride;
    x.in = x.out = plan->dtype;
    return product_open(plan->base.context, &x, &plan->data);
}

void place_regions(linear_plan *plan, op_needs_t *needs) {
    const op_description_t *d = &plan->base.description;
    const int64_t rows = d->out.rows, in = d->in[0].cols, out = d->out.cols;
    const int64_t shards = plan_shards(d), element = static_cast<int64_t>(dtype_bytes(plan->dtype));
    int64_t bytes = 0, kept = 0;
    plan->leaf = align_up(out * in + bias_count(d), 16);
    const bool backward = d->d_out.rows > 0, rounds = plan->dtype == DTYPE_BF16;
    plan->leaves_at = region_add(&bytes, backward && shards > 1 ? shards * plan->leaf * 4 : 0);
    plan->sums_at = region_add(&bytes, backward ? column_parts_bytes(shards, 1, rows, out, 1) : 0);
    plan->weight_at = region_add(&bytes, rounds ? out * in * element : 0);
    plan->bias_at = region_add(&bytes, rounds ? out * element : 0);
    plan->dz_at =
        region_add(&bytes, backward && has_relu(&plan->base) ? shards * rows * out * element : 0);
    if (rounds && d->weights_stay) {
        (void)region_add(&kept, out * in * element);
        plan->kept_bias_at = region_add(&kept, out * element);
    }
    *needs = op_needs_t{};
    needs->workspace_count = floats_of(bytes);
    needs->kept_count = floats_of(kept);
}

template <class T> constexpr dtype_t dtype_of() { return sizeof(T) == 2 ? DTYPE_BF16 : DTYPE_F32; }

} // namespace

extern "C" void linear_plan_close_cuda(op_plan_t *plan) {
    if (plan != nullptr) {
        product_close(linear_of(plan)->forward);
        product_close(linear_of(plan)->data);
        product_close(linear_of(plan)->weights);
        free(plan);
    }
}

namespace {

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const op_shape_t *in = &description->in[0], *out = &description->out;
    REQUIRE(description->input_count == 1 && in->rows == out->rows);
    REQUIRE(!description->attributes.transposed ||
            description->attributes.activation == ACTIVATION_NONE);
    linear_plan *plan =
        static_cast<linear_plan *>(cuda_plan_open(description, sizeof(linear_plan)));
    plan->dtype = dtype_of<T>();
    const status_t status = open_products(plan);
    if (status != STATUS_OK) {
        linear_plan_close_cuda(&plan->base);
        return status;
    }
    place_regions(plan, needs_out);
    *plan_out = &plan->base;
    return STATUS_OK;
}

/* --- forward --------------------------------------------------------------------------------- */

/* Weight and bias as the products read them. */
struct factors {
    const void *weight, *bias;
};

void round_to(const op_plan_t *plan, const op_call_t *call, void *weight, void *bias) {
    const op_description_t *d = &plan->description;
    if (weight != nullptr) {
        cuda_round_bf16(plan->context, weight, static_cast<const float *>(call->weight[0]),
                        d->out.cols * d->in[0].cols);
    }
    if (bias != nullptr && !is_transposed(plan)) {
        cuda_round_bf16(plan->context, bias, static_cast<const float *>(call->weight[1]),
                        d->out.cols);
    }
}

factors factors_of(const op_plan_t *base, const op_call_t *call, bool with_bias) {
    const linear_plan *plan = linear_of(base);
    if (plan->dtype == DTYPE_F32) {
        return factors{call->weight[0], call->weight[1]};
    }
    if (base->description.weights_stay) {
        return factors{call->kept, static_cast<char *>(call->kept) + plan->kept_bias_at};
    }
    void *weight = region_at(call, plan->weight_at);
    void *bias = with_bias ? region_at(call, plan->bias_at) : nullptr;
    round_to(base, call, weight, bias);
    return factors{weight, bias};
}

void prepare(const op_plan_t *base, const op_call_t *call) {
    const linear_plan *plan = linear_of(base);
    if (plan->dtype == DTYPE_BF16) {
        round_to(base, call, call->kept, static_cast<char *>(call->kept) + plan->kept_bias_at);
    }
}

template <class T> T *shard_of(const matrix_t &m, int shard) {
    return static_cast<T *>(m.data) + shard * m.shard_stride;
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const factors f = factors_of(plan, call, true);
    product_call_t y = {};
    y.a = shard_of<T>(call->in[0], call->shard_begin);
    y.a_next = call->in[0].shard_stride;
    y.b = f.weight;
    y.bias = f.bias;
    y.c = shard_of<T>(call->out, call->shard_begin);
    y.c_next = call->out.shard_stride;
    y.batch = call->shard_end - call->shard_begin;
    product_run(linear_of(plan)->forward, &y);
}

/* --- backward -------------------------------------------------------------------------------- */

/* to = d_out where out is above 0, else 0. */
template <class T> struct before_relu_op {
    view<T> out, d_out, to;
    int first; /* the shard that `to` begins with */

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float y[CHUNK<T>], dy[CHUNK<T>];
        load<T, WIDE>(out.at(shard, row) + col, left, y);
        load<T, WIDE>(d_out.at(shard, row) + col, left, dy);
#pragma unroll
        for (int k = 0; k < CHUNK<T>; k++) {
            dy[k] = y[k] > 0.0f ? dy[k] : 0.0f;
        }
        store<T, WIDE>(to.at(shard - first, row) + col, left, dy);
    }
};

/* The gradient before the activation, from the call's first shard on. */
struct gradient {
    void *data;
    int64_t row_stride, shard_stride;
};

template <class T> gradient before_activation(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    if (!has_relu(plan)) {
        return gradient{shard_of<T>(call->d_out, call->shard_begin), call->d_out.row_stride,
                        call->d_out.shard_stride};
    }
    matrix_t dz = {};
    dz.data = region_at(call, linear_of(plan)->dz_at);
    dz.row_stride = d->out.cols;
    dz.shard_stride = d->out.rows * d->out.cols;
    const before_relu_op<T> op = {view_of<T>(call->out), view_of<T>(call->d_out), view_of<T>(dz),
                                  call->shard_begin};
    const bool wide = is_wide<T>(call->out) && is_wide<T>(call->d_out) && is_wide<T>(dz);
    launch_rows<T>(plan, call, op, wide, d->out.rows, d->out.cols);
    return gradient{dz.data, dz.row_stride, dz.shard_stride};
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    if (call->d_in[0].data == nullptr) {
        return;
    }
    const gradient dz = before_activation<T>(plan, call);
    product_call_t x = {};
    x.a = dz.data;
    x.a_next = dz.shard_stride;
    x.b = factors_of(plan, call, false).weight;
    x.c = shard_of<T>(call->d_in[0], call->shard_begin);
    x.c_next = call->d_in[0].shard_stride;
    x.batch = call->shard_end - call->shard_begin;
    product_run(linear_of(plan)->data, &x);
}

template <class T> struct bias_sums_op {
    view<T> dz;
    int first;

    __device__ __forceinline__ void terms(int shard, int64_t, int64_t row, int64_t col,
                                          float *term) const {
        term[0] = widen(dz.at(shard - first, row)[col]);
    }
};

/* The gradients of each shard of the call, `leaf` floats one after the other; transposed: not the
 * bias's. */
template <class T>
void shard_gradients(const op_plan_t *base, const op_call_t *call, float *weight, float *bias,
                     int64_t leaf, bool add) {
    const linear_plan *plan = linear_of(base);
    const op_description_t *d = &base->description;
    const gradient dz = before_activation<T>(base, call);
    const T *in = shard_of<T>(call->in[0], call->shard_begin);
    product_call_t w = {};
    w.a = is_transposed(base) ? in : dz.data;
    w.a_next = is_transposed(base) ? call->in[0].shard_stride : dz.shard_stride;
    w.b = is_transposed(base) ? dz.data : in;
    w.b_next = is_transposed(base) ? dz.shard_stride : call->in[0].shard_stride;
    w.c = weight;
    w.c_next = leaf;
    w.batch = call->shard_end - call->shard_begin;
    w.add = add;
    product_run(plan->weights, &w);
    if (is_transposed(base)) {
        return;
    }
    bias_sums_op<T> op = {};
    op.dz = view<T>{static_cast<T *>(dz.data), dz.row_stride, dz.shard_stride};
    op.first = call->shard_begin;
    column_sums_out<1> out = {};
    out.to[0] = bias;
    out.shard_stride = leaf;
    out.add = add;
    launch_column_sums<1>(base->context, op, out, region_at(call, plan->sums_at), call->shard_begin,
                          call->shard_end, 1, d->out.rows, d->out.cols);
}

/* Nobody reads the bias. */
void clear_bias(const op_plan_t *plan, void *bias) {
    const size_t bytes = static_cast<size_t>(bias_count(&plan->description)) * sizeof(float);
    CUDA_REQUIRE(cudaMemsetAsync(bias, 0, bytes, plan->context->stream));
}

template <class T> void backward_weights(const op_plan_t *plan, const op_call_t *call) {
    shard_gradients<T>(plan, call, static_cast<float *>(call->d_weight[0]),
                       static_cast<float *>(call->d_weight[1]), 0, false);
    if (is_transposed(plan)) {
        clear_bias(plan, call->d_weight[1]);
    }
}

/* A leaf is the uses of a shard, one added to the other. */
template <class T>
void backward_tree(const op_use_t *uses, int use_count, int shard_begin, int shard_end,
                   void *const *d_weight) {
    const linear_plan *plan = linear_of(uses[0].plan);
    const op_description_t *d = &plan->base.description;
    const int64_t weights = d->out.cols * d->in[0].cols;
    const int shards = shard_end - shard_begin;
    float *weight = static_cast<float *>(d_weight[0]), *bias = static_cast<float *>(d_weight[1]);
    float *leaves = static_cast<float *>(region_at(uses[0].call, plan->leaves_at));
    for (int use = 0; use < use_count; use++) {
        op_call_t call = *uses[use].call;
        call.shard_begin = shard_begin;
        call.shard_end = shard_end;
        shard_gradients<T>(uses[use].plan, &call, shards > 1 ? leaves : weight,
                           shards > 1 ? leaves + weights : bias, shards > 1 ? plan->leaf : 0,
                           use > 0);
    }
    if (shards > 1) {
        cuda_tree_sum(plan->base.context, weight, leaves, plan->leaf, shards, weights);
    }
    if (is_transposed(&plan->base)) {
        clear_bias(&plan->base, bias);
    } else if (shards > 1) {
        cuda_tree_sum(plan->base.context, bias, leaves + weights, plan->leaf, shards, d->out.cols);
    }
}

} // namespace

CUDA_OP_WITH_WEIGHTS(linear)

extern "C" void linear_prepare_cuda(const op_plan_t *plan, const op_call_t *call) {
    prepare(plan, call);
}

extern "C" void linear_backward_tree_cuda_f32(const op_use_t *uses, int use_count, int shard_begin,
                                              int shard_end, void *const d_weight[OP_WEIGHTS_MAX],
                                              void *scratch) {
    (void)scratch;
    backward_tree<float>(uses, use_count, shard_begin, shard_end, d_weight);
}

extern "C" void linear_backward_tree_cuda_bf16(const op_use_t *uses, int use_count, int shard_begin,
                                               int shard_end, void *const d_weight[OP_WEIGHTS_MAX],
                                               void *scratch) {
    (void)scratch;
    backward_tree<bf16>(uses, use_count, shard_begin, shard_end, d_weight);
}
