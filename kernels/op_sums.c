#include "kernels/kernels.h"
#include <string.h>

#include "kernels/base/tree_split.h"
#include "kernels/ref/norm_sums.h"
#include "kernels/ref/rows.h"

/* Two means become one, and the squares of what is left gain what the two means differ by, without
 * a difference of large numbers. */
static void add_moments(int64_t cols, double *into, const double *other) {
    double n = into[0] + other[0], part = n > 0.0 ? other[0] / n : 0.0;
    double *mean = norm_first(into), *square = norm_second(into, cols);
    for (int64_t c = 0; c < cols; c++) {
        double apart = norm_first(other)[c] - mean[c];
        mean[c] += apart * part;
        square[c] += norm_second(other, cols)[c] + apart * apart * into[0] * part;
    }
    into[0] = n;
}

void op_sums_add(pass_t pass, int64_t sum_count, double *into, const double *other) {
    if (pass == PASS_FORWARD) {
        add_moments(sum_count / 2, into, other);
        return;
    }
    for (int64_t i = 0; i < sum_count; i++) {
        into[i] += other[i];
    }
}

/* The total is left in the first. */
static void fold(pass_t pass, double *all, int shards, int64_t sum_count) {
    if (shards > 1) {
        int left = tree_split(shards);
        double *right = all + left * sum_count;
        fold(pass, all, left, sum_count);
        fold(pass, right, shards - left, sum_count);
        op_sums_add(pass, sum_count, all, right);
    }
}

void host_sums_total(const device_t *device, pass_t pass, int64_t sum_count, int shards,
                     double *all, double *total) {
    (void)device;
    fold(pass, all, shards, sum_count);
    memcpy(total, all, (size_t)sum_count * sizeof *total);
}
