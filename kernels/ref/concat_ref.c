#include "kernels/ref/real.h"

status_t REAL(concat_plan)(const op_description_t *description, op_plan_t **plan_out,
                           op_needs_t *needs_out) {
    int64_t cols = 0;
    for (int i = 0; i < description->input_count; i++) {
        REQUIRE(description->in[i].rows == description->out.rows);
        cols += description->in[i].cols;
    }
    REQUIRE(cols == description->out.cols);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

/* Nothing to do when the part already is the column block it would be copied to or from. */
static void copy_block(const op_call_t *call, matrix_t to, matrix_t from, int64_t rows,
                       int64_t cols) {
    if (to.data == NULL || (to.data == from.data && to.row_stride == from.row_stride)) {
        return;
    }
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < rows; r++) {
            copy_row(row_of(to, s, r), row_of(from, s, r), cols);
        }
    }
}

static matrix_t columns_from(matrix_t matrix, int64_t first) {
    matrix.data = (real_t *)matrix.data + first;
    return matrix;
}

void REAL(concat_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t first = 0;
    for (int i = 0; i < d->input_count; i++) {
        copy_block(call, columns_from(call->out, first), call->in[i], d->out.rows, d->in[i].cols);
        first += d->in[i].cols;
    }
}

void REAL(concat_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t first = 0;
    for (int i = 0; i < d->input_count; i++) {
        copy_block(call, call->d_in[i], columns_from(call->d_out, first), d->out.rows,
                   d->in[i].cols);
        first += d->in[i].cols;
    }
}
