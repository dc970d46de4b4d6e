#include "kernels/cuda/copy_rows.cuh"

namespace {

/* Every thread has read all terms of its chunk before it writes: the result may be one of them. */
template <class T> struct sum_op {
    int count;
    view<T> in[OP_INPUTS_MAX], out;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float total[CHUNK<T>], x[CHUNK<T>];
        load<T, WIDE>(in[0].at(shard, row) + col, left, total);
        for (int i = 1; i < count; i++) {
            load<T, WIDE>(in[i].at(shard, row) + col, left, x);
            for (int k = 0; k < CHUNK<T>; k++) {
                total[k] += x[k];
            }
        }
        store<T, WIDE>(out.at(shard, row) + col, left, total);
    }
};

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    REQUIRE(description->input_count >= 1 && description->input_count <= OP_INPUTS_MAX);
    return plain_plan(description, plan_out, needs_out);
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    sum_op<T> op = {};
    op.count = d->input_count;
    op.out = view_of<T>(call->out);
    bool wide = is_wide<T>(call->out);
    for (int i = 0; i < d->input_count; i++) {
        op.in[i] = view_of<T>(call->in[i]);
        wide = wide && is_wide<T>(call->in[i]);
    }
    launch_rows<T>(plan, call, op, wide, d->out.rows, d->out.cols);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    launch_copy_rows<T>(plan, call, call->d_out, call->d_in, d->input_count, mask_t{}, d->out.rows,
                        d->out.cols);
}

} // namespace

CUDA_OP(sum)
