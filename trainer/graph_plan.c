#include "trainer/graph_plan.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

/* A use of a value: input `input` of node `node`; node == NODE_LOSS for outputs, NODE_VIEWS when
 * all the value's column views together stand for one use. */
enum { NODE_LOSS = -1, NODE_VIEWS = -2, USES_MAX = OP_INPUTS_MAX };
typedef struct use {
    int node, input;
} use_t;

static const view_t no_view = {.buffer = -1};

int graph_plan_new_buffer(graph_plan_t *plan, int64_t elements) {
    plan->buffers = array_grow(plan->buffers, plan->buffer_count, sizeof *plan->buffers);
    plan->buffers[plan->buffer_count] = (buffer_t){.elements = elements, .first = -1};
    return plan->buffer_count++;
}

static view_t whole_buffer(graph_plan_t *plan, int64_t rows, int64_t columns) {
    return (view_t){graph_plan_new_buffer(plan, rows * columns), 0, rows, columns, columns};
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

/* --- forward: producers write straight into the first concatenation that takes their value --- */

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

/* --- backward: one gradient per use, summed where there are several -------------------------- */

static bool needs_gradient(const graph_plan_t *plan, bool input_gradients, value_t x) {
    return plan->backward && (input_gradients || plan->graph->values[x].learned);
}

static int list_uses(const graph_t *graph, value_t x, use_t uses[USES_MAX]) {
    int count = 0;
    for (int i = 0; i < graph->node_count; i++) {
        for (int k = 0; k < graph->nodes[i].input_count; k++) {
            if (graph->nodes[i].in[k] == x) {
                REQUIRE(count < USES_MAX);
                uses[count++] = (use_t){i, k};
            }
        }
    }
    int64_t viewed = 0;
    for (value_t v = 0; v < graph->value_count; v++) {
        viewed += graph->values[v].view_of == x ? graph->values[v].columns : 0;
    }
    if (viewed > 0) {
        REQUIRE(viewed == graph->values[x].columns && count < USES_MAX);
        uses[count++] = (use_t){NODE_VIEWS, 0};
    }
    if (graph->values[x].output >= 0) {
        REQUIRE(count < USES_MAX);
        uses[count++] = (use_t){NODE_LOSS, 0};
    }
    return count;
}

/* A place for the gradient of one use: inside the concatenation's own gradient, or a new buffer. */
static view_t place_use(graph_plan_t *plan, value_t x, use_t use) {
    const graph_t *graph = plan->graph;
    if (use.node >= 0 && graph->nodes[use.node].kind == OP_concat) {
        const node_t *node = &graph->nodes[use.node];
        return part_of(graph, node, use.input, plan->gradients[node->out]);
    }
    return whole_buffer(plan, graph->values[x].rows, graph->values[x].columns);
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
    } else {
        plan->loss_gradients[plan->graph->values[x].output] = view;
    }
}

static gradient_sum_t *new_sum(graph_plan_t *plan) {
    plan->sums = array_grow(plan->sums, plan->sum_count, sizeof *plan->sums);
    return &plan->sums[plan->sum_count++];
}

static int producer_of(const graph_t *graph, value_t x) {
    while (graph->values[x].view_of >= 0) {
        x = graph->values[x].view_of;
    }
    return graph->values[x].producer;
}

/* The gradient of x: directly that of its only use, or the sum of a place per use. */
static status_t plan_gradient(graph_plan_t *plan, value_t x) {
    const value_info_t *value = &plan->graph->values[x];
    use_t uses[USES_MAX];
    int use_count = list_uses(plan->graph, x, uses);
    if (use_count == 0) {
        return status_fail(STATUS_INPUT, "model: a value of %s is never used",
                           value->producer >= 0 ? plan->graph->nodes[value->producer].name
                                                : "an input");
    }
    view_t total = plan->gradients[x]; /* a view of columns already lies in its whole */
    if (total.buffer < 0) {
        total = use_count == 1 ? place_use(plan, x, uses[0])
                               : whole_buffer(plan, value->rows, value->columns);
        plan->gradients[x] = total;
    }
    if (use_count == 1) {
        record_use(plan, x, uses[0], total);
        return STATUS_OK;
    }
    gradient_sum_t *sum = new_sum(plan);
    *sum = (gradient_sum_t){.total = total, .before_node = producer_of(plan->graph, x)};
    for (int i = 0; i < use_count; i++) {
        sum->terms[sum->term_count] = place_use(plan, x, uses[i]);
        record_use(plan, x, uses[i], sum->terms[sum->term_count++]);
    }
    return STATUS_OK;
}

/* Consumers before producers, wholes before their views: values were made in order of creation, and
 * a view's gradient is needed to place nothing but its own uses. */
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

/* --- weights --------------------------------------------------------------------------------- */

static void add_to_units(graph_plan_t *plan, int node_index) {
    const node_t *node = &plan->graph->nodes[node_index];
    for (int u = 0; u < plan->unit_count; u++) {
        fold_unit_t *unit = &plan->units[u];
        if (unit->parameters[0] == node->weight[0].parameter) {
            REQUIRE(unit->parameters[1] == node->weight[1].parameter);
            unit->nodes = array_grow(unit->nodes, unit->node_count, sizeof *unit->nodes);
            unit->nodes[unit->node_count++] = node_index;
            return;
        }
    }
    plan->units = array_grow(plan->units, plan->unit_count, sizeof *plan->units);
    fold_unit_t *unit = &plan->units[plan->unit_count++];
    *unit = (fold_unit_t){.parameter_count = node->weight_count, .node_count = 1};
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

/* What an operation makes of a weight for itself is of use to another: what is kept of it, and the
 * sum of gradients over both. */
static bool reads_alike(const node_t *a, const node_t *b) {
    return a->kind == b->kind && a->attributes.groups == b->attributes.groups &&
           window_taps(a->attributes.axis) == window_taps(b->attributes.axis);
}

/* Uses read the same rows, alike, or none in common, so that the first to write a run of the
 * gradient is known (executor_run.c); together they read all rows, so that none is left
 * undefined. */
static status_t check_unit(const graph_t *graph, const fold_unit_t *unit) {
    const parameter_node_t *parameter = &graph->parameters[unit->parameters[0]];
    int64_t used = 0;
    for (int i = 0; i < unit->node_count; i++) {
        const node_t *node = &graph->nodes[unit->nodes[i]];
        weight_t mine = node->weight[0];
        int64_t rows = weight_rows(graph, mine);
        bool first = true;
        for (int k = 0; k < i; k++) {
            const node_t *before = &graph->nodes[unit->nodes[k]];
            weight_t other = before->weight[0];
            bool same = mine.begin == other.begin && rows == weight_rows(graph, other);
            REQUIRE(same || mine.begin >= other.begin + weight_rows(graph, other) ||
                    other.begin >= mine.begin + rows);
            REQUIRE(!same || reads_alike(node, before));
            first &= !same;
        }
        used += first ? rows : 0;
    }
    if (used != parameter->rows) {
        return status_fail(STATUS_INPUT, "model: parameter %s is used in part only",
                           parameter->name);
    }
    return STATUS_OK;
}

static status_t plan_units(graph_plan_t *plan) {
    for (int i = 0; i < plan->graph->node_count; i++) {
        if (node_learns(plan->graph, &plan->graph->nodes[i])) {
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

/* --- the whole ------------------------------------------------------------------------------- */

static void open_tables(graph_plan_t *plan) {
    const graph_t *graph = plan->graph;
    plan->values = alloc_zero(graph->value_count, sizeof *plan->values);
    plan->gradients = alloc_zero(graph->value_count, sizeof *plan->gradients);
    plan->loss_gradients = alloc_zero(graph->output_count, sizeof *plan->loss_gradients);
    plan->d_in = alloc_zero(graph->node_count, sizeof *plan->d_in);
    for (value_t x = 0; x < graph->value_count; x++) {
        plan->values[x] = plan->gradients[x] = no_view;
    }
    for (int i = 0; i < graph->output_count; i++) {
        plan->loss_gradients[i] = no_view;
    }
    for (int i = 0; i < graph->node_count; i++) {
        for (int k = 0; k < OP_INPUTS_MAX; k++) {
            plan->d_in[i][k] = no_view;
        }
    }
}

status_t graph_plan_make(const graph_t *graph, bool backward, bool input_gradients,
                         graph_plan_t **plan_out) {
    TRY(graph_check(graph));
    graph_plan_t *plan = alloc_zero(1, sizeof *plan);
    plan->graph = graph;
    plan->backward = backward;
    open_tables(plan);
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
    free(plan->loss_gradients);
    free(plan->values);
    free(plan->buffers);
    free(plan);
}

bool graph_plan_has_backward_data(const graph_plan_t *plan, int i) {
    bool any = false;
    for (int k = 0; k < plan->graph->nodes[i].input_count; k++) {
        any |= plan->d_in[i][k].buffer >= 0;
    }
    return any;
}
