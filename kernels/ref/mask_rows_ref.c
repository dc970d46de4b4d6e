#include "kernels/ref/real.h"

status_t REAL(mask_rows_plan)(const op_description_t *description, op_plan_t **plan_out,
                              op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

static void copy_valid_rows(const op_plan_t *plan, const op_call_t *call, matrix_t to,
                            matrix_t from) {
    const op_shape_t *shape = &plan->description.out;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            if (mask_valid(call->mask, s, r)) {
                copy_row(row_of(to, s, r), row_of(from, s, r), shape->cols);
            } else {
                memset(row_of(to, s, r), 0, (size_t)shape->cols * sizeof(real_t));
            }
        }
    }
}

void REAL(mask_rows_forward)(const op_plan_t *plan, const op_call_t *call) {
    copy_valid_rows(plan, call, call->out, call->in[0]);
}

void REAL(mask_rows_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    if (call->d_in[0].data != NULL) {
        copy_valid_rows(plan, call, call->d_in[0], call->d_out);
    }
}
