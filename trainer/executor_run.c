/* executor_run.c - one step: forward, and backward with each unit of parameters folded into the
 * canonical tree as soon as it is complete. Nothing here allocates. */
#include "kernels/base/bytes.h"
#include "kernels/op_bench.h"
#include "trainer/executor_internal.h"

void executor_set_trace(executor_t *executor, trace_t *trace) { executor->trace = trace; }

/* Prediction has too many batches to be told operation by operation. */
static void begin(const executor_t *executor, int node, pass_t pass) {
    const node_t *at = &executor->graph->nodes[node];
    if (executor->trace != NULL && executor->calls[node].scalars->training) {
        trace_begin_operation(executor->trace, TRACK_MAIN, at->name, op_pass_name(at->kind, pass));
    }
}

static void end(const executor_t *executor, int node) {
    if (executor->trace != NULL && executor->calls[node].scalars->training) {
        trace_end(executor->trace, TRACK_MAIN);
    }
}

static void run_masks(executor_t *executor) {
    const graph_t *graph = executor->graph;
    const kernels_t *kernels = executor->config.kernels;
    const device_t *device = executor->config.device;
    for (int m = 0; m < graph->mask_count; m++) {
        const mask_node_t *node = &graph->masks[m];
        mask_t a[OP_INPUTS_MAX], b[OP_INPUTS_MAX];
        for (int k = 0; k < node->count; k++) {
            a[k] = executor->masks[node->a[k]];
            b[k] = executor->masks[node->b[k]];
        }
        int shards = executor->held;
        if (node->kind == MASK_ANY) {
            kernels->mask_any(device, executor->masks[m], a, node->count, 0, shards);
        } else if (node->kind == MASK_ALL) {
            kernels->mask_all(device, executor->masks[m], a, node->count, 0, shards);
        } else if (node->kind == MASK_SEEN) {
            kernels->mask_seen(device, executor->masks[m], a[0],
                               node->groups * executor->config.samples_per_shard, node->causal, 0,
                               shards);
        } else if (node->kind == MASK_TOKENS) {
            kernels->mask_tokens(device, executor->masks[m], a, b, node->count,
                                 executor->config.samples_per_shard, node->causal, 0, shards);
        }
    }
}

/* Calls are of the shards that hold samples. */
static void hold(executor_t *executor, int64_t samples) {
    executor->held =
        (int)(executor_computes(executor, samples) / executor->config.samples_per_shard);
    for (int i = 0; i < executor->graph->node_count; i++) {
        executor->calls[i].shard_end = executor->held;
    }
    for (int s = 0; s < executor->plan->sum_count; s++) {
        executor->sum_calls[s].shard_end = executor->held;
    }
}

status_t executor_forward_first(executor_t *executor, int64_t samples, sample_steps_t steps,
                                const step_scalars_t *scalars) {
    REQUIRE(samples >= 0 && samples <= executor_samples(executor));
    executor_take_steps(executor, steps);
    hold(executor, samples);
    executor_bring_batch(executor);
    run_masks(executor);
    for (int i = 0; i < executor->graph->node_count && executor->held > 0; i++) {
        op_call_t *call = &executor->calls[i];
        call->scalars = scalars;
        begin(executor, i, PASS_FORWARD);
        TRY(executor_couple(executor, i, PASS_FORWARD));
        executor->config.kernels->ops[executor->graph->nodes[i].kind].forward(executor->ops[i],
                                                                              call);
        end(executor, i);
    }
    return STATUS_OK;
}

status_t executor_forward(executor_t *executor, const step_scalars_t *scalars) {
    return executor_forward_first(executor, executor_samples(executor), (sample_steps_t){0},
                                  scalars);
}

static bool read_before(const graph_t *graph, const fold_unit_t *unit, int use) {
    bool before = false;
    for (int earlier = 0; earlier < use; earlier++) {
        before |= graph->nodes[unit->nodes[earlier]].weight[0].begin ==
                  graph->nodes[unit->nodes[use]].weight[0].begin;
    }
    return before;
}

/* One use's part of the gradient of one shard. destination: by parameter of the unit. */
static void make_term(executor_t *executor, const fold_unit_t *unit, int use, int shard,
                      char *const destination[OP_WEIGHTS_MAX]) {
    const graph_t *graph = executor->graph;
    const kernels_t *kernels = executor->config.kernels;
    const node_t *node = &graph->nodes[unit->nodes[use]];
    bool adds = read_before(graph, unit, use);
    op_call_t *call = &executor->calls[unit->nodes[use]];
    char *run[OP_WEIGHTS_MAX], *scratch = executor->leaf_scratch;
    int64_t count[OP_WEIGHTS_MAX];
    for (int w = 0; w < node->weight_count; w++) {
        int64_t width = parameter_width(graph, node->weight[w].parameter);
        count[w] = weight_rows(graph, node->weight[w]) * width;
        run[w] = destination[w] + executor_state_bytes(executor, node->weight[w].begin * width);
        call->d_weight[w] = adds ? scratch : run[w];
        scratch += executor_state_bytes(executor, count[w]);
    }
    call->shard_begin = shard;
    call->shard_end = shard + 1;
    kernels->ops[node->kind].backward_weights(executor->ops[unit->nodes[use]], call);
    call->shard_begin = 0;
    call->shard_end = executor->held;
    for (int w = 0; adds && w < node->weight_count; w++) {
        kernels->add(executor->config.device, run[w], run[w], call->d_weight[w], count[w]);
    }
}

/* The canonical tree (comm/tree.h) over the shards [begin, end) of one complete subtree: left into
 * the destination, right into this level's scratch, then the sum. A leaf is the gradient of one
 * shard: the uses in order of creation, where the first to meet a run of rows overwrites and later
 * ones add. */
static void fold(executor_t *executor, const fold_unit_t *unit, int begin, int end, int level,
                 char *const destination[OP_WEIGHTS_MAX]) {
    if (end - begin == 1) {
        for (int use = 0; use < unit->node_count; use++) {
            make_term(executor, unit, use, begin - executor->config.shard_first, destination);
        }
        return;
    }
    int middle = begin + tree_split(end - begin);
    char *right[OP_WEIGHTS_MAX];
    char *next = executor->level_scratch +
                 executor_state_bytes(executor, level * executor->unit_elements_max);
    for (int p = 0; p < unit->parameter_count; p++) {
        right[p] = next;
        next +=
            executor_state_bytes(executor, executor->graph->parameters[unit->parameters[p]].count);
    }
    fold(executor, unit, begin, middle, level + 1, destination);
    fold(executor, unit, middle, end, level + 1, right);
    for (int p = 0; p < unit->parameter_count; p++) {
        executor->config.kernels->add(executor->config.device, destination[p], destination[p],
                                      right[p],
                                      executor->graph->parameters[unit->parameters[p]].count);
    }
}

/* The same by the operation: uses of the same rows together, which is each shard's leaf. */
static void fold_by_operation(executor_t *executor, const fold_unit_t *unit, tree_node_t leaves,
                              char *const destination[OP_WEIGHTS_MAX]) {
    const graph_t *graph = executor->graph;
    op_kind_t kind = graph->nodes[unit->nodes[0]].kind;
    int first = executor->config.shard_first;
    for (int use = 0; use < unit->node_count; use++) {
        const node_t *node = &graph->nodes[unit->nodes[use]];
        if (read_before(graph, unit, use)) {
            continue;
        }
        void *d_weight[OP_WEIGHTS_MAX] = {NULL};
        for (int w = 0; w < node->weight_count; w++) {
            int64_t width = parameter_width(graph, node->weight[w].parameter);
            d_weight[w] =
                destination[w] + executor_state_bytes(executor, node->weight[w].begin * width);
        }
        int count = 0;
        for (int other = use; other < unit->node_count; other++) {
            int at = unit->nodes[other];
            if (graph->nodes[at].weight[0].begin == node->weight[0].begin) {
                executor->uses[count++] = (op_use_t){executor->ops[at], &executor->calls[at]};
            }
        }
        executor->config.kernels->ops[kind].backward_tree(executor->uses, count,
                                                          leaves.begin - first, leaves.end - first,
                                                          d_weight, executor->level_scratch);
    }
}

/* What no samples have: zeros whose sign lets a sum keep its own. */
static void fold_nothing(executor_t *executor, const fold_unit_t *unit,
                         char *const destination[OP_WEIGHTS_MAX]) {
    const device_t *device = executor->config.device;
    for (int p = 0; p < unit->parameter_count; p++) {
        int64_t count = executor->graph->parameters[unit->parameters[p]].count;
        size_t bytes = executor_state_bytes(executor, count), done = 0;
        while (done < bytes) { /* each time as much as there is */
            const void *from = done == 0 ? executor->nothing : destination[p];
            size_t most = done == 0 ? (size_t)NOTHING_BYTES : done;
            size_t next = most < bytes - done ? most : bytes - done;
            device->copy(device, destination[p] + done, from, next);
            done += next;
        }
    }
}

/* The tree over the first leaves of a subtree is the subtree without the others, so that shards
 * without samples are in no addition. */
static void fold_unit(executor_t *executor, const fold_unit_t *unit) {
    bool by_operation = executor_folds_by_operation(executor, unit);
    int held_end = executor->config.shard_first + executor->held;
    for (int i = 0; i < executor->state.part_count; i++) {
        char *destination[OP_WEIGHTS_MAX] = {NULL};
        for (int p = 0; p < unit->parameter_count; p++) {
            destination[p] =
                (char *)executor->state.parts[i] +
                executor_state_bytes(executor, executor->state.offsets[unit->parameters[p]]);
        }
        tree_node_t leaves = executor->state.part_leaves[i];
        leaves.end = leaves.end < held_end ? leaves.end : held_end;
        if (leaves.end <= leaves.begin) {
            fold_nothing(executor, unit, destination);
        } else if (by_operation) {
            fold_by_operation(executor, unit, leaves, destination);
        } else {
            fold(executor, unit, leaves.begin, leaves.end, 0, destination);
        }
    }
}

static void run_sums(executor_t *executor, int *next, int before_node) {
    const graph_plan_t *plan = executor->plan;
    while (*next < plan->sum_count && plan->sums[*next].before_node == before_node) {
        if (executor->held > 0) {
            trace_begin_operation(executor->trace, TRACK_MAIN, "gradients of all uses",
                                  op_pass_name(OP_sum, PASS_FORWARD));
            executor->config.kernels->ops[OP_sum].forward(executor->sum_ops[*next],
                                                          &executor->sum_calls[*next]);
            trace_end(executor->trace, TRACK_MAIN);
        }
        (*next)++;
    }
}

status_t executor_backward(executor_t *executor, const step_scalars_t *scalars,
                           status_t (*unit_done)(void *context, int unit), void *context) {
    REQUIRE(executor->config.backward);
    const graph_plan_t *plan = executor->plan;
    int next_sum = 0, next_unit = 0;
    for (int i = executor->graph->node_count - 1; i >= 0; i--) {
        op_call_t *call = &executor->calls[i];
        call->scalars = scalars;
        run_sums(executor, &next_sum, i);
        if (executor->has_backward_data[i] && executor->held > 0) {
            op_kind_t kind = executor->graph->nodes[i].kind;
            begin(executor, i, PASS_BACKWARD_DATA);
            TRY(executor_couple(executor, i, PASS_BACKWARD_DATA));
            executor->config.kernels->ops[kind].backward_data(executor->ops[i], call);
            end(executor, i);
        }
        if (next_unit < plan->unit_count && plan->units[next_unit].nodes[0] == i) {
            begin(executor, i, PASS_BACKWARD_WEIGHTS);
            fold_unit(executor, &plan->units[next_unit]);
            end(executor, i);
            if (unit_done != NULL) {
                TRY(unit_done(context, next_unit));
            }
            next_unit++;
        }
    }
    run_sums(executor, &next_sum, -1);
    REQUIRE(next_sum == plan->sum_count && next_unit == plan->unit_count);
    return STATUS_OK;
}
