/* tree_case.h - the canonical tree, by its definition. */
#ifndef JMT_TESTS_TREE_CASE_H
#define JMT_TESTS_TREE_CASE_H

#include <string.h>

#include "kernels/base/bytes.h"

/* value = the sum of the leaves [begin, end), of `count` floats each. */
static inline void tree_value(char *const leaves[], int begin, int end, int64_t count,
                              float *value) {
    if (end - begin == 1) {
        memcpy(value, leaves[begin], (size_t)count * sizeof *value);
        return;
    }
    int left = 1;
    while (2 * left < end - begin) {
        left *= 2;
    }
    float *right = alloc_zero(count, sizeof *right);
    tree_value(leaves, begin, begin + left, count, value);
    tree_value(leaves, begin + left, end, count, right);
    for (int64_t i = 0; i < count; i++) {
        value[i] = value[i] + right[i];
    }
    free(right);
}

#endif
