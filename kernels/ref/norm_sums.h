/* norm_sums.h - what batch_norm says of a shard: the number of its valid rows; then by column the
 * mean and the sum of squares of what is left of it, or in backward the sums of dy and of dy x^. */
#ifndef JMT_KERNELS_REF_NORM_SUMS_H
#define JMT_KERNELS_REF_NORM_SUMS_H

#include <stdint.h>

#define NORM_SUMS(cols)         (1 + 2 * (cols))

#define norm_first(sums)        ((sums) + 1)
#define norm_second(sums, cols) ((sums) + 1 + (cols))

#endif
