/* executor_internal.h - what executor.c plans and executor_run.c runs. */
#ifndef JMT_EXECUTOR_INTERNAL_H
#define JMT_EXECUTOR_INTERNAL_H

#include "trainer/executor.h"
#include "trainer/graph_plan.h"
#include "trainer/mirror.h"

struct executor {
    const graph_t *graph;
    executor_config_t config;
    graph_plan_t *plan;
    char *arena, *scratch; /* device memory */
    size_t arena_bytes, scratch_bytes;
    uint8_t *mask_bytes;
    char *kept;                      /* weights_stay: what the operations keep of the weights */
    int64_t kept_elements, *kept_at; /* by node: where; -1: nothing */
    int64_t *kept_counts;            /* by node */
    mask_t *masks;                   /* by mask */
    char *host;                      /* pinned: the batch, where the device is not the host */
    int64_t *host_at;                /* by input: its numbers; then by input: its mask */
    const void **taken_from;         /* as host_at, on the device; by input NULL: from host */
    pictures_call_t *pictures;       /* by input; bytes NULL: it has none */
    char *fetched;                   /* pinned, where the device is not the host */
    size_t fetched_bytes;
    matrix_t fetched_from;   /* of the last fetch */
    op_plan_t **ops;         /* by node */
    op_call_t *calls;        /* by node: all pointers but weights are fixed */
    bool *has_backward_data; /* by node: some input needs its gradient */
    op_plan_t **sum_ops;     /* by gradient sum */
    op_call_t *sum_calls;
    executor_state_t state;
    int held;             /* local shards that the step computes: the first ones */
    live_t there, wanted; /* of the step; ranges NULL: all */
    bool *only_wanted;    /* by node: nothing but predictions of the same step depends on it */
    bool hides_padding;   /* rows behind the end of a sample are seen by no other */
    bool holds_all;       /* a batch norm's running statistics count those without samples too */
    void *nothing;        /* on the device: -0.0, NOTHING_BYTES of it, which added changes no bit */
    trace_t *trace;       /* NULL: none */
    char *workspace;
    char *leaf_scratch;        /* one unit: the second use of a shared weight */
    char *level_scratch;       /* one unit per level of the local tree */
    int64_t unit_elements_max; /* of a unit's place there */
    op_use_t *uses;            /* of one unit's rows */
    int64_t *sum_counts;       /* by node: doubles that it says of a shard; 0: none */
    double *all_sums, *totals; /* on the device: [shards of the batch, doubles], [doubles] */
};

enum { NOTHING_BYTES = 256 };

matrix_t executor_matrix(const executor_t *executor, view_t view);

/* executor_host.c: what the host writes and reads, where the device is not the host. */
status_t executor_open_host(executor_t *executor) MUST_CHECK; /* after the arena and the masks */
void executor_close_host(executor_t *executor);
void executor_bring_batch(executor_t *executor);

/* executor_steps.c: fills only_wanted and hides_padding; the rows that count in this step. */
void executor_open_steps(executor_t *executor);
void executor_take_steps(executor_t *executor, sample_steps_t steps);

/* executor_couple.c: before forward, or before backward_data, of a node that couples shards. */
status_t executor_open_coupling(executor_t *executor) MUST_CHECK; /* after the plans */
void executor_close_coupling(executor_t *executor);
status_t executor_couple(executor_t *executor, int node, pass_t pass) MUST_CHECK;

/* Of weights, gradients of weights, saved, workspace and kept. */
static inline size_t executor_state_bytes(const executor_t *executor, int64_t elements) {
    return (size_t)elements * dtype_state_bytes(executor->config.kernels->dtype);
}

/* The tree over the shards is the operation's affair. */
static inline bool executor_folds_by_operation(const executor_t *executor,
                                               const fold_unit_t *unit) {
    op_kind_t kind = executor->graph->nodes[unit->nodes[0]].kind;
    return executor->config.kernels->ops[kind].backward_tree != NULL;
}

#endif
