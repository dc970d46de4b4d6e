/* The sinusoidal encoding of positions 0..period-1, computed once in double. */
#include "kernels/ref/real.h"

typedef struct waves_plan {
    op_plan_t plan; /* first: freed as one */
    real_t table[]; /* [period, cols] */
} waves_plan_t;

status_t REAL(add_waves_plan)(const op_description_t *description, op_plan_t **plan_out,
                              op_needs_t *needs_out) {
    int64_t period = description->attributes.period, cols = description->out.cols;
    REQUIRE(description->input_count == 1 && period > 0);
    REQUIRE(description->out.rows % period == 0);
    waves_plan_t *waves =
        alloc_zero(1, (int64_t)sizeof *waves + period * cols * (int64_t)sizeof(real_t));
    waves->plan.description = *description;
    for (int64_t t = 0; t < period; t++) {
        for (int64_t c = 0; c < cols; c++) {
            double angle = (double)t * pow(10000.0, -(double)(c / 2 * 2) / (double)cols);
            double wave = c % 2 == 0 ? sin(angle) : cos(angle);
            waves->table[t * cols + c] = (real_t)(wave / sqrt((double)cols));
        }
    }
    *needs_out = (op_needs_t){0};
    *plan_out = &waves->plan;
    return STATUS_OK;
}

void REAL(add_waves_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const real_t *table = ((const waves_plan_t *)(const void *)plan)->table;
    int64_t cols = d->out.cols;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            const real_t *x = row_of(call->in[0], s, r);
            const real_t *added = table + r % d->attributes.period * cols;
            real_t *y = row_of(call->out, s, r);
            for (int64_t c = 0; c < cols; c++) {
                y[c] = x[c] + added[c];
            }
        }
    }
}

void REAL(add_waves_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    for (int s = call->shard_begin; s < call->shard_end && call->d_in[0].data != NULL; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            copy_row(row_of(call->d_in[0], s, r), row_of(call->d_out, s, r), shape->cols);
        }
    }
}
