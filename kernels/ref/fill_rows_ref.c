/* One learned row in the place of every row that is masked out. */
#include "kernels/ref/real.h"

status_t REAL(fill_rows_plan)(const op_description_t *description, op_plan_t **plan_out,
                              op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

void REAL(fill_rows_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            const real_t *row =
                mask_valid(call->mask, s, r) ? row_of(call->in[0], s, r) : call->weight[0];
            copy_row(row_of(call->out, s, r), row, shape->cols);
        }
    }
}

void REAL(fill_rows_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    for (int s = call->shard_begin; s < call->shard_end && call->d_in[0].data != NULL; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            real_t *dx = row_of(call->d_in[0], s, r);
            if (mask_valid(call->mask, s, r)) {
                copy_row(dx, row_of(call->d_out, s, r), shape->cols);
            } else {
                memset(dx, 0, (size_t)shape->cols * sizeof(real_t));
            }
        }
    }
}

void REAL(fill_rows_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    real_t *sum = call->d_weight[0];
    memset(sum, 0, (size_t)shape->cols * sizeof(real_t));
    for (int64_t r = 0; r < shape->rows; r++) {
        const real_t *dy = row_of(call->d_out, call->shard_begin, r);
        for (int64_t c = 0; c < shape->cols && !mask_valid(call->mask, call->shard_begin, r); c++) {
            sum[c] += dy[c];
        }
    }
}
