/* The reduction between simulated GPUs: the bits of one recursion over all shards, for every number
 * of ranks and hosts, and what goes between hosts for them; and what it says when a rank does not
 * come, or goes. */
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

static void backward(reduce_t *reduce, state_t *s, int step, bool backwards) {
    size_t bytes = (size_t)s->layout.elements * sizeof(float);
    for (int part = 0; part < reduce_part_count(reduce); part++) {
        tree_node_t leaves = reduce_part_leaves(reduce, part);
        for (int64_t i = 0; i < s->layout.elements; i++) {
            s->host[i] = subtree(step, leaves.begin, leaves.end, i);
        }
        device->copy_in(device, reduce_part(reduce, part), s->host, bytes);
    }
    for (int b = 0; b < BUCKETS; b++) {
        CHECK_OK(reduce_publish(reduce, backwards ? BUCKETS - 1 - b : b));
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
        backward(reduce, &s, step, step % 2 == 0); /* the buckets' order changes */
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
    const int shards[] = {8, 7, 5, 24};
    for (int i = 0; i < ARRAY_LEN(shards); i++) {
        if (shards[i] >= comm_size(comm)) {
            steps_with(shards[i], false);
        }
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
    backward(reduce, s, 0, !last || strcmp(how, "order") != 0);
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

/* Parts by '|', one behind the other. */
static bool has_all(const char *text, const char *parts) {
    char copy[256], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", parts);
    for (char *part = strtok_r(copy, "|", &rest); part != NULL; part = strtok_r(NULL, "|", &rest)) {
        text = strstr(text, part);
        if (text == NULL) {
            return false;
        }
        text += strlen(part);
    }
    return true;
}

/* On one host, whose ranks see which is late, and on two, where the late rank's host speaks. */
static void expect_report(const char *mode, const char *part, const char *on_hosts,
                          int code_wanted) {
    const struct {
        int ranks;
        const char *variables, *part;
    } jobs[] = {{3, "SIMGPU_LEAKS=0", part}, {4, "SIMGPU_LEAKS=0 JMT_COMM_HOSTS=2", on_hosts}};
    if (comm_size(comm) > 1) {
        print_message("# skipped: only a rank that is alone starts jobs\n");
        return;
    }
    for (int i = 0; i < ARRAY_LEN(jobs); i++) {
        char output[8192];
        double start_s = clock_s();
        int code = group_job(jobs[i].ranks, jobs[i].variables, mode, NULL, output, sizeof output);
        const char *error = strstr(output, "jmt: error: "); /* if it still comes to say it */
        bool names = error == NULL || strncmp(error, "jmt: error: reduce_", 19) == 0;
        if ((code_wanted > 0 && code != code_wanted) || code == 0 || !names ||
            !has_all(output, jobs[i].part) || clock_s() - start_s > 60.0) {
            fail_msg("%s, %d ranks: exit %d: %s", mode, jobs[i].ranks, code, output);
        }
    }
}

static void late_rank_is_reported(void **state) {
    (void)state;
    const char late[] = " (it is 2 operations behind, last seen leaving reduce_wait); |"
                        "raise comm.timeout_s, else look at its process |weights have not";
    char here[256], hosts[256];
    snprintf(here, sizeof here, "jmt: error: reduce_wait: no answer from rank 2 |%s", late);
    snprintf(hosts, sizeof hosts, "jmt: error: reduce_wait: no answer from rank 3 |%s", late);
    expect_report("late", here, hosts, 1);
}

static void absent_rank_is_reported(void **state) {
    (void)state;
    expect_report("absent", "reduce_wait: no answer from rank 2 |(gradients of bucket ",
                  "reduce_wait: no answer from rank 3 |(gradients of bucket ", 1);
}

/* Its messages do not fit what the others expect. */
static void rank_with_another_order_is_reported(void **state) {
    (void)state;
    expect_report("order", "mismatched messages: ", "mismatched messages: ", 66);
}

/* The others learn it of NCCL long before their time is over, and before that rank's end. On its
 * own host it is the one to speak, which comes too late here. */
static void rank_that_gives_up_ends_the_job(void **state) {
    (void)state;
    expect_report("gives_up", "",
                  "jmt: error: reduce_|: NCCL: remote process exited |"
                  "rank 3 has aborted|; see NCCL_DEBUG=INFO",
                  0);
}

/* mpirun may hear of the death or of the report first, and has its code from that. sim/ranks_lost
 * has the code of `jmt train`, which gives mpirun time. */
static void killed_rank_ends_the_job(void **state) {
    (void)state;
    const char rest[] = "behind, last seen leaving reduce_wait): look at its process first";
    char here[256], hosts[256];
    snprintf(here, sizeof here, "jmt: error: reduce_|: NCCL: |furthest behind is rank 2 (|%s",
             rest);
    snprintf(hosts, sizeof hosts, "jmt: error: reduce_|: NCCL: |furthest behind is rank 3 (|%s",
             rest);
    expect_report("killed", here, hosts, 0);
}

/* --- hosts ----------------------------------------------------------------------------------- */

/* Started alone: all tests on pretended hosts, which have as many GPUs or differ by one. */
static void same_bits_on_hosts(void **state) {
    (void)state;
    const struct {
        int ranks;
        const char *variables;
    } jobs[] = {{4, "JMT_COMM_HOSTS=2"},
                {6, "JMT_COMM_HOSTS=2 SIMGPU_SEED=1"},
                {6, "JMT_COMM_HOSTS=3 SIMGPU_SEED=2"},
                {3, "JMT_COMM_HOSTS=2 SIMGPU_SEED=3"},
                {3, "JMT_COMM_HOSTS=3"}};
    if (comm_size(comm) > 1) {
        print_message("# skipped: only a rank that is alone starts jobs\n");
        return;
    }
    for (int i = 0; i < ARRAY_LEN(jobs); i++) {
        char output[8192];
        int code = group_job(jobs[i].ranks, jobs[i].variables, "", NULL, output, sizeof output);
        if (code != 0) {
            fail_msg("%d ranks, %s: exit %d: %s", jobs[i].ranks, jobs[i].variables, code, output);
        }
    }
}

/* As comm_open pretends it: the first ranks on the first host, and so on. */
static int host_of(int rank, int ranks, int hosts) { return (int)share_begin(hosts, ranks, rank); }

/* Floats that go between hosts in a step: each subtree that a host holds whole, and the weights, in
 * slices, once to each other host. Flat: each part of each rank, and the weights once to each rank
 * of another host. */
static int64_t floats_between(reduce_t *reduce, const state_t *s, int hosts, bool flat) {
    int ranks = comm_size(comm);
    int64_t sum = 0;
    for (int r = 0; r < ranks; r++) {
        int64_t slice = 0;
        for (int b = 0; b < BUCKETS; b++) {
            bucket_t chunks = reduce_slice(reduce, b, r);
            const chunk_t *all = s->chunks;
            slice += chunks.chunk_end == chunks.chunk_begin
                         ? 0
                         : all[chunks.chunk_end - 1].offset + all[chunks.chunk_end - 1].count -
                               all[chunks.chunk_begin].offset;
        }
        for (int from = 0; from < ranks; from++) { /* groups of ranks: alone if flat, else hosts */
            int until = from + 1;
            while (!flat && until < ranks &&
                   host_of(until, ranks, hosts) == host_of(from, ranks, hosts)) {
                until++;
            }
            tree_node_t nodes[TREE_NODES_MAX];
            tree_node_t run = {tree_run(s->layout.shards, from, ranks).begin,
                               tree_run(s->layout.shards, until - 1, ranks).end};
            if (host_of(from, ranks, hosts) != host_of(r, ranks, hosts)) {
                sum += slice * (tree_cover(s->layout.shards, run, nodes) + 1);
            }
            from = until - 1;
        }
    }
    return sum;
}

static status_t count(int shards, int hosts) {
    state_t s;
    reduce_t *reduce = NULL;
    make_layout(&s, shards);
    TRY(reduce_open(comm, &s.layout, false, device, kernels->add, &reduce));
    if (comm_rank(comm) == 0) {
        printf("expected %lld flat %lld\n",
               (long long)(STEPS * 4 * floats_between(reduce, &s, hosts, false)),
               (long long)(STEPS * 4 * floats_between(reduce, &s, hosts, true)));
        fflush(stdout);
    }
    reduce_close(reduce);
    free(s.host);
    steps_with(shards, false);
    return STATUS_OK;
}

static long long sent_between(const char *path, int ranks, int hosts) {
    FILE *file = fopen(path, "r");
    long long sum = 0, bytes;
    int from, to;
    REQUIRE(file != NULL);
    while (fscanf(file, "rank %d to %d bytes %lld ", &from, &to, &bytes) == 3) {
        sum += host_of(from, ranks, hosts) != host_of(to, ranks, hosts) ? bytes : 0;
    }
    fclose(file);
    return sum;
}

static void hosts_send_what_they_must(void **state) {
    (void)state;
    const struct {
        int ranks, hosts, shards;
        bool less; /* than flat */
    } jobs[] = {{4, 2, 8, true}, {4, 2, 7, true},  {6, 2, 24, true}, {6, 3, 8, true},
                {3, 2, 5, true}, {5, 2, 24, true}, {2, 2, 8, false}};
    if (comm_size(comm) > 1) {
        print_message("# skipped: only a rank that is alone starts jobs\n");
        return;
    }
    char folder[] = "/tmp/jmt-bytes-XXXXXX";
    REQUIRE(mkdtemp(folder) != NULL);
    for (int i = 0; i < ARRAY_LEN(jobs); i++) {
        char output[8192], variables[256], mode[64], path[64];
        long long expected = -1, flat = -1;
        snprintf(path, sizeof path, "%s/%d", folder, i);
        snprintf(mode, sizeof mode, "count %d %d", jobs[i].shards, jobs[i].hosts);
        snprintf(variables, sizeof variables, "JMT_COMM_HOSTS=%d SIMGPU_BYTES=%s", jobs[i].hosts,
                 path);
        int code = group_job(jobs[i].ranks, variables, mode, NULL, output, sizeof output);
        long long sent = code == 0 ? sent_between(path, jobs[i].ranks, jobs[i].hosts) : -1;
        (void)unlink(path);
        if (code != 0 || sscanf(output, "expected %lld flat %lld", &expected, &flat) != 2 ||
            sent != expected || (sent < flat) != jobs[i].less) {
            fail_msg("%d ranks, %d hosts, %d shards: exit %d, %lld bytes between hosts: %s",
                     jobs[i].ranks, jobs[i].hosts, jobs[i].shards, code, sent, output);
        }
    }
    (void)rmdir(folder);
}

static status_t open_device(void) {
    TRY(device_open("cuda", comm_rank(comm), comm_size(comm), &device));
    return kernels_for("cuda", DTYPE_F32, &kernels);
}

int main(int argc, char **argv) {
    CHECK_OK(comm_open(&(comm_config_t){.timeout_s = 30.0}, &comm));
    CHECK_OK(open_device());
    if (argc > 3) {
        status_t status = count((int)strtoll(argv[2], NULL, 10), (int)strtoll(argv[3], NULL, 10));
        device_close(device);
        group_die(comm, status);
    }
    if (argc > 1) {
        signal(SIGTERM, SIG_IGN); /* as jmt has it: mpirun's may come before the report */
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
        cmocka_unit_test(rank_with_another_order_is_reported),
        cmocka_unit_test(same_bits_on_hosts),
        cmocka_unit_test(hosts_send_what_they_must),
    };
    int failures = RUN_GROUP_TESTS(comm, tests);
    device_close(device);
    comm_close(comm);
    return failures;
}
