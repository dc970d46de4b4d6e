/* graph_grid.c - operations over grids of cells: what backbones are made of. */
#include "trainer/graph_internal.h"

static int64_t cells_in(const op_axis_t axis[OP_AXES]) {
    return axis[0].in * axis[1].in * axis[2].in;
}

static int64_t cells_out(const op_axis_t axis[OP_AXES]) {
    return axis[0].out * axis[1].out * axis[2].out;
}

/* A node over windows, [grids * cells_out, columns]. */
static node_t *add_windowed(graph_t *graph, op_kind_t kind, const char *name, value_t x,
                            const op_axis_t axis[OP_AXES], int64_t columns) {
    int64_t rows = value_of(graph, x)->rows, cells = cells_in(axis);
    graph_require(graph, name, rows % cells == 0, "rows do not divide into grids");
    node_t *node =
        graph_add_node(graph, kind, name, &x, 1, rows / cells * cells_out(axis), columns);
    for (int a = 0; a < OP_AXES; a++) {
        node->attributes.axis[a] = axis[a];
    }
    return node;
}

value_t graph_conv(graph_t *graph, const char *name, value_t x, parameter_t weight,
                   parameter_t bias, const op_axis_t axis[OP_AXES], int64_t groups,
                   activation_t activation) {
    const parameter_node_t *w = &graph->parameters[weight];
    graph_require(graph, name,
                  w->columns * groups == value_of(graph, x)->columns * window_taps(axis),
                  "weight and input differ in width");
    graph_require(graph, name, bias < 0 || graph->parameters[bias].rows == w->rows,
                  "weight and bias differ in length");
    node_t *node = add_windowed(graph, OP_conv, name, x, axis, w->rows);
    node->attributes.groups = groups;
    node->attributes.activation = activation;
    node->attributes.bias = bias >= 0;
    graph_add_weight(graph, node, weight_of(weight));
    if (bias >= 0) {
        graph_add_weight(graph, node, weight_of(bias));
    }
    return node->out;
}

value_t graph_pool(graph_t *graph, const char *name, value_t x, const op_axis_t axis[OP_AXES],
                   pool_rule_t rule) {
    node_t *node = add_windowed(graph, OP_pool, name, x, axis, value_of(graph, x)->columns);
    node->attributes.pool_rule = rule;
    return node->out;
}

value_t graph_batch_norm(graph_t *graph, const char *name, value_t x, row_mask_t mask,
                         const batch_norm_t *norm) {
    graph_require(graph, name, graph->parameters[norm->gain].rows == value_of(graph, x)->columns,
                  "gain and input differ in width");
    value_t out = graph_add_unary(graph, OP_batch_norm, name, x, mask);
    node_t *node = &graph->nodes[graph->values[out].producer];
    node->attributes.norm_rule = norm->rule;
    node->attributes.epsilon = norm->epsilon;
    graph_add_weight(graph, node, weight_of(norm->gain));
    graph_add_weight(graph, node, weight_of(norm->bias));
    graph_add_weight(graph, node, weight_of(norm->mean));
    graph_add_weight(graph, node, weight_of(norm->variance));
    return out;
}

value_t graph_relu(graph_t *graph, const char *name, value_t x) {
    return graph_add_unary(graph, OP_relu, name, x, NO_MASK);
}

value_t graph_prelu(graph_t *graph, const char *name, value_t x, parameter_t slope) {
    graph_require(graph, name, graph->parameters[slope].count == value_of(graph, x)->columns,
                  "slopes and input differ in width");
    value_t out = graph_add_unary(graph, OP_prelu, name, x, NO_MASK);
    graph_add_weight(graph, &graph->nodes[graph->values[out].producer], weight_of(slope));
    return out;
}
