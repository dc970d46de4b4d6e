/* test_sample_order.c - every sample once in an epoch, in an order that seed and epoch decide; and
 * what block promises: few files at a time. */
#include "check.h"

#include <string.h>

#include "data-sharding/sample_order.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

enum { COUNT_MAX = 3000, FILES_MAX = 64 };

typedef struct sizes {
    int64_t count, batch, shards, window;
    int files;
} sizes_t;

/* Sizes of every kind: one file, fewer files than shards, files without samples, fewer samples than
 * shards, whole and incomplete last batches, windows of one and of more than there are. */
static const sizes_t cases[] = {
    {1000, 32, 8, 50, 40},   {1000, 32, 8, 50, 1},  {1003, 24, 8, 16, 3},  {1024, 32, 8, 64, 17},
    {999, 24, 24, 7, 60},    {5, 32, 8, 50, 2},     {1, 8, 8, 1, 1},       {3, 8, 8, 4, 60},
    {3000, 6, 3, 100000, 9}, {2999, 16, 1, 40, 33}, {640, 640, 8, 11, 20}, {77, 64, 16, 1, 5},
};

/* Samples lie in files one after the other, as many in each or not, or here and there. */
typedef enum { EVEN, UNEVEN, SCATTERED, KINDS } kind_t;

static void assign(const sizes_t *s, kind_t kind, int *file) {
    const rng_key_t key = {7, rng_name("files"), (uint64_t)s->files};
    int at = 0;
    for (int64_t i = 0; i < s->count; i++) {
        bool next = rng_below(key, (uint64_t)i, (uint64_t)s->count) < (uint64_t)s->files;
        at += next && at < s->files - 1;
        int there = (int)rng_below(key, (uint64_t)i, (uint64_t)s->files);
        file[i] = kind == EVEN ? (int)(i * s->files / s->count) : kind == UNEVEN ? at : there;
    }
}

static void order_of(const sizes_t *s, const int *file, bool block, uint64_t seed, int64_t epoch,
                     int64_t *out) {
    sample_order_config_t config = {.seed = seed,
                                    .count = s->count,
                                    .block = block,
                                    .batch = s->batch,
                                    .shards = s->shards,
                                    .window = s->window,
                                    .file = file,
                                    .files = s->files};
    sample_order_t *order = sample_order_open(&config);
    sample_order_epoch(order, epoch, s->count, out);
    sample_order_close(order);
}

static void assert_each_once(const int64_t *order, int64_t count) {
    int64_t seen[COUNT_MAX] = {0};
    for (int64_t i = 0; i < count; i++) {
        assert_in_range(order[i], 0, count - 1);
        seen[order[i]]++;
    }
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(seen[i], 1);
    }
}

static void every_sample_comes_once_in_an_epoch(void **state) {
    (void)state;
    int file[COUNT_MAX];
    int64_t order[COUNT_MAX];
    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        for (int kind = 0; kind < 2 * KINDS; kind++) {
            assign(&cases[c], (kind_t)(kind % KINDS), file);
            for (int64_t epoch = 0; epoch < 5; epoch++) {
                order_of(&cases[c], file, kind >= KINDS, 3, epoch, order);
                assert_each_once(order, cases[c].count);
            }
        }
    }
}

static void seed_and_epoch_decide(void **state) {
    (void)state;
    int file[COUNT_MAX];
    int64_t a[COUNT_MAX], b[COUNT_MAX];
    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        size_t bytes = (size_t)cases[c].count * sizeof *a;
        for (int block = 0; block < 2 && cases[c].count > 70; block++) {
            assign(&cases[c], UNEVEN, file);
            order_of(&cases[c], file, block, 5, 3, a);
            order_of(&cases[c], file, block, 5, 3, b);
            assert_memory_equal(a, b, bytes);
            order_of(&cases[c], file, block, 5, 4, b);
            assert_memory_not_equal(a, b, bytes);
            order_of(&cases[c], file, block, 6, 3, b);
            assert_memory_not_equal(a, b, bytes);
        }
    }
}

/* One object for all epochs, in any order and with fewer samples. */
static void epochs_do_not_depend_on_each_other(void **state) {
    (void)state;
    int file[COUNT_MAX];
    int64_t a[COUNT_MAX], b[COUNT_MAX];
    assign(&cases[0], SCATTERED, file);
    sample_order_config_t config = {.seed = 1,
                                    .count = cases[0].count,
                                    .block = true,
                                    .batch = cases[0].batch,
                                    .shards = cases[0].shards,
                                    .window = cases[0].window,
                                    .file = file,
                                    .files = cases[0].files};
    sample_order_t *order = sample_order_open(&config);
    const int64_t epochs[] = {4, 0, 2, 1};
    for (int i = 0; i < ARRAY_LEN(epochs); i++) {
        sample_order_epoch(order, epochs[i], 500, a);
        assert_each_once(a, 500);
        sample_order_epoch(order, epochs[i], cases[0].count, a);
        order_of(&cases[0], file, true, 1, epochs[i], b);
        assert_memory_equal(a, b, (size_t)cases[0].count * sizeof *a);
    }
    sample_order_close(order);
}

/* The samples of shard v in the order in which it trains on them; their number. */
static int64_t shard_run(const sizes_t *s, const int64_t *order, int64_t v, int64_t *run) {
    int64_t width = s->batch / s->shards, count = 0;
    for (int64_t i = 0; i < s->count; i++) {
        if (i % s->batch / width == v) {
            run[count++] = order[i];
        }
    }
    return count;
}

static int64_t distinct_files(const int *file, const int64_t *samples, int64_t count) {
    bool seen[FILES_MAX] = {false};
    int64_t distinct = 0;
    for (int64_t i = 0; i < count; i++) {
        distinct += !seen[file[samples[i]]];
        seen[file[samples[i]]] = true;
    }
    return distinct;
}

/* The most files that one window touches, and pairs of a file and a shard. */
typedef struct touched {
    int64_t in_window, pairs;
} touched_t;

static touched_t touch(const sizes_t *s, const int *file, const int64_t *order) {
    int64_t run[COUNT_MAX];
    touched_t most = {0, 0};
    for (int64_t v = 0; v < s->shards; v++) {
        int64_t count = shard_run(s, order, v, run);
        most.pairs += distinct_files(file, run, count);
        for (int64_t at = 0; at < count; at += s->window) {
            int64_t files = distinct_files(file, run + at, min_i64(s->window, count - at));
            most.in_window = max_i64(most.in_window, files);
        }
    }
    return most;
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The most files that `window` consecutive samples of files in any order can touch: a part of one
 * at each end, and between them the smallest there are. */
static int64_t most_files(const sizes_t *s, const int *file) {
    int64_t size[FILES_MAX] = {0}, room = s->window - 2, most = 2;
    for (int64_t i = 0; i < s->count; i++) {
        size[file[i]]++;
    }
    qsort(size, (size_t)s->files, sizeof *size, ascending);
    for (int f = 0; f < s->files && room >= size[f]; f++) {
        most += size[f] > 0;
        room -= size[f];
    }
    return most;
}

static void few_files_are_touched_at_a_time(void **state) {
    (void)state;
    int file[COUNT_MAX];
    int64_t order[COUNT_MAX];
    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        const sizes_t *s = &cases[c];
        for (int kind = 0; kind < KINDS; kind++) {
            assign(s, (kind_t)kind, file);
            int64_t bound = most_files(s, file);
            for (int64_t epoch = 0; epoch < 5; epoch++) {
                order_of(s, file, true, 3, epoch, order);
                touched_t block = touch(s, file, order);
                assert_in_range(block.in_window, 1, bound);
                assert_in_range(block.pairs, 1, s->files + s->shards);
            }
        }
    }
    /* The same bounds do not hold by themselves. */
    assign(&cases[0], EVEN, file);
    order_of(&cases[0], file, false, 3, 0, order);
    touched_t global = touch(&cases[0], file, order);
    assert_true(global.pairs > 4 * (cases[0].files + cases[0].shards));
    assert_true(global.in_window > 15);
}

static bool same_set(const int64_t *a, const int64_t *b, int64_t count) {
    int64_t seen[COUNT_MAX] = {0};
    for (int64_t i = 0; i < count; i++) {
        seen[a[i]]++;
        seen[b[i]]--;
    }
    for (int64_t i = 0; i < COUNT_MAX; i++) {
        if (seen[i] != 0) {
            return false;
        }
    }
    return true;
}

/* With windows of one sample, files are read from front to back; a wider window holds the same
 * samples, in another order. */
static void a_window_mixes_what_follows_in_the_files(void **state) {
    (void)state;
    int file[COUNT_MAX];
    int64_t plain[COUNT_MAX], mixed[COUNT_MAX], a[COUNT_MAX], b[COUNT_MAX];
    sizes_t wide = {1000, 40, 4, 25, 20}, one = wide;
    one.window = 1;
    assign(&wide, UNEVEN, file);
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        order_of(&one, file, true, 9, epoch, plain);
        order_of(&wide, file, true, 9, epoch, mixed);
        for (int64_t v = 0; v < wide.shards; v++) {
            int64_t count = shard_run(&wide, plain, v, a), jumps = 0, kept = 0;
            assert_int_equal(shard_run(&wide, mixed, v, b), count);
            for (int64_t i = 0; i < count; i++) {
                jumps += i > 0 && a[i] != a[i - 1] + 1;
                kept += a[i] == b[i];
            }
            assert_in_range(jumps, 1, wide.files); /* from file to file */
            assert_in_range(kept, 0, count / 5);   /* one in 25 by chance */
            for (int64_t at = 0; at < count; at += wide.window) {
                assert_true(same_set(a + at, b + at, min_i64(wide.window, count - at)));
            }
        }
    }
}

/* Over the epochs every file meets every shard; so does a sample of the only file. */
static void epochs_deal_files_to_other_shards(void **state) {
    (void)state;
    enum { EPOCHS = 200 };
    int file[COUNT_MAX];
    int64_t order[COUNT_MAX];
    sizes_t s = {800, 40, 4, 20, 8};
    bool met[8][4] = {{false}}, met_one[4] = {false};
    assign(&s, EVEN, file);
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        order_of(&s, file, true, 2, epoch, order);
        for (int64_t i = 0; i < s.count; i++) {
            met[file[order[i]]][i % 40 / 10] = true;
        }
    }
    for (int f = 0; f < 8; f++) {
        for (int v = 0; v < 4; v++) {
            assert_true(met[f][v]);
        }
    }
    s.files = 1; /* one file alone: the drawn beginning does it */
    assign(&s, EVEN, file);
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        order_of(&s, file, true, 2, epoch, order);
        for (int64_t i = 0; i < s.count; i++) {
            met_one[i % 40 / 10] |= order[i] == 123;
        }
    }
    for (int v = 0; v < 4; v++) {
        assert_true(met_one[v]);
    }
}

static void the_last_batch_counts(void **state) {
    (void)state;
    assert_int_equal(sample_batches(0, 8), 0);
    assert_int_equal(sample_batches(8, 8), 1);
    assert_int_equal(sample_batches(9, 8), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_comes_once_in_an_epoch),
        cmocka_unit_test(seed_and_epoch_decide),
        cmocka_unit_test(epochs_do_not_depend_on_each_other),
        cmocka_unit_test(few_files_are_touched_at_a_time),
        cmocka_unit_test(a_window_mixes_what_follows_in_the_files),
        cmocka_unit_test(epochs_deal_files_to_other_shards),
        cmocka_unit_test(the_last_batch_counts),
    };
    return RUN_TESTS(tests);
}
