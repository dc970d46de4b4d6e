/* ReLU with a learned slope below 0 for each column. */
#include "kernels/cuda/column_sums.cuh"

namespace {

template <class T> struct prelu_op {
    view<T> x, from, to; /* from: x, or d_out */
    const float *slope;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float sign[CHUNK<T>], value[CHUNK<T>], w[CHUNK<T>];
        load<T, WIDE>(x.at(shard, row) + col, left, sign);
        load<T, WIDE>(from.at(shard, row) + col, left, value);
        load_floats<T, WIDE>(slope + col, left, w);
        for (int k = 0; k < CHUNK<T>; k++) {
            value[k] = sign[k] > 0.0f ? value[k] : w[k] * value[k];
        }
        store<T, WIDE>(to.at(shard, row) + col, left, value);
    }
};

template <class T> struct prelu_sums_op {
    view<T> x, d_out;

    __device__ __forceinline__ void terms(int shard, int64_t, int64_t row, int64_t col,
                                          float *term) const {
        const float value = widen(x.at(shard, row)[col]);
        term[0] = value > 0.0f ? 0.0f : value * widen(d_out.at(shard, row)[col]);
    }
};

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1 && all_rows_alike(description));
    TRY(plain_plan(description, plan_out, needs_out));
    const op_shape_t *out = &description->out;
    needs_out->workspace_count = floats_of(column_parts_bytes(1, 1, out->rows, out->cols, 1));
    return STATUS_OK;
}

template <class T>
void run(const op_plan_t *plan, const op_call_t *call, matrix_t from, matrix_t to) {
    const op_shape_t *shape = &plan->description.out;
    const prelu_op<T> op = {view_of<T>(call->in[0]), view_of<T>(from), view_of<T>(to),
                            static_cast<const float *>(call->weight[0])};
    const bool wide = is_wide<T>(call->in[0]) && is_wide<T>(from) && is_wide<T>(to) &&
                      is_wide_flat(call->weight[0]);
    launch_rows<T>(plan, call, op, wide, shape->rows, shape->cols);
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    run<T>(plan, call, call->in[0], call->out);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    if (call->d_in[0].data != nullptr) {
        run<T>(plan, call, call->d_out, call->d_in[0]);
    }
}

template <class T> void backward_weights(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    const prelu_sums_op<T> op = {view_of<T>(call->in[0]), view_of<T>(call->d_out)};
    launch_column_sums<1>(plan->context, op, sums_into<1>(call->d_weight, shape->cols),
                          call->workspace, call->shard_begin, call->shard_end, 1, shape->rows,
                          shape->cols);
}

} // namespace

CUDA_OP_WITH_WEIGHTS(prelu)
