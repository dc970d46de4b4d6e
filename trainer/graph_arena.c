/* graph_arena.c - when every buffer of a plan is alive, and where it lies so that those alive at
 * the same time do not meet. */
#include "trainer/graph_plan.h"

#include <stdlib.h>

#include "kernels/base/bytes.h"

static void touch(graph_plan_t *plan, int buffer, int time) {
    if (buffer < 0) {
        return;
    }
    buffer_t *b = &plan->buffers[buffer];
    b->first = b->first < 0 || time < b->first ? time : b->first;
    b->last = time > b->last ? time : b->last;
}

static void touch_inputs(graph_plan_t *plan, const node_t *node, int time) {
    for (int k = 0; k < node->input_count; k++) {
        touch(plan, plan->values[node->in[k]].buffer, time);
    }
}

/* What kernels.h lets a backward read again: the inputs ... */
static bool is_largest(const node_t *node) {
    return node->kind == OP_select_token && node->attributes.token_rule == TOKEN_MAX;
}
static bool backward_data_reads_in(const node_t *node) {
    return node->kind == OP_attention || node->kind == OP_add_layernorm ||
           node->kind == OP_l2_normalize || node->kind == OP_softmax_gate ||
           node->kind == OP_batch_norm || node->kind == OP_correlate || is_largest(node);
}
/* ... and, where the derivative is seen in the result, the output. */
static bool backward_reads_out(const node_t *node) {
    return node->kind == OP_relu || node->kind == OP_leaky_relu || node->kind == OP_tanh ||
           is_largest(node) || node->attributes.activation == ACTIVATION_RELU;
}

static void touch_forward(graph_plan_t *plan, int i, int saved, int time) {
    const node_t *node = &plan->graph->nodes[i];
    touch_inputs(plan, node, time);
    touch(plan, plan->values[node->out].buffer, time);
    touch(plan, saved, time);
}

/* What both halves of a backward read. */
static void touch_gradient(graph_plan_t *plan, int i, int saved, int time) {
    const node_t *node = &plan->graph->nodes[i];
    touch(plan, plan->gradients[node->out].buffer, time);
    touch(plan, saved, time);
    if (backward_reads_out(node)) {
        touch(plan, plan->values[node->out].buffer, time);
    }
}

static void touch_backward_data(graph_plan_t *plan, int i, int saved, int time) {
    const node_t *node = &plan->graph->nodes[i];
    if (!graph_plan_has_backward_data(plan, i)) {
        return;
    }
    touch_gradient(plan, i, saved, time);
    for (int k = 0; k < node->input_count; k++) {
        touch(plan, plan->d_in[i][k].buffer, time);
    }
    if (backward_data_reads_in(node)) {
        touch_inputs(plan, node, time);
    }
}

/* Weight gradients of all uses are made when the unit folds: at the turn of its first use. */
static void touch_fold(graph_plan_t *plan, const fold_unit_t *unit, const int *saved, int time) {
    for (int k = 0; k < unit->node_count; k++) {
        int i = unit->nodes[k];
        touch_gradient(plan, i, saved[i], time);
        touch_inputs(plan, &plan->graph->nodes[i], time);
    }
}

static void touch_sum(graph_plan_t *plan, const gradient_sum_t *sum, int time) {
    touch(plan, sum->total.buffer, time);
    for (int k = 0; k < sum->term_count; k++) {
        touch(plan, sum->terms[k].buffer, time);
    }
}

/* What the caller writes and reads: inputs before the step, outputs and input gradients until its
 * end, the outputs' gradients at the loss. */
static void touch_ends(graph_plan_t *plan, int loss_time, int end_time) {
    const graph_t *graph = plan->graph;
    for (int i = 0; i < graph->output_count; i++) {
        touch(plan, plan->values[graph->outputs[i].value].buffer, end_time);
        touch(plan, plan->loss_gradients[i].buffer, loss_time);
    }
    for (int i = 0; i < graph->input_count; i++) {
        touch(plan, plan->values[graph->inputs[i].value].buffer, 0);
        touch(plan, plan->gradients[graph->inputs[i].value].buffer, end_time);
    }
}

void graph_plan_lifetimes(graph_plan_t *plan, const int *saved) {
    int n = plan->graph->node_count, end = 2 * n + 1;
    for (int i = 0; i < n; i++) {
        touch_forward(plan, i, saved[i], i);
        touch_backward_data(plan, i, saved[i], 2 * n - i);
    }
    for (int u = 0; plan->backward && u < plan->unit_count; u++) {
        touch_fold(plan, &plan->units[u], saved, 2 * n - plan->units[u].nodes[0]);
    }
    for (int s = 0; s < plan->sum_count; s++) {
        int before = plan->sums[s].before_node;
        touch_sum(plan, &plan->sums[s], before >= 0 ? 2 * n - before : end);
    }
    touch_ends(plan, n, end);
}

typedef struct placement {
    int buffer;
    int64_t bytes;
} placement_t;

static int compare_placements(const void *a, const void *b) {
    const placement_t *x = a, *y = b;
    if (x->bytes != y->bytes) {
        return x->bytes > y->bytes ? -1 : 1;
    }
    return x->buffer - y->buffer;
}

/* The lowest offset at which `item` meets no earlier item that is alive at the same time. */
static int64_t lowest_offset(const graph_plan_t *plan, const placement_t *items, int item) {
    const buffer_t *mine = &plan->buffers[items[item].buffer];
    int64_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < item; i++) {
            const buffer_t *other = &plan->buffers[items[i].buffer];
            bool together =
                plan->private_buffers || (other->first <= mine->last && mine->first <= other->last);
            if (together && other->byte_offset < offset + items[item].bytes &&
                offset < other->byte_offset + items[i].bytes) {
                offset = other->byte_offset + items[i].bytes;
                moved = true;
            }
        }
    }
    return offset;
}

int64_t graph_plan_place(graph_plan_t *plan, int64_t samples, size_t element_bytes) {
    enum { ALIGNMENT = 64 };
    placement_t *items = alloc_zero(plan->buffer_count, sizeof *items);
    int count = 0;
    for (int b = 0; b < plan->buffer_count; b++) {
        if (plan->buffers[b].first >= 0) {
            int64_t bytes = plan->buffers[b].elements * samples * (int64_t)element_bytes;
            items[count++] = (placement_t){b, align_up(bytes, ALIGNMENT)};
        }
    }
    qsort(items, (size_t)count, sizeof *items, compare_placements);
    int64_t arena_bytes = 0;
    for (int i = 0; i < count; i++) {
        int64_t offset = lowest_offset(plan, items, i);
        plan->buffers[items[i].buffer].byte_offset = offset;
        arena_bytes = max_i64(arena_bytes, offset + items[i].bytes);
    }
    free(items);
    return arena_bytes;
}
