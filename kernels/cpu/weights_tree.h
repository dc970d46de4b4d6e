/* weights_tree.h - the sum of weights' gradients over a run of shards in the order of the canonical
 * tree. What waits for its right side lies in memory and is added by whatever ends this. */
#ifndef JMT_KERNELS_CPU_WEIGHTS_TREE_H
#define JMT_KERNELS_CPU_WEIGHTS_TREE_H

#include "kernels/base/tree_split.h"
#include "kernels/cpu/product.h"

/* A gradient, whole: of the weight and of the bias. */
typedef struct sums {
    float *weight, *bias;
} sums_t;

/* Left sides that wait for what is being computed, innermost first. */
enum { WAITING_MAX = 12 };
typedef struct waiting {
    sums_t left[WAITING_MAX];
    int count;
} waiting_t;

/* Where the sum of some rows of a leaf goes: it is added to what the rows before have left there,
 * and the last end what waits. So no chain of additions is as long as a leaf. */
typedef struct target {
    sums_t out;
    const waiting_t *waiting;
    bool begins, ends; /* the first rows; the last */
} target_t;

/* What a tile of the weight at this place adds, after those that are in `end`. */
static inline void target_end(const target_t *target, int64_t place, int64_t row_stride,
                              tile_end_t *end) {
    if (!target->begins) {
        end->addends[end->addend_count++] = (addend_t){target->out.weight + place, row_stride};
    }
    for (int i = 0; i < target->waiting->count && target->ends; i++) {
        const float *left = target->waiting->left[i].weight + place;
        end->addends[end->addend_count++] = (addend_t){left, row_stride};
    }
}

static inline void add_left(const float *left, int64_t count, float *total) {
    for (int64_t c = 0; c < count; c++) {
        total[c] = left[c] + total[c];
    }
}

/* The same of the bias: total is what the rows have, and is changed. */
static inline void target_bias(const target_t *target, int64_t col, int64_t cols, float *total) {
    float *bias = target->out.bias + col;
    if (!target->begins) {
        add_left(bias, cols, total);
    }
    for (int i = 0; i < target->waiting->count && target->ends; i++) {
        add_left(target->waiting->left[i].bias + col, cols, total);
    }
    memcpy(bias, total, (size_t)cols * sizeof *bias);
}

typedef struct weights_tree {
    /* out = what waits + the sum of the shards [begin, end): of one, or as many as fit. These write
     * an element of out once, after all that waits for it was read. */
    void (*sum)(const void *job, int begin, int end, sums_t out, const waiting_t *waiting);
    const void *job;
    int fit;              /* shards that are summed at once; 0: one is summed part by part */
    int64_t weight_count; /* after so many elements the bias's follow */
    int64_t count;        /* of a gradient in scratch */
} weights_tree_t;

/* out = what waits + the sum of the shards; scratch as in kernels.h. */
static void weights_tree_sum(const weights_tree_t *tree, int begin, int end, sums_t out,
                             const waiting_t *waiting, float *scratch) {
    if (end - begin == 1 || end - begin <= tree->fit) {
        tree->sum(tree->job, begin, end, out, waiting);
        return;
    }
    waiting_t none = {.count = 0}, inner = {.count = waiting->count + 1};
    REQUIRE(inner.count <= WAITING_MAX);
    bool in_place = waiting->count == 0 && tree->fit > 0;
    inner.left[0] = in_place ? out : (sums_t){scratch, scratch + tree->weight_count};
    scratch += in_place ? 0 : tree->count;
    memcpy(inner.left + 1, waiting->left, (size_t)waiting->count * sizeof *waiting->left);
    int middle = begin + tree_split(end - begin);
    weights_tree_sum(tree, begin, middle, inner.left[0], &none, scratch);
    weights_tree_sum(tree, middle, end, out, &inner, scratch);
}

#endif
