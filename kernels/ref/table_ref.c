#include "kernels/ref/real.h"

#define REF_ROW(name) OP_ROW(name, KERNEL_SUFFIX)

const kernels_t REAL(kernels) = {
    .backend = "ref",
    .dtype = REAL_DTYPE,
    .ops = {OP_LIST(REF_ROW) OP_SUMS(KERNEL_SUFFIX)},
    TABLE_REST(KERNEL_SUFFIX),
};
