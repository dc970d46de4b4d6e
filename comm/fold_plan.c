#include "comm/fold_plan.h"

#include <stdbool.h>
#include <stdlib.h>

#include "kernels/base/bytes.h"

typedef struct planner {
    fold_plan_t *plan;
    int first;  /* of the parts: where the node starts that is planned */
    int *value; /* by part: the operand that holds its value now */
    bool *busy; /* by scratch piece */
} planner_t;

static int take_slot(planner_t *planner) {
    int slot = 0;
    while (slot < planner->plan->pieces && planner->busy[slot]) {
        slot++;
    }
    planner->plan->pieces += slot == planner->plan->pieces;
    planner->busy[slot] = true;
    return -1 - slot;
}

/* Parts are never written: they are other ranks' memory. */
static void plan_add(void *context, int into, int from) {
    planner_t *planner = context;
    int *value = planner->value + planner->first;
    int a = value[into], b = value[from];
    int out = a < 0 ? a : b < 0 ? b : take_slot(planner);
    if (a < 0 && b < 0) {
        planner->busy[fold_piece_of(b)] = false;
    }
    planner->plan->folds[planner->plan->count++] = (fold_t){out, a, b};
    value[into] = out;
}

/* A subtree is a tree of its own, as where it splits depends on its length alone. */
fold_plan_t fold_plan_nodes(const tree_node_t *nodes, int node_count, const tree_node_t *parts,
                            int part_count) {
    fold_plan_t plan = {alloc_zero(part_count, sizeof(fold_t)), 0, 0,
                        alloc_zero(node_count, sizeof(int))};
    planner_t planner = {&plan, 0, alloc_zero(part_count, sizeof(int)),
                         alloc_zero(part_count, sizeof(bool))};
    tree_node_t *shifted = alloc_zero(part_count, sizeof *shifted);
    for (int i = 0; i < part_count; i++) {
        planner.value[i] = i;
    }
    for (int n = 0, next = 0; n < node_count; n++) {
        int count = 0;
        for (; next < part_count && parts[next].end <= nodes[n].end; next++) {
            shifted[count++] =
                (tree_node_t){parts[next].begin - nodes[n].begin, parts[next].end - nodes[n].begin};
        }
        planner.first = next - count;
        tree_finish(nodes[n].end - nodes[n].begin, shifted, count, plan_add, &planner);
        plan.values[n] = planner.value[planner.first];
    }
    free(planner.value);
    free(planner.busy);
    free(shifted);
    return plan;
}

fold_plan_t fold_plan_sum(int leaves, const tree_node_t *parts, int part_count) {
    fold_plan_t plan = fold_plan_nodes(&(tree_node_t){0, leaves}, 1, parts, part_count);
    if (plan.count > 0) {
        plan.folds[plan.count - 1].out = FOLD_RESULT;
    }
    return plan;
}

void fold_plan_free(fold_plan_t *plan) {
    free(plan->folds);
    free(plan->values);
    *plan = (fold_plan_t){0};
}
