#include "kernels/cuda/kernel.cuh"

namespace {

template <class T> struct tanh_op {
    view<T> in, out;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float x[CHUNK<T>];
        load<T, WIDE>(in.at(shard, row) + col, left, x);
        for (int k = 0; k < CHUNK<T>; k++) {
            x[k] = tanhf(x[k]);
        }
        store<T, WIDE>(out.at(shard, row) + col, left, x);
    }
};

template <class T> struct tanh_backward_op {
    view<T> out, d_out, d_in;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float y[CHUNK<T>], dy[CHUNK<T>];
        load<T, WIDE>(out.at(shard, row) + col, left, y);
        load<T, WIDE>(d_out.at(shard, row) + col, left, dy);
        for (int k = 0; k < CHUNK<T>; k++) {
            dy[k] *= 1.0f - y[k] * y[k];
        }
        store<T, WIDE>(d_in.at(shard, row) + col, left, dy);
    }
};

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1 && all_rows_alike(description));
    return plain_plan(description, plan_out, needs_out);
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    const tanh_op<T> op = {view_of<T>(call->in[0]), view_of<T>(call->out)};
    launch_rows<T>(plan, call, op, is_wide<T>(call->in[0]) && is_wide<T>(call->out), shape->rows,
                   shape->cols);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    if (call->d_in[0].data == nullptr) {
        return;
    }
    const tanh_backward_op<T> op = {view_of<T>(call->out), view_of<T>(call->d_out),
                                    view_of<T>(call->d_in[0])};
    const bool wide = is_wide<T>(call->out) && is_wide<T>(call->d_out) && is_wide<T>(call->d_in[0]);
    launch_rows<T>(plan, call, op, wide, shape->rows, shape->cols);
}

} // namespace

CUDA_OP(tanh)
