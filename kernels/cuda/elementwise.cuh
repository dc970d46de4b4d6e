/* elementwise.cuh - operations whose result is a function of one element, and whose gradient is one
 * of that result: F::value(x), and F::gradient(y, dy). */
#ifndef JMT_KERNELS_CUDA_ELEMENTWISE_CUH
#define JMT_KERNELS_CUDA_ELEMENTWISE_CUH

#include "kernels/cuda/kernel.cuh"

template <class T, class F> struct element_op {
    view<T> in, out;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float x[CHUNK<T>];
        load<T, WIDE>(in.at(shard, row) + col, left, x);
        for (int k = 0; k < CHUNK<T>; k++) {
            x[k] = F::value(x[k]);
        }
        store<T, WIDE>(out.at(shard, row) + col, left, x);
    }
};

template <class T, class F> struct element_backward_op {
    view<T> out, d_out, d_in;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float y[CHUNK<T>], dy[CHUNK<T>];
        load<T, WIDE>(out.at(shard, row) + col, left, y);
        load<T, WIDE>(d_out.at(shard, row) + col, left, dy);
        for (int k = 0; k < CHUNK<T>; k++) {
            dy[k] = F::gradient(y[k], dy[k]);
        }
        store<T, WIDE>(d_in.at(shard, row) + col, left, dy);
    }
};

static inline status_t element_plan(const op_description_t *description, op_plan_t **plan_out,
                                    op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1 && all_rows_alike(description));
    return plain_plan(description, plan_out, needs_out);
}

template <class T, class F>
static void element_forward(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    const element_op<T, F> op = {view_of<T>(call->in[0]), view_of<T>(call->out)};
    launch_rows<T>(plan, call, op, is_wide<T>(call->in[0]) && is_wide<T>(call->out), shape->rows,
                   shape->cols);
}

template <class T, class F>
static void element_backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    if (call->d_in[0].data == nullptr) {
        return;
    }
    const element_backward_op<T, F> op = {view_of<T>(call->out), view_of<T>(call->d_out),
                                          view_of<T>(call->d_in[0])};
    const bool wide = is_wide<T>(call->out) && is_wide<T>(call->d_out) && is_wide<T>(call->d_in[0]);
    launch_rows<T>(plan, call, op, wide, shape->rows, shape->cols);
}

#endif
