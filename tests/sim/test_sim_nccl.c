/* Bucketed all-reduce and all-to-all beside a compute stream, between three processes; right, and
 * with planted faults. */
#include <math.h>
#include <nccl.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include "fault_case.h"
#include "sample_kernels.h"

enum { RANKS = 3, BUCKETS = 4, N = 20000, STEPS = 4 }; /* a bucket is more than one chunk */

/* What rank 1 does wrong in step 1, or all of them do. */
typedef enum wrong {
    NOTHING,
    GROUPED,
    NO_EVENT_TO_COMM,
    NO_EVENT_BACK,
    COUNT_DIFFERS,
    ORDER_DIFFERS,
    KIND_DIFFERS,
    SKIPS_ONE,
    DIES,
    DIES_POLLED,
    HANGS_POLLED,
    FREED_IN_FLIGHT,
    LONGER_MESSAGE,
    NO_RECEIVE,
    MESSAGES,
    MESSAGES_WITHOUT_EVENT,
    NOT_ASKED,
    HOST_WAITS,
    GRAPH_DESTROYED,
    GRAPH_KEPT,
} wrong_t;

typedef struct rank {
    int rank;
    cudaStream_t compute, messages;
    cudaEvent_t ready[BUCKETS], reduced;
    ncclComm_t comm;
    float *gradient[BUCKETS], *weight[BUCKETS];
} rank_t;

static bool is_at_fault(const rank_t *r, int step, int bucket) {
    return r->rank == 1 && step == 1 && bucket == 2;
}

static void open_rank(rank_t *r, ncclUniqueId id) {
    cudaSetDevice(r->rank);
    cudaStreamCreateWithFlags(&r->compute, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&r->messages, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&r->reduced, cudaEventDisableTiming);
    ncclCommInitRank(&r->comm, RANKS, id, r->rank);
    for (int b = 0; b < BUCKETS; b++) {
        cudaEventCreateWithFlags(&r->ready[b], cudaEventDisableTiming);
        cudaMalloc((void **)&r->gradient[b], N * sizeof(float));
        cudaMalloc((void **)&r->weight[b], N * sizeof(float));
    }
}

static int close_rank(rank_t *r) {
    ncclCommDestroy(r->comm);
    cudaStreamDestroy(r->compute);
    cudaStreamDestroy(r->messages);
    cudaEventDestroy(r->reduced);
    for (int b = 0; b < BUCKETS; b++) {
        cudaEventDestroy(r->ready[b]);
        cudaFree(r->gradient[b]);
        cudaFree(r->weight[b]);
    }
    return 0;
}

static void reduce_bucket(const rank_t *r, wrong_t wrong, int step, int i) {
    bool here = is_at_fault(r, step, i);
    int b = wrong == ORDER_DIFFERS && r->rank == 1 && step == 1 ? BUCKETS - 1 - i : i;
    size_t n = wrong == COUNT_DIFFERS && here ? N - 1 : N;
    if (wrong == SKIPS_ONE && here) {
        return;
    }
    if (wrong != NO_EVENT_TO_COMM) {
        cudaStreamWaitEvent(r->messages, r->ready[b], 0);
    }
    if (wrong == KIND_DIFFERS && here) {
        ncclBroadcast(r->gradient[b], r->gradient[b], n, ncclFloat32, 0, r->comm, r->messages);
    } else {
        ncclAllReduce(r->gradient[b], r->gradient[b], n, ncclFloat32, ncclAvg, r->comm,
                      r->messages);
    }
}

/* Until the compute stream is done; an error of NCCL's, or a second, ends the rank. */
static void poll_rank(const rank_t *r) {
    ncclResult_t error = ncclSuccess;
    cudaError_t state = cudaErrorNotReady;
    for (int i = 0; i < 10000 && state == cudaErrorNotReady && error == ncclSuccess; i++) {
        usleep(100);
        ncclCommGetAsyncError(r->comm, &error);
        state = cudaStreamQuery(r->compute);
    }
    if (state == cudaErrorNotReady) {
        fprintf(stderr, "told: rank %d: %s: %s\n", r->rank, ncclGetErrorString(error),
                ncclGetLastError(r->comm));
        ncclCommAbort(r->comm);
        exit(5);
    }
}

static void step_rank(const rank_t *r, wrong_t wrong, int step) {
    if (step == 2 && r->rank == 1 && (wrong == DIES || wrong == DIES_POLLED)) {
        raise(SIGKILL);
    }
    if (step == 2 && r->rank == 1 && wrong == HANGS_POLLED) {
        pause();
    }
    for (int b = 0; b < BUCKETS; b++) { /* the backward pass */
        fill(r->compute, r->gradient[b], (float)(r->rank + b + step), N);
        cudaEventRecord(r->ready[b], r->compute);
    }
    if (wrong == GROUPED) {
        ncclGroupStart();
    }
    for (int i = 0; i < BUCKETS; i++) {
        reduce_bucket(r, wrong, step, i);
    }
    if (wrong == GROUPED) {
        ncclGroupEnd();
    }
    if (wrong == FREED_IN_FLIGHT && step == 1) {
        cudaFree(r->gradient[0]);
        ncclAllReduce(r->gradient[0], r->gradient[0], N, ncclFloat32, ncclAvg, r->comm,
                      r->messages);
    }
    cudaEventRecord(r->reduced, r->messages);
    if (wrong != NO_EVENT_BACK) {
        cudaStreamWaitEvent(r->compute, r->reduced, 0);
    }
    for (int b = 0; b < BUCKETS; b++) { /* the optimiser */
        scale(r->compute, r->weight[b], r->gradient[b], 1, N);
    }
    if (wrong == DIES_POLLED || wrong == HANGS_POLLED) {
        poll_rank(r);
    }
}

/* All to all: each rank sends its rank; the gradient of bucket b comes from rank b. */
static void exchange(const rank_t *r, wrong_t wrong, int step) {
    fill(r->compute, r->gradient[BUCKETS - 1], (float)(r->rank + step), N);
    cudaEventRecord(r->ready[0], r->compute);
    if (wrong != MESSAGES_WITHOUT_EVENT) {
        cudaStreamWaitEvent(r->messages, r->ready[0], 0);
    }
    ncclGroupStart();
    for (int peer = 0; peer < RANKS; peer++) {
        bool here = r->rank == 1 && step == 1 && peer == 2;
        size_t n = wrong == LONGER_MESSAGE && here ? N - 1 : N;
        if (peer == r->rank) {
            continue;
        }
        ncclSend(r->gradient[BUCKETS - 1], N, ncclFloat32, peer, r->comm, r->messages);
        if (wrong != NO_RECEIVE || !here) {
            ncclRecv(r->gradient[peer], n, ncclFloat32, peer, r->comm, r->messages);
        }
    }
    ncclGroupEnd();
    cudaEventRecord(r->reduced, r->messages);
    cudaStreamWaitEvent(r->compute, r->reduced, 0);
    for (int peer = 0; peer < RANKS; peer++) {
        const float *from = r->gradient[peer == r->rank ? BUCKETS - 1 : peer];
        scale(r->compute, r->weight[peer], from, 1, N);
    }
}

static int check(const rank_t *r, int bucket, float want) {
    static float host[N];
    cudaStreamSynchronize(r->compute);
    cudaMemcpy(host, r->weight[bucket], sizeof host, cudaMemcpyDeviceToHost);
    for (int i = 0; i < N; i++) {
        if (!(fabsf(host[i] - want) <= 1e-5f)) {
            fprintf(stderr, "rank %d: wrong data: %g instead of %g\n", r->rank, (double)host[i],
                    (double)want);
            return WRONG_DATA;
        }
    }
    return 0;
}

static int run_rank(int rank, ncclUniqueId id, wrong_t wrong) {
    rank_t r = {.rank = rank};
    bool messages = wrong >= LONGER_MESSAGE;
    open_rank(&r, id);
    for (int step = 0; step < STEPS; step++) {
        if (messages) {
            exchange(&r, wrong, step);
        } else {
            step_rank(&r, wrong, step);
        }
    }
    int code = messages ? check(&r, 2, 2 + STEPS - 1)
                        : check(&r, BUCKETS - 1, 1 + BUCKETS - 1 + STEPS - 1);
    return code != 0 ? code : close_rank(&r);
}

/* A communicator that does not block takes no call before one has asked how the last one went. */
static int run_unasked(int rank, ncclUniqueId id, wrong_t wrong) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclComm_t comm;
    float *p;
    (void)wrong;
    config.blocking = 0;
    cudaSetDevice(rank);
    cudaMalloc((void **)&p, sizeof *p);
    ncclCommInitRankConfig(&comm, RANKS, id, rank, &config);
    ncclAllReduce(p, p, 1, ncclFloat32, ncclSum, comm, cudaStreamPerThread);
    return 0;
}

/* Rank 0 waits for rank 1 by looking at a flag, without a call of CUDA's; rank 1 sets it when its
 * all-reduce is over, which takes that of rank 0. A real GPU goes on meanwhile. */
static int run_host_waits(int rank, ncclUniqueId id, volatile int *flag) {
    rank_t r = {.rank = rank};
    open_rank(&r, id);
    fill(r.compute, r.gradient[0], 1, N);
    ncclAllReduce(r.gradient[0], r.gradient[0], N, ncclFloat32, ncclSum, r.comm, r.compute);
    if (rank == 0) {
        while (*flag == 0) {
            nanosleep(&(struct timespec){0, 100000}, NULL);
        }
    } else {
        cudaStreamSynchronize(r.compute);
        *flag = 1;
    }
    return close_rank(&r);
}

/* A communicator that is destroyed before the graphs that have its calls waits for them. */
static int run_graph(int rank, ncclUniqueId id, wrong_t wrong) {
    rank_t r = {.rank = rank};
    cudaGraph_t graph = NULL;
    open_rank(&r, id);
    cudaStreamBeginCapture(r.compute, cudaStreamCaptureModeThreadLocal);
    ncclAllReduce(r.gradient[0], r.gradient[0], N, ncclFloat32, ncclSum, r.comm, r.compute);
    cudaStreamEndCapture(r.compute, &graph);
    if (wrong == GRAPH_DESTROYED) {
        cudaGraphDestroy(graph);
    }
    return close_rank(&r);
}

static int run_one(int rank, ncclUniqueId id, wrong_t wrong, volatile int *flag) {
    return wrong == NOT_ASKED         ? run_unasked(rank, id, wrong)
           : wrong == HOST_WAITS      ? run_host_waits(rank, id, flag)
           : wrong >= GRAPH_DESTROYED ? run_graph(rank, id, wrong)
                                      : run_rank(rank, id, wrong);
}

static int run_all(wrong_t wrong) {
    ncclUniqueId id;
    int code = 0, status;
    bool hangs = wrong == DIES || wrong == NO_RECEIVE;
    bool loses_a_rank = wrong == DIES || wrong == DIES_POLLED || wrong == HANGS_POLLED;
    setenv("SIMGPU_TIMEOUT", hangs ? "2" : "30", 0);
    setenv("SIMGPU_SAME_BUFFERS", "1", 1);
    ncclGetUniqueId(&id);
    pid_t children[RANKS];
    bool is_over[RANKS] = {false};
    volatile int *flag =
        mmap(NULL, sizeof *flag, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int rank = 0; rank < RANKS; rank++) {
        children[rank] = fork();
        if (children[rank] == 0) {
            exit(run_one(rank, id, wrong, flag));
        }
    }
    for (int i = 0; i < RANKS; i++) {
        pid_t child = wait(&status);
        int this_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (this_code != 0 && wrong == HANGS_POLLED && child != children[1]) {
            kill(children[1], SIGKILL);
        }
        code = code != 0 && code < 128 ? code : this_code;
        for (int rank = 0; rank < RANKS; rank++) {
            is_over[rank] = is_over[rank] || children[rank] == child;
            if (code != 0 && !loses_a_rank && !is_over[rank]) {
                kill(children[rank], SIGKILL); /* one has reported, and the others would wait */
            }
        }
    }
    return code;
}

#define RUN(name, wrong)                                                                           \
    static int name(void) { return run_all(wrong); }
RUN(all_reduce_right, NOTHING)
RUN(all_reduce_grouped, GROUPED)
RUN(no_event_to_comm, NO_EVENT_TO_COMM)
RUN(no_event_back, NO_EVENT_BACK)
RUN(count_differs, COUNT_DIFFERS)
RUN(order_differs, ORDER_DIFFERS)
RUN(kind_differs, KIND_DIFFERS)
RUN(rank_skips_one, SKIPS_ONE)
RUN(rank_dies, DIES)
RUN(rank_dies_polled, DIES_POLLED)
RUN(rank_hangs_polled, HANGS_POLLED)
RUN(freed_in_flight, FREED_IN_FLIGHT)
RUN(longer_message, LONGER_MESSAGE)
RUN(message_not_received, NO_RECEIVE)
RUN(messages_right, MESSAGES)
RUN(messages_without_event, MESSAGES_WITHOUT_EVENT)
RUN(call_under_way, NOT_ASKED)
RUN(host_waits_right, HOST_WAITS)
RUN(graph_destroyed_right, GRAPH_DESTROYED)
RUN(graph_kept, GRAPH_KEPT)

static const fault_t faults[] = {
    RIGHT(all_reduce_right),
    RIGHT(all_reduce_grouped),
    RIGHT(messages_right),
    RIGHT(host_waits_right),
    RIGHT(graph_destroyed_right),
    FAULT(no_event_to_comm, "which no event or sync orders"),
    FAULT(no_event_back, "which no event or sync orders"),
    FAULT(count_differs, "mismatched collectives"),
    FAULT(order_differs, "mismatched collectives"),
    FAULT(kind_differs, "mismatched collectives"),
    FAULT(rank_skips_one, "mismatched collectives"),
    FAULT(rank_dies, "timeout: rank"),
    FAULT(rank_dies_polled, "told: rank"),
    FAULT(rank_hangs_polled, "told: rank"),
    FAULT(freed_in_flight, "of a freed block"),
    FAULT(longer_message, "mismatched messages"),
    FAULT(message_not_received, "timeout: rank"),
    FAULT(messages_without_event, "which no event or sync orders"),
    FAULT(call_under_way, "while the call before is under way"),
    FAULT(graph_kept, "ncclCommDestroy waits for ever"),
};

int main(void) { return fault_run_all(faults, (int)(sizeof faults / sizeof *faults)); }
