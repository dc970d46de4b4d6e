/* The reduction between simulated GPUs: the bits of one recursion over all shards, for every number
 * of ranks; and what it says when a rank does not come, or goes. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>

#include "comm/reduce.h"
#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/kernels.h"
#include "mpi/group.h"

enum { TENSORS = 7, CHUNKS_MAX = 32, BUCKETS = 3, STEPS = 3 };

static comm_t *comm;
static const device_t *device;
static const kernels_t *kernels;

static const int64_t tensor_sizes[TENSORS] = {1, 7, 4096, 5000, 3, 4097, 64};

typedef struct state {
    chunk_t chunks[CHUNKS_MAX];
    bucket_t buckets[BUCKETS];
    reduce_layout_t layout;
    float *host; /* of the length of the flat state */
} state_t;

/* One bucket has a single chunk, so most ranks own nothing of it. */
static void make_layout(state_t *s, int shards) {
    int64_t at = 0, count = 0;
    for (int t = 0; t < TENSORS; t++) {
        for (int64_t i = 0; i < tensor_sizes[t]; i += CHUNK_ELEMENTS) {
            int64_t elements = min_i64(CHUNK_ELEMENTS, tensor_sizes[t] - i);
            s->chunks[count++] = (chunk_t){at + i, (int32_t)elements, t};
        }
        at = align_up(at + tensor_sizes[t], 64);
    }
    REQUIRE(count <= CHUNKS_MAX);
    int64_t ends[BUCKETS] = {1, 5, count};
    for (int b = 0; b < BUCKETS; b++) {
        s->buckets[b] = (bucket_t){b == 0 ? 0 : ends[b - 1], ends[b]};
    }
    s->layout = (reduce_layout_t){at, s->chunks, count, s->buckets, BUCKETS, shards};
    s->host = alloc_zero(at, sizeof *s->host);
}

/* The gradient of one shard: wild magnitudes, so that order shows. */
static float leaf(int step, int shard, int64_t element) {
    uint64_t bits = ((uint64_t)step << 48) + ((uint64_t)shard << 32) + (uint64_t)element;
    bits += 0x9e3779b97f4a7c15u;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return ldexpf((float)((int32_t)(bits & 0xffffff) - 8388608), (int)(bits >> 58) % 40 - 20);
}

static float subtree(int step, int begin, int end, int64_t element) {
    if (end - begin == 1) {
        return leaf(step, begin, element);
    }
    int middle = begin + tree_split(end - begin);
    return subtree(step, begin, middle, element) + subtree(step, middle, end, element);
}

static bool is_in_a_chunk(const state_t *s, int64_t element, bucket_t chunks) {
    for (int64_t c = chunks.chunk_begin; c < chunks.chunk_end; c++) {
        if (element >= s->chunks[c].offset && element < s->chunks[c].offset + s->chunks[c].count) {
            return true;
        }
    }
    return false;
}

/* In one step the buckets come in their order, in the next from the last on. */
static void backward(reduce_t *reduce, state_t *s, int step) {
    size_t bytes = (size_t)s->layout.elements * sizeof(float);
    for (int part = 0; part < reduce_part_count(reduce); part++) {
        tree_node_t leaves = reduce_part_leaves(reduce, part);
        for (int64_t i = 0; i < s->layout.elements; i++) {
            s->host[i] = subtree(step, leaves.begin, leaves.end, i);
        }
        device->copy_in(device, reduce_part(reduce, part), s->host, bytes);
    }
    for (int b = 0; b < BUCKETS; b++) {
        CHECK_OK(reduce_publish(reduce, step % 2 == 0 ? BUCKETS - 1 - b : b));
    }
}

/* weights = weights + gradient on the own slices, on the device. */
static void update(reduce_t *reduce, const state_t *s) {
    for (int b = 0; b < BUCKETS; b++) {
        bucket_t slice = reduce_slice(reduce, b, comm_rank(comm));
        for (int64_t c = slice.chunk_begin; c < slice.chunk_end; c++) {
            float *weights = reduce_weights(reduce) + s->chunks[c].offset;
            kernels->add(device, weights, weights, reduce_gradient(reduce) + s->chunks[c].offset,
                         s->chunks[c].count);
        }
    }
}

static void check_weights(reduce_t *reduce, state_t *s, const float *expected, bool fast) {
    bucket_t all = {0, s->layout.chunk_count};
    device->copy_out(device, s->host, reduce_weights(reduce),
                     (size_t)s->layout.elements * sizeof(float));
    for (int64_t i = 0; i < s->layout.elements; i++) {
        bool wrong = fast ? fabsf(s->host[i] - expected[i]) > 1e8f : s->host[i] != expected[i];
        if (is_in_a_chunk(s, i, all) && wrong) {
            fail_msg("element %lld: %a instead of %a", (long long)i, (double)s->host[i],
                     (double)expected[i]);
        }
    }
}

static void steps_with(int shards, bool fast) {
    state_t s;
    make_layout(&s, shards);
    reduce_t *reduce = NULL;
    CHECK_OK(reduce_open(comm, &s.layout, fast, device, kernels->add, &reduce));
    float *expected = alloc_zero(s.layout.elements, sizeof *expected);
    for (int step = 0; step < STEPS; step++) {
        backward(reduce, &s, step);
        while (comm_size(comm) > 1 && reduce_moved(reduce) < BUCKETS) {
            clock_sleep_us(100);
        }
        CHECK_OK(reduce_wait(reduce));
        CHECK_OK(reduce_finish(reduce));
        update(reduce, &s);
        CHECK_OK(reduce_share(reduce));
        for (int64_t i = 0; i < s.layout.elements; i++) {
            expected[i] += subtree(step, 0, shards, i);
        }
        check_weights(reduce, &s, expected, fast);
    }
    free(expected);
    free(s.host);
    reduce_close(reduce);
}

static void same_bits_as_one_recursion(void **state) {
    (void)state;
    const int shards[] = {8, 7, 5};
    for (int i = 0; i < ARRAY_LEN(shards); i++) {
        steps_with(shards[i], false);
    }
}

static void fast_is_near(void **state) {
    (void)state;
    steps_with(8, true);
}

static status_t wrong_step(reduce_t *reduce, state_t *s, const char *how) {
    bool last = comm_rank(comm) == comm_size(comm) - 1;
    if (last && strcmp(how, "absent") == 0) {
        clock_sleep_us(20000000);
    }
    backward(reduce, s, 0);
    TRY(reduce_finish(reduce));
    TRY(reduce_wait(reduce));
    if (strcmp(how, "gives_up") == 0) {
        comm_set_timeout(comm, last ? 0.2 : 30.0);
        clock_sleep_us(last ? 0 : 4000000);
        TRY(reduce_share(reduce));
        return reduce_wait(reduce);
    }
    if (last) {
        if (strcmp(how, "killed") == 0) {
            raise(SIGKILL);
        }
        clock_sleep_us(20000000);
    }
    TRY(reduce_share(reduce));
    return reduce_wait(reduce);
}

/* Rank 0 says why; no rank goes on. */
static void fails_to_open(const char *call, const char *text) {
    state_t s;
    reduce_t *reduce = NULL;
    make_layout(&s, 8);
    setenv("SIMGPU_FAILS", call, 1);
    status_t status = reduce_open(comm, &s.layout, false, device, kernels->add, &reduce);
    unsetenv("SIMGPU_FAILS");
    assert_true(status != STATUS_OK && reduce == NULL);
    if (comm_rank(comm) == 0 && strstr(status_text(), text) == NULL) {
        fail_msg("%s: %s", call, status_text());
    }
    free(s.host);
}

static void nccl_that_does_not_start(void **state) {
    (void)state;
    if (comm_size(comm) == 1) {
        print_message("# skipped: a rank that is alone needs no NCCL\n");
        return;
    }
    fails_to_open("ncclGetUniqueId", "NCCL does not start: unhandled system error");
    fails_to_open("ncclCommInitRankConfig", "open NCCL: NCCL: unhandled system error");
}

/* Run as a job: what a rank does wrong. The others give up what is under way, and end. */
static status_t go_wrong(const char *how) {
    state_t s;
    make_layout(&s, 8);
    reduce_t *reduce = NULL;
    TRY(reduce_open(comm, &s.layout, false, device, kernels->add, &reduce));
    comm_set_timeout(comm, 2.0);
    status_t status = wrong_step(reduce, &s, how);
    reduce_close(reduce);
    free(s.host);
    if (comm_rank(comm) == comm_size(comm) - 1 && strcmp(how, "gives_up") == 0) {
        clock_sleep_us(20000000);
    }
    return status;
}

static void expect_report(const char *mode, const char *part, int code_wanted) {
    char output[8192];
    double start_s = clock_s();
    if (comm_size(comm) > 1) {
        print_message("# skipped: only a rank that is alone starts jobs\n");
        return;
    }
    int code = group_job(3, "SIMGPU_LEAKS=0", mode, NULL, output, sizeof output);
    if ((code_wanted > 0 && code != code_wanted) || code == 0 || strstr(output, part) == NULL ||
        clock_s() - start_s > 15.0) {
        fail_msg("%s: exit %d: %s", mode, code, output);
    }
}

static void late_rank_is_reported(void **state) {
    (void)state;
    expect_report("late", "no answer from rank 2", 1);
}

static void absent_rank_is_reported(void **state) {
    (void)state;
    expect_report("absent", "reduce_wait: no answer from rank 2", 1);
}

/* The others learn it of NCCL long before their time is over, and before that rank's end. */
static void rank_that_gives_up_ends_the_job(void **state) {
    (void)state;
    expect_report("gives_up", "", 0);
}

static void killed_rank_ends_the_job(void **state) {
    (void)state;
    expect_report("killed", "", 0);
}

static status_t open_device(void) {
    TRY(device_open("cuda", comm_rank(comm), comm_size(comm), &device));
    return kernels_for("cuda", DTYPE_F32, &kernels);
}

int main(int argc, char **argv) {
    CHECK_OK(comm_open(&(comm_config_t){.timeout_s = 30.0}, &comm));
    CHECK_OK(open_device());
    if (argc > 1) {
        group_die(comm, go_wrong(argv[1]));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_as_one_recursion),
        cmocka_unit_test(fast_is_near),
        cmocka_unit_test(nccl_that_does_not_start),
        cmocka_unit_test(late_rank_is_reported),
        cmocka_unit_test(absent_rank_is_reported),
        cmocka_unit_test(killed_rank_ends_the_job),
        cmocka_unit_test(rank_that_gives_up_ends_the_job),
    };
    int failures = RUN_GROUP_TESTS(comm, tests);
    device_close(device);
    comm_close(comm);
    return failures;
}
