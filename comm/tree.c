#include "comm/tree.h"

tree_node_t tree_run(int shards, int rank, int ranks) {
    int64_t all = shards;
    return (tree_node_t){(int)(all * rank / ranks), (int)(all * (rank + 1) / ranks)};
}

static int cover(tree_node_t node, tree_node_t run, tree_node_t *nodes, int count) {
    if (node.end <= run.begin || run.end <= node.begin) {
        return count;
    }
    if (run.begin <= node.begin && node.end <= run.end) {
        REQUIRE(count < TREE_NODES_MAX);
        nodes[count] = node;
        return count + 1;
    }
    int middle = node.begin + tree_split(node.end - node.begin);
    count = cover((tree_node_t){node.begin, middle}, run, nodes, count);
    return cover((tree_node_t){middle, node.end}, run, nodes, count);
}

int tree_cover(int leaves, tree_node_t run, tree_node_t nodes_out[TREE_NODES_MAX]) {
    REQUIRE(leaves > 0);
    return cover((tree_node_t){0, leaves}, run, nodes_out, 0);
}

typedef struct walk {
    const tree_node_t *parts;
    int count;
    int next; /* first part not reached yet */
    void (*add)(void *context, int into, int from);
    void *context;
} walk_t;

/* Returns the part that holds the node's value after the walk. */
static int finish(walk_t *walk, tree_node_t node) {
    REQUIRE(walk->next < walk->count);
    tree_node_t part = walk->parts[walk->next];
    REQUIRE(part.begin == node.begin && part.end <= node.end);
    if (part.end == node.end) {
        return walk->next++;
    }
    int middle = node.begin + tree_split(node.end - node.begin);
    int into = finish(walk, (tree_node_t){node.begin, middle});
    int from = finish(walk, (tree_node_t){middle, node.end});
    walk->add(walk->context, into, from);
    return into;
}

void tree_finish(int leaves, const tree_node_t *parts, int part_count,
                 void (*add)(void *context, int into, int from), void *context) {
    walk_t walk = {parts, part_count, 0, add, context};
    finish(&walk, (tree_node_t){0, leaves});
    REQUIRE(walk.next == part_count);
}
