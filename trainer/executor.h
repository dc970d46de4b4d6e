/* executor.h - runs a graph on a batch: op after op, each for all local shards (architecture.md 2).
 *
 * A rank holds `shard_count` of the V shards of a batch, each of samples_per_shard samples. Opening
 * plans all memory (one arena, by lifetime) and all operations; after that a step allocates nothing
 * and looks up no name. Weight gradients are folded into the canonical tree at once, parameter by
 * parameter. */
#ifndef JMT_EXECUTOR_H
#define JMT_EXECUTOR_H

#include "comm/tree.h"
#include "kernels/trace.h"
#include "trainer/graph.h"

typedef struct executor executor_t;

typedef struct executor_config {
    const kernels_t *kernels;
    const device_t *device;
    int64_t samples_per_shard;
    int shard_count;      /* local */
    int shard_first;      /* global index of local shard 0 */
    bool backward;        /* false: forward only, less memory */
    bool input_gradients; /* also d loss / d input */
    bool weights_stay;    /* forward only: weights change by executor_bind alone */
    bool private_buffers; /* no memory is used twice in a step: to check the arena's plan against */
    /* What operations that couple all shards of a batch say of each (op_row_t's sums): `all`, on
     * the device, is [batch_shards, count], with what is said of the local shards; gather brings
     * what other ranks say of theirs. Called in the same order on all ranks, in training alone.
     * NULL: the local shards are all. */
    status_t (*gather)(void *context, double *all, int64_t count);
    void *gather_context;
    int batch_shards; /* V */
} executor_config_t;

/* The graph outlives the executor. */
status_t executor_open(const graph_t *graph, const executor_config_t *config,
                       executor_t **executor_out) MUST_CHECK;
void executor_close(executor_t *executor); /* NULL allowed */

/* Places of the batch in memory of the host, one sample after the other: [local samples, length,
 * dim] of the table's dtype, and [local samples, length] bytes. To be written before forward, which
 * brings them to the device; what they are after it is not said. On a device that is not the host
 * not to be written again before something that forward has led to was waited for. */
void *executor_input(executor_t *executor, int input);
uint8_t *executor_mask(executor_t *executor, int input);
/* From here on forward takes the batch from these, by input, on a device that is not the host, and
 * not from the host's memory. */
void executor_take_from(executor_t *executor, const void *const *inputs, const void *const *masks);
/* Or its numbers are made of bytes there, by the table's `pictures`; NULL: no more. Of the call
 * `out`, `dtype` and `device` are the executor's. */
void executor_take_pictures(executor_t *executor, int input, const pictures_call_t *pictures);
dtype_t executor_dtype(const executor_t *executor); /* of inputs and outputs */
const device_t *executor_device(const executor_t *executor);
int64_t executor_samples(const executor_t *executor); /* local: shard_count * samples_per_shard */

/* Predictions and their gradient, on the device; shard s at shard_stride. The gradient is written
 * between forward and backward. */
matrix_t executor_output(const executor_t *executor, int output);
matrix_t executor_output_gradient(const executor_t *executor, int output);
/* One of these matrices as the host sees it, waited for: itself where the device is the host, else
 * a copy, until the next fetch. */
matrix_t executor_fetch(executor_t *executor, matrix_t matrix);
/* What was written to the matrix that was fetched last, to where it came from. */
void executor_store(executor_t *executor);
/* A row of a fetched matrix, counted over all local shards. */
void executor_read_row(const executor_t *executor, matrix_t fetched, int64_t row, float *to);
/* After backward with input_gradients. */
matrix_t executor_input_gradient(const executor_t *executor, int input);

/* Where weights are read and where gradients go, on the device. offsets[p]: first element of
 * parameter p in each flat array. parts[i] is the flat gradient of the subtree part_leaves[i]
 * (global shards); together they are the local run. */
typedef struct executor_state {
    const int64_t *offsets;
    const void *weights;
    int part_count;
    void *parts[TREE_NODES_MAX];
    tree_node_t part_leaves[TREE_NODES_MAX];
} executor_state_t;
/* weights_stay: what the operations keep of the weights is made here. */
void executor_bind(executor_t *executor, const executor_state_t *state);

/* Whom to tell of each operation of a training step; NULL, as it begins: nobody. */
void executor_set_trace(executor_t *executor, trace_t *trace);

/* What gather returned where it failed; else STATUS_OK. */
status_t executor_forward(executor_t *executor, const step_scalars_t *scalars) MUST_CHECK;
/* Of each local sample which steps it has, outside of which masks are 0, and those of them whose
 * predictions matter; an empty slot: none. */
typedef struct sample_steps {
    const step_range_t *there, *wanted; /* NULL: all; all that are there */
} sample_steps_t;
/* As executor_forward, of a batch whose slots from `samples` on are empty: shards that hold none
 * are not computed, here and in the backward that follows. Nothing is said of their predictions,
 * their gradients add nothing. With a batch norm whose statistics run all are computed: these are
 * means over the shards.
 * Gradients of outputs will be 0 where steps say that predictions do not matter; nothing is said of
 * these, and what only they depend on may be left out (executor_steps.c). No other bit depends on
 * it. Read until the backward is done. */
status_t executor_forward_first(executor_t *executor, int64_t samples, sample_steps_t steps,
                                const step_scalars_t *scalars) MUST_CHECK;
/* Samples that a step of the first `samples` computes, empty ones among them. */
int64_t executor_computes(const executor_t *executor, int64_t samples);

/* unit_done (may be NULL) is told after each completed group of parameters: units 0..unit are in
 * the parts. A status that it or gather returns ends backward and is returned. */
status_t executor_backward(executor_t *executor, const step_scalars_t *scalars,
                           status_t (*unit_done)(void *context, int unit),
                           void *context) MUST_CHECK;

/* Order in which backward completes parameters: units in order, each a few parameters. This is the
 * order of the flat state (flat_state.h). Depends on the graph alone. */
typedef struct completion {
    int unit_count;
    int *unit_begin;         /* [unit_count + 1] into parameters */
    parameter_t *parameters; /* all but fixed ones that have no gradient */
} completion_t;
status_t completion_of(const graph_t *graph, completion_t *completion_out) MUST_CHECK;
void completion_free(completion_t *completion);

/* What was planned, as the table of operations was told: nodes in order, then sums of gradients.
 * false: it does nothing in a step, as all its parts are written in place. */
int executor_operation_count(const executor_t *executor);
bool executor_operation(const executor_t *executor, int index, op_description_t *description_out);

/* Multiply-accumulates of one sample in a step as planned: forward, and the gradients asked for. */
double executor_step_macs(const executor_t *executor);
size_t executor_arena_bytes(const executor_t *executor);
size_t executor_scratch_bytes(const executor_t *executor); /* workspace, masks, tree scratch */

#endif
