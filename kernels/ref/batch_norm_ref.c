/* Batch normalisation by column. Statistics are summed in double, row by row, over the valid rows
 * of one shard, twice: mean, then squares of what is left. Those of the global batch are made of
 * the shards' (op_sums_add), so that they lose as little as one shard's. */
#include "kernels/ref/norm_sums.h"
#include "kernels/ref/real.h"

enum { COLS_AT_ONCE = 512 }; /* whole rows, mostly: they are read in order */

status_t REAL(batch_norm_plan)(const op_description_t *description, op_plan_t **plan_out,
                               op_needs_t *needs_out) {
    const op_shape_t *in = &description->in[0], *out = &description->out;
    REQUIRE(description->input_count == 1 && in->rows == out->rows && in->cols == out->cols);
    REQUIRE(description->attributes.epsilon > 0.0);
    bool global = description->attributes.norm_rule == NORM_GLOBAL;
    *needs_out = (op_needs_t){.saved_count = 3 * out->cols,
                              .workspace_count = 2 * out->cols,
                              .sum_count = global ? NORM_SUMS(out->cols) : 0};
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

static bool is_global(const op_description_t *d, const op_call_t *call) {
    return d->attributes.norm_rule == NORM_GLOBAL && call->scalars->training;
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

/* Mean, and sum of squares of what is left, of columns [begin, begin + count) of one shard with n
 * valid rows. */
static void measure(const op_description_t *d, const op_call_t *call, int shard, int64_t n,
                    int64_t begin, int64_t count, double *restrict mean, double *restrict square) {
    memset(mean, 0, (size_t)count * sizeof *mean);
    memset(square, 0, (size_t)count * sizeof *square);
    for (int64_t r = 0; r < d->out.rows; r++) {
        const act_t *x = row_of(call->in[0], shard, r) + begin;
        int64_t used = mask_valid(call->mask, shard, r) ? count : 0;
        for (int64_t c = 0; c < used; c++) {
            mean[c] += (double)act_get(x[c]);
        }
    }
    for (int64_t c = 0; c < count; c++) {
        mean[c] /= (double)n;
    }
    for (int64_t r = 0; r < d->out.rows; r++) {
        const act_t *x = row_of(call->in[0], shard, r) + begin;
        int64_t used = mask_valid(call->mask, shard, r) ? count : 0;
        for (int64_t c = 0; c < used; c++) {
            double rest = (double)act_get(x[c]) - mean[c];
            square[c] += rest * rest;
        }
    }
}

static void save(const op_description_t *d, double n, int64_t begin, int64_t count,
                 const double *mean, const double *square, saved_t saved) {
    for (int64_t c = 0; c < count; c++) {
        saved.mean[begin + c] = (real_t)mean[c];
        saved.inverse[begin + c] = (real_t)(1.0 / sqrt(square[c] / n + d->attributes.epsilon));
        if (n > 1.0) {
            saved.variance[begin + c] = (real_t)(square[c] / (n - 1.0));
        }
    }
}

static void measure_shard(const op_description_t *d, const op_call_t *call, int shard, int64_t n,
                          saved_t saved) {
    for (int64_t c = 0; c < d->out.cols && n > 0; c += COLS_AT_ONCE) {
        double mean[COLS_AT_ONCE], square[COLS_AT_ONCE];
        int64_t count = min_i64(COLS_AT_ONCE, d->out.cols - c);
        measure(d, call, shard, n, c, count, mean, square);
        save(d, (double)n, c, count, mean, square, saved);
    }
}

/* The valid rows that the statistics are of: none where they are those that are running. */
static double rows_counted(const op_description_t *d, const op_call_t *call, int shard) {
    return is_global(d, call)  ? call->totals[0]
           : of_shard(d, call) ? (double)valid_rows(d, call, shard)
                               : 0.0;
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
        double n = rows_counted(d, call, s);
        take_running(d, call, saved);
        if (is_global(d, call) && n > 0.0) {
            save(d, n, 0, d->out.cols, norm_first(call->totals),
                 norm_second(call->totals, d->out.cols), saved);
        } else {
            measure_shard(d, call, s, (int64_t)n, saved);
        }
        fold(d, call, saved);
        for (int64_t r = 0; r < d->out.rows; r++) {
            const act_t *x = row_of(call->in[0], s, r);
            act_t *y = row_of(call->out, s, r);
            if (!mask_valid(call->mask, s, r)) {
                memset(y, 0, (size_t)d->out.cols * sizeof *y);
            } else if (n > 0.0) {
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
                          int64_t begin, int64_t count, double *restrict sum,
                          double *restrict slope) {
    saved_t saved = saved_of(d, call, shard);
    memset(sum, 0, (size_t)count * sizeof *sum);
    memset(slope, 0, (size_t)count * sizeof *slope);
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
}

static void sum_all(const op_description_t *d, const op_call_t *call, int shard, real_t *sum_out,
                    real_t *slope_out) {
    for (int64_t c = 0; c < d->out.cols; c += COLS_AT_ONCE) {
        double sum[COLS_AT_ONCE], slope[COLS_AT_ONCE];
        int64_t count = min_i64(COLS_AT_ONCE, d->out.cols - c);
        sum_gradients(d, call, shard, c, count, sum, slope);
        for (int64_t i = 0; i < count; i++) {
            sum_out[c + i] = (real_t)sum[i];
            slope_out[c + i] = (real_t)slope[i];
        }
    }
}

/* The same of the whole batch. */
static void take_totals(const op_description_t *d, const op_call_t *call, real_t *sum_out,
                        real_t *slope_out) {
    for (int64_t c = 0; c < d->out.cols; c++) {
        sum_out[c] = (real_t)norm_first(call->totals)[c];
        slope_out[c] = (real_t)norm_second(call->totals, d->out.cols)[c];
    }
}

/* dx = gain / sd (dy - mean(dy) - x^ mean(dy x^)); of statistics that are given, gain / sd dy. */
static void row_backward(const op_description_t *d, const op_call_t *call, saved_t saved, double n,
                         const act_t *restrict x, const act_t *restrict dy, act_t *restrict dx) {
    const real_t *restrict gain = call->weight[0];
    const real_t *restrict sum = call->workspace, *restrict slope = sum + d->out.cols;
    if (n == 0.0) {
        for (int64_t c = 0; c < d->out.cols; c++) {
            dx[c] = act_of(act_get(dy[c]) * (gain[c] * saved.inverse[c]));
        }
        return;
    }
    real_t share = (real_t)(1.0 / n);
    for (int64_t c = 0; c < d->out.cols; c++) {
        real_t normed = (act_get(x[c]) - saved.mean[c]) * saved.inverse[c];
        real_t rest = act_get(dy[c]) - sum[c] * share - normed * (slope[c] * share);
        dx[c] = act_of(gain[c] * saved.inverse[c] * rest);
    }
}

void REAL(batch_norm_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    for (int s = call->shard_begin; s < call->shard_end && call->d_in[0].data != NULL; s++) {
        double n = rows_counted(d, call, s);
        real_t *sum = call->workspace;
        if (is_global(d, call)) {
            take_totals(d, call, sum, sum + d->out.cols);
        } else if (n > 0.0) {
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
    size_t bytes = (size_t)d->out.cols * sizeof(real_t);
    memcpy(call->d_weight[2], saved.mean, bytes);
    memcpy(call->d_weight[3], saved.variance, bytes);
}

/* --- of the whole batch ---------------------------------------------------------------------- */

void REAL(batch_norm_sums)(const op_plan_t *plan, const op_call_t *call, pass_t pass,
                           double *sums) {
    const op_description_t *d = &plan->description;
    int64_t cols = d->out.cols;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        double *mine = sums + s * NORM_SUMS(cols);
        int64_t n = valid_rows(d, call, s);
        memset(mine, 0, (size_t)NORM_SUMS(cols) * sizeof *mine);
        mine[0] = (double)n;
        for (int64_t c = 0; c < cols && n > 0; c += COLS_AT_ONCE) {
            int64_t count = min_i64(COLS_AT_ONCE, cols - c);
            double *first = norm_first(mine) + c, *second = norm_second(mine, cols) + c;
            if (pass == PASS_FORWARD) {
                measure(d, call, s, n, c, count, first, second);
            } else {
                sum_gradients(d, call, s, c, count, first, second);
            }
        }
    }
}
