#include "kernels/cuda/copy_rows.cuh"

namespace {

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    int64_t cols = 0;
    for (int i = 0; i < description->input_count; i++) {
        REQUIRE(description->in[i].rows == description->out.rows);
        cols += description->in[i].cols;
    }
    REQUIRE(cols == description->out.cols);
    return plain_plan(description, plan_out, needs_out);
}

template <class T> matrix_t columns_from(matrix_t matrix, int64_t first) {
    matrix.data = static_cast<T *>(matrix.data) + first;
    return matrix;
}

/* A part that already is the column block it would be copied to or from is left alone. */
template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t first = 0;
    for (int i = 0; i < d->input_count; i++) {
        const matrix_t to = columns_from<T>(call->out, first);
        launch_copy_rows<T>(plan, call, call->in[i], &to, 1, mask_t{}, d->out.rows, d->in[i].cols);
        first += d->in[i].cols;
    }
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t first = 0;
    for (int i = 0; i < d->input_count; i++) {
        launch_copy_rows<T>(plan, call, columns_from<T>(call->d_out, first), &call->d_in[i], 1,
                            mask_t{}, d->out.rows, d->in[i].cols);
        first += d->in[i].cols;
    }
}

} // namespace

CUDA_OP(concat)
