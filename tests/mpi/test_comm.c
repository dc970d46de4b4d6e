#include <signal.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "mpi/group.h"

static comm_t *comm;

static void gather_in_rank_order(void **state) {
    (void)state;
    int size = comm_size(comm), mine = 100 + comm_rank(comm), all[64];
    assert_true(size <= 64);
    for (int turn = 0; turn < 50; turn++) {
        memset(all, 0, sizeof all);
        CHECK_OK(comm_all_gather(comm, &mine, sizeof mine, all, "gather"));
        for (int r = 0; r < size; r++) {
            assert_int_equal(all[r], 100 + r);
        }
    }
}

static unsigned char byte_of(int rank, size_t at) { return (unsigned char)(at * 7 + (size_t)rank); }

/* Large enough for MPI's rendezvous, with empty pieces, laid out in reverse. */
static void gather_of_different_lengths(void **state) {
    (void)state;
    int size = comm_size(comm), rank = comm_rank(comm);
    size_t lengths[64], offsets[64], total = 0;
    for (int r = size - 1; r >= 0; r--) {
        lengths[r] = r % 2 == 1 ? 0 : 300000 + (size_t)r;
        offsets[r] = total;
        total += lengths[r];
    }
    unsigned char *all = alloc_zero((int64_t)total, 1), *mine = alloc_zero(400000, 1);
    for (size_t i = 0; i < lengths[rank]; i++) {
        mine[i] = byte_of(rank, i);
    }
    CHECK_OK(comm_all_gather_v(comm, mine, all, lengths, offsets, "gather_v"));
    for (int r = 0; r < size; r++) {
        for (size_t i = 0; i < lengths[r]; i++) {
            assert_int_equal(all[offsets[r] + i], byte_of(r, i));
        }
    }
    free(all);
    free(mine);
}

static void broadcast_reaches_all(void **state) {
    (void)state;
    char data[100000];
    memset(data, comm_rank(comm) == 0 ? 'x' : '-', sizeof data);
    CHECK_OK(comm_broadcast(comm, data, sizeof data, "broadcast"));
    for (size_t i = 0; i < sizeof data; i++) {
        assert_int_equal(data[i], 'x');
    }
    CHECK_OK(comm_barrier(comm, "barrier"));
}

static void all_well_is_agreed(void **state) {
    (void)state;
    CHECK_OK(comm_agree(comm, STATUS_OK, "all well"));
    assert_int_equal(comm_exit_status(comm), STATUS_OK);
}

/* The last rank fails, rank 0 wants to stop: the error wins and its owner alone has a text. */
static void one_rank_reports(void **state) {
    (void)state;
    int last = comm_size(comm) - 1, rank = comm_rank(comm);
    status_t mine = STATUS_OK;
    if (rank == last) {
        mine = status_fail(STATUS_FAILED, "disk is full; free some");
    } else if (rank == 0) {
        mine = status_fail(STATUS_STOPPED, "stopped");
    }
    status_t status = comm_agree(comm, mine, "write checkpoint");
    char expected[128] = "disk is full; free some"; /* one rank: no prefix */
    if (last > 0) {
        snprintf(expected, sizeof expected, "rank %d: write checkpoint: disk is full; free some",
                 last);
    }
    assert_int_equal(status, rank == last ? STATUS_FAILED : STATUS_PEER);
    if (rank == last) {
        assert_string_equal(status_text(), expected);
    }
    assert_int_equal(comm_exit_status(comm), STATUS_FAILED);
    status = comm_agree(comm, status, "outer");
    assert_int_equal(status, rank == last ? STATUS_FAILED : STATUS_PEER);
    CHECK_OK(comm_agree(comm, STATUS_OK, "life goes on"));
}

static void lowest_rank_reports_equal_errors(void **state) {
    (void)state;
    status_t mine = status_fail(STATUS_INPUT, "no such key");
    status_t status = comm_agree(comm, mine, "read config");
    assert_int_equal(status, comm_rank(comm) == 0 ? STATUS_INPUT : STATUS_PEER);
    assert_int_equal(comm_exit_status(comm), STATUS_INPUT);
}

/* Groups by remainder: ranks in order, their own gathers and broadcasts at the same time as the
 * others', and often, as many trainings in a row need it. */
static void groups_talk_among_themselves(void **state) {
    (void)state;
    int rank = comm_rank(comm), size = comm_size(comm);
    int on_host = size / comm_host_count(comm); /* hosts hold runs of equally many ranks */
    for (int turn = 0; turn < 60; turn++) {
        int groups = 1 + turn % 3, mine = rank % groups;
        comm_t *group = NULL;
        CHECK_OK(comm_split(comm, mine, &group));
        assert_int_equal(comm_size(group), (size - mine + groups - 1) / groups);
        assert_int_equal(comm_rank(group), rank / groups);
        assert_int_equal(comm_process_index(group), rank % on_host);
        assert_int_equal(comm_process_count(group), on_host);
        int all[64] = {0}, told = 1000 * turn + mine;
        CHECK_OK(comm_all_gather(group, &rank, sizeof rank, all, "gather in a group"));
        for (int i = 0; i < comm_size(group); i++) {
            assert_int_equal(all[i], mine + i * groups);
        }
        told = comm_rank(group) == 0 ? told : -1;
        CHECK_OK(comm_broadcast(group, &told, sizeof told, "broadcast in a group"));
        assert_int_equal(told, 1000 * turn + mine);
        comm_close(group);
    }
    CHECK_OK(comm_barrier(comm, "together again"));
}

/* An error in one group is none of the others until it is brought to the whole. */
static void a_group_keeps_its_errors(void **state) {
    (void)state;
    comm_t *group = NULL, *single = NULL;
    int rank = comm_rank(comm);
    CHECK_OK(comm_split(comm, rank == 0 ? 1 : 0, &group));
    status_t mine = rank == 0 ? status_fail(STATUS_FAILED, "fold 3; look") : STATUS_OK;
    mine = comm_agree(group, mine, "group");
    assert_int_equal(mine, rank == 0 ? STATUS_FAILED : STATUS_OK);
    assert_int_equal(comm_exit_status(group), rank == 0 ? STATUS_FAILED : STATUS_OK);
    mine = comm_agree(comm, mine, "fold");
    assert_int_equal(mine, rank == 0 ? STATUS_FAILED : STATUS_PEER);
    comm_close(group);
    CHECK_OK(comm_split(comm, rank, &single));
    assert_int_equal(comm_size(single), 1);
    CHECK_OK(comm_barrier(single, "alone"));
    comm_close(single);
}

/* Waits are counted, and waiting is sleeping. */
static void waiting_is_cheap(void **state) {
    (void)state;
    double wait_s = comm_wait_s(comm), cpu_s = comm_wait_cpu_s(comm);
    if (comm_rank(comm) == 0) {
        clock_sleep_us(400000);
    }
    CHECK_OK(comm_barrier(comm, "wait"));
    wait_s = comm_wait_s(comm) - wait_s;
    cpu_s = comm_wait_cpu_s(comm) - cpu_s;
    assert_true(comm_rank(comm) == 0 || (wait_s > 0.2 && wait_s < 5.0));
    assert_true(cpu_s < 0.2);
}

/* ---- jobs that end badly, started by the program when it is alone ---- */

typedef struct job {
    const char *name;
    int ranks;
    const char *variables;
    const char *expected;
} job_t;

/* The last rank sleeps, or is stopped, instead of coming to the second operation. */
static status_t be_late(const char *how) {
    comm_set_timeout(comm, 1.0);
    for (int i = 0; strcmp(how, "loop") == 0 && i < 600; i++) { /* until the network goes */
        TRY(comm_barrier(comm, "loop"));
        clock_sleep_us(50000);
    }
    TRY(comm_barrier(comm, "first"));
    if (comm_rank(comm) == comm_size(comm) - 1) {
        if (strcmp(how, "stop") == 0) {
            raise(SIGSTOP);
        }
        clock_sleep_us(60000000);
    }
    if (strcmp(how, "fail") == 0) {
        return comm_agree(comm, status_fail(STATUS_INPUT, "no such file"), "second");
    }
    status_t status = comm_barrier(comm, "second");
    return comm_agree(comm, status, "third"); /* changes nothing any more */
}

static void time_out_names_the_late_rank(void **state) {
    (void)state;
    if (comm_size(comm) > 1) {
        print_message("# skipped: only a rank that is alone starts jobs\n");
        return;
    }
    const job_t jobs[] = {
        {"sleep", 2, "",
         "second: no answer from rank 1 within 1 s (it is 1 operation behind, last "
         "seen leaving first); "},
        {"sleep", 4, "", "second: no answer from rank 3 within 1 s (it is 1 operation behind"},
        {"stop", 3, "", "second: no answer from rank 2 within 1 s (it is 1 operation behind"},
        {"sleep", 4, "JMT_COMM_HOSTS=2", "second: no answer from rank 3"},
        {"sleep", 3, "JMT_COMM_HOSTS=3", "second: no answer from rank 2 on host "},
        {"fail", 2, "", "no such file; then second: no answer from rank 1 within 1 s"},
    };
    for (int i = 0; i < ARRAY_LEN(jobs); i++) {
        char output[8192];
        double start_s = clock_s();
        int code =
            group_job(jobs[i].ranks, jobs[i].variables, jobs[i].name, NULL, output, sizeof output);
        double took_s = clock_s() - start_s;
        if (code != (strcmp(jobs[i].name, "fail") == 0 ? 2 : 1) ||
            strstr(output, jobs[i].expected) == NULL ||
            group_occurrences(output, "jmt: error") != 1 || took_s > 40.0) {
            fail_msg("%s %d %s: exit %d after %.1f s: %s", jobs[i].name, jobs[i].ranks,
                     jobs[i].variables, code, took_s, output);
        }
    }
}

static void separate_slurm_tasks_are_refused(void **state) {
    (void)state;
    if (getenv("OMPI_COMM_WORLD_SIZE") != NULL) {
        print_message("# skipped: started by mpirun\n");
        return;
    }
    comm_t *other = NULL;
    setenv("SLURM_NTASKS", "4", 1);
    setenv("SLURM_PROCID", "0", 1);
    CHECK_FAILS(comm_open(&(comm_config_t){.timeout_s = 5.0}, &other), STATUS_INPUT,
                "4 separate processes");
    setenv("ENVIRONMENT", "BATCH", 1); /* a batch script starts one process on purpose */
    CHECK_OK(comm_open(&(comm_config_t){.timeout_s = 5.0}, &other));
    comm_close(other);
    setenv("SLURM_STEP_ID", "0", 1);
    setenv("SLURM_STEP_NUM_TASKS", "4", 1);
    CHECK_FAILS(comm_open(&(comm_config_t){.timeout_s = 5.0}, &other), STATUS_INPUT, "srun --mpi=");
    unsetenv("SLURM_NTASKS");
    unsetenv("SLURM_PROCID");
    unsetenv("SLURM_STEP_ID");
    unsetenv("SLURM_STEP_NUM_TASKS");
    unsetenv("ENVIRONMENT");
}

int main(int argc, char **argv) {
    CHECK_OK(comm_open(&(comm_config_t){.timeout_s = 20.0}, &comm));
    if (argc > 1) {
        group_die(comm, be_late(argv[1]));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gather_in_rank_order),
        cmocka_unit_test(gather_of_different_lengths),
        cmocka_unit_test(broadcast_reaches_all),
        cmocka_unit_test(all_well_is_agreed),
        cmocka_unit_test(one_rank_reports),
        cmocka_unit_test(lowest_rank_reports_equal_errors),
        cmocka_unit_test(groups_talk_among_themselves),
        cmocka_unit_test(a_group_keeps_its_errors),
        cmocka_unit_test(waiting_is_cheap),
        cmocka_unit_test(time_out_names_the_late_rank),
        cmocka_unit_test(separate_slurm_tasks_are_refused),
    };
    int failures = RUN_GROUP_TESTS(comm, tests);
    comm_close(comm);
    return failures;
}
