#include "kernels/cuda/copy_rows.cuh"

namespace {

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1 && all_rows_alike(description));
    return plain_plan(description, plan_out, needs_out);
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    launch_copy_rows<T>(plan, call, call->in[0], &call->out, 1, call->mask, shape->rows,
                        shape->cols);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    launch_copy_rows<T>(plan, call, call->d_out, call->d_in, 1, call->mask, shape->rows,
                        shape->cols);
}

} // namespace

CUDA_OP(mask_rows)
