/* fold_plan.h - additions that finish the canonical tree, planned once for any number of elements.
 * Pure arithmetic: no messages. */
#ifndef JMT_COMM_FOLD_PLAN_H
#define JMT_COMM_FOLD_PLAN_H

#include "comm/tree.h"

/* out = a + b. An operand is a part (>= 0), a piece of scratch (-1 - piece), or the result. Parts
 * are never written. */
typedef struct fold {
    int out, a, b;
} fold_t;
enum { FOLD_RESULT = INT32_MAX };

static inline int fold_piece_of(int operand) { return -1 - operand; }

typedef struct fold_plan {
    fold_t *folds;
    int count, pieces; /* of folds, of scratch */
    int *values;       /* by node: the operand that holds it after all folds, if not the result */
} fold_plan_t;

/* Of parts, left to right, into nodes of the tree that consist of them. */
fold_plan_t fold_plan_nodes(const tree_node_t *nodes, int node_count, const tree_node_t *parts,
                            int part_count);
/* Of all parts of the tree into the result; no fold if there is one part alone. */
fold_plan_t fold_plan_sum(int leaves, const tree_node_t *parts, int part_count);
void fold_plan_free(fold_plan_t *plan);

#endif
