/* tree.h - the canonical tree: one order of addition over n leaves, whatever the number of ranks.
 *
 * A tree over n > 1 leaves splits at the largest power of two below n; its value is left + right.
 * A rank holds a contiguous run of leaves and folds it into the largest complete subtrees in it.
 * Pure arithmetic: no memory, no messages. */
#ifndef JMT_TREE_H
#define JMT_TREE_H

#include <stdint.h>

#include "kernels/base/tree_split.h"

enum { TREE_NODES_MAX = 64 };

typedef struct tree_node {
    int begin, end; /* leaves [begin, end) */
} tree_node_t;

/* Leaves of rank r of R among V shards: [r*V/R, (r+1)*V/R). */
tree_node_t tree_run(int shards, int rank, int ranks);

/* The largest subtrees of the tree over `leaves` leaves that lie within run, left to right; their
 * number (1 for the whole tree, 0 for an empty run). */
int tree_cover(int leaves, tree_node_t run, tree_node_t nodes_out[TREE_NODES_MAX]);

/* Walks the additions that finish the tree over `leaves` from the given parts (each a subtree, left
 * to right, together all leaves): calls add(context, i, j) meaning part i += part j, j's value is
 * then dead; after the walk part 0 is the root. */
void tree_finish(int leaves, const tree_node_t *parts, int part_count,
                 void (*add)(void *context, int into, int from), void *context);

#endif
