#include "kernels/ref/ccc.h"

double loss_value(const loss_call_t *call, const double sums[LOSS_SUMS]) {
    if (call->kind == LOSS_CCC) {
        return sums[SUM_N] < 2.0 ? 0.0
                                 : 1.0 - ccc_from_sums(sums, call->unbiased).value +
                                       call->mse_weight * sums[SUM_SQUARES] / sums[SUM_N];
    }
    if (sums[SUM_N] < 1.0) {
        return 0.0;
    }
    return sums[SUM_LOSS] / sums[call->kind == LOSS_CROSS_ENTROPY ? SUM_WEIGHT : SUM_N];
}
