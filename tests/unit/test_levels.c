/* Who exchanges with whom on two levels: the bits of one recursion, and what goes between hosts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "comm/fold_plan.h"
#include "comm/levels.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

enum { SHARDS_MAX = 26, RANKS_MAX = 12, OPERANDS_MAX = RANKS_MAX * TREE_NODES_MAX };

static float leaf(int shard) {
    rng_key_t key = {11, rng_name("levels"), 0};
    return ldexpf(rng_uniform(key, (uint64_t)(2 * shard)) - 0.5f,
                  (int)(rng_u32(key, (uint64_t)(2 * shard + 1)) % 24));
}

static float recursion(tree_node_t node) {
    if (node.end - node.begin == 1) {
        return leaf(node.begin);
    }
    int middle = node.begin + tree_split(node.end - node.begin);
    return recursion((tree_node_t){node.begin, middle}) +
           recursion((tree_node_t){middle, node.end});
}

/* Operands: parts from the middle on, pieces of scratch before it. */
static float *operand(float *values, int index) {
    return values + OPERANDS_MAX + (index == FOLD_RESULT ? OPERANDS_MAX - 1 : index);
}

static void run_plan(const fold_plan_t *plan, float *values) {
    for (int k = 0; k < plan->count; k++) {
        const fold_t *fold = &plan->folds[k];
        assert_true(fold->out == FOLD_RESULT || (fold->out < 0 && -fold->out <= plan->pieces));
        *operand(values, fold->out) = *operand(values, fold->a) + *operand(values, fold->b);
    }
}

/* What a host joins of its ranks' parts are its subtrees, with their bits. */
static void check_join(const levels_t *levels, int shards, const level_part_t *parts, int count,
                       int host) {
    static float values[2 * OPERANDS_MAX];
    tree_node_t nodes[TREE_NODES_MAX];
    int node_count = levels_cover(levels, shards, host, nodes);
    tree_node_t *leaves = alloc_zero(count, sizeof *leaves);
    for (int i = 0; i < count; i++) {
        leaves[i] = parts[i].leaves;
        *operand(values, i) = recursion(leaves[i]);
    }
    fold_plan_t plan = fold_plan_nodes(nodes, node_count, leaves, count);
    run_plan(&plan, values);
    assert_int_equal(plan.count, count - node_count);
    for (int n = 0; n < node_count; n++) {
        float expected = recursion(nodes[n]);
        assert_memory_equal(operand(values, plan.values[n]), &expected, sizeof expected);
    }
    fold_plan_free(&plan);
    free(leaves);
}

static void check_rank(const levels_t *levels, int shards, int rank) {
    static float values[2 * OPERANDS_MAX];
    int count = 0, begin = 0, local = 0, next = 0, host = levels->host_of[rank];
    level_part_t *parts = levels_parts(levels, shards, rank, &count, &begin, &local);
    tree_node_t *leaves = alloc_zero(count, sizeof *leaves);
    for (int i = 0; i < count; i++) {
        int from = levels->host_of[parts[i].rank];
        assert_int_equal(parts[i].leaves.begin, next);
        assert_int_equal(from == host, i >= begin && i < begin + local);
        assert_true(from == host || parts[i].rank == levels_stand_in(levels, rank, from));
        next = parts[i].leaves.end;
        leaves[i] = parts[i].leaves;
        *operand(values, i) = recursion(leaves[i]);
    }
    assert_int_equal(next, shards);
    fold_plan_t plan = fold_plan_sum(shards, leaves, count);
    run_plan(&plan, values);
    float expected = recursion((tree_node_t){0, shards});
    assert_memory_equal(operand(values, count > 1 ? FOLD_RESULT : 0), &expected, sizeof expected);
    assert_true(plan.pieces <= 1 || 1 << (plan.pieces - 1) <= count); /* a path of the tree */
    check_join(levels, shards, parts + begin, local, host);
    fold_plan_free(&plan);
    free(parts);
    free(leaves);
}

/* Each slice is joined once on each host, there by ranks that do about as much. */
static void check_stand_ins(const levels_t *levels) {
    for (int host = 0; host < levels->hosts; host++) {
        int first = levels->first[host], ranks = levels->first[host + 1] - first, joined = 0;
        for (int r = first; r < first + ranks; r++) {
            int mine = 0;
            for (int owner = 0; owner < levels->ranks; owner++) {
                mine += levels_joins(levels, r, owner);
            }
            assert_true(levels_joins(levels, r, r));
            assert_true(mine >= levels->ranks / ranks - levels->hosts);
            assert_true(mine <= levels->ranks / ranks + levels->hosts);
            joined += mine;
        }
        assert_int_equal(joined, levels->ranks);
        for (int owner = 0; owner < levels->ranks; owner++) { /* by its place on its own host */
            int at = owner - levels->first[levels->host_of[owner]];
            bool own = levels->host_of[owner] == host;
            assert_int_equal(levels_stand_in(levels, owner, host),
                             own ? owner : first + at % ranks);
        }
    }
}

static void any_hosts_perform_the_same_additions(void **state) {
    (void)state;
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++) {
        for (int cuts = 0; cuts<1 << (ranks - 1); cuts += ranks> 6 ? 37 : 1) {
            int host_of[RANKS_MAX] = {0};
            for (int r = 1; r < ranks; r++) {
                host_of[r] = host_of[r - 1] + ((cuts >> (r - 1)) & 1);
            }
            levels_t levels;
            levels_open(&levels, ranks, host_of);
            int hosts = host_of[ranks - 1] + 1;
            assert_int_equal(levels.hosts, hosts == ranks ? 1 : hosts);
            check_stand_ins(&levels);
            for (int shards = ranks; shards <= SHARDS_MAX; shards += ranks > 6 ? 5 : 1) {
                for (int r = 0; r < ranks; r++) {
                    check_rank(&levels, shards, r);
                }
            }
            levels_close(&levels);
        }
    }
}

/* As by --map-by node: a host's ranks do not hold a run of shards. */
static void scattered_ranks_have_one_level(void **state) {
    (void)state;
    const int hosts[][4] = {{0, 1, 0, 1}, {0, 1, 1, 0}, {0, 0, 1, 0}, {0, 1, 2, 0}};
    for (int i = 0; i < ARRAY_LEN(hosts); i++) {
        levels_t levels;
        levels_open(&levels, 4, hosts[i]);
        assert_int_equal(levels.hosts, 1);
        for (int r = 0; r < 4; r++) {
            assert_true(levels_joins(&levels, r, r));
            assert_false(levels_joins(&levels, r, (r + 1) % 4));
        }
        levels_close(&levels);
    }
}

/* Two hosts of four GPUs: counterparts, one subtree a host, and the own host's parts. */
static void counterparts_exchange(void **state) {
    (void)state;
    const int host_of[] = {0, 0, 0, 0, 1, 1, 1, 1};
    levels_t levels;
    levels_open(&levels, 8, host_of);
    for (int r = 0; r < 8; r++) {
        int count = 0, begin = 0, local = 0;
        free(levels_parts(&levels, 16, r, &count, &begin, &local));
        assert_int_equal(levels_stand_in(&levels, r, 1 - host_of[r]), (r + 4) % 8);
        assert_int_equal(count, 5);
        assert_int_equal(begin, r < 4 ? 0 : 1);
        assert_int_equal(local, 4);
    }
    levels_close(&levels);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_hosts_perform_the_same_additions),
        cmocka_unit_test(scattered_ranks_have_one_level),
        cmocka_unit_test(counterparts_exchange),
    };
    return RUN_TESTS(tests);
}
