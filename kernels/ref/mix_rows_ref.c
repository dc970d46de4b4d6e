/* Weights over the rows of each group, its steps say: one matrix product a group. */
#include "kernels/ref/real.h"

status_t REAL(mix_rows_plan)(const op_description_t *description, op_plan_t **plan_out,
                             op_needs_t *needs_out) {
    REAL(mix_rows_check)(description);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

void REAL(mix_rows_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t groups = d->attributes.groups, rows = d->out.rows / groups,
            from = d->in[0].rows / groups;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t g = 0; g < groups; g++) {
            REAL(matmul)
            (rows, d->out.cols, from, call->weight[0], from, 1, row_of(call->in[0], s, g * from),
             call->in[0].row_stride, row_of(call->out, s, g * rows), call->out.row_stride);
        }
    }
}

void REAL(mix_rows_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t groups = d->attributes.groups, rows = d->out.rows / groups,
            from = d->in[0].rows / groups;
    if (call->d_in[0].data == NULL) {
        return;
    }
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t g = 0; g < groups; g++) {
            REAL(matmul)
            (from, d->out.cols, rows, call->weight[0], 1, from, row_of(call->d_out, s, g * rows),
             call->d_out.row_stride, row_of(call->d_in[0], s, g * from), call->d_in[0].row_stride);
        }
    }
}

void REAL(mix_rows_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t groups = d->attributes.groups, rows = d->out.rows / groups,
            from = d->in[0].rows / groups;
    int s = call->shard_begin;
    REQUIRE(call->shard_end == s + 1);
    real_t *d_weight = call->d_weight[0];
    memset(d_weight, 0, (size_t)(rows * from) * sizeof(real_t));
    for (int64_t g = 0; g < groups; g++) {
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < from; j++) {
                d_weight[i * from + j] +=
                    (real_t)lanes_dot(row_of(call->d_out, s, g * rows + i),
                                      row_of(call->in[0], s, g * from + j), d->out.cols);
            }
        }
    }
}
