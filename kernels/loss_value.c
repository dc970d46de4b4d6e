#include "kernels/ref/ccc.h"

double loss_value(loss_kind_t kind, bool unbiased, const double sums[LOSS_SUMS]) {
    if (kind == LOSS_CCC) {
        return sums[SUM_N] < 2.0 ? 0.0 : 1.0 - ccc_from_sums(sums, unbiased).value;
    }
    return sums[SUM_N] < 1.0 ? 0.0 : sums[1] / sums[SUM_N];
}
