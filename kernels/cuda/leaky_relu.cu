#include "kernels/cuda/kernel.cuh"

namespace {

constexpr float LEAK = 0.01f; /* PyTorch's slope below 0 */

template <class T> struct leaky_relu_op {
    view<T> x, y, out; /* y: absent, or added first */

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float z[CHUNK<T>];
        load<T, WIDE>(x.at(shard, row) + col, left, z);
        if (y.data != nullptr) {
            float more[CHUNK<T>];
            load<T, WIDE>(y.at(shard, row) + col, left, more);
            for (int k = 0; k < CHUNK<T>; k++) {
                z[k] += more[k];
            }
        }
        for (int k = 0; k < CHUNK<T>; k++) {
            z[k] = z[k] > 0.0f ? z[k] : LEAK * z[k];
        }
        store<T, WIDE>(out.at(shard, row) + col, left, z);
    }
};

/* The sign of the result is that of what went in. */
template <class T> struct leaky_relu_backward_op {
    view<T> out, d_out, d_x, d_y;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float z[CHUNK<T>], dz[CHUNK<T>];
        load<T, WIDE>(out.at(shard, row) + col, left, z);
        load<T, WIDE>(d_out.at(shard, row) + col, left, dz);
        for (int k = 0; k < CHUNK<T>; k++) {
            dz[k] = z[k] > 0.0f ? dz[k] : LEAK * dz[k];
        }
        if (d_x.data != nullptr) {
            store<T, WIDE>(d_x.at(shard, row) + col, left, dz);
        }
        if (d_y.data != nullptr) {
            store<T, WIDE>(d_y.at(shard, row) + col, left, dz);
        }
    }
};

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1 || description->input_count == 2);
    REQUIRE(all_rows_alike(description));
    return plain_plan(description, plan_out, needs_out);
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    leaky_relu_op<T> op = {view_of<T>(call->in[0]), view<T>(), view_of<T>(call->out)};
    bool wide = is_wide<T>(call->in[0]) && is_wide<T>(call->out);
    if (d->input_count == 2) {
        op.y = view_of<T>(call->in[1]);
        wide = wide && is_wide<T>(call->in[1]);
    }
    launch_rows<T>(plan, call, op, wide, d->out.rows, d->out.cols);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    leaky_relu_backward_op<T> op = {view_of<T>(call->out), view_of<T>(call->d_out),
                                    view_of<T>(call->d_in[0]), view<T>()};
    bool wide = is_wide<T>(call->out) && is_wide<T>(call->d_out) && is_wide<T>(call->d_in[0]);
    if (d->input_count == 2) {
        op.d_y = view_of<T>(call->d_in[1]);
        wide = wide && is_wide<T>(call->d_in[1]);
    }
    if (op.d_x.data != nullptr || op.d_y.data != nullptr) {
        launch_rows<T>(plan, call, op, wide, d->out.rows, d->out.cols);
    }
}

} // namespace

CUDA_OP(leaky_relu)
