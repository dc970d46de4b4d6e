/* One table of `period` rows, learned, added to every run of `period` rows. */
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/copy_rows.cuh"

namespace {

template <class T> struct add_rows_op {
    view<T> in, out;
    const float *table;
    int64_t period, cols;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float x[CHUNK<T>], added[CHUNK<T>];
        load<T, WIDE>(in.at(shard, row) + col, left, x);
        load_floats<T, WIDE>(table + row % period * cols + col, left, added);
        for (int k = 0; k < CHUNK<T>; k++) {
            x[k] += added[k];
        }
        store<T, WIDE>(out.at(shard, row) + col, left, x);
    }
};

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
    const op_description_t *d = &plan->description;
    const add_rows_op<T> op = {view_of<T>(call->in[0]), view_of<T>(call->out),
                               static_cast<const float *>(call->weight[0]), d->attributes.period,
                               d->out.cols};
    const bool wide = is_wide<T>(call->in[0]) && is_wide<T>(call->out) &&
                      is_wide_flat(call->weight[0]) && d->out.cols % 4 == 0;
    launch_rows<T>(plan, call, op, wide, d->out.rows, d->out.cols);
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
