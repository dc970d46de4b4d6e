/* tree_split.h - where the canonical tree over n leaves (comm/tree.h) is cut. */
#ifndef JMT_KERNELS_BASE_TREE_SPLIT_H
#define JMT_KERNELS_BASE_TREE_SPLIT_H

#include "kernels/base/status.h"

/* The largest power of two below n; n > 1. */
static inline int tree_split(int n) {
    REQUIRE(n > 1);
    int split = 1;
    while (2 * split < n) {
        split *= 2;
    }
    return split;
}

#endif
