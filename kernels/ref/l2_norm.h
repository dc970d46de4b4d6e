/* l2_norm.h - what l2_normalize divides a row of this length by, in every table. */
#ifndef JMT_KERNELS_REF_L2_NORM_H
#define JMT_KERNELS_REF_L2_NORM_H

#include <stdbool.h>

static const double l2_norm_floor = 1e-12;

/* The divisor is the floor, a constant. */
static inline bool l2_norm_floored(double norm) { return norm < l2_norm_floor; }

static inline double l2_norm_inverse(double norm) {
    return 1.0 / (l2_norm_floored(norm) ? l2_norm_floor : norm);
}

#endif
