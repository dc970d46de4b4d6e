/* One learned row in the place of every row that is masked out. */
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/copy_rows.cuh"

namespace {

template <class T> struct fill_rows_op {
    view<T> in, out;
    const float *filling;
    mask_t mask;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float x[CHUNK<T>];
        if (valid(mask, shard, row)) {
            load<T, WIDE>(in.at(shard, row) + col, left, x);
        } else {
            load_floats<T, WIDE>(filling + col, left, x);
        }
        store<T, WIDE>(out.at(shard, row) + col, left, x);
    }
};

template <class T> struct fill_rows_sums_op {
    view<T> d_out;
    mask_t mask;

    __device__ __forceinline__ void terms(int shard, int64_t, int64_t row, int64_t col,
                                          float *term) const {
        term[0] = valid(mask, shard, row) ? 0.0f : widen(d_out.at(shard, row)[col]);
    }
};

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const op_shape_t *out = &description->out;
    REQUIRE(description->input_count == 1 && all_rows_alike(description));
    TRY(plain_plan(description, plan_out, needs_out));
    needs_out->workspace_count = floats_of(column_parts_bytes(1, 1, out->rows, out->cols, 1));
    return STATUS_OK;
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    const fill_rows_op<T> op = {view_of<T>(call->in[0]), view_of<T>(call->out),
                                static_cast<const float *>(call->weight[0]), call->mask};
    const bool wide =
        is_wide<T>(call->in[0]) && is_wide<T>(call->out) && is_wide_flat(call->weight[0]);
    launch_rows<T>(plan, call, op, wide, shape->rows, shape->cols);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    launch_copy_rows<T>(plan, call, call->d_out, call->d_in, 1, call->mask, shape->rows,
                        shape->cols);
}

template <class T> void backward_weights(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    const fill_rows_sums_op<T> op = {view_of<T>(call->d_out), call->mask};
    launch_column_sums<1>(plan->context, op, sums_into<1>(call->d_weight, shape->cols),
                          call->workspace, call->shard_begin, call->shard_end, 1, shape->rows,
                          shape->cols);
}

} // namespace

CUDA_OP_WITH_WEIGHTS(fill_rows)
