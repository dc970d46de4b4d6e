/* graph_info.c - what was built. */
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/graph_internal.h"

int graph_parameter_count(const graph_t *graph) { return graph->parameter_count; }

parameter_info_t graph_parameter_info(const graph_t *graph, parameter_t parameter) {
    const parameter_node_t *p = &graph->parameters[parameter];
    parameter_info_t shape = {.name = p->name,
                              .rows = p->rows,
                              .columns = p->columns,
                              .count = p->count,
                              .rank = p->columns > 0 || p->axes > 0 ? 2 + p->axes : 1,
                              .dims = {p->rows, p->columns},
                              .init = p->init,
                              .role = p->role,
                              .statistic = p->statistic,
                              .momentum = p->momentum,
                              .fold = p->fold};
    if (p->axes > 0) {
        shape.dims[1] = parameter_width(graph, parameter) / p->taps;
        memcpy(shape.dims + 2, p->sizes, (size_t)p->axes * sizeof *p->sizes);
    }
    return shape;
}

int64_t graph_parameter_elements(const graph_t *graph) {
    int64_t elements = 0;
    for (int i = 0; i < graph->parameter_count; i++) {
        const parameter_node_t *p = &graph->parameters[i];
        elements += p->fold == NULL && !p->statistic ? p->count : 0;
    }
    return elements;
}

int graph_input_count(const graph_t *graph) { return graph->input_count; }
const char *graph_input_name(const graph_t *graph, int input) { return graph->inputs[input].name; }
int64_t graph_input_dim(const graph_t *graph, int input) {
    const value_info_t *x = &graph->values[graph->inputs[input].value];
    return x->rows / graph->length * x->columns;
}
int graph_output_count(const graph_t *graph) { return graph->output_count; }
const char *graph_output_name(const graph_t *graph, int output) {
    return graph->outputs[output].name;
}
int64_t graph_output_columns(const graph_t *graph, int output) {
    return graph->values[graph->outputs[output].value].columns;
}

int graph_node_count(const graph_t *graph) { return graph->node_count; }

layer_info_t graph_layer_info(const graph_t *graph, int index) {
    const node_t *node = &graph->nodes[index];
    const value_info_t *out = &graph->values[node->out];
    layer_info_t layer = {node->name, op_kind_name(node->kind), out->rows, out->columns, 0, 0};
    for (int i = 0; i < node->weight_count; i++) {
        layer.parameters +=
            weight_rows(graph, node->weight[i]) * parameter_width(graph, node->weight[i].parameter);
    }
    if (node->kind == OP_linear || node->kind == OP_temporal_conv) {
        int64_t taps = node->kind == OP_linear ? 1 : node->attributes.taps;
        layer.macs = out->rows * out->columns * graph->values[node->in[0]].columns * taps;
    } else if (node->kind == OP_conv) { /* padding counts */
        layer.macs = out->rows * out->columns *
                     (graph->values[node->in[0]].columns / node->attributes.groups) *
                     window_taps(node->attributes.axis);
    } else if (node->kind == OP_mix_rows || node->kind == OP_correlate) {
        layer.macs = out->rows * out->columns * graph->values[node->in[0]].rows;
    } else if (node->kind == OP_attention) {
        layer.macs = 2 * out->rows * node->attributes.key_len * out->columns;
    }
    return layer;
}

int64_t graph_macs(const graph_t *graph) {
    int64_t macs = 0;
    for (int i = 0; i < graph->node_count; i++) {
        macs += graph_layer_info(graph, i).macs;
    }
    return macs;
}
