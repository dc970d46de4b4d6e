#include "trainer/executor.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/executor_internal.h"

/* --- planning -------------------------------------------------------------------------------- */

static int64_t local_samples(const executor_t *executor) {
    return executor->config.samples_per_shard * executor->config.shard_count;
}

int64_t executor_samples(const executor_t *executor) { return local_samples(executor); }

int64_t executor_computes(const executor_t *executor, int64_t samples) {
    int64_t each = executor->config.samples_per_shard;
    return each * (executor->holds_all ? executor->config.shard_count : div_up(samples, each));
}

static op_shape_t shape_of(const executor_t *executor, view_t view) {
    if (view.buffer < 0) {
        return (op_shape_t){0, 0, 0};
    }
    return (op_shape_t){view.rows * executor->config.samples_per_shard, view.columns,
                        view.row_stride};
}

/* A token stack is written as rows of count * d columns. */
static view_t side_by_side(const node_t *node, view_t view) {
    if (node->as_tokens && view.buffer >= 0) {
        REQUIRE(view.row_stride == view.columns);
        view.rows /= node->input_count;
        view.columns *= node->input_count;
        view.row_stride = view.columns;
    }
    return view;
}

matrix_t executor_matrix(const executor_t *executor, view_t view) {
    if (view.buffer < 0) {
        return (matrix_t){0};
    }
    const buffer_t *buffer = &executor->plan->buffers[view.buffer];
    size_t element_bytes = dtype_bytes(executor->config.kernels->dtype);
    return (matrix_t){
        .data = executor->arena + buffer->byte_offset + (size_t)view.offset * element_bytes,
        .rows = view.rows * executor->config.samples_per_shard,
        .cols = view.columns,
        .row_stride = view.row_stride,
        .shard_stride = buffer->elements * executor->config.samples_per_shard,
    };
}

static void describe(const executor_t *executor, int i, op_description_t *d) {
    const graph_plan_t *plan = executor->plan;
    const node_t *node = &executor->graph->nodes[i];
    *d = (op_description_t){.kind = node->kind,
                            .attributes = node->attributes,
                            .input_count = node->input_count,
                            .weights_stay = executor->config.weights_stay,
                            .device = executor->config.device,
                            .shard_count = executor->config.shard_count};
    int64_t samples = executor->config.samples_per_shard;
    if (node->attributes.across) {
        d->attributes.query_len *= samples;
        d->attributes.key_len *= samples;
    } else if (node->kind != OP_conv) { /* whose groups are of columns */
        d->attributes.groups *= samples;
    }
    d->out = shape_of(executor, side_by_side(node, plan->values[node->out]));
    d->d_out = shape_of(executor, side_by_side(node, plan->gradients[node->out]));
    for (int k = 0; k < node->input_count; k++) {
        d->in[k] = shape_of(executor, plan->values[node->in[k]]);
        d->d_in[k] = shape_of(executor, plan->d_in[i][k]);
    }
}

static void describe_sum(const executor_t *executor, const gradient_sum_t *sum,
                         op_description_t *d) {
    *d = (op_description_t){.kind = OP_sum,
                            .input_count = sum->term_count,
                            .device = executor->config.device,
                            .shard_count = executor->config.shard_count};
    d->out = shape_of(executor, sum->total);
    for (int k = 0; k < sum->term_count; k++) {
        d->in[k] = shape_of(executor, sum->terms[k]);
    }
}

static status_t plan_op(const executor_t *executor, const op_description_t *description,
                        op_plan_t **plan_out, int64_t *workspace_max, op_needs_t *needs_out) {
    *needs_out = (op_needs_t){0};
    const op_row_t *row = &executor->config.kernels->ops[description->kind];
    TRY(row->plan(description, plan_out, needs_out));
    *workspace_max = max_i64(*workspace_max, needs_out->workspace_count);
    return STATUS_OK;
}

/* Nodes with the same rows of the same weight share what is kept of them, where they want it in the
 * same form. */
static void place_kept(executor_t *executor, int i, int64_t count) {
    const node_t *nodes = executor->graph->nodes;
    weight_t mine = nodes[i].weight[0];
    executor->kept_at[i] = -1;
    executor->kept_counts[i] = count;
    for (int j = 0; count > 0 && j < i && executor->kept_at[i] < 0; j++) {
        weight_t other = nodes[j].weight[0];
        if (executor->kept_counts[j] == count && nodes[j].kind == nodes[i].kind &&
            other.parameter == mine.parameter && other.begin == mine.begin &&
            other.count == mine.count) {
            executor->kept_at[i] = executor->kept_at[j];
        }
    }
    if (count > 0 && executor->kept_at[i] < 0) {
        executor->kept_at[i] = executor->kept_elements;
        executor->kept_elements += align_up(count, 16);
    }
}

/* Elements of the arena that one of the state takes. */
static int64_t saved_ratio(const executor_t *executor) {
    dtype_t dtype = executor->config.kernels->dtype;
    return (int64_t)(dtype_state_bytes(dtype) / dtype_bytes(dtype));
}

static status_t plan_ops(executor_t *executor, int *saved, int64_t *workspace_out) {
    op_description_t *description = alloc_zero(1, sizeof *description);
    op_needs_t needs = {0};
    status_t status = STATUS_OK;
    for (int i = 0; i < executor->graph->node_count && status == STATUS_OK; i++) {
        describe(executor, i, description);
        status = plan_op(executor, description, &executor->ops[i], workspace_out, &needs);
        place_kept(executor, i, needs.kept_count);
        executor->sum_counts[i] = needs.sum_count;
        saved[i] = -1;
        if (needs.saved_count > 0) {
            int64_t per_sample = div_up(needs.saved_count, executor->config.samples_per_shard);
            saved[i] = graph_plan_new_buffer(executor->plan, per_sample * saved_ratio(executor));
        }
    }
    for (int s = 0; s < executor->plan->sum_count && status == STATUS_OK; s++) {
        describe_sum(executor, &executor->plan->sums[s], description);
        status = plan_op(executor, description, &executor->sum_ops[s], workspace_out, &needs);
    }
    free(description);
    return status;
}

static status_t alloc_on_device(const executor_t *executor, size_t bytes, const char *what,
                                void **memory_out) {
    const device_t *device = executor->config.device;
    return device->alloc(device, bytes, what, memory_out);
}

/* Levels of the tree over the local run: one scratch each. */
static int tree_levels(int leaves) {
    int levels = 0;
    while (leaves > 1) {
        leaves = (leaves + 1) / 2;
        levels++;
    }
    return levels;
}

static status_t alloc_scratch(executor_t *executor, int64_t workspace_count) {
    int64_t unit = 0, leaf = 0; /* leaf: where a shared weight's uses are added here */
    for (int u = 0; executor->config.backward && u < executor->plan->unit_count; u++) {
        const fold_unit_t *of = &executor->plan->units[u];
        bool adds = of->node_count > 1 && !executor_folds_by_operation(executor, of);
        unit = max_i64(unit, align_up(of->elements, 16));
        leaf = max_i64(leaf, adds ? align_up(of->elements, 16) : 0);
    }
    executor->unit_elements_max = unit;
    int levels = tree_levels(executor->config.shard_count);
    int64_t workspace = align_up(workspace_count, 16);
    int64_t elements = workspace + leaf + unit * levels;
    executor->scratch_bytes = executor_state_bytes(executor, elements);
    void *memory = NULL;
    TRY(alloc_on_device(executor, executor->scratch_bytes, "workspace", &memory));
    executor->scratch = memory;
    executor->workspace = executor->scratch;
    executor->leaf_scratch = executor->workspace + executor_state_bytes(executor, workspace);
    executor->level_scratch = executor->leaf_scratch + executor_state_bytes(executor, leaf);
    return STATUS_OK;
}

static status_t alloc_masks(executor_t *executor) {
    const graph_t *graph = executor->graph;
    int64_t samples = local_samples(executor), total = 0;
    executor->masks = alloc_zero(graph->mask_count, sizeof *executor->masks);
    for (int m = 0; m < graph->mask_count; m++) {
        total += align_up(graph->masks[m].rows * samples, 64);
    }
    void *memory = NULL;
    TRY(alloc_on_device(executor, (size_t)total + 64, "masks", &memory));
    executor->mask_bytes = memory;
    executor->scratch_bytes += (size_t)total;
    int64_t offset = 0;
    for (int m = 0; m < graph->mask_count; m++) {
        int64_t per_shard = graph->masks[m].rows * executor->config.samples_per_shard;
        executor->masks[m] = (mask_t){executor->mask_bytes + offset, per_shard, per_shard};
        offset += align_up(graph->masks[m].rows * samples, 64);
    }
    return STATUS_OK;
}

static void prepare_call(executor_t *executor, int i, const int *saved) {
    const node_t *node = &executor->graph->nodes[i];
    const graph_plan_t *plan = executor->plan;
    op_call_t *call = &executor->calls[i];
    call->out = executor_matrix(executor, side_by_side(node, plan->values[node->out]));
    call->d_out = executor_matrix(executor, side_by_side(node, plan->gradients[node->out]));
    for (int k = 0; k < node->input_count; k++) {
        call->in[k] = executor_matrix(executor, plan->values[node->in[k]]);
        call->d_in[k] = executor_matrix(executor, plan->d_in[i][k]);
    }
    if (node->mask != NO_MASK) {
        call->mask = executor->masks[node->mask];
    }
    if (saved[i] >= 0) {
        const buffer_t *buffer = &plan->buffers[saved[i]];
        call->saved = executor->arena + buffer->byte_offset;
        call->saved_shard_stride =
            buffer->elements * executor->config.samples_per_shard / saved_ratio(executor);
    }
    if (executor->kept_at[i] >= 0) {
        call->kept = executor->kept + executor_state_bytes(executor, executor->kept_at[i]);
    }
    call->workspace = executor->workspace;
    call->shard_end = executor->config.shard_count;
    executor->has_backward_data[i] = graph_plan_has_backward_data(plan, i);
}

static void prepare_sum(executor_t *executor, int s) {
    const gradient_sum_t *sum = &executor->plan->sums[s];
    op_call_t *call = &executor->sum_calls[s];
    call->out = executor_matrix(executor, sum->total);
    for (int k = 0; k < sum->term_count; k++) {
        call->in[k] = executor_matrix(executor, sum->terms[k]);
    }
    call->workspace = executor->workspace;
    call->shard_end = executor->config.shard_count;
}

/* What a part of the tree holds that has no samples. */
static status_t open_nothing(executor_t *executor) {
    enum { COUNT = NOTHING_BYTES / sizeof(double) };
    bool is_double = executor->config.kernels->dtype == DTYPE_F64;
    double doubles[COUNT];
    float floats[2 * COUNT];
    for (int i = 0; i < COUNT; i++) {
        doubles[i] = -0.0;
        floats[2 * i] = floats[2 * i + 1] = -0.0f;
    }
    const device_t *device = executor->config.device;
    TRY(alloc_on_device(executor, NOTHING_BYTES, "nothing", &executor->nothing));
    const void *pattern = is_double ? (const void *)doubles : floats;
    device->copy_in(device, executor->nothing, pattern, NOTHING_BYTES);
    return STATUS_OK;
}

static status_t open_memory(executor_t *executor) {
    const graph_t *graph = executor->graph;
    int *saved = alloc_zero(graph->node_count, sizeof *saved);
    int64_t workspace_count = 0;
    void *memory = NULL;
    status_t status = STATUS_OK;
    TRY_GOTO(status, plan_ops(executor, saved, &workspace_count), done);
    graph_plan_lifetimes(executor->plan, saved);
    executor->arena_bytes = (size_t)graph_plan_place(executor->plan, local_samples(executor),
                                                     dtype_bytes(executor->config.kernels->dtype));
    TRY_GOTO(status, alloc_on_device(executor, executor->arena_bytes, "activations", &memory),
             done);
    executor->arena = memory;
    if (executor->kept_elements > 0) {
        size_t bytes = executor_state_bytes(executor, executor->kept_elements);
        TRY_GOTO(status, alloc_on_device(executor, bytes, "packed weights", &memory), done);
        executor->kept = memory;
    }
    TRY_GOTO(status, alloc_scratch(executor, workspace_count), done);
    TRY_GOTO(status, alloc_masks(executor), done);
    TRY_GOTO(status, executor_open_host(executor), done);
    for (int i = 0; i < graph->node_count; i++) {
        prepare_call(executor, i, saved);
    }
    for (int s = 0; s < executor->plan->sum_count; s++) {
        prepare_sum(executor, s);
    }
    TRY_GOTO(status, open_nothing(executor), done);
    status = executor_open_coupling(executor);
done:
    free(saved);
    return status;
}

status_t executor_open(const graph_t *graph, const executor_config_t *config,
                       executor_t **executor_out) {
    REQUIRE(config->shard_count >= 1 && config->samples_per_shard >= 1);
    REQUIRE(!(config->backward && config->weights_stay));
    graph_plan_t *plan = NULL;
    TRY(graph_plan_make(graph, config->backward, config->input_gradients, &plan));
    executor_t *executor = alloc_zero(1, sizeof *executor);
    executor->graph = graph;
    executor->config = *config;
    executor->plan = plan;
    plan->private_buffers = config->private_buffers;
    executor->held = config->shard_count;
    executor_open_steps(executor);
    for (int i = 0; i < graph->node_count; i++) {
        executor->holds_all |= graph->nodes[i].kind == OP_batch_norm &&
                               graph->nodes[i].attributes.norm_rule != NORM_FROZEN;
    }
    executor->ops = alloc_zero(graph->node_count, sizeof *executor->ops);
    executor->calls = alloc_zero(graph->node_count, sizeof *executor->calls);
    executor->kept_at = alloc_zero(graph->node_count, sizeof *executor->kept_at);
    executor->kept_counts = alloc_zero(graph->node_count, sizeof *executor->kept_counts);
    executor->has_backward_data =
        alloc_zero(graph->node_count, sizeof *executor->has_backward_data);
    executor->sum_ops = alloc_zero(plan->sum_count, sizeof *executor->sum_ops);
    executor->sum_calls = alloc_zero(plan->sum_count, sizeof *executor->sum_calls);
    executor->uses = alloc_zero(graph->node_count, sizeof *executor->uses);
    executor->sum_counts = alloc_zero(graph->node_count, sizeof *executor->sum_counts);
    status_t status = open_memory(executor);
    if (status != STATUS_OK) {
        executor_close(executor);
        return status;
    }
    *executor_out = executor;
    return STATUS_OK;
}

void executor_close(executor_t *executor) {
    if (executor == NULL) {
        return;
    }
    const kernels_t *kernels = executor->config.kernels;
    for (int i = 0; i < executor->graph->node_count; i++) {
        if (executor->ops[i] != NULL) {
            kernels->ops[executor->graph->nodes[i].kind].plan_close(executor->ops[i]);
        }
    }
    for (int s = 0; s < executor->plan->sum_count; s++) {
        if (executor->sum_ops[s] != NULL) {
            kernels->ops[OP_sum].plan_close(executor->sum_ops[s]);
        }
    }
    const device_t *device = executor->config.device;
    device->release(device, executor->arena);
    device->release(device, executor->kept);
    device->release(device, executor->scratch);
    device->release(device, executor->mask_bytes);
    device->release(device, executor->nothing);
    executor_close_host(executor);
    executor_close_coupling(executor);
    free(executor->masks);
    free(executor->ops);
    free(executor->calls);
    free(executor->kept_at);
    free(executor->kept_counts);
    free(executor->has_backward_data);
    free(executor->only_wanted);
    free(executor->sum_ops);
    free(executor->sum_calls);
    free(executor->uses);
    free(executor->sum_counts);
    graph_plan_free(executor->plan);
    free(executor);
}

/* --- access ---------------------------------------------------------------------------------- */

const device_t *executor_device(const executor_t *executor) { return executor->config.device; }
dtype_t executor_dtype(const executor_t *executor) { return executor->config.kernels->dtype; }

matrix_t executor_output(const executor_t *executor, int output) {
    return executor_matrix(executor,
                           executor->plan->values[executor->graph->outputs[output].value]);
}

matrix_t executor_output_gradient(const executor_t *executor, int output) {
    return executor_matrix(executor, executor->plan->loss_gradients[output]);
}

matrix_t executor_input_gradient(const executor_t *executor, int input) {
    return executor_matrix(executor,
                           executor->plan->gradients[executor->graph->inputs[input].value]);
}

int executor_operation_count(const executor_t *executor) {
    return executor->graph->node_count + executor->plan->sum_count;
}

bool executor_operation(const executor_t *executor, int index, op_description_t *description_out) {
    const graph_plan_t *plan = executor->plan;
    int nodes = executor->graph->node_count;
    if (index >= nodes) {
        describe_sum(executor, &plan->sums[index - nodes], description_out);
        return true;
    }
    const node_t *node = &executor->graph->nodes[index];
    describe(executor, index, description_out);
    bool in_place = node->kind == OP_concat;
    for (int k = 0; k < node->input_count; k++) {
        in_place = in_place && plan->values[node->in[k]].buffer == plan->values[node->out].buffer;
    }
    return !in_place;
}

/* A product has two gradients of its own cost: that of the weights always, that of its input if
 * somebody needs it. Of attention's two products, and of
 * correlate's one, both factors have gradients. */
double executor_step_macs(const executor_t *executor) {
    double macs = 0.0;
    for (int i = 0; i < executor->graph->node_count; i++) {
        op_kind_t kind = executor->graph->nodes[i].kind;
        bool linear =
            kind == OP_linear || kind == OP_temporal_conv || kind == OP_conv || kind == OP_mix_rows;
        double data = executor->has_backward_data[i] ? (linear ? 1.0 : 2.0) : 0.0;
        bool learns = node_learns(executor->graph, &executor->graph->nodes[i]);
        double weights = linear && learns && executor->config.backward ? 1.0 : 0.0;
        bool across = executor->graph->nodes[i].attributes.across;
        double keys = across ? (double)executor->config.samples_per_shard : 1.0;
        macs += (1.0 + data + weights) * keys * (double)graph_layer_info(executor->graph, i).macs;
    }
    return macs;
}

size_t executor_arena_bytes(const executor_t *executor) { return executor->arena_bytes; }
size_t executor_scratch_bytes(const executor_t *executor) { return executor->scratch_bytes; }

/* Where a node's weight begins in a flat array. */
static size_t weight_byte_offset(const executor_t *executor, weight_t weight) {
    int64_t element = executor->state.offsets[weight.parameter] +
                      weight.begin * parameter_width(executor->graph, weight.parameter);
    return executor_state_bytes(executor, element);
}

void executor_bind(executor_t *executor, const executor_state_t *state) {
    executor->state = *state;
    for (int i = 0; i < executor->graph->node_count; i++) {
        const node_t *node = &executor->graph->nodes[i];
        for (int w = 0; w < node->weight_count; w++) {
            executor->calls[i].weight[w] =
                (const char *)state->weights + weight_byte_offset(executor, node->weight[w]);
        }
    }
    int64_t made = -1; /* places rise from the first node that keeps something to the last */
    for (int i = 0; i < executor->graph->node_count; i++) {
        if (executor->kept_at[i] > made) {
            made = executor->kept_at[i];
            executor->config.kernels->ops[executor->graph->nodes[i].kind].prepare(
                executor->ops[i], &executor->calls[i]);
        }
    }
}

status_t completion_of(const graph_t *graph, completion_t *completion_out) {
    graph_plan_t *plan = NULL;
    TRY(graph_plan_make(graph, true, false, &plan));
    completion_t completion = {.unit_count = plan->unit_count};
    completion.unit_begin = alloc_zero(plan->unit_count + 1, sizeof *completion.unit_begin);
    completion.parameters = alloc_zero(graph->parameter_count, sizeof *completion.parameters);
    int count = 0;
    for (int u = 0; u < plan->unit_count; u++) {
        for (int p = 0; p < plan->units[u].parameter_count; p++) {
            REQUIRE(count < graph->parameter_count);
            completion.parameters[count++] = plan->units[u].parameters[p];
        }
        completion.unit_begin[u + 1] = count;
    }
    graph_plan_free(plan);
    *completion_out = completion;
    return STATUS_OK;
}

void completion_free(completion_t *completion) {
    free(completion->unit_begin);
    free(completion->parameters);
}
