/* The frame of every operation: who is where (the board), how to wait, and what to say when nobody
 * comes. */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "comm/internal.h"
#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"

enum { LIST_BYTES = 256 };

static const double SPIN_S = 30e-6, YIELD_S = 1e-3, LONG_S = 0.5;
static const double GRACE_S = 3.0; /* for another rank's report and abort to end this process */

static board_t *board(const comm_t *comm, int local) {
    return comm->boards.count > 0 ? comm->boards.base[local] : NULL;
}

static void board_enter(comm_t *comm, const char *operation) {
    board_t *mine = board(comm, comm->local_index);
    if (mine == NULL) {
        return;
    }
    char text[BOARD_NAME_WORDS * sizeof(uint64_t)] = {0};
    uint64_t words[BOARD_NAME_WORDS];
    snprintf(text, sizeof text, "%s", operation);
    memcpy(words, text, sizeof words);
    for (int i = 0; i < BOARD_NAME_WORDS; i++) {
        atomic_store_explicit(&mine->name[i], words[i], memory_order_relaxed);
    }
    atomic_store_explicit(&mine->inside, 1, memory_order_relaxed);
    atomic_store_explicit(&mine->operations, comm->operations, memory_order_release);
}

static void board_name(board_t *of, char text_out[BOARD_NAME_WORDS * sizeof(uint64_t)]) {
    uint64_t words[BOARD_NAME_WORDS];
    for (int i = 0; i < BOARD_NAME_WORDS; i++) {
        words[i] = atomic_load_explicit(&of->name[i], memory_order_relaxed);
    }
    memcpy(text_out, words, sizeof words);
    text_out[sizeof words - 1] = '\0';
}

status_t comm_enter(comm_t *comm, const char *operation) {
    if (comm->broken != STATUS_OK) {
        return comm->broken;
    }
    comm->operations++;
    comm->looked_s = clock_s();
    comm->deadline_s = comm->looked_s + comm->timeout_s;
    board_enter(comm, operation);
    return STATUS_OK;
}

status_t comm_leave(comm_t *comm, status_t status) {
    board_t *mine = board(comm, comm->local_index);
    if (mine != NULL) {
        atomic_store_explicit(&mine->inside, 0, memory_order_relaxed);
    }
    return status;
}

static uint64_t operations_of(const comm_t *comm, int local) {
    return atomic_load_explicit(&board(comm, local)->operations, memory_order_acquire);
}

/* Index on this host of the rank that is furthest behind; -1 if none is. */
static int furthest_behind(const comm_t *comm) {
    int found = -1;
    uint64_t least = comm->operations;
    for (int i = 0; i < comm->boards.count; i++) {
        if (operations_of(comm, i) < least) {
            least = operations_of(comm, i);
            found = i;
        }
    }
    return found;
}

static bool is_behind(const comm_t *comm, int rank) {
    for (int i = 0; i < comm->boards.count; i++) {
        if (comm->local_ranks[i] == rank) {
            return operations_of(comm, i) < comm->operations;
        }
    }
    return false;
}

static bool is_late(const comm_t *comm, const waiting_t *waiting, int rank) {
    return rank != comm->rank &&
           (is_behind(comm, rank) ||
            (waiting->missing != NULL && waiting->missing(waiting->context, rank)));
}

enum { SEEN_BYTES = BOARD_NAME_WORDS * sizeof(uint64_t) + 96 };

static void describe_seen(const comm_t *comm, int local, char text_out[SEEN_BYTES]) {
    char name[BOARD_NAME_WORDS * sizeof(uint64_t)];
    uint64_t behind = comm->operations - operations_of(comm, local);
    board_t *late = board(comm, local);
    board_name(late, name);
    bool inside = atomic_load_explicit(&late->inside, memory_order_relaxed) != 0;
    snprintf(text_out, SEEN_BYTES, "%llu operation%s behind, %s%s", (unsigned long long)behind,
             behind == 1 ? "" : "s",
             name[0] == '\0' ? "not seen yet"
             : inside        ? "last seen in "
                             : "last seen leaving ",
             name);
}

static status_t describe_behind(comm_t *comm, const waiting_t *waiting, int local) {
    char seen[SEEN_BYTES];
    describe_seen(comm, local, seen);
    return status_fail(STATUS_FAILED,
                       "%s: no answer from rank %d within %g s (it is %s); "
                       "if it is only slow raise comm.timeout_s, else look at its process",
                       waiting->operation, comm->local_ranks[local], comm->timeout_s, seen);
}

static status_t describe_missing(comm_t *comm, const waiting_t *waiting) {
    int first = -1, more = 0;
    for (int r = 0; r < comm->size && waiting->missing != NULL; r++) {
        if (r != comm->rank && waiting->missing(waiting->context, r)) {
            more += first >= 0;
            first = first < 0 ? r : first;
        }
    }
    if (first < 0) {
        bool alone = waiting->missing != NULL || comm->host_count == 1;
        return status_fail(STATUS_FAILED, "%s: not done within %g s; %sraise comm.timeout_s%s",
                           waiting->operation, comm->timeout_s, alone ? "" : "if it is only slow ",
                           alone ? "" : ", else look at the ranks of the other hosts");
    }
    char others[64] = "", host[HOST_NAME_BYTES + 16] = "";
    if (more > 0) {
        snprintf(others, sizeof others, " and %d other%s", more, more == 1 ? "" : "s");
    }
    if (comm->host_of != NULL && comm->host_count > 1) {
        snprintf(host, sizeof host, " on host %s", comm->host_names[comm->host_of[first]]);
    }
    return status_fail(STATUS_FAILED,
                       "%s: no answer from rank %d%s%s within %g s (nothing received from it for "
                       "this operation); if it is only slow raise comm.timeout_s, else look at its "
                       "process and at the network",
                       waiting->operation, first, host, others, comm->timeout_s);
}

/* mpirun's SIGTERM, which comes first, cuts no sleep short. */
static void give_time(double seconds) {
    double end_s = clock_s() + seconds;
    while (clock_s() < end_s) {
        clock_sleep_us(10000);
    }
}

/* Where a late rank's host alone knows of it, that speaks at once. */
static double ignorance_s(const comm_t *comm) {
    bool knows = comm->host_count == 1 || furthest_behind(comm) >= 0;
    return knows ? 0.0 : comm->host == 0 ? 0.5 * GRACE_S : GRACE_S;
}

/* One rank reports. On a host: the first to come here. Among hosts: that of the lowest rank that is
 * not late; the others give it time to abort the job, then speak themselves: better twice than
 * never. */
static bool must_report(comm_t *comm, const waiting_t *waiting) {
    if (comm->boards.count > 0) {
        uint64_t nobody = 0;
        if (!atomic_compare_exchange_strong(&board(comm, 0)->reporter, &nobody,
                                            (uint64_t)comm->rank + 1)) {
            give_time(2.0 * GRACE_S);
            return false;
        }
    }
    if (waiting->missing == NULL) {
        give_time(ignorance_s(comm));
        return true;
    }
    int lowest = 0;
    while (is_late(comm, waiting, lowest)) {
        lowest++; /* ends at this rank */
    }
    bool here = comm->host_of == NULL ? lowest == comm->rank : comm->host_of[lowest] == comm->host;
    if (!here) {
        give_time(GRACE_S);
    }
    return true;
}

/* Of a rank that is gone `jmt launch` speaks, and mpirun ends the others; of one that is not, these
 * do. */
status_t comm_one_reports(comm_t *comm, const waiting_t *waiting, status_t status) {
    int behind = furthest_behind(comm); /* others come further meanwhile */
    char seen[SEEN_BYTES];
    if (behind >= 0) {
        describe_seen(comm, behind, seen);
        status =
            status_fail(status, "%s; furthest behind is rank %d (%s): look at its process first",
                        status_text(), comm->local_ranks[behind], seen);
        give_time(comm->supervised ? GRACE_S : 0.0);
    }
    return must_report(comm, waiting)
               ? status
               : status_fail(STATUS_PEER, "another rank reports the failure");
}

bool comm_other_reports(const comm_t *comm) {
    if (comm->boards.count == 0) {
        return false;
    }
    uint64_t reporter = atomic_load(&board(comm, 0)->reporter);
    return reporter != 0 && reporter != (uint64_t)comm->rank + 1;
}

static status_t time_out(comm_t *comm, const waiting_t *waiting) {
    int behind = furthest_behind(comm);
    status_t status =
        behind >= 0 ? describe_behind(comm, waiting, behind) : describe_missing(comm, waiting);
    return must_report(comm, waiting)
               ? status
               : status_fail(STATUS_PEER, "another rank reports the time-out");
}

static double thread_cpu_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Ranks often outnumber processors: the rank we wait for may need this one. */
static void pause_after(const comm_t *comm, double waited_s) {
    if (waited_s < SPIN_S && !comm->crowded) {
        return;
    }
    if (waited_s < YIELD_S) {
        sched_yield();
    } else {
        clock_sleep_us(waited_s < LONG_S ? 20 : 500);
    }
}

/* The deadline counts what this rank was awake for: a job stopped as a whole (Ctrl-Z) and continued
 * finds nobody late. Naps between two looks are a thousandth of this. */
static const double ASLEEP_S = 1.0;

static void count_awake(comm_t *comm, double now_s) {
    if (now_s - comm->looked_s > ASLEEP_S) {
        comm->deadline_s += now_s - comm->looked_s;
    }
    comm->looked_s = now_s;
}

static bool put_off(comm_t *comm) {
    if (comm->moving == NULL || !comm->moving(comm->moving_context)) {
        return false;
    }
    comm->deadline_s = clock_s() + comm->timeout_s;
    return true;
}

status_t comm_wait(comm_t *comm, const waiting_t *waiting) {
    bool done = false;
    status_t status = waiting->poll(waiting->context, &done);
    if (done && status == STATUS_OK) {
        return STATUS_OK;
    }
    double start_s = clock_s(), start_cpu_s = thread_cpu_s();
    while (status == STATUS_OK && !done) {
        double now_s = clock_s();
        count_awake(comm, now_s);
        if (now_s > comm->deadline_s && !put_off(comm)) {
            status = time_out(comm, waiting);
            break;
        }
        pause_after(comm, now_s - start_s);
        status = waiting->poll(waiting->context, &done);
    }
    comm->wait_s += clock_s() - start_s;
    comm->wait_cpu_s += thread_cpu_s() - start_cpu_s;
    if (status != STATUS_OK) {
        comm->broken = status;
        comm->worst = comm->worst == STATUS_OK ? STATUS_FAILED : comm->worst;
    }
    return status;
}
