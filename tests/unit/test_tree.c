#include <math.h>
#include <string.h>

#include "check.h"
#include "comm/tree.h"
#include "kernels/base/rng.h"

enum { SHARDS_MAX = 130 };

/* Wild magnitudes: any other order of addition gives other bits. */
static void fill(float *values, int count) {
    rng_key_t key = {11, rng_name("tree"), (uint64_t)count};
    for (int i = 0; i < count; i++) {
        float value = ldexpf(rng_uniform(key, (uint64_t)(2 * i)) - 0.5f,
                             (int)(rng_u32(key, (uint64_t)(2 * i + 1)) % 24));
        values[i] = value;
    }
}

static float recursion(const float *values, int begin, int end) {
    if (end - begin == 1) {
        return values[begin];
    }
    int middle = begin + tree_split(end - begin);
    return recursion(values, begin, middle) + recursion(values, middle, end);
}

static void add_floats(void *context, int into, int from) {
    float *values = context;
    values[into] = values[into] + values[from];
    values[from] = NAN; /* dead from here on */
}

static void split_is_the_largest_power_of_two_below(void **state) {
    (void)state;
    for (int n = 2; n <= 4096; n++) {
        int split = tree_split(n);
        assert_int_equal(split & (split - 1), 0);
        assert_true(split < n && 2 * split >= n);
    }
}

static void runs_partition_the_shards(void **state) {
    (void)state;
    for (int shards = 1; shards <= SHARDS_MAX; shards++) {
        for (int ranks = 1; ranks <= shards; ranks++) {
            int next = 0;
            for (int rank = 0; rank < ranks; rank++) {
                tree_node_t run = tree_run(shards, rank, ranks);
                assert_int_equal(run.begin, next);
                assert_true(run.end > run.begin);
                next = run.end;
            }
            assert_int_equal(next, shards);
        }
    }
}

/* Parts of all ranks, left to right; returns the largest number one rank has. */
static int all_parts(int shards, int ranks, tree_node_t *parts, int *count_out) {
    int most = 0;
    *count_out = 0;
    for (int rank = 0; rank < ranks; rank++) {
        int count = tree_cover(shards, tree_run(shards, rank, ranks), parts + *count_out);
        *count_out += count;
        most = count > most ? count : most;
    }
    return most;
}

static void any_split_performs_the_same_additions(void **state) {
    (void)state;
    tree_node_t parts[SHARDS_MAX + TREE_NODES_MAX];
    float leaves[SHARDS_MAX], sums[SHARDS_MAX];
    for (int shards = 1; shards <= SHARDS_MAX; shards++) {
        fill(leaves, shards);
        float expected = recursion(leaves, 0, shards);
        for (int ranks = 1; ranks <= shards; ranks++) {
            int count, next = 0;
            all_parts(shards, ranks, parts, &count);
            for (int i = 0; i < count; i++) {
                assert_int_equal(parts[i].begin, next);
                next = parts[i].end;
                sums[i] = recursion(leaves, parts[i].begin, parts[i].end);
            }
            assert_int_equal(next, shards);
            tree_finish(shards, parts, count, add_floats, sums);
            assert_memory_equal(&sums[0], &expected, sizeof expected);
        }
    }
}

static void ranks_hold_few_parts(void **state) {
    (void)state;
    tree_node_t parts[4096 + TREE_NODES_MAX];
    int count;
    for (int ranks = 1; ranks <= 24; ranks++) {
        assert_true(all_parts(24, ranks, parts, &count) <= 3);
    }
    for (int shards = 1; shards <= 4096; shards *= 2) {
        for (int ranks = 1; ranks <= shards; ranks *= 2) {
            assert_int_equal(all_parts(shards, ranks, parts, &count), 1);
            assert_int_equal(count, ranks);
        }
    }
    assert_int_equal(tree_cover(4096, (tree_node_t){1, 4095}, parts), 22);
    assert_int_equal(tree_cover(8, (tree_node_t){3, 3}, parts), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_is_the_largest_power_of_two_below),
        cmocka_unit_test(runs_partition_the_shards),
        cmocka_unit_test(any_split_performs_the_same_additions),
        cmocka_unit_test(ranks_hold_few_parts),
    };
    return RUN_TESTS(tests);
}
