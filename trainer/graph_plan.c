#include "trainer/graph_plan.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

/* A use of a value: input `input` of node `node`; node == NODE_LOSS for outputs, NODE_VIEWS when all
 * the value's column views together stand for one use. */
enum { NODE_LOSS = -1, NODE_VIEWS = -2, USES_MAX = OP_INPUTS_MAX };
typedef struct use {
    int node, input;
} use_t;

static const view_t no_view = { .buffer = -1 };

int graph_plan_new_buffer(graph_plan_t *plan, int64_t elements) {
    plan->buffers = array_grow(plan->buffers, plan->buffer_count, sizeof *plan->buffers);
    plan->buffers[plan->buffer_count] = (buffer_t){ .elements = elements, .first = -1 };
    return plan->buffer_count++;
}

static view_t whole_buffer(graph_plan_t *plan, int64_t rows, int64_t columns) {
    return (view_t){ graph_plan_new_buffer(plan, rows * columns), 0, rows, columns, columns };
}

/* Part `input` of a concatenation whose result lies at `whole`. */
static view_t part_of(const graph_t *graph, const node_t *node, int input, view_t whole) {
    const value_info_t *part = &graph->values[node->in[input]];
    view_t view = whole;
    view.rows = part->rows;
    view.columns = part->columns;
    if (node->as_tokens) {
        view.offset += input * whole.row_stride;
        view.row_stride = node->input_count * whole.row_stride;
        return view;
    }
    for (int i = 0; i < input; i++) {
        view.offset += graph->values[node->in[i]].columns;
    }
    return view;
}

static view_t columns_of(const graph_t *graph, value_t view, view_t whole) {
    whole.offset += graph->values[view].view_begin;
    whole.columns = graph->values[view].columns;
    return whole;
}

/* --- forward: producers write straight into the first concatenation that takes their value --------- */

static view_t place_value(graph_plan_t *plan, value_t x) {
    if (plan->values[x].buffer >= 0) {
        return plan->values[x];
    }
    const graph_t *graph = plan->graph;
    const value_info_t *value = &graph->values[x];
    view_t view = no_view;
    if (value->view_of >= 0) {
        view = columns_of(graph, x, place_value(plan, value->view_of));
    }
    for (int i = 0; value->producer >= 0 && view.buffer < 0 && i < graph->node_count; i++) {
        const node_t *node = &graph->nodes[i];
        for (int k = 0; node->kind == OP_concat && view.buffer < 0 && k < node->input_count; k++) {
            if (node->in[k] == x) {
                view = part_of(graph, node, k, place_value(plan, node->out));
            }
        }
    }
    if (view.buffer < 0) {
        view = whole_buffer(plan, value->rows, value->columns);
    }
    plan->values[x] = view;
    return view;
}

/* --- backward: one gradient per use, summed where there are several -------------------------------- */

static bool needs_gradient(const graph_plan_t *plan, bool input_gradients, value_t x) {
    return plan->backward && (input_gradients || plan->graph->values[x].learned);
}

static int list_uses(const graph_t *graph, value_t x, use_t uses[USES_MAX]) {
    int count = 0;
    for (int i = 0; i < graph->node_count; i++) {
        for (int k = 0; k < graph->nodes[i].input_count; k++) {
            if (graph->nodes[i].in[k] == x) {
                REQUIRE(count < USES_MAX);
                uses[count++] = (use_t){ i, k };
            }
        }
    }
    int64_t viewed = 0;
    for (value_t v = 0; v < graph->value_count; v++) {
        viewed += graph->values[v].view_of == x ? graph->values[v].columns : 0;
    }
    if (viewed > 0) {
        REQUIRE(viewed == graph->values[x].columns && count < USES_MAX);
        uses[count++] = (use_t){ NODE_VIEWS, 0 };
    }
    if (graph->values[x].output >= 0) {
        REQUIRE(count < USES_MAX);
        uses[count++] = (use_t){ NODE_LOSS, 0 };
    }
    return count;
}

/* Where the gradient of one use lies: inside the concatenation's own gradient, or in `own`. */
static view_t use_view(graph_plan_t *plan, use_t use, view_t own) {
    const graph_t *graph = plan->graph;
    if (use.node >= 0 && graph->nodes[use.node].kind == OP_concat) {
        const node_t *node = &graph->nodes[use.node];
        return part_of(graph, node, use.input, plan->gradients[node->out]);
    }
    return own;
}

static void assign_views(graph_plan_t *plan, value_t x, view_t view) {
    for (value_t v = 0; v < plan->graph->value_count; v++) {
        if (plan->graph->values[v].view_of == x) {
            plan->gradients[v] = columns_of(plan->graph, v, view);
        }
    }
}

static void record_use(graph_plan_t *plan, value_t x, use_t use, view_t view) {
    if (use.node >= 0) {
        plan->d_in[use.node][use.input] = view;
    } else if (use.node == NODE_VIEWS) {
        assign_views(plan, x, view);
    }
}

static gradient_sum_t *new_sum(graph_plan_t *plan) {
    plan->sums = array_grow(plan->sums, plan->sum_count, sizeof *plan->sums);
    gradient_sum_t *sum = &plan->sums[plan->sum_count++];
    memset(sum, 0, sizeof *sum);
    return sum;
}

static int producer_of(const graph_t *graph, value_t x) {
    while (graph->values[x].view_of >= 0) {
        x = graph->values[x].view_of;
    }
    return graph->values[x].producer;
}

/* The gradient of x: directly that of its only use, or a sum over a buffer per use. */
static status_t plan_gradient(graph_plan_t *plan, value_t x) {
    const graph_t *graph = plan->graph;
    const value_info_t *value = &graph->values[x];
    use_t uses[USES_MAX];
    int use_count = list_uses(graph, x, uses);
    if (use_count == 0) {
        return status_fail(STATUS_INPUT, "model: a value of %s is never used",
                           value->producer >= 0 ? graph->nodes[value->producer].name : "an input");
    }
    view_t total = plan->gradients[x]; /* a view of columns already lies in its whole */
    if (use_count == 1) {
        if (total.buffer < 0) {
            view_t own = no_view;
            bool in_concat = uses[0].node >= 0 && graph->nodes[uses[0].node].kind == OP_concat;
            if (!in_concat) {
                own = whole_buffer(plan, value->rows, value->columns);
            }
            total = use_view(plan, uses[0], own);
        }
        plan->gradients[x] = total;
        record_use(plan, x, uses[0], total);
        return STATUS_OK;
    }
    if (total.buffer < 0) {
        total = whole_buffer(plan, value->rows, value->columns);
    }
    plan->gradients[x] = total;
    gradient_sum_t sum = { .total = total, .before_node = producer_of(graph, x) };
    for (int i = 0; i < use_count; i++) {
        bool in_concat = uses[i].node >= 0 && graph->nodes[uses[i].node].kind == OP_concat;
        view_t own = no_view;
        if (!in_concat) {
            own = whole_buffer(plan, value->rows, value->columns);
        }
        view_t view = use_view(plan, uses[i], own);
        record_use(plan, x, uses[i], view);
        sum.terms[sum.term_count++] = view;
    }
    *new_sum(plan) = sum;
    return STATUS_OK;
}

/* Consumers before producers, wholes before their views: values were made in order of creation, and a
 * view's gradient is needed to place nothing but its own uses. */
static status_t plan_gradients(graph_plan_t *plan, bool input_gradients) {
    const graph_t *graph = plan->graph;
    for (value_t x = graph->value_count - 1; x >= 0; x--) {
        if (graph->values[x].view_of < 0 && needs_gradient(plan, input_gradients, x)) {
            TRY(plan_gradient(plan, x));
        }
    }
    for (value_t x = graph->value_count - 1; x >= 0; x--) {
        if (graph->values[x].view_of >= 0 && needs_gradient(plan, input_gradients, x)) {
            TRY(plan_gradient(plan, x));
        }
    }
    return STATUS_OK;
}

/* Sums run right before their producer's backward: a view's before its whole's. */
static int compare_sums(const void *a, const void *b) {
    const gradient_sum_t *x = a, *y = b;
    if (x->before_node != y->before_node) {
        return x->before_node > y->before_node ? -1 : 1;
    }
    return x->total.columns < y->total.columns ? -1 : x->total.columns > y->total.columns;
}

/* --- weights ---------------------------------------------------------------------------------- */

static void add_to_units(graph_plan_t *plan, int node_index) {
    const node_t *node = &plan->graph->nodes[node_index];
    for (int u = 0; u < plan->unit_count; u++) {
        fold_unit_t *unit = &plan->units[u];
        if (unit->parameters[0] == node->weight[0].parameter) {
            unit->nodes = array_grow(unit->nodes, unit->node_count, sizeof *unit->nodes);
            unit->nodes[unit->node_count++] = node_index;
            return;
        }
    }
    plan->units = array_grow(plan->units, plan->unit_count, sizeof *plan->units);
    fold_unit_t *unit = &plan->units[plan->unit_count++];
    *unit = (fold_unit_t){ .parameter_count = node->weight_count, .node_count = 1 };
    for (int i = 0; i < node->weight_count; i++) {
        unit->parameters[i] = node->weight[i].parameter;
        unit->elements += plan->graph->parameters[unit->parameters[i]].count;
    }
    unit->nodes = array_grow(NULL, 0, sizeof *unit->nodes);
    unit->nodes[0] = node_index;
}

/* A unit is complete when backward reaches its first use. */
static int compare_units(const void *a, const void *b) {
    const fold_unit_t *x = a, *y = b;
    return y->nodes[0] - x->nodes[0];
}

/* Every row of a parameter must be used, or its gradient would be undefined. */
static status_t check_unit(const graph_t *graph, const fold_unit_t *unit) {
    int64_t rows = graph->parameters[unit->parameters[0]].rows;
    char *seen = alloc_zero(rows, 1);
    for (int i = 0; i < unit->node_count; i++) {
        const weight_t *weight = &graph->nodes[unit->nodes[i]].weight[0];
        memset(seen + weight->begin, 1, (size_t)weight_rows(graph, *weight));
    }
    bool complete = memchr(seen, 0, (size_t)rows) == NULL;
    free(seen);
    if (!complete) {
        return status_fail(STATUS_INPUT, "model: parameter %s is used in part only",
                           graph->parameters[unit->parameters[0]].name);
    }
    return STATUS_OK;
}

static status_t plan_units(graph_plan_t *plan) {
    for (int i = 0; i < plan->graph->node_count; i++) {
        if (plan->graph->nodes[i].weight_count > 0) {
            add_to_units(plan, i);
        }
    }
    if (plan->unit_count > 0) {
        qsort(plan->units, (size_t)plan->unit_count, sizeof *plan->units, compare_units);
    }
    for (int u = 0; u < plan->unit_count; u++) {
        TRY(check_unit(plan->graph, &plan->units[u]));
    }
    return STATUS_OK;
}

/* --- the whole ---------------------------------------------------------------------------------- */

status_t graph_plan_make(const graph_t *graph, bool backward, bool input_gradients,
                         graph_plan_t **plan_out) {
    TRY(graph_check(graph));
    graph_plan_t *plan = alloc_zero(1, sizeof *plan);
    plan->graph = graph;
    plan->backward = backward;
    plan->values = alloc_zero(graph->value_count, sizeof *plan->values);
    plan->gradients = alloc_zero(graph->value_count, sizeof *plan->gradients);
    plan->d_in = alloc_zero(graph->node_count, sizeof *plan->d_in);
    for (value_t x = 0; x < graph->value_count; x++) {
        plan->values[x] = plan->gradients[x] = no_view;
    }
    for (int i = 0; i < graph->node_count; i++) {
        for (int k = 0; k < OP_INPUTS_MAX; k++) {
            plan->d_in[i][k] = no_view;
        }
    }
    for (value_t x = 0; x < graph->value_count; x++) {
        place_value(plan, x);
    }
    status_t status = backward ? plan_gradients(plan, input_gradients) : STATUS_OK;
    if (plan->sum_count > 0) {
        qsort(plan->sums, (size_t)plan->sum_count, sizeof *plan->sums, compare_sums);
    }
    if (status == STATUS_OK) {
        status = plan_units(plan);
    }
    if (status != STATUS_OK) {
        graph_plan_free(plan);
        return status;
    }
    *plan_out = plan;
    return STATUS_OK;
}

void graph_plan_free(graph_plan_t *plan) {
    if (plan == NULL) {
        return;
    }
    for (int u = 0; u < plan->unit_count; u++) {
        free(plan->units[u].nodes);
    }
    free(plan->units);
    free(plan->sums);
    free(plan->d_in);
    free(plan->gradients);
    free(plan->values);
    free(plan->buffers);
    free(plan);
}

/* --- lifetimes and places -------------------------------------------------------------------------- */

void graph_plan_touch(graph_plan_t *plan, int buffer, int time) {
    if (buffer < 0) {
        return;
    }
    buffer_t *b = &plan->buffers[buffer];
    if (b->first < 0) {
        b->first = b->last = time;
    }
    b->first = time < b->first ? time : b->first;
    b->last = time > b->last ? time : b->last;
}

/* Which forward values an operation's backward reads again (kernels.h). */
static bool backward_reads_in(op_kind_t kind) {
    return kind == OP_linear || kind == OP_attention || kind == OP_add_layernorm ||
           kind == OP_l2_normalize;
}
static bool backward_reads_out(const node_t *node) {
    return node->kind == OP_relu ||
           (node->kind == OP_linear && node->attributes.activation == ACTIVATION_RELU);
}

static void touch_forward(graph_plan_t *plan, int i, int time) {
    const node_t *node = &plan->graph->nodes[i];
    for (int k = 0; k < node->input_count; k++) {
        graph_plan_touch(plan, plan->values[node->in[k]].buffer, time);
    }
    graph_plan_touch(plan, plan->values[node->out].buffer, time);
}

/* Everything backward of node i reads, at `time` (its own turn, or that of its weights' fold). */
static void touch_backward(graph_plan_t *plan, int i, int saved, int time) {
    const node_t *node = &plan->graph->nodes[i];
    graph_plan_touch(plan, plan->gradients[node->out].buffer, time);
    graph_plan_touch(plan, saved, time);
    for (int k = 0; k < node->input_count; k++) {
        graph_plan_touch(plan, plan->d_in[i][k].buffer, time);
        if (backward_reads_in(node->kind)) {
            graph_plan_touch(plan, plan->values[node->in[k]].buffer, time);
        }
    }
    if (backward_reads_out(node)) {
        graph_plan_touch(plan, plan->values[node->out].buffer, time);
    }
}

static void touch_outputs(graph_plan_t *plan, int loss_time, int end_time) {
    const graph_t *graph = plan->graph;
    for (int i = 0; i < graph->output_count; i++) {
        value_t x = graph->outputs[i].value;
        graph_plan_touch(plan, plan->values[x].buffer, loss_time);
        graph_plan_touch(plan, plan->values[x].buffer, end_time);
        graph_plan_touch(plan, plan->gradients[x].buffer, loss_time);
    }
    for (int i = 0; i < graph->input_count; i++) {
        value_t x = graph->inputs[i].value;
        graph_plan_touch(plan, plan->values[x].buffer, 0);
        graph_plan_touch(plan, plan->gradients[x].buffer, end_time);
    }
}

void graph_plan_lifetimes(graph_plan_t *plan, const int *saved) {
    const graph_t *graph = plan->graph;
    int n = graph->node_count;
    touch_outputs(plan, n, 2 * n + 1);
    for (int i = 0; i < n; i++) {
        touch_forward(plan, i, i);
        graph_plan_touch(plan, saved[i], i);
        if (plan->backward) {
            touch_backward(plan, i, saved[i], 2 * n - i);
        }
    }
    for (int s = 0; plan->backward && s < plan->sum_count; s++) {
        const gradient_sum_t *sum = &plan->sums[s];
        int time = sum->before_node >= 0 ? 2 * n - sum->before_node : 2 * n + 1;
        graph_plan_touch(plan, sum->total.buffer, time);
        for (int k = 0; k < sum->term_count; k++) {
            graph_plan_touch(plan, sum->terms[k].buffer, time);
        }
    }
    for (int u = 0; plan->backward && u < plan->unit_count; u++) {
        const fold_unit_t *unit = &plan->units[u];
        for (int k = 0; k < unit->node_count; k++) {
            touch_backward(plan, unit->nodes[k], saved[unit->nodes[k]], 2 * n - unit->nodes[0]);
        }
    }
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
            bool together = other->first <= mine->last && mine->first <= other->last;
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
            items[count++] = (placement_t){ b, align_up(bytes, ALIGNMENT) };
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
