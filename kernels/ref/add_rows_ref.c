/* One table of `period` rows, learned, added to every run of `period` rows. */
#include "kernels/ref/real.h"

status_t REAL(add_rows_plan)(const op_description_t *description, op_plan_t **plan_out,
                             op_needs_t *needs_out) {
    int64_t period = description->attributes.period;
    REQUIRE(description->input_count == 1 && period > 0);
    REQUIRE(description->out.rows % period == 0);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

void REAL(add_rows_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t cols = d->out.cols;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            const real_t *x = row_of(call->in[0], s, r);
            const real_t *added = (const real_t *)call->weight[0] + r % d->attributes.period * cols;
            real_t *y = row_of(call->out, s, r);
            for (int64_t c = 0; c < cols; c++) {
                y[c] = x[c] + added[c];
            }
        }
    }
}

void REAL(add_rows_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    for (int s = call->shard_begin; s < call->shard_end && call->d_in[0].data != NULL; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            copy_row(row_of(call->d_in[0], s, r), row_of(call->d_out, s, r), shape->cols);
        }
    }
}

void REAL(add_rows_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    int64_t cols = d->out.cols, period = d->attributes.period;
    real_t *sum = call->d_weight[0];
    memset(sum, 0, (size_t)(period * cols) * sizeof(real_t));
    for (int64_t r = 0; r < d->out.rows; r++) {
        const real_t *dy = row_of(call->d_out, call->shard_begin, r);
        for (int64_t c = 0; c < cols; c++) {
            sum[r % period * cols + c] += dy[c];
        }
    }
}
