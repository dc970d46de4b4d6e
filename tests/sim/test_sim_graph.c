/* Graphs captured from streams: replayed, forked by events; and their planted faults. */
#include <cuda_runtime_api.h>

#include "fault_case.h"
#include "sample_kernels.h"

enum { N = 64 };
static const size_t BYTES = N * sizeof(float);

static cudaStream_t s, t;
static cudaEvent_t forked, joined;
static cudaGraph_t graph;
static cudaGraphExec_t instance;
static float *a, *b, *c, *pinned;

static void open_all(void) {
    cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&t, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&forked, cudaEventDisableTiming);
    cudaEventCreateWithFlags(&joined, cudaEventDisableTiming);
    float **all[] = {&a, &b, &c};
    for (int i = 0; i < 3; i++) {
        cudaMalloc((void **)all[i], BYTES);
        fill(s, *all[i], 1, N);
        scale(s, *all[i], *all[i], 1, N); /* what is captured has been launched before */
    }
    cudaMallocHost((void **)&pinned, BYTES);
    memset(pinned, 0, BYTES);
    cudaStreamSynchronize(s);
}

static int close_all(int code) {
    cudaDeviceSynchronize();
    if (instance != NULL) {
        cudaGraphExecDestroy(instance);
        cudaGraphDestroy(graph);
    }
    cudaFree(a);
    cudaFree(b);
    cudaFree(c);
    cudaFreeHost(pinned);
    cudaStreamDestroy(s);
    cudaStreamDestroy(t);
    cudaEventDestroy(forked);
    cudaEventDestroy(joined);
    return code;
}

static int check(const float *of, float want) {
    float got[N];
    cudaDeviceSynchronize();
    cudaMemcpy(got, of, BYTES, cudaMemcpyDeviceToHost);
    for (int i = 0; i < N; i++) {
        if (got[i] != want) {
            return WRONG_DATA;
        }
    }
    return close_all(0);
}

static void begin(void) {
    open_all();
    cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal);
}

static void end(void) {
    cudaStreamEndCapture(s, &graph);
    cudaGraphInstantiate(&instance, graph, 0);
}

static void fork_stream(void) {
    cudaEventRecord(forked, s);
    cudaStreamWaitEvent(t, forked, 0);
}

static void join_stream(void) {
    cudaEventRecord(joined, t);
    cudaStreamWaitEvent(s, joined, 0);
}

/* --- right ---------------------------------------------------------------------------------- */

static int replayed(void) {
    size_t nodes;
    begin();
    scale(s, a, a, 2, N);
    scale(s, b, a, 3, N);
    end();
    cudaGraphGetNodes(graph, NULL, &nodes);
    for (int i = 0; i < 5; i++) {
        cudaGraphLaunch(instance, s);
    }
    return nodes == 2 ? check(b, 96) : 1;
}

/* What has been launched goes on (cuGraphExecDestroy). */
static int destroyed_under_way(void) {
    begin();
    scale(s, a, a, 2, N);
    scale(s, b, a, 3, N);
    end();
    cudaGraphLaunch(instance, s);
    cudaGraphExecDestroy(instance);
    cudaGraphDestroy(graph);
    instance = NULL;
    return check(b, 6);
}

static int nothing_runs_while_captured(void) {
    begin();
    scale(s, a, a, 2, N);
    end();
    return check(a, 1);
}

static int forked_and_joined(void) {
    begin();
    scale(s, a, a, 2, N);
    fork_stream();
    scale(t, b, a, 3, N);
    scale(s, c, a, 5, N);
    join_stream();
    scale(s, a, b, 1, N);
    end();
    cudaGraphLaunch(instance, s);
    cudaGraphLaunch(instance, t); /* launches of one graph follow each other */
    return check(a, 36);
}

static int copies_in_graph(void) {
    begin();
    cudaMemcpyAsync(a, pinned, BYTES, cudaMemcpyHostToDevice, s);
    scale(s, b, a, 2, N);
    cudaMemcpyAsync(pinned, b, BYTES, cudaMemcpyDeviceToHost, s);
    end();
    for (int i = 0; i < N; i++) {
        pinned[i] = 1;
    }
    for (int i = 0; i < 3; i++) { /* each launch reads what is there then */
        cudaGraphLaunch(instance, s);
        cudaStreamSynchronize(s);
    }
    return pinned[N - 1] == 8 ? check(b, 8) : WRONG_DATA;
}

static int event_after_launch(void) {
    begin();
    scale(s, a, a, 2, N);
    end();
    cudaGraphLaunch(instance, s);
    cudaEventRecord(forked, s);
    cudaStreamWaitEvent(t, forked, 0);
    scale(t, b, a, 2, N);
    return check(b, 4);
}

/* --- faults --------------------------------------------------------------------------------- */

static int not_joined(void) {
    begin();
    fork_stream();
    scale(t, b, a, 3, N);
    end();
    return close_all(0);
}

static int joined_too_early(void) {
    begin();
    fork_stream();
    join_stream();
    scale(t, b, a, 3, N);
    end();
    return close_all(0);
}

static int missing_event_within(void) { /* a is written on s, and t does not wait for that */
    begin();
    fork_stream();
    scale(s, a, a, 2, N);
    scale(t, b, a, 3, N);
    join_stream();
    end();
    cudaGraphLaunch(instance, s);
    return check(b, 6);
}

static int missing_event_outside(void) {
    begin();
    scale(s, a, a, 2, N);
    end();
    cudaGraphLaunch(instance, s);
    scale(t, b, a, 2, N);
    return check(b, 4);
}

static int event_of_outside(void) {
    open_all();
    cudaEventRecord(forked, t);
    cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal);
    cudaStreamWaitEvent(s, forked, 0);
    end();
    return close_all(0);
}

static int event_of_inside(void) {
    begin();
    scale(s, a, a, 2, N);
    cudaEventRecord(forked, s);
    end();
    cudaStreamWaitEvent(t, forked, 0);
    return close_all(0);
}

static int launches_first_while_captured(void) {
    begin();
    ccc_loss(s, c, c + N / 2, a, b, N / 2);
    end();
    return close_all(0);
}

static int waits_while_captured(void) {
    begin();
    scale(s, a, a, 2, N);
    cudaStreamSynchronize(s);
    end();
    return close_all(0);
}

static int allocates_while_captured(void) {
    float *other;
    begin();
    cudaMalloc((void **)&other, BYTES);
    end();
    return close_all(0);
}

static int default_stream_while_captured(void) {
    begin();
    cudaMemset(a, 0, BYTES);
    end();
    return close_all(0);
}

static int pageable_copy(void) {
    float host[N] = {0};
    begin();
    cudaMemcpyAsync(a, host, BYTES, cudaMemcpyHostToDevice, s);
    end();
    return close_all(0);
}

static int result_read_too_early(void) {
    begin();
    cudaMemcpyAsync(pinned, a, BYTES, cudaMemcpyDeviceToHost, s);
    end();
    cudaGraphLaunch(instance, s);
    int code = pinned[0] == 1 ? 0 : WRONG_DATA;
    return code == 0 ? close_all(0) : code;
}

static int input_changed_too_early(void) {
    begin();
    cudaMemcpyAsync(a, pinned, BYTES, cudaMemcpyHostToDevice, s);
    end();
    cudaGraphLaunch(instance, s);
    pinned[0] = 7;
    return close_all(0);
}

static int memory_is_gone(void) {
    begin();
    scale(s, b, a, 2, N);
    end();
    cudaFree(a);
    a = NULL;
    cudaGraphLaunch(instance, s);
    return close_all(0);
}

static int instance_is_left(void) {
    begin();
    scale(s, b, a, 2, N);
    end();
    instance = NULL;
    return close_all(0);
}

static const fault_t faults[] = {
    RIGHT(replayed),
    RIGHT(destroyed_under_way),
    RIGHT(nothing_runs_while_captured),
    RIGHT(forked_and_joined),
    RIGHT(copies_in_graph),
    RIGHT(event_after_launch),
    FAULT(not_joined, "was not joined"),
    FAULT(joined_too_early, "was not joined"),
    FAULT(missing_event_within, "which no event or sync orders"),
    FAULT(missing_event_outside, "which no event or sync orders"),
    FAULT(event_of_outside, "recorded outside of the capture"),
    FAULT(event_of_inside, "in a capture that has ended"),
    FAULT(waits_while_captured, "cudaStreamSynchronize while a stream is captured"),
    FAULT(launches_first_while_captured, "launched for the first time, and in a capture"),
    FAULT(allocates_while_captured, "cudaMalloc while a stream is captured"),
    FAULT(default_stream_while_captured, "the default stream while a stream is captured"),
    FAULT(pageable_copy, "needs pinned host memory"),
    FAULT_SOMETIMES(result_read_too_early, ""),
    FAULT_SOMETIMES(input_changed_too_early, "while a copy from it was pending"),
    FAULT(memory_is_gone, "of a freed block"),
    FAULT(instance_is_left, "leak: the program ends with 1 of: graph"),
};

int main(void) { return fault_run_all(faults, (int)(sizeof faults / sizeof *faults)); }
