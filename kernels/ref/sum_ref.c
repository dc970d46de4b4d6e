#include "kernels/ref/real.h"

enum { STRIP = 64 };

/* Strip by strip through a local sum, because the result may be any of the terms. */
static void sum_row(const op_call_t *call, int input_count, int shard, int64_t row, int64_t cols) {
    real_t total[STRIP];
    for (int64_t first = 0; first < cols; first += STRIP) {
        int64_t width = min_i64(STRIP, cols - first);
        for (int i = 0; i < input_count; i++) {
            const act_t *x = row_of(call->in[i], shard, row) + first;
            for (int64_t c = 0; c < width; c++) {
                total[c] = i == 0 ? act_get(x[c]) : total[c] + act_get(x[c]);
            }
        }
        act_t *y = row_of(call->out, shard, row) + first;
        for (int64_t c = 0; c < width; c++) {
            y[c] = act_of(total[c]);
        }
    }
}

void REAL(sum_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            sum_row(call, d->input_count, s, r, d->out.cols);
        }
    }
}

void REAL(sum_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    for (int i = 0; i < d->input_count; i++) {
        for (int s = call->shard_begin; s < call->shard_end && call->d_in[i].data != NULL; s++) {
            for (int64_t r = 0; r < d->out.rows; r++) {
                copy_row(row_of(call->d_in[i], s, r), row_of(call->d_out, s, r), d->out.cols);
            }
        }
    }
}
