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

static double class_weight(const loss_call_t *call, int64_t c) {
    return call->class_weights == NULL ? 1.0 : call->class_weights[c];
}

static double weight_sum(const loss_call_t *call) {
    double sum = 0.0;
    for (int64_t c = 0; c < call->x.cols; c++) {
        sum += class_weight(call, c);
    }
    return sum;
}

/* Part of class c in the smoothed, weighted label. */
static double label_share(const loss_call_t *call, int64_t c, int64_t label) {
    double smooth = call->label_smoothing / (double)call->x.cols;
    double share = smooth + (c == label ? 1.0 - call->label_smoothing : 0.0);
    return share * class_weight(call, c);
}

/* log(1 + exp(z)) without overflow. */
static double softplus(double z) { return fmax(z, 0.0) + log1p(exp(-fabs(z))); }

/* -log sigmoid(x) is softplus(-x), -log(1 - sigmoid(x)) is softplus(x). */
static double binary_loss(const loss_call_t *call, double x, double y) {
    return class_weight(call, 0) * y * softplus(-x) + (1.0 - y) * softplus(x);
}

static double binary_slope(const loss_call_t *call, double x, double y) {
    double small = exp(-fabs(x)), near = 1.0 / (1.0 + small), far = small / (1.0 + small);
    double p = x >= 0.0 ? near : far, rest = x >= 0.0 ? far : near;
    return (1.0 - y) * p - class_weight(call, 0) * y * rest;
}

static void ccc_sums(double x, double y, double *sums) {
    sums[SUM_X] += x;
    sums[SUM_Y] += y;
    sums[SUM_XX] += x * x;
    sums[SUM_YY] += y * y;
    sums[SUM_XY] += x * y;
    sums[SUM_SQUARES] += (x - y) * (x - y);
}

static void cross_entropy_sums(const loss_call_t *call, const real_t *x, int64_t label,
                               double *sums) {
    double all = log_sum_exp(x, call->x.cols);
    sums[SUM_WEIGHT] += class_weight(call, label);
    if (call->label_smoothing == 0.0) {
        sums[SUM_LOSS] += class_weight(call, label) * (all - (double)x[label]);
        return;
    }
    for (int64_t c = 0; c < call->x.cols; c++) {
        sums[SUM_LOSS] += label_share(call, c, label) * (all - (double)x[c]);
    }
}

static void shard_sums(const loss_call_t *call, int shard, double sums[LOSS_SUMS]) {
    const real_t *target = (const real_t *)call->target + shard * call->x.rows;
    memset(sums, 0, LOSS_SUMS * sizeof sums[0]);
    for (int64_t r = 0; r < call->x.rows; r++) {
        const real_t *row = row_of(call->x, shard, r);
        if (isnan(target[r])) {
            continue;
        }
        double x = (double)row[0], y = (double)target[r];
        sums[SUM_N] += 1.0;
        if (call->kind == LOSS_CCC) {
            ccc_sums(x, y, sums);
        } else if (call->kind == LOSS_MSE) {
            sums[SUM_LOSS] += (x - y) * (x - y);
        } else if (call->kind == LOSS_BINARY) {
            sums[SUM_LOSS] += binary_loss(call, x, y);
        } else {
            cross_entropy_sums(call, row, class_index(target[r], call->x.cols), sums);
        }
    }
}

void REAL(loss_sums)(const loss_call_t *call, double *sums) {
    REQUIRE(call->kind == LOSS_CROSS_ENTROPY || call->x.cols == 1);
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        shard_sums(call, s, sums + s * call->sums_stride);
    }
}

/* d/dx_c of sum_k share_k (log sum exp x - x_k) = softmax(x)_c sum_k share_k - share_c. */
static void cross_entropy_row(const loss_call_t *call, const real_t *x, real_t target,
                              double weights, double factor, real_t *dx) {
    int64_t label = class_index(target, call->x.cols);
    double all = log_sum_exp(x, call->x.cols);
    double shares = (1.0 - call->label_smoothing) * class_weight(call, label) +
                    call->label_smoothing / (double)call->x.cols * weights;
    for (int64_t c = 0; c < call->x.cols; c++) {
        dx[c] = (real_t)(factor * (exp((double)x[c] - all) * shares - label_share(call, c, label)));
    }
}

/* d(1 - ccc) / dx of one row (jmt.md 2.1). */
static double ccc_slope(const ccc_t *ccc, double x, double y) {
    double numerator = 2.0 * (y - ccc->mean_y) / ccc->degrees;
    double denominator =
        2.0 * (x - ccc->mean_x) / ccc->degrees + 2.0 * (ccc->mean_x - ccc->mean_y) / ccc->count;
    return (ccc->value * denominator - numerator) / ccc->denominator;
}

static double mse_slope(double x, double y, double n) { return 2.0 * (x - y) / n; }

/* What all rows share. */
typedef struct slope {
    bool empty;
    double n, weights, factor;
    ccc_t ccc;
} slope_t;

static void shard_gradient(const loss_call_t *call, const slope_t *slope, int shard) {
    const real_t *target = (const real_t *)call->target + shard * call->x.rows;
    for (int64_t r = 0; r < call->x.rows; r++) {
        real_t *dx = row_of(call->d_x, shard, r);
        const real_t *row = row_of(call->x, shard, r);
        if (slope->empty || isnan(target[r])) {
            memset(dx, 0, (size_t)call->x.cols * sizeof(real_t));
            continue;
        }
        double x = (double)row[0], y = (double)target[r];
        if (call->kind == LOSS_CCC) {
            double mse = call->mse_weight * mse_slope(x, y, slope->n);
            dx[0] = (real_t)(call->weight * (ccc_slope(&slope->ccc, x, y) + mse));
        } else if (call->kind == LOSS_MSE) {
            dx[0] = (real_t)(call->weight * mse_slope(x, y, slope->n));
        } else if (call->kind == LOSS_BINARY) {
            dx[0] = (real_t)(call->weight * binary_slope(call, x, y) / slope->n);
        } else {
            cross_entropy_row(call, row, target[r], slope->weights, slope->factor, dx);
        }
    }
}

void REAL(loss_gradient)(const loss_call_t *call, const double total[LOSS_SUMS]) {
    slope_t slope = {.n = total[SUM_N], .weights = weight_sum(call)};
    slope.empty = slope.n < (call->kind == LOSS_CCC ? 2.0 : 1.0);
    if (call->kind == LOSS_CCC && !slope.empty) {
        slope.ccc = ccc_from_sums(total, call->unbiased);
    } else if (call->kind == LOSS_CROSS_ENTROPY && !slope.empty) {
        slope.factor = call->weight / total[SUM_WEIGHT];
    }
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        shard_gradient(call, &slope, s);
    }
}
