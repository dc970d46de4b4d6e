#include <math.h>

#include "comm/reduce.h"
#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/base/rng.h"
#include "mpi/group.h"

enum { TENSORS = 9, CHUNKS_MAX = 64, BUCKETS = 4, STEPS = 6, RANKS_MAX = 16 };

static comm_t *comm;

static const int64_t tensor_sizes[TENSORS] = {1, 7, 4096, 9000, 3, 4097, 20001, 64, 12345};

typedef struct state {
    chunk_t chunks[CHUNKS_MAX];
    bucket_t buckets[BUCKETS];
    reduce_layout_t layout;
} state_t;

/* Tensors padded to 16 elements; one bucket has a single chunk, so most ranks own nothing of it.
 * Gaps between tensors make the windows as large as one likes. */
static void make_spread_layout(state_t *s, int shards, int64_t gap) {
    int64_t at = 0, count = 0;
    for (int t = 0; t < TENSORS; t++) {
        for (int64_t i = 0; i < tensor_sizes[t]; i += CHUNK_ELEMENTS) {
            int64_t elements = min_i64(CHUNK_ELEMENTS, tensor_sizes[t] - i);
            s->chunks[count++] = (chunk_t){at + i, (int32_t)elements, t};
        }
        at = align_up(at + tensor_sizes[t] + gap, 16);
    }
    REQUIRE(count <= CHUNKS_MAX);
    int64_t ends[BUCKETS] = {1, 5, count - 4, count};
    for (int b = 0; b < BUCKETS; b++) {
        s->buckets[b] = (bucket_t){b == 0 ? 0 : ends[b - 1], ends[b]};
    }
    s->layout = (reduce_layout_t){at, s->chunks, count, s->buckets, BUCKETS, shards};
}

static void make_layout(state_t *s, int shards) { make_spread_layout(s, shards, 0); }

static void add(const device_t *device, void *out, const void *a, const void *b, int64_t count) {
    (void)device;
    float *o = out;
    const float *x = a, *y = b;
    for (int64_t i = 0; i < count; i++) {
        o[i] = x[i] + y[i];
    }
}

static const device_t host = {.name = "cpu", .host = true};

/* The gradient of one shard: wild magnitudes, so that order shows. (splitmix64: many are drawn.) */
static float leaf(int step, int shard, int64_t element) {
    uint64_t bits = ((uint64_t)step << 48) + ((uint64_t)shard << 32) + (uint64_t)element;
    bits += 0x9e3779b97f4a7c15u;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    union {
        uint32_t word;
        float number;
    } power = {.word = (uint32_t)(107 + (bits >> 58) % 40) << 23}; /* 2^-20 .. 2^19 */
    return (float)((int32_t)(bits & 0xffffff) - 8388608) * power.number;
}

static float subtree(int step, int begin, int end, int64_t element) {
    if (end - begin == 1) {
        return leaf(step, begin, element);
    }
    int middle = begin + tree_split(end - begin);
    return subtree(step, begin, middle, element) + subtree(step, middle, end, element);
}

static void nap(int step, int salt) {
    rng_key_t key = {(uint64_t)comm_rank(comm), (uint64_t)salt, (uint64_t)step};
    if (rng_u32(key, 0) % 2 == 0) {
        clock_sleep_us((int)(rng_u32(key, 1) % 8000));
    }
}

/* Between hosts the first bucket travels during backward; nobody here calls comm meanwhile. */
static void wait_for_first_bucket(reduce_t *reduce, int step) {
    double end_s = clock_s() + 20.0;
    while (comm_host_count(comm) > 1 && reduce_moved(reduce) == 0) {
        if (clock_s() > end_s) {
            fail_msg("step %d: no bucket moved while the main thread was busy", step);
        }
        clock_sleep_us(100);
    }
    if (comm_host_count(comm) == 1) {
        assert_int_equal(reduce_moved(reduce), 0);
    }
}

/* As batch norms do in backward, while messages of the buckets published are on their way. */
static void gather_meanwhile(int step, int bucket) {
    enum { NUMBERS = 1000 };
    static double mine[NUMBERS], all[RANKS_MAX * NUMBERS];
    for (int i = 0; i < NUMBERS; i++) {
        mine[i] = comm_rank(comm) + 1e-3 * i + 100.0 * step + 10000.0 * bucket;
    }
    CHECK_OK(comm_all_gather(comm, mine, sizeof mine, all, "gather"));
    for (int64_t i = 0; i < (int64_t)comm_size(comm) * NUMBERS; i++) {
        double rank = (double)(i / NUMBERS);
        double want = rank + 1e-3 * (double)(i % NUMBERS) + 100.0 * step + 10000.0 * bucket;
        assert_true(all[i] == want);
    }
}

static void backward(reduce_t *reduce, const state_t *s, int step) {
    for (int b = BUCKETS - 1; b >= 0; b--) {
        nap(step, b);
        for (int part = 0; part < reduce_part_count(reduce); part++) {
            tree_node_t leaves = reduce_part_leaves(reduce, part);
            for (int64_t c = s->buckets[b].chunk_begin; c < s->buckets[b].chunk_end; c++) {
                for (int64_t i = 0; i < s->chunks[c].count; i++) {
                    int64_t element = s->chunks[c].offset + i;
                    reduce_part(reduce, part)[element] =
                        subtree(step, leaves.begin, leaves.end, element);
                }
            }
        }
        CHECK_OK(reduce_publish(reduce, b));
        if (b == BUCKETS - 1) {
            wait_for_first_bucket(reduce, step);
        }
        gather_meanwhile(step, b);
    }
}

static void check_gradient(const reduce_t *reduce, const state_t *s, int step, bool fast) {
    for (int b = 0; b < BUCKETS; b++) {
        bucket_t slice = reduce_slice(reduce, b, comm_rank(comm));
        for (int64_t c = slice.chunk_begin; c < slice.chunk_end; c++) {
            for (int64_t i = 0; i < s->chunks[c].count; i++) {
                int64_t element = s->chunks[c].offset + i;
                float expected = subtree(step, 0, s->layout.shards, element);
                float sum = reduce_gradient(reduce)[element];
                if (fast ? fabsf(sum - expected) > 1e8f : sum != expected) {
                    fail_msg("step %d, bucket %d, element %lld: %a instead of %a", step, b,
                             (long long)element, (double)sum, (double)expected);
                }
            }
        }
    }
}

static void update(reduce_t *reduce, const state_t *s) {
    for (int b = 0; b < BUCKETS; b++) {
        bucket_t slice = reduce_slice(reduce, b, comm_rank(comm));
        for (int64_t c = slice.chunk_begin; c < slice.chunk_end; c++) {
            for (int64_t i = 0; i < s->chunks[c].count; i++) {
                int64_t element = s->chunks[c].offset + i;
                reduce_weights(reduce)[element] += reduce_gradient(reduce)[element];
            }
        }
    }
}

static void check_weights(reduce_t *reduce, const state_t *s, const float *expected) {
    for (int64_t c = 0; c < s->layout.chunk_count; c++) {
        const chunk_t *chunk = &s->chunks[c];
        assert_memory_equal(reduce_weights(reduce) + chunk->offset, expected + chunk->offset,
                            (size_t)chunk->count * sizeof(float));
    }
}

static void expect_update(const state_t *s, int step, float *weights) {
    for (int64_t c = 0; c < s->layout.chunk_count; c++) {
        for (int64_t i = 0; i < s->chunks[c].count; i++) {
            int64_t element = s->chunks[c].offset + i;
            weights[element] += subtree(step, 0, s->layout.shards, element);
        }
    }
}

static void steps_spread(int shards, bool fast, int64_t gap) {
    state_t s;
    make_spread_layout(&s, shards, gap);
    reduce_t *reduce = NULL;
    CHECK_OK(reduce_open(comm, &s.layout, fast, &host, add, &reduce));
    float *weights = alloc_zero(s.layout.elements, sizeof *weights);
    for (int step = 0; step < STEPS; step++) {
        backward(reduce, &s, step);
        CHECK_OK(reduce_finish(reduce));
        check_gradient(reduce, &s, step, fast);
        nap(step, 77);
        update(reduce, &s);
        CHECK_OK(reduce_share(reduce));
        if (fast) {
            memcpy(weights, reduce_weights(reduce), (size_t)s.layout.elements * sizeof *weights);
        } else {
            expect_update(&s, step, weights);
            check_weights(reduce, &s, weights);
        }
        reduce_times_t times = reduce_last_times(reduce);
        assert_true(times.total_ms >= times.exposed_ms && times.exposed_ms >= 0.0);
    }
    free(weights);
    reduce_close(reduce);
}

static void steps_with(int shards, bool fast) { steps_spread(shards, fast, 0); }

static void same_bits_as_one_recursion(void **state) {
    (void)state;
    const int shards[] = {8, 24, 7, 5, 64};
    for (int i = 0; i < ARRAY_LEN(shards); i++) {
        if (shards[i] >= comm_size(comm)) {
            steps_with(shards[i], false);
        }
    }
}

/* 13 MB an array: in huge pages, and past the caches. */
static void same_bits_in_large_windows(void **state) {
    (void)state;
    if (comm_host_count(comm) == 1) { /* else gaps would travel too, slowly */
        steps_spread(24, false, 360001);
    }
}

static void fast_is_near(void **state) {
    (void)state;
    steps_with(24, true);
}

static void slices_partition_every_bucket(void **state) {
    (void)state;
    state_t s;
    make_layout(&s, 8);
    reduce_t *reduce = NULL;
    CHECK_OK(reduce_open(comm, &s.layout, false, &host, add, &reduce));
    for (int b = 0; b < BUCKETS; b++) {
        int64_t next = s.buckets[b].chunk_begin;
        for (int r = 0; r < comm_size(comm); r++) {
            bucket_t slice = reduce_slice(reduce, b, r);
            assert_int_equal(slice.chunk_begin, next);
            next = slice.chunk_end;
        }
        assert_int_equal(next, s.buckets[b].chunk_end);
    }
    reduce_close(reduce);
}

/* The flat state, then the constants, as often as there are hosts: whoever writes them, all ranks
 * of its host read them. */
static void weights_exist_once_a_host(void **state) {
    (void)state;
    enum { CONSTANTS = 100 };
    state_t s;
    make_layout(&s, 8);
    s.layout.constants = CONSTANTS;
    reduce_t *reduce = NULL;
    CHECK_OK(reduce_open(comm, &s.layout, false, &host, add, &reduce));
    int64_t elements = s.layout.elements + CONSTANTS;
    int writes = reduce_writes_weights(reduce), *all = alloc_zero(comm_size(comm), sizeof *all);
    CHECK_OK(comm_all_gather(comm, &writes, sizeof writes, all, "gather"));
    int writers = 0, mine = 0;
    for (int r = 0; r < comm_size(comm); r++) {
        writers += all[r];
        mine = r <= comm_rank(comm) && all[r] != 0 ? r : mine; /* hosts are runs of ranks here */
    }
    free(all);
    assert_int_equal(writers, comm_host_count(comm));
    for (int64_t i = 0; i < elements && writes; i++) {
        reduce_weights(reduce)[i] = (float)(i + mine);
    }
    CHECK_OK(comm_barrier(comm, "write"));
    for (int64_t i = 0; i < elements; i++) {
        assert_true(reduce_weights(reduce)[i] == (float)(i + mine));
    }
    size_t with = reduce_bytes(&s.layout, comm_rank(comm), comm_size(comm), true);
    size_t without = reduce_bytes(&s.layout, comm_rank(comm), comm_size(comm), false);
    assert_true(without > sizeof(float) * (size_t)s.layout.elements);
    assert_true(with - without >= sizeof(float) * (size_t)elements);
    reduce_close(reduce);
}

static void check_all_read(reduce_t *reduce, const state_t *s, int step, int moment) {
    for (int64_t c = 0; c < s->layout.chunk_count; c++) {
        for (int64_t i = 0; i < s->chunks[c].count; i++) {
            int64_t element = s->chunks[c].offset + i;
            float seen = reduce_weights(reduce)[element], want = (float)step + (float)(element % 9);
            if (seen != want) {
                fail_msg("step %d, moment %d, element %lld: %g instead of %g", step, moment,
                         (long long)element, (double)seen, (double)want);
            }
        }
    }
}

static void set_own(float *to, const reduce_t *reduce, const state_t *s, int bucket, int step) {
    bucket_t slice = reduce_slice(reduce, bucket, comm_rank(comm));
    for (int64_t c = slice.chunk_begin; c < slice.chunk_end; c++) {
        for (int64_t i = 0; i < s->chunks[c].count; i++) {
            int64_t element = s->chunks[c].offset + i;
            to[element] = (float)step + (float)(element % 9);
        }
    }
}

/* Nothing but the reduction keeps ranks together here, each rests at moments of its own, and all
 * weights are read from share until the last bucket is published: none may be of another step. */
static void weights_are_of_one_step(void **state) {
    (void)state;
    enum { HURRIED_STEPS = 12 };
    state_t s;
    make_layout(&s, 8);
    reduce_t *reduce = NULL;
    CHECK_OK(reduce_open(comm, &s.layout, false, &host, add, &reduce));
    for (int step = 1; step <= HURRIED_STEPS; step++) {
        for (int b = 0; b < BUCKETS; b++) {
            nap(step, 100 + b);
            if (step > 1) {
                check_all_read(reduce, &s, step - 1, b);
            }
            CHECK_OK(reduce_publish(reduce, b));
        }
        nap(step, 110);
        CHECK_OK(reduce_finish(reduce));
        for (int b = 0; b < BUCKETS; b++) {
            nap(step, 120 + b);
            set_own(reduce_weights(reduce), reduce, &s, b, step);
        }
        CHECK_OK(reduce_share(reduce));
        check_all_read(reduce, &s, step, BUCKETS);
    }
    CHECK_OK(comm_barrier(comm, "close"));
    reduce_close(reduce);
}

static void more_ranks_than_shards_is_refused(void **state) {
    (void)state;
    state_t s;
    make_layout(&s, 1);
    reduce_t *reduce = NULL;
    status_t status = reduce_open(comm, &s.layout, false, &host, add, &reduce);
    if (comm_size(comm) == 1) {
        assert_int_equal(status, STATUS_OK);
        reduce_close(reduce);
    } else {
        assert_int_equal(status, comm_rank(comm) == 0 ? STATUS_INPUT : STATUS_PEER);
        assert_int_equal(comm_exit_status(comm), STATUS_INPUT);
    }
}

static void different_layouts_are_refused(void **state) {
    (void)state;
    state_t s;
    make_layout(&s, 8);
    s.chunks[0].tensor = comm_rank(comm) == 1 ? 99 : 0;
    reduce_t *reduce = NULL;
    status_t status = reduce_open(comm, &s.layout, false, &host, add, &reduce);
    if (comm_size(comm) == 1) {
        assert_int_equal(status, STATUS_OK);
        reduce_close(reduce);
    } else if (comm_rank(comm) == 1) {
        assert_int_equal(status, STATUS_FAILED);
        assert_non_null(strstr(status_text(), "differs from rank 0"));
    } else {
        assert_int_equal(status, STATUS_PEER);
    }
}

/* Started alone: the same tests on pretended hosts, where messages go instead of shared memory. */
static void pretended_hosts(void **state) {
    (void)state;
    if (comm_size(comm) > 1) {
        print_message("# skipped: only a rank that is alone starts jobs\n");
        return;
    }
    const struct {
        int ranks;
        const char *variables;
    } jobs[] = {{2, "JMT_COMM_HOSTS=2"},
                {4, "JMT_COMM_HOSTS=2"},
                {3, "JMT_COMM_HOSTS=2"},
                {3, "JMT_COMM_HOSTS=3"}};
    for (int i = 0; i < ARRAY_LEN(jobs); i++) {
        char output[16384];
        int code = group_job(jobs[i].ranks, jobs[i].variables, "", NULL, output, sizeof output);
        if (code != 0) {
            fail_msg("%d ranks, %s: exit %d: %s", jobs[i].ranks, jobs[i].variables, code, output);
        }
    }
}

static void small_shm_is_refused_with_the_remedy(void **state) {
    (void)state;
    char output[4096];
    if (comm_size(comm) > 1 || system("unshare -m true 2>/dev/null") != 0) {
        print_message("# skipped: needs to be alone, and root to mount a small /dev/shm\n");
        return;
    }
    int code =
        group_job(2, "", "big", "mount -t tmpfs -o size=40m tmpfs /dev/shm", output, sizeof output);
    if (code != 3 || group_occurrences(output, "/dev/shm is too small") != 1 ||
        group_occurrences(output, "needs 147") != 1 || /* one array of weights, two of parts */
        group_occurrences(output, "--shm-size") != 1) {
        fail_msg("exit %d: %s", code, output);
    }
    const char *enough = "mount -t tmpfs -o size=180m tmpfs /dev/shm";
    code = group_job(2, "", "big", enough, output, sizeof output);
    if (code != 0) {
        fail_msg("exit %d: %s", code, output);
    }
}

/* The last rank never publishes its last bucket, or it does and never shares its weights. */
static status_t come_late(bool publishes) {
    state_t s;
    make_layout(&s, 8);
    reduce_t *reduce = NULL;
    bool last = comm_rank(comm) == comm_size(comm) - 1;
    TRY(reduce_open(comm, &s.layout, false, &host, add, &reduce));
    comm_set_timeout(comm, 1.0);
    for (int b = 0; b < BUCKETS; b++) {
        if (b == BUCKETS - 1 && last && !publishes) {
            clock_sleep_us(20000000);
        }
        TRY(reduce_publish(reduce, b));
    }
    status_t status = reduce_finish(reduce);
    if (status == STATUS_OK) {
        if (last) {
            clock_sleep_us(20000000);
        }
        status = reduce_share(reduce);
    }
    reduce_close(reduce);
    return status;
}

static void time_out_names_the_late_rank(void **state) {
    (void)state;
    if (comm_size(comm) > 1) {
        print_message("# skipped: only a rank that is alone starts jobs\n");
        return;
    }
    const char *variables[] = {"", "JMT_COMM_HOSTS=2", "JMT_COMM_HOSTS=3"};
    const char *modes[] = {"late", "unshared"};
    const char *said[] = {"reduce_finish: no answer from rank 2",
                          "reduce_share: no answer from rank 2"};
    for (int i = 0; i < ARRAY_LEN(variables) * ARRAY_LEN(modes); i++) {
        char output[4096];
        int mode = i % ARRAY_LEN(modes);
        const char *variable = variables[i / ARRAY_LEN(modes)];
        double start_s = clock_s();
        int code = group_job(3, variable, modes[mode], NULL, output, sizeof output);
        if (code != 1 || group_occurrences(output, "jmt: error") != 1 ||
            strstr(output, said[mode]) == NULL || clock_s() - start_s > 12.0) {
            fail_msg("%s, %s: exit %d: %s", variable, modes[mode], code, output);
        }
    }
}

/* A reduction of 12 M elements: 49 MB of weights, as much of parts for each rank. */
static status_t open_big(void) {
    enum { COUNT = 3000 };
    chunk_t *chunks = alloc_zero(COUNT, sizeof *chunks);
    for (int c = 0; c < COUNT; c++) {
        chunks[c] = (chunk_t){(int64_t)c * CHUNK_ELEMENTS, CHUNK_ELEMENTS, 0};
    }
    bucket_t bucket = {0, COUNT};
    reduce_layout_t layout = {(int64_t)COUNT * CHUNK_ELEMENTS, chunks, COUNT, &bucket, 1, 8};
    reduce_t *reduce = NULL;
    status_t status = reduce_open(comm, &layout, false, &host, add, &reduce);
    reduce_close(reduce);
    free(chunks);
    return status;
}

int main(int argc, char **argv) {
    CHECK_OK(comm_open(&(comm_config_t){.timeout_s = 30.0}, &comm));
    if (argc > 1 && strcmp(argv[1], "big") == 0) {
        group_die(comm, open_big());
    }
    if (argc > 1 && strcmp(argv[1], "late") == 0) {
        group_die(comm, come_late(false));
    }
    if (argc > 1 && strcmp(argv[1], "unshared") == 0) {
        group_die(comm, come_late(true));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_as_one_recursion),
        cmocka_unit_test(same_bits_in_large_windows),
        cmocka_unit_test(fast_is_near),
        cmocka_unit_test(slices_partition_every_bucket),
        cmocka_unit_test(weights_exist_once_a_host),
        cmocka_unit_test(weights_are_of_one_step),
        cmocka_unit_test(more_ranks_than_shards_is_refused),
        cmocka_unit_test(different_layouts_are_refused),
        cmocka_unit_test(pretended_hosts),
        cmocka_unit_test(time_out_names_the_late_rank),
        cmocka_unit_test(small_shm_is_refused_with_the_remedy),
    };
    int failures = RUN_GROUP_TESTS(comm, tests);
    comm_close(comm);
    return failures;
}
