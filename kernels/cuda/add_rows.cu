/* One table of `period` rows, learned, added to every run of `period` rows. */
#include "kernels/cuda/add_table.cuh"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/copy_rows.cuh"

namespace {

/* A set: the rows that one row of the table is added to. */
template <class T> struct add_rows_sums_op {
    view<T> d_out;
    int64_t period;

    __device__ __forceinline__ void terms(int shard, int64_t set, int64_t i, int64_t col,
                                          float *term) const {
        term[0] = widen(d_out.at(shard, i * period + set)[col]);
    }
};

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const op_shape_t *out = &description->out;
    const int64_t period = description->attributes.period;
    REQUIRE(description->input_count == 1 && all_rows_alike(description));
    REQUIRE(period > 0 && out->rows % period == 0);
    TRY(plain_plan(description, plan_out, needs_out));
    needs_out->workspace_count =
        floats_of(column_parts_bytes(1, period, out->rows / period, out->cols, 1));
    return STATUS_OK;
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    launch_add_table<T>(plan, call, static_cast<const float *>(call->weight[0]));
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    launch_copy_rows<T>(plan, call, call->d_out, call->d_in, 1, mask_t{}, shape->rows, shape->cols);
}

template <class T> void backward_weights(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const int64_t period = d->attributes.period;
    const add_rows_sums_op<T> op = {view_of<T>(call->d_out), period};
    launch_column_sums<1>(plan->context, op, sums_into<1>(call->d_weight, d->out.cols),
                          call->workspace, call->shard_begin, call->shard_end, period,
                          d->out.rows / period, d->out.cols);
}

} // namespace

CUDA_OP_WITH_WEIGHTS(add_rows)
