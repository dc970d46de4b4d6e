/* Batch normalisation by column. Statistics are summed in double, row by row, over the valid rows
 * of one shard, twice: mean, then squares of what is left.
 *
 * Not built: statistics over the global batch. They couple all shards in the middle of the graph,
 * in forward (n, sum x, sum of squares) and in backward (sum dy, sum dy x^), as the losses do at
 * its end, and would be done alike. The row gets two functions in the manner of loss_sums and
 * loss_gradient: `sums` writes one shard's doubles [n, mean, M2 of each column; in backward the
 * two sums], and forward or backward_data then read totals that somebody has put beside them. The
 * executor stops at such a node, hands [local shards][doubles] to a callback of its owner (as
 * unit_done is one), and goes on; the trainer gathers all shards' doubles by comm_all_gather_v as
 * step_sums does and merges them by the canonical tree (n and sums by addition; M2 by Chan's
 * formula with the left side first), so that every rank has the same bits for every R. A callback
 * may fail, so executor_forward returns a status like executor_backward. The buffer is planned:
 * (2 cols + 1) doubles by node and shard. A rank without a batch sends n = 0. */
#include "kernels/ref/real.h"

enum { COLS_AT_ONCE = 64 }; /* a few cache lines of each row */

status_t REAL(batch_norm_plan)(const op_description_t *description, op_plan_t **plan_out,
                               op_needs_t *needs_out) {
    const op_shape_t *in = &description->in[0], *out = &description->out;
    REQUIRE(description->input_count == 1 && in->rows == out->rows && in->cols == out->cols);
    REQUIRE(description->attributes.epsilon > 0.0);
    *needs_out = (op_needs_t){.saved_count = 3 * out->cols, .workspace_count = 2 * out->cols};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

/* Of each column: what is subtracted, what is multiplied, and the variance that the running one
 * averages. */
typedef struct saved {
    real_t *mean, *inverse, *variance;
} saved_t;

static saved_t saved_of(const op_description_t *d, const op_call_t *call, int shard) {
    real_t *first = (real_t *)call->saved + shard * call->saved_shard_stride;
    return (saved_t){first, first + d->out.cols, first + 2 * d->out.cols};
}

static bool of_shard(const op_description_t *d, const op_call_t *call) {
    return d->attributes.norm_rule == NORM_SHARD && call->scalars->training;
}

static int64_t valid_rows(const op_description_t *d, const op_call_t *call, int shard) {
    int64_t count = 0;
    for (int64_t r = 0; r < d->out.rows; r++) {
        count += mask_valid(call->mask, shard, r);
    }
    return count;
}

/* --- statistics ------------------------------------------------------------------------------ */

static void take_running(const op_description_t *d, const op_call_t *call, saved_t saved) {
    const real_t *mean = call->weight[2], *variance = call->weight[3];
    for (int64_t c = 0; c < d->out.cols; c++) {
        saved.mean[c] = mean[c];
        saved.variance[c] = variance[c];
        saved.inverse[c] = (real_t)(1.0 / sqrt((double)variance[c] + d->attributes.epsilon));
    }
}

/* Columns [begin, begin + count) of one shard with n valid rows. */
static void measure(const op_description_t *d, const op_call_t *call, int shard, int64_t n,
                    int64_t begin, int64_t count, saved_t saved) {
    double sum[COLS_AT_ONCE] = {0}, square[COLS_AT_ONCE] = {0};
    for (int64_t r = 0; r < d->out.rows; r++) {
        const act_t *x = row_of(call->in[0], shard, r) + begin;
        int64_t used = mask_valid(call->mask, shard, r) ? count : 0;
        for (int64_t c = 0; c < used; c++) {
            sum[c] += (double)act_get(x[c]);
        }
    }
    for (int64_t c = 0; c < count; c++) {
        sum[c] /= (double)n;
    }
    for (int64_t r = 0; r < d->out.rows; r++) {
        const act_t *x = row_of(call->in[0], shard, r) + begin;
        int64_t used = mask_valid(call->mask, shard, r) ? count : 0;
        for (int64_t c = 0; c < used; c++) {
            double rest = (double)act_get(x[c]) - sum[c];
            square[c] += rest * rest;
        }
    }
    for (int64_t c = 0; c < count; c++) {
        saved.mean[begin + c] = (real_t)sum[c];
        saved.inverse[begin + c] =
            (real_t)(1.0 / sqrt(square[c] / (double)n + d->attributes.epsilon));
        if (n > 1) {
            saved.variance[begin + c] = (real_t)(square[c] / (double)(n - 1));
        }
    }
}

/* --- forward --------------------------------------------------------------------------------- */

/* Scale and shift of each column in the workspace: (x - mean) / sd * gain + bias. */
static void fold(const op_description_t *d, const op_call_t *call, saved_t saved) {
    const real_t *gain = call->weight[0], *bias = call->weight[1];
    real_t *scale = call->workspace, *shift = scale + d->out.cols;
    for (int64_t c = 0; c < d->out.cols; c++) {
        scale[c] = gain[c] * saved.inverse[c];
        shift[c] = bias[c] - saved.mean[c] * scale[c];
    }
}

static void folded_row(const op_description_t *d, const op_call_t *call, const act_t *restrict x,
                       act_t *restrict y) {
    const real_t *restrict scale = call->workspace, *restrict shift = scale + d->out.cols;
    for (int64_t c = 0; c < d->out.cols; c++) {
        y[c] = act_of(act_get(x[c]) * scale[c] + shift[c]);
    }
}

static void normed_row(const op_description_t *d, const op_call_t *call, saved_t saved,
                       const act_t *restrict x, act_t *restrict y) {
    const real_t *restrict gain = call->weight[0], *restrict bias = call->weight[1];
    for (int64_t c = 0; c < d->out.cols; c++) {
        y[c] = act_of((act_get(x[c]) - saved.mean[c]) * saved.inverse[c] * gain[c] + bias[c]);
    }
}

void REAL(batch_norm_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        saved_t saved = saved_of(d, call, s);
        int64_t n = of_shard(d, call) ? valid_rows(d, call, s) : 0;
        take_running(d, call, saved);
        for (int64_t c = 0; c < d->out.cols && n > 0; c += COLS_AT_ONCE) {
            measure(d, call, s, n, c, min_i64(COLS_AT_ONCE, d->out.cols - c), saved);
        }
        fold(d, call, saved);
        for (int64_t r = 0; r < d->out.rows; r++) {
            const act_t *x = row_of(call->in[0], s, r);
            act_t *y = row_of(call->out, s, r);
            if (!mask_valid(call->mask, s, r)) {
                memset(y, 0, (size_t)d->out.cols * sizeof *y);
            } else if (n > 0) {
                normed_row(d, call, saved, x, y);
            } else {
                folded_row(d, call, x, y);
            }
        }
    }
}

/* --- backward -------------------------------------------------------------------------------- */

/* Sums of dy and of dy x^ over the valid rows, of columns [begin, begin + count). */
static void sum_gradients(const op_description_t *d, const op_call_t *call, int shard,
                          int64_t begin, int64_t count, real_t *sum_out, real_t *slope_out) {
    double sum[COLS_AT_ONCE] = {0}, slope[COLS_AT_ONCE] = {0};
    saved_t saved = saved_of(d, call, shard);
    for (int64_t r = 0; r < d->out.rows; r++) {
        const act_t *x = row_of(call->in[0], shard, r) + begin;
        const act_t *dy = row_of(call->d_out, shard, r) + begin;
        int64_t used = mask_valid(call->mask, shard, r) ? count : 0;
        for (int64_t c = 0; c < used; c++) {
            real_t normed = (act_get(x[c]) - saved.mean[begin + c]) * saved.inverse[begin + c];
            double gradient = (double)act_get(dy[c]);
            sum[c] += gradient;
            slope[c] += gradient * (double)normed;
        }
    }
    for (int64_t c = 0; c < count; c++) {
        sum_out[begin + c] = (real_t)sum[c];
        slope_out[begin + c] = (real_t)slope[c];
    }
}

static void sum_all(const op_description_t *d, const op_call_t *call, int shard, real_t *sum_out,
                    real_t *slope_out) {
    for (int64_t c = 0; c < d->out.cols; c += COLS_AT_ONCE) {
        sum_gradients(d, call, shard, c, min_i64(COLS_AT_ONCE, d->out.cols - c), sum_out,
                      slope_out);
    }
}

/* dx = gain / sd (dy - mean(dy) - x^ mean(dy x^)); of statistics that are given, gain / sd dy. */
static void row_backward(const op_description_t *d, const op_call_t *call, saved_t saved, int64_t n,
                         const act_t *restrict x, const act_t *restrict dy, act_t *restrict dx) {
    const real_t *restrict gain = call->weight[0];
    const real_t *restrict sum = call->workspace, *restrict slope = sum + d->out.cols;
    if (n == 0) {
        for (int64_t c = 0; c < d->out.cols; c++) {
            dx[c] = act_of(act_get(dy[c]) * (gain[c] * saved.inverse[c]));
        }
        return;
    }
    real_t share = (real_t)(1.0 / (double)n);
    for (int64_t c = 0; c < d->out.cols; c++) {
        real_t normed = (act_get(x[c]) - saved.mean[c]) * saved.inverse[c];
        real_t rest = act_get(dy[c]) - sum[c] * share - normed * (slope[c] * share);
        dx[c] = act_of(gain[c] * saved.inverse[c] * rest);
    }
}

void REAL(batch_norm_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    for (int s = call->shard_begin; s < call->shard_end && call->d_in[0].data != NULL; s++) {
        int64_t n = of_shard(d, call) ? valid_rows(d, call, s) : 0;
        if (n > 0) {
            real_t *sum = call->workspace;
            sum_all(d, call, s, sum, sum + d->out.cols);
        }
        for (int64_t r = 0; r < d->out.rows; r++) {
            act_t *dx = row_of(call->d_in[0], s, r);
            if (mask_valid(call->mask, s, r)) {
                row_backward(d, call, saved_of(d, call, s), n, row_of(call->in[0], s, r),
                             row_of(call->d_out, s, r), dx);
            } else {
                memset(dx, 0, (size_t)d->out.cols * sizeof *dx);
            }
        }
    }
}

void REAL(batch_norm_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    saved_t saved = saved_of(d, call, call->shard_begin);
    sum_all(d, call, call->shard_begin, call->d_weight[1], call->d_weight[0]);
    bool any = of_shard(d, call) && valid_rows(d, call, call->shard_begin) > 0;
    size_t bytes = (size_t)d->out.cols * sizeof(real_t);
    memcpy(call->d_weight[2], any ? saved.mean : call->weight[2], bytes);
    memcpy(call->d_weight[3], saved.variance, bytes);
}
