/* executor_steps.c - which rows of a step need not be computed. Behind the end of a sample: where
 * each row depends on others of its sample through attention alone, whose keys are masked there,
 * such rows reach no row before the end. And what nothing but the prediction of its own step
 * depends on, where nobody wants that prediction. Gradients of both are 0. */
#include "kernels/base/bytes.h"
#include "trainer/executor_internal.h"

/* A row depends on those of the same step alone, tokens of it among them. */
static bool keeps_to_its_step(const graph_t *graph, const node_t *node) {
    switch (node->kind) {
    case OP_linear:
    case OP_add_layernorm:
    case OP_relu:
    case OP_leaky_relu:
    case OP_prelu:
    case OP_l2_normalize:
    case OP_mask_rows:
    case OP_concat:
    case OP_select_token:
    case OP_dropout:
    case OP_sum:
    case OP_tanh:
    case OP_softmax_gate:
    case OP_add_rows:
    case OP_fill_rows:
    case OP_add_waves:
        return true;
    case OP_attention:
        return node->attributes.groups % graph->length == 0 && !node->attributes.across;
    default:
        return false;
    }
}

/* 0 wherever the inputs' masks are 0. */
static bool ends_with_sample(const graph_t *graph, row_mask_t mask) {
    const mask_node_t *node = &graph->masks[mask];
    bool any = false, all = true;
    if (node->kind == MASK_INPUT) {
        return true;
    }
    for (int k = 0; k < node->count && node->kind != MASK_SEEN; k++) {
        bool ends = ends_with_sample(graph, node->a[k]);
        any |= ends;
        all &= ends;
    }
    return node->kind != MASK_SEEN && (node->kind == MASK_ALL ? any : all);
}

static bool attends_in_sample(const node_t *node) {
    return node->kind == OP_attention && !node->attributes.across;
}

static bool sees_no_padding(const graph_t *graph, const node_t *node) {
    bool attends = attends_in_sample(node) && node->mask != NO_MASK;
    return keeps_to_its_step(graph, node) || (attends && ends_with_sample(graph, node->mask));
}

static bool has_whole_steps(const graph_t *graph, value_t value) {
    return value_of(graph, value)->rows % graph->length == 0;
}

/* Other steps depend on this value too, and on what it is a view of. */
static void mark(const graph_t *graph, value_t value, bool *elsewhere) {
    for (; value >= 0; value = graph->values[value].view_of) {
        elsewhere[value] = true;
    }
}

/* Backwards, so that all that reads a value is known before what makes it. */
void executor_open_steps(executor_t *executor) {
    const graph_t *graph = executor->graph;
    bool *elsewhere = alloc_zero(graph->value_count, sizeof *elsewhere);
    executor->only_wanted = alloc_zero(graph->node_count, sizeof *executor->only_wanted);
    executor->hides_padding = true;
    for (int i = graph->node_count - 1; i >= 0; i--) {
        const node_t *node = &graph->nodes[i];
        bool whole = has_whole_steps(graph, node->out);
        bool here = whole && !elsewhere[node->out];
        executor->only_wanted[i] = here && !node->attributes.across;
        executor->hides_padding &= whole && sees_no_padding(graph, node);
        for (int k = 0; k < node->input_count; k++) {
            bool queries = attends_in_sample(node) && k == 0;
            if (!here || !(keeps_to_its_step(graph, node) || queries)) {
                mark(graph, node->in[k], elsewhere);
            }
        }
    }
    free(elsewhere);
    int64_t samples = executor->config.samples_per_shard;
    executor->there = (live_t){.samples = samples, .length = graph->length};
    executor->wanted = executor->there;
}

void executor_take_steps(executor_t *executor, sample_steps_t steps) {
    bool host = executor->config.device->host;
    const step_range_t *wanted = steps.wanted != NULL ? steps.wanted : steps.there;
    executor->there.ranges = host && executor->hides_padding ? steps.there : NULL;
    executor->wanted.ranges = host ? wanted : NULL;
    for (int i = 0; i < executor->graph->node_count; i++) {
        const live_t *live = executor->only_wanted[i] ? &executor->wanted : &executor->there;
        executor->calls[i].live = live->ranges != NULL ? live : NULL;
    }
}
