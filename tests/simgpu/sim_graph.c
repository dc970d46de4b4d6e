/* Graphs: what is put into a captured stream, and into those that join it by events, is kept, and
 * launched as often as one likes. A launch gives every captured stream but the first a stream of
 * its own, so nothing orders the operations but the streams and events that were captured. */
#include <stdlib.h>
#include <string.h>

#include "simgpu.h"

enum { LANES = 8 }; /* captured streams of a graph */

typedef enum node_kind { OPERATION, RECORD, WAIT } node_kind_t;

typedef struct node {
    node_kind_t kind;
    int lane, slot;
    sim_op_t *op;
} node_t;

struct CUgraph_st {
    node_t *nodes;
    size_t count;
    int lanes, slots;
    int references; /* the handle and what was instantiated */
};

struct CUgraphExec_st {
    struct CUgraph_st *graph;
    struct CUstream_st *streams[LANES]; /* [0]: that of the launch */
    sim_record_t *previous;             /* launches of one graph follow each other */
    struct CUgraphExec_st *next;        /* of those that are destroyed and under way */
};

/* progress[a][b]: how many nodes of lane b are over for what lane a captures next. */
struct sim_capture {
    struct CUgraph_st *graph;
    struct CUstream_st *streams[LANES];
    uint32_t progress[LANES][LANES];
    uint32_t (*recorded)[LANES]; /* by slot */
};

static struct sim_capture *active;
static bool launching;
static struct CUgraphExec_st *destroyed;

bool sim_capturing(void) { return active != NULL; }

bool sim_graph_launching(void) { return launching; }

void sim_host_waits(const char *call, const void *pc) {
    if (active != NULL) {
        sim_report(pc, "%s while a stream is captured", call);
    }
}

/* --- capturing ------------------------------------------------------------------------------ */

static void *grown(void *p, size_t count, size_t size) {
    if ((count & (count - 1)) == 0) { /* as a power of two it was full */
        p = realloc(p, (count > 0 ? 2 * count : 1) * size);
    }
    if (p == NULL) {
        sim_report(NULL, "no memory for a graph");
    }
    return p;
}

static int lane_of(const struct sim_capture *capture, const struct CUstream_st *stream) {
    int lane = 0;
    while (capture->streams[lane] != stream) {
        lane++;
    }
    return lane;
}

static int add_node(struct CUstream_st *stream, node_kind_t kind, int slot, sim_op_t *op) {
    struct CUgraph_st *graph = active->graph;
    int lane = lane_of(active, stream);
    graph->nodes = grown(graph->nodes, graph->count, sizeof *graph->nodes);
    graph->nodes[graph->count++] = (node_t){kind, lane, slot, op};
    active->progress[lane][lane]++;
    return lane;
}

void sim_capture_add(struct CUstream_st *stream, sim_op_t *op) {
    add_node(stream, OPERATION, -1, op);
}

int sim_capture_record(struct CUstream_st *stream) {
    int slot = active->graph->slots++;
    int lane = add_node(stream, RECORD, slot, NULL);
    active->recorded = grown(active->recorded, (size_t)slot, sizeof *active->recorded);
    memcpy(active->recorded[slot], active->progress[lane], sizeof *active->recorded);
    return slot;
}

static void join(struct CUstream_st *stream) {
    struct CUgraph_st *graph = active->graph;
    if (graph->lanes == LANES) {
        sim_report(NULL, "a graph of more than %d streams is not simulated", LANES);
    }
    active->streams[graph->lanes++] = stream;
    sim_capture_set(stream, active);
}

void sim_capture_wait(struct CUstream_st *stream, struct sim_capture *capture, int slot) {
    if (capture != active) {
        sim_report(NULL, "cudaStreamWaitEvent: the event was recorded in a capture that has ended");
    }
    if (sim_capture_of(stream) == NULL) {
        join(stream);
    }
    int lane = add_node(stream, WAIT, slot, NULL);
    for (int i = 0; i < LANES; i++) {
        uint32_t recorded = active->recorded[slot][i];
        if (recorded > active->progress[lane][i]) {
            active->progress[lane][i] = recorded;
        }
    }
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    (void)mode; /* all calls that any mode refuses are refused */
    struct CUstream_st *origin = sim_stream_of(stream);
    if (active != NULL || sim_stream_id(origin) == 0) {
        sim_report(SIM_PC, "cudaStreamBeginCapture: %s",
                   active != NULL ? "there is a capture already"
                                  : "the default stream cannot be captured");
    }
    active = calloc(1, sizeof *active);
    struct CUgraph_st *graph = calloc(1, sizeof *graph);
    if (active == NULL || graph == NULL) {
        sim_report(NULL, "no memory for a graph");
    }
    graph->references = 1;
    active->graph = graph;
    join(origin);
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph_out) {
    struct CUstream_st *origin = sim_stream_of(stream);
    if (active == NULL || active->streams[0] != origin) {
        sim_report(SIM_PC, "cudaStreamEndCapture: this stream does not capture");
    }
    for (int lane = 1; lane < active->graph->lanes; lane++) {
        if (active->progress[0][lane] < active->progress[lane][lane]) {
            sim_report(SIM_PC, "cudaStreamEndCapture: work of another captured stream was not "
                               "joined: the first stream does not wait for its last event");
        }
    }
    for (int lane = 0; lane < active->graph->lanes; lane++) {
        sim_capture_set(active->streams[lane], NULL);
    }
    *graph_out = active->graph;
    sim_count_live(1, "graph", SIM_PC);
    free(active->recorded);
    free(active);
    active = NULL;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *out) {
    *out = sim_capture_of(sim_stream_of(stream)) != NULL ? cudaStreamCaptureStatusActive
                                                         : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

/* --- launching ------------------------------------------------------------------------------ */

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph,
                                 unsigned long long flags) {
    (void)flags;
    struct CUgraphExec_st *exec = calloc(1, sizeof *exec);
    if (exec == NULL) {
        return cudaErrorMemoryAllocation;
    }
    exec->graph = graph;
    graph->references++;
    for (int lane = 1; lane < graph->lanes; lane++) {
        exec->streams[lane] = sim_stream_take(false);
        if (exec->streams[lane] == NULL) {
            sim_report(SIM_PC, "graphs and streams together need more than %d streams",
                       SIM_STREAMS);
        }
    }
    sim_count_live(1, "graph instance", SIM_PC);
    *out = exec;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *out, cudaGraph_t graph,
                                          unsigned long long flags) {
    return cudaGraphInstantiate(out, graph, flags);
}

static void launch_copy(struct CUstream_st *stream, const sim_op_t *op) {
    sim_op_t *copy = sim_op_new(op->size, op->name, op->run, NULL);
    memcpy(copy, op, op->size);
    copy->drop = NULL; /* what it refers to is the graph's */
    if (copy->again != NULL) {
        copy->again(copy);
    }
    sim_enqueue(stream, copy);
}

static void launch_nodes(const struct CUgraphExec_st *exec) {
    const struct CUgraph_st *graph = exec->graph;
    sim_record_t **records = calloc((size_t)graph->slots + 1, sizeof(sim_record_t *));
    if (records == NULL) {
        sim_report(NULL, "no memory for a graph");
    }
    for (size_t i = 0; i < graph->count; i++) {
        const node_t *node = &graph->nodes[i];
        struct CUstream_st *stream = exec->streams[node->lane];
        if (node->kind == OPERATION) {
            launch_copy(stream, node->op);
        } else if (node->kind == RECORD) {
            records[node->slot] = sim_record_new();
            sim_enqueue(stream, sim_record_op(records[node->slot]));
        } else {
            sim_enqueue(stream, sim_wait_op(records[node->slot]));
        }
    }
    for (int slot = 0; slot < graph->slots; slot++) {
        sim_record_drop(records[slot]);
    }
    free(records);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    sim_host_waits("cudaGraphLaunch", SIM_PC); /* a graph within a graph */
    struct CUstream_st *on = sim_stream_of(stream);
    exec->streams[0] = on;
    sim_asked(SIM_ASKED_OPERATION);
    sim_asked(SIM_ASKED_GRAPH);
    launching = true;
    if (exec->previous != NULL) {
        sim_enqueue(on, sim_wait_op(exec->previous));
        sim_record_drop(exec->previous);
    }
    sim_record_t *begin = sim_record_new();
    sim_enqueue(on, sim_record_op(begin));
    for (int lane = 1; lane < exec->graph->lanes; lane++) {
        sim_enqueue(exec->streams[lane], sim_wait_op(begin));
    }
    sim_record_drop(begin);
    launch_nodes(exec);
    exec->previous = sim_record_new();
    cudaError_t error = sim_enqueue(on, sim_record_op(exec->previous));
    launching = false;
    return error;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
    (void)exec, (void)stream;
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
    if (nodes != NULL) {
        sim_report(SIM_PC, "cudaGraphGetNodes: only their number is simulated");
    }
    *count = 0;
    for (size_t i = 0; i < graph->count; i++) {
        *count += graph->nodes[i].kind == OPERATION;
    }
    return cudaSuccess;
}

static void drop_graph(struct CUgraph_st *graph) {
    if (--graph->references > 0) {
        return;
    }
    for (size_t i = 0; i < graph->count; i++) {
        sim_op_t *op = graph->nodes[i].op;
        if (op != NULL && op->drop != NULL) {
            op->drop(op);
        }
        free(op);
    }
    free(graph->nodes);
    free(graph);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    drop_graph(graph);
    sim_count_live(-1, "graph", NULL);
    return cudaSuccess;
}

static void drop_instance(struct CUgraphExec_st *exec) {
    for (int lane = 1; lane < exec->graph->lanes; lane++) {
        sim_stream_give(exec->streams[lane]);
    }
    drop_graph(exec->graph);
    sim_record_drop(exec->previous);
    free(exec);
}

static bool is_over(const struct CUgraphExec_st *exec) {
    return exec->previous == NULL || sim_record_is_done(exec->previous);
}

void sim_graphs_drop(void) {
    for (struct CUgraphExec_st **at = &destroyed; *at != NULL;) {
        struct CUgraphExec_st *exec = *at;
        if (is_over(exec)) {
            *at = exec->next;
            drop_instance(exec);
        } else {
            at = &exec->next;
        }
    }
}

/* What is under way of it is not waited for, and goes on. */
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    sim_count_live(-1, "graph instance", NULL);
    exec->next = destroyed;
    destroyed = exec;
    sim_graphs_drop();
    return cudaSuccess;
}
