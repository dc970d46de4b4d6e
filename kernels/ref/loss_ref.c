/* The two halves of every loss; sums and gradients are formed in double. */
#include "kernels/ref/ccc.h"
#include "kernels/ref/real.h"

static double log_sum_exp(const real_t *x, int64_t count) {
    double top = (double)x[0], total = 0.0;
    for (int64_t c = 1; c < count; c++) {
        top = (double)x[c] > top ? (double)x[c] : top;
    }
    for (int64_t c = 0; c < count; c++) {
        total += exp((double)x[c] - top);
    }
    return top + log(total);
}

static int64_t class_index(real_t target, int64_t class_count) {
    REQUIRE(target >= 0 && target < (real_t)class_count);
    return (int64_t)target;
}

void REAL(loss_sums)(const loss_call_t *call, double sums_out[LOSS_SUMS]) {
    const real_t *target = call->target;
    memset(sums_out, 0, LOSS_SUMS * sizeof sums_out[0]);
    REQUIRE(call->kind == LOSS_CROSS_ENTROPY || call->x.cols == 1);
    for (int64_t r = 0; r < call->x.rows; r++) {
        const real_t *row = row_of(call->x, 0, r);
        if (isnan(target[r])) {
            continue;
        }
        double x = (double)row[0], y = (double)target[r];
        sums_out[SUM_N] += 1.0;
        if (call->kind == LOSS_CCC) {
            sums_out[SUM_X] += x;
            sums_out[SUM_Y] += y;
            sums_out[SUM_XX] += x * x;
            sums_out[SUM_YY] += y * y;
            sums_out[SUM_XY] += x * y;
        } else if (call->kind == LOSS_MSE) {
            sums_out[1] += (x - y) * (x - y);
        } else {
            int64_t label = class_index(target[r], call->x.cols);
            sums_out[1] += log_sum_exp(row, call->x.cols) - (double)row[label];
        }
    }
}

static void cross_entropy_row(const loss_call_t *call, int64_t r, double factor) {
    const real_t *x = row_of(call->x, 0, r);
    real_t *dx = row_of(call->d_x, 0, r);
    int64_t label = class_index(((const real_t *)call->target)[r], call->x.cols);
    double all = log_sum_exp(x, call->x.cols);
    for (int64_t c = 0; c < call->x.cols; c++) {
        dx[c] = (real_t)(factor * (exp((double)x[c] - all) - (c == label ? 1.0 : 0.0)));
    }
}

/* d(1 - ccc) / dx of one row (jmt.md 2.1). */
static double ccc_slope(const ccc_t *ccc, double x, double y) {
    double numerator = 2.0 * (y - ccc->mean_y) / ccc->degrees;
    double denominator =
        2.0 * (x - ccc->mean_x) / ccc->degrees + 2.0 * (ccc->mean_x - ccc->mean_y) / ccc->count;
    return (ccc->value * denominator - numerator) / ccc->denominator;
}

void REAL(loss_gradient)(const loss_call_t *call, const double global_sums[LOSS_SUMS]) {
    const real_t *target = call->target;
    bool empty = global_sums[SUM_N] < (call->kind == LOSS_CCC ? 2.0 : 1.0);
    ccc_t ccc = {0};
    if (call->kind == LOSS_CCC && !empty) {
        ccc = ccc_from_sums(global_sums, call->unbiased);
    }
    for (int64_t r = 0; r < call->x.rows; r++) {
        real_t *dx = row_of(call->d_x, 0, r);
        if (empty || isnan(target[r])) {
            memset(dx, 0, (size_t)call->x.cols * sizeof(real_t));
            continue;
        }
        double x = (double)row_of(call->x, 0, r)[0], y = (double)target[r];
        if (call->kind == LOSS_CCC) {
            dx[0] = (real_t)(call->weight * ccc_slope(&ccc, x, y));
        } else if (call->kind == LOSS_MSE) {
            dx[0] = (real_t)(call->weight * 2.0 * (x - y) / global_sums[SUM_N]);
        } else {
            cross_entropy_row(call, r, call->weight / global_sums[SUM_N]);
        }
    }
}
