/* ccc.h - the concordance correlation coefficient from its sums, for the loss and for its
 * gradient. */
#ifndef JMT_KERNELS_REF_CCC_H
#define JMT_KERNELS_REF_CCC_H

#include "kernels/kernels.h"

enum { SUM_N, SUM_X, SUM_Y, SUM_XX, SUM_YY, SUM_XY, SUM_SQUARES }; /* of ccc */
enum { SUM_LOSS = 1, SUM_WEIGHT = 2 };                             /* of the others */

typedef struct ccc {
    double count, degrees; /* degrees: what centred sums are divided by, n or n - 1 */
    double mean_x, mean_y;
    double denominator, value;
} ccc_t;

/* count >= 2 */
static inline ccc_t ccc_from_sums(const double sums[LOSS_SUMS], bool unbiased) {
    double n = sums[SUM_N];
    ccc_t ccc = {.count = n, .degrees = unbiased ? n - 1.0 : n};
    ccc.mean_x = sums[SUM_X] / n;
    ccc.mean_y = sums[SUM_Y] / n;
    double s_xx = (sums[SUM_XX] - n * ccc.mean_x * ccc.mean_x) / ccc.degrees;
    double s_yy = (sums[SUM_YY] - n * ccc.mean_y * ccc.mean_y) / ccc.degrees;
    double s_xy = (sums[SUM_XY] - n * ccc.mean_x * ccc.mean_y) / ccc.degrees;
    double apart = ccc.mean_x - ccc.mean_y;
    ccc.denominator = s_xx + s_yy + apart * apart + 1e-8;
    ccc.value = 2.0 * s_xy / ccc.denominator;
    return ccc;
}

#endif
