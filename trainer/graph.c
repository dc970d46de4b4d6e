#include "trainer/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "trainer/graph_internal.h"

graph_t *graph_open(int64_t length) {
    graph_t *graph = alloc_zero(1, sizeof *graph);
    graph->length = length;
    return graph;
}

static void fold_free(fold_t *fold) {
    if (fold != NULL) {
        free((char *)fold->left);
        free((char *)fold->right);
        free((char *)fold->plus);
        free((char *)fold->norm);
        free(fold);
    }
}

void graph_close(graph_t *graph) {
    if (graph == NULL) {
        return;
    }
    for (int i = 0; i < graph->node_count; i++) {
        free(graph->nodes[i].name);
    }
    for (int i = 0; i < graph->parameter_count; i++) {
        free(graph->parameters[i].name);
        fold_free(graph->parameters[i].fold);
    }
    for (int i = 0; i < graph->input_count; i++) {
        free(graph->inputs[i].name);
    }
    for (int i = 0; i < graph->output_count; i++) {
        free(graph->outputs[i].name);
    }
    free(graph->nodes);
    free(graph->parameters);
    free(graph->inputs);
    free(graph->outputs);
    free(graph->values);
    free(graph->masks);
    free(graph->error);
    free(graph);
}

status_t graph_check(const graph_t *graph) {
    if (graph->status != STATUS_OK) {
        return status_fail(graph->status, "%s", graph->error);
    }
    return STATUS_OK;
}

/* Keeps the first mistake; building goes on with harmless handles. */
static void complain(graph_t *graph, const char *node, const char *what) {
    if (graph->status == STATUS_OK) {
        graph->status = STATUS_INPUT;
        graph->error = text_format("model: %s: %s", node, what);
    }
}

bool graph_require(graph_t *graph, const char *node, bool condition, const char *what) {
    if (!condition) {
        complain(graph, node, what);
    }
    return condition;
}

int64_t graph_length(const graph_t *graph) { return graph->length; }

void graph_predict(graph_t *graph) { graph->predicts = true; }
bool graph_predicts(const graph_t *graph) { return graph->predicts; }

/* --- parameters ------------------------------------------------------------------------------ */

parameter_t graph_parameter(graph_t *graph, const char *name, int64_t rows, int64_t columns,
                            init_t init) {
    for (int i = 0; i < graph->parameter_count; i++) {
        graph_require(graph, name, strcmp(graph->parameters[i].name, name) != 0,
                      "parameter made twice");
    }
    graph->parameters =
        array_grow(graph->parameters, graph->parameter_count, sizeof *graph->parameters);
    graph->parameters[graph->parameter_count] = (parameter_node_t){
        .name = text_copy(name),
        .rows = rows,
        .columns = columns,
        .count = rows * (columns > 0 ? columns : 1),
        .init = init,
    };
    return graph->parameter_count++;
}

static const char *name_or_null(const char *name) { return name != NULL ? text_copy(name) : NULL; }

parameter_t graph_parameter_folded(graph_t *graph, const char *name, int64_t rows, int64_t columns,
                                   const fold_t *fold) {
    parameter_t parameter = graph_parameter(graph, name, rows, columns, (init_t){0});
    fold_t *own = alloc_zero(1, sizeof *own);
    *own = *fold;
    own->left = name_or_null(fold->left);
    own->right = name_or_null(fold->right);
    own->plus = name_or_null(fold->plus);
    own->norm = name_or_null(fold->norm);
    graph->parameters[parameter].fold = own;
    graph->parameters[parameter].role = PARAMETER_FIXED;
    return parameter;
}

void graph_parameter_window(graph_t *graph, parameter_t parameter, int axes, const int64_t *sizes) {
    parameter_node_t *p = &graph->parameters[parameter];
    int64_t taps = 1;
    REQUIRE(axes <= PARAMETER_AXES_MAX);
    for (int i = 0; i < axes; i++) {
        taps *= p->sizes[i] = sizes[i];
    }
    REQUIRE(taps > 0 && parameter_width(graph, parameter) % taps == 0);
    p->axes = axes;
    p->taps = taps;
}

void graph_parameter_fix(graph_t *graph, parameter_t parameter) {
    graph->parameters[parameter].role = PARAMETER_FIXED;
}

void graph_parameter_statistic(graph_t *graph, parameter_t parameter, double momentum) {
    parameter_node_t *p = &graph->parameters[parameter];
    p->statistic = true;
    p->role = momentum > 0.0 ? PARAMETER_RUNNING : PARAMETER_FIXED;
    p->momentum = momentum;
}

int64_t weight_rows(const graph_t *graph, weight_t weight) {
    return weight.count > 0 ? weight.count : graph->parameters[weight.parameter].rows;
}

bool node_learns(const graph_t *graph, const node_t *node) {
    bool any = false;
    for (int w = 0; w < node->weight_count; w++) {
        any |= graph->parameters[node->weight[w].parameter].role == PARAMETER_LEARNED;
    }
    return any;
}

int64_t parameter_width(const graph_t *graph, parameter_t parameter) {
    int64_t columns = graph->parameters[parameter].columns;
    return columns > 0 ? columns : 1;
}

/* --- values ---------------------------------------------------------------------------------- */

static value_t new_value(graph_t *graph, int64_t rows, int64_t columns) {
    graph->values = array_grow(graph->values, graph->value_count, sizeof *graph->values);
    graph->values[graph->value_count] = (value_info_t){
        .rows = rows,
        .columns = columns,
        .producer = -1,
        .view_of = -1,
        .input = -1,
        .output = -1,
    };
    return graph->value_count++;
}

const value_info_t *value_of(const graph_t *graph, value_t x) {
    REQUIRE(x >= 0 && x < graph->value_count);
    return &graph->values[x];
}

static row_mask_t new_mask(graph_t *graph, mask_node_t mask) {
    graph->masks = array_grow(graph->masks, graph->mask_count, sizeof *graph->masks);
    graph->masks[graph->mask_count] = mask;
    return graph->mask_count++;
}

static named_value_t *new_named(named_value_t **list, int *count, const char *name) {
    *list = array_grow(*list, *count, sizeof **list);
    named_value_t *entry = &(*list)[(*count)++];
    *entry = (named_value_t){.name = text_copy(name), .mask = NO_MASK};
    return entry;
}

value_t graph_input(graph_t *graph, const char *name, int64_t dim, row_mask_t *mask_out) {
    return graph_input_cells(graph, name, 1, dim, mask_out);
}

value_t graph_input_cells(graph_t *graph, const char *name, int64_t cells, int64_t columns,
                          row_mask_t *mask_out) {
    value_t x = new_value(graph, graph->length * cells, columns);
    graph->values[x].input = graph->input_count;
    named_value_t *entry = new_named(&graph->inputs, &graph->input_count, name);
    entry->value = x;
    entry->mask = new_mask(
        graph,
        (mask_node_t){.kind = MASK_INPUT, .input = graph->input_count - 1, .rows = graph->length});
    *mask_out = entry->mask;
    return x;
}

/* Adds a node with its output value [rows, columns]. */
node_t *graph_add_node(graph_t *graph, op_kind_t kind, const char *name, const value_t *in,
                       int input_count, int64_t rows, int64_t columns) {
    value_t out = new_value(graph, rows, columns);
    graph->nodes = array_grow(graph->nodes, graph->node_count, sizeof *graph->nodes);
    node_t *node = &graph->nodes[graph->node_count];
    *node = (node_t){.kind = kind,
                     .name = text_copy(name),
                     .input_count = input_count,
                     .out = out,
                     .mask = NO_MASK};
    REQUIRE(input_count <= OP_INPUTS_MAX);
    for (int i = 0; i < input_count; i++) {
        node->in[i] = in[i];
        graph->values[out].learned |= graph->values[in[i]].learned;
    }
    graph->values[out].producer = graph->node_count++;
    return node;
}

void graph_add_weight(graph_t *graph, node_t *node, weight_t weight) {
    REQUIRE(node->weight_count < OP_WEIGHTS_MAX);
    node->weight[node->weight_count++] = weight;
    graph->values[node->out].learned |=
        graph->parameters[weight.parameter].role == PARAMETER_LEARNED;
}

static void add_weights(graph_t *graph, node_t *node, weight_t first, weight_t second) {
    graph_add_weight(graph, node, first);
    graph_add_weight(graph, node, second);
}

value_t graph_linear(graph_t *graph, const char *name, value_t x, weight_t weight, weight_t bias,
                     activation_t activation) {
    const parameter_node_t *w = &graph->parameters[weight.parameter];
    graph_require(graph, name, w->columns == value_of(graph, x)->columns,
                  "weight and input differ in width");
    graph_require(graph, name, weight_rows(graph, weight) == weight_rows(graph, bias),
                  "weight and bias differ in length");
    node_t *node = graph_add_node(graph, OP_linear, name, &x, 1, value_of(graph, x)->rows,
                                  weight_rows(graph, weight));
    node->attributes.activation = activation;
    add_weights(graph, node, weight, bias);
    return node->out;
}

value_t graph_linear_transposed(graph_t *graph, const char *name, value_t x, weight_t weight,
                                weight_t bias) {
    int64_t rows = weight_rows(graph, weight);
    graph_require(graph, name, rows == value_of(graph, x)->columns,
                  "weight and input differ in width");
    graph_require(graph, name, rows == weight_rows(graph, bias),
                  "weight and bias differ in length");
    node_t *node = graph_add_node(graph, OP_linear, name, &x, 1, value_of(graph, x)->rows,
                                  parameter_width(graph, weight.parameter));
    node->attributes.transposed = true;
    add_weights(graph, node, weight, bias);
    return node->out;
}

value_t graph_attention(graph_t *graph, const char *name, value_t q, value_t k, value_t v,
                        row_mask_t keys, int64_t groups, int64_t heads, bool causal) {
    const value_info_t *query = value_of(graph, q), *key = value_of(graph, k),
                       *value = value_of(graph, v);
    graph_require(graph, name, query->columns == key->columns && key->columns == value->columns,
                  "q, k and v differ in width");
    graph_require(graph, name, key->rows == value->rows, "k and v differ in length");
    graph_require(graph, name, query->rows % groups == 0 && key->rows % groups == 0,
                  "rows do not divide into groups");
    graph_require(graph, name, query->columns % heads == 0, "heads do not divide the width");
    graph_require(graph, name, keys == NO_MASK || graph->masks[keys].rows == key->rows,
                  "mask and keys differ in length");
    graph_require(graph, name, !causal || query->rows == key->rows,
                  "causal attention needs a key per row");
    int64_t query_len = query->rows / groups, key_len = key->rows / groups;
    value_t in[] = {q, k, v};
    node_t *node = graph_add_node(graph, OP_attention, name, in, 3, query->rows, query->columns);
    node->mask = keys;
    node->attributes.groups = groups;
    node->attributes.heads = heads;
    node->attributes.causal = causal;
    node->attributes.query_len = query_len;
    node->attributes.key_len = key_len;
    return node->out;
}

value_t graph_attention_across(graph_t *graph, const char *name, value_t q, value_t k, value_t v,
                               row_mask_t keys, int64_t heads) {
    int64_t steps = value_of(graph, q)->rows;
    graph_require(graph, name, value_of(graph, k)->rows == steps, "samples differ in length");
    value_t out = graph_attention(graph, name, q, k, v, keys, steps, heads, false);
    graph->nodes[graph->node_count - 1].attributes.across = true;
    return out;
}

value_t graph_add_layernorm(graph_t *graph, const char *name, value_t x, value_t y, weight_t gain,
                            weight_t bias) {
    const value_info_t *a = value_of(graph, x), *b = value_of(graph, y);
    graph_require(graph, name, a->rows == b->rows && a->columns == b->columns,
                  "terms differ in shape");
    value_t in[] = {x, y};
    node_t *node = graph_add_node(graph, OP_add_layernorm, name, in, 2, a->rows, a->columns);
    add_weights(graph, node, gain, bias);
    return node->out;
}

value_t graph_layernorm(graph_t *graph, const char *name, value_t x, weight_t gain, weight_t bias) {
    node_t *node = graph_add_node(graph, OP_add_layernorm, name, &x, 1, value_of(graph, x)->rows,
                                  value_of(graph, x)->columns);
    add_weights(graph, node, gain, bias);
    return node->out;
}

value_t graph_add_unary(graph_t *graph, op_kind_t kind, const char *name, value_t x,
                        row_mask_t mask) {
    graph_require(graph, name,
                  mask == NO_MASK || graph->masks[mask].rows == value_of(graph, x)->rows,
                  "mask and rows differ in length");
    node_t *node = graph_add_node(graph, kind, name, &x, 1, value_of(graph, x)->rows,
                                  value_of(graph, x)->columns);
    node->mask = mask;
    return node->out;
}

value_t graph_l2_normalize(graph_t *graph, const char *name, value_t x, row_mask_t mask) {
    return graph_add_unary(graph, OP_l2_normalize, name, x, mask);
}

value_t graph_mask_rows(graph_t *graph, const char *name, value_t x, row_mask_t mask) {
    return graph_add_unary(graph, OP_mask_rows, name, x, mask);
}

value_t graph_dropout(graph_t *graph, const char *name, value_t x, double probability) {
    if (graph->predicts) {
        return x;
    }
    value_t out = graph_add_unary(graph, OP_dropout, name, x, NO_MASK);
    node_t *node = &graph->nodes[graph->values[out].producer];
    node->attributes.probability = probability;
    node->attributes.node_hash = rng_name(name);
    return out;
}

value_t graph_dropout_channels(graph_t *graph, const char *name, value_t x, int64_t period,
                               double probability) {
    period = period > 0 ? period : graph->length;
    graph_require(graph, name, value_of(graph, x)->rows % period == 0,
                  "rows do not divide into sequences");
    value_t out = graph_dropout(graph, name, x, probability);
    if (out != x) {
        graph->nodes[graph->values[out].producer].attributes.period = period;
    }
    return out;
}

value_t graph_leaky_relu(graph_t *graph, const char *name, value_t x, value_t y) {
    const value_info_t *a = value_of(graph, x), *b = value_of(graph, y < 0 ? x : y);
    graph_require(graph, name, a->rows == b->rows && a->columns == b->columns,
                  "terms differ in shape");
    value_t in[] = {x, y};
    return graph_add_node(graph, OP_leaky_relu, name, in, y < 0 ? 1 : 2, a->rows, a->columns)->out;
}

value_t graph_temporal_conv(graph_t *graph, const char *name, value_t x, row_mask_t mask,
                            const temporal_t *temporal) {
    const parameter_node_t *v = &graph->parameters[temporal->v];
    const value_info_t *in = value_of(graph, x);
    graph_require(graph, name, v->columns == in->columns * temporal->taps,
                  "weight and input differ in width");
    graph_require(graph, name, v->rows == graph->parameters[temporal->g].rows,
                  "v and g differ in length");
    int64_t period = temporal->period > 0 ? temporal->period : graph->length;
    graph_require(graph, name, in->rows % period == 0, "rows do not divide into sequences");
    node_t *node = graph_add_node(graph, OP_temporal_conv, name, &x, 1, in->rows, v->rows);
    node->mask = mask;
    node->attributes.period = period;
    node->attributes.taps = temporal->taps;
    node->attributes.dilation = temporal->dilation;
    node->attributes.before = temporal->before;
    add_weights(graph, node, weight_of(temporal->v), weight_of(temporal->g));
    graph_add_weight(graph, node, weight_of(temporal->bias));
    return node->out;
}

value_t graph_tanh(graph_t *graph, const char *name, value_t x) {
    return graph_add_unary(graph, OP_tanh, name, x, NO_MASK);
}

value_t graph_softmax_gate(graph_t *graph, const char *name, value_t x, value_t scores,
                           row_mask_t mask) {
    const value_info_t *a = value_of(graph, x), *b = value_of(graph, scores);
    graph_require(graph, name, a->rows == b->rows && a->columns % b->columns == 0,
                  "gate and input differ");
    graph_require(graph, name, mask == NO_MASK || graph->masks[mask].rows == b->rows * b->columns,
                  "mask and gate differ in length");
    value_t in[] = {x, scores};
    node_t *node = graph_add_node(graph, OP_softmax_gate, name, in, 2, a->rows, a->columns);
    node->mask = mask;
    return node->out;
}

/* The only weight of the node that makes `out`. */
static node_t *add_table(graph_t *graph, value_t out, parameter_t table) {
    node_t *node = &graph->nodes[graph->values[out].producer];
    graph_add_weight(graph, node, weight_of(table));
    return node;
}

value_t graph_mix_rows(graph_t *graph, const char *name, value_t x, parameter_t weight) {
    const parameter_node_t *w = &graph->parameters[weight];
    graph_require(graph, name, w->columns == value_of(graph, x)->rows,
                  "weight and rows differ in number");
    value_t out =
        graph_add_node(graph, OP_mix_rows, name, &x, 1, w->rows, value_of(graph, x)->columns)->out;
    add_table(graph, out, weight)->attributes.groups = 1;
    return out;
}

value_t graph_correlate(graph_t *graph, const char *name, value_t x, value_t y) {
    const value_info_t *a = value_of(graph, x), *b = value_of(graph, y);
    graph_require(graph, name, a->rows == b->rows, "factors differ in rows");
    value_t in[] = {x, y};
    node_t *node = graph_add_node(graph, OP_correlate, name, in, 2, a->columns, b->columns);
    node->attributes.groups = 1;
    return node->out;
}

value_t graph_add_rows(graph_t *graph, const char *name, value_t x, parameter_t table) {
    const parameter_node_t *rows = &graph->parameters[table];
    graph_require(graph, name, rows->columns == value_of(graph, x)->columns,
                  "table and rows differ in width");
    graph_require(graph, name, value_of(graph, x)->rows % rows->rows == 0,
                  "rows do not divide into tables");
    value_t out = graph_add_unary(graph, OP_add_rows, name, x, NO_MASK);
    add_table(graph, out, table)->attributes.period = rows->rows;
    return out;
}

value_t graph_fill_rows(graph_t *graph, const char *name, value_t x, row_mask_t mask,
                        parameter_t vector) {
    graph_require(graph, name, graph->parameters[vector].count == value_of(graph, x)->columns,
                  "vector and rows differ in width");
    value_t out = graph_add_unary(graph, OP_fill_rows, name, x, mask);
    add_table(graph, out, vector);
    return out;
}

value_t graph_add_waves(graph_t *graph, const char *name, value_t x, int64_t period) {
    graph_require(graph, name, value_of(graph, x)->rows % period == 0,
                  "rows do not divide into periods");
    value_t out = graph_add_unary(graph, OP_add_waves, name, x, NO_MASK);
    graph->nodes[graph->values[out].producer].attributes.period = period;
    return out;
}

value_t graph_sum(graph_t *graph, const char *name, const value_t *terms, int count) {
    const value_info_t *first = value_of(graph, terms[0]);
    for (int i = 0; i < count; i++) {
        graph_require(graph, name,
                      value_of(graph, terms[i])->rows == first->rows &&
                          value_of(graph, terms[i])->columns == first->columns,
                      "terms differ in shape");
    }
    return graph_add_node(graph, OP_sum, name, terms, count, first->rows, first->columns)->out;
}

value_t graph_concat(graph_t *graph, const char *name, const value_t *parts, int count) {
    int64_t columns = 0;
    for (int i = 0; i < count; i++) {
        columns += value_of(graph, parts[i])->columns;
        graph_require(graph, name,
                      value_of(graph, parts[i])->rows == value_of(graph, parts[0])->rows,
                      "parts differ in rows");
    }
    return graph_add_node(graph, OP_concat, name, parts, count, value_of(graph, parts[0])->rows,
                          columns)
        ->out;
}

value_t graph_tokens(graph_t *graph, const char *name, const value_t *parts, int count) {
    const value_info_t *first = value_of(graph, parts[0]);
    for (int i = 0; i < count; i++) {
        graph_require(graph, name,
                      value_of(graph, parts[i])->rows == first->rows &&
                          value_of(graph, parts[i])->columns == first->columns,
                      "tokens differ in shape");
    }
    node_t *node =
        graph_add_node(graph, OP_concat, name, parts, count, first->rows * count, first->columns);
    node->as_tokens = true;
    return node->out;
}

value_t graph_select_token(graph_t *graph, const char *name, value_t tokens, int count,
                           row_mask_t mask, token_rule_t rule) {
    const value_info_t *x = value_of(graph, tokens);
    graph_require(graph, name, x->rows % count == 0, "rows do not divide into tokens");
    graph_require(graph, name, mask == NO_MASK || graph->masks[mask].rows == x->rows,
                  "mask and tokens differ in length");
    int64_t columns = rule == TOKEN_CONCAT ? count * x->columns : x->columns;
    node_t *node =
        graph_add_node(graph, OP_select_token, name, &tokens, 1, x->rows / count, columns);
    node->mask = mask;
    node->attributes.tokens = count;
    node->attributes.token_rule = rule;
    return node->out;
}

int64_t graph_columns_of(const graph_t *graph, value_t x) { return value_of(graph, x)->columns; }
int64_t graph_rows_of(const graph_t *graph, value_t x) { return value_of(graph, x)->rows; }

value_t graph_columns(graph_t *graph, value_t x, int64_t begin, int64_t count) {
    REQUIRE(begin >= 0 && begin + count <= value_of(graph, x)->columns);
    REQUIRE(value_of(graph, x)->view_of < 0);
    value_t view = new_value(graph, value_of(graph, x)->rows, count);
    graph->values[view].view_of = x;
    graph->values[view].view_begin = begin;
    graph->values[view].learned = graph->values[x].learned;
    return view;
}

static row_mask_t combined_mask(graph_t *graph, mask_kind_t kind, const row_mask_t *masks,
                                int count) {
    if (count == 1) {
        return masks[0];
    }
    mask_node_t mask = {.kind = kind, .count = count, .rows = graph->masks[masks[0]].rows};
    memcpy(mask.a, masks, (size_t)count * sizeof *masks);
    return new_mask(graph, mask);
}

row_mask_t graph_mask_any(graph_t *graph, const row_mask_t *masks, int count) {
    return combined_mask(graph, MASK_ANY, masks, count);
}

row_mask_t graph_mask_all(graph_t *graph, const row_mask_t *masks, int count) {
    return combined_mask(graph, MASK_ALL, masks, count);
}

row_mask_t graph_mask_seen(graph_t *graph, row_mask_t keys, int64_t rows, int64_t groups,
                           bool causal) {
    REQUIRE(rows % groups == 0 && graph->masks[keys].rows % groups == 0);
    return new_mask(graph, (mask_node_t){.kind = MASK_SEEN,
                                         .count = 1,
                                         .a = {keys},
                                         .groups = groups,
                                         .causal = causal,
                                         .rows = rows});
}

row_mask_t graph_mask_tokens(graph_t *graph, const row_mask_t *queries, const row_mask_t *keys,
                             int count, bool causal) {
    mask_node_t mask = {.kind = MASK_TOKENS,
                        .count = count,
                        .causal = causal,
                        .rows = graph->masks[queries[0]].rows * count};
    REQUIRE(count <= OP_INPUTS_MAX);
    memcpy(mask.a, queries, (size_t)count * sizeof *queries);
    memcpy(mask.b, keys, (size_t)count * sizeof *keys);
    return new_mask(graph, mask);
}

void graph_output(graph_t *graph, const char *name, value_t x) {
    graph_require(graph, name, value_of(graph, x)->output < 0, "a value can be one output only");
    graph_require(graph, name, graph->predicts || graph->values[x].learned,
                  "an output depends on no parameter");
    graph->values[x].output = graph->output_count;
    new_named(&graph->outputs, &graph->output_count, name)->value = x;
}
