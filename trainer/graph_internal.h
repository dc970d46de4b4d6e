/* graph_internal.h - the graph's tables, for graph*.c and executor*.c only. */
#ifndef JMT_GRAPH_INTERNAL_H
#define JMT_GRAPH_INTERNAL_H

#include "trainer/graph.h"

typedef struct node {
    op_kind_t kind;
    char *name;
    op_attributes_t attributes; /* counts per sample; scaled by the batch when planned */
    bool as_tokens;             /* concat: parts become rows below one another */
    value_t in[OP_INPUTS_MAX];
    int input_count;
    value_t out;
    weight_t weight[OP_WEIGHTS_MAX];
    int weight_count;
    row_mask_t mask;
} node_t;

typedef struct value {
    int64_t rows, columns; /* per sample */
    int producer;          /* node, or -1: input or view */
    value_t view_of;       /* -1: not a view */
    int64_t view_begin;    /* first column in view_of */
    int input;             /* index of the graph input, or -1 */
    int output;            /* index of the graph output, or -1 */
    bool learned;          /* depends on a parameter */
} value_info_t;

typedef enum { MASK_INPUT, MASK_ANY, MASK_ALL, MASK_TOKENS, MASK_SEEN } mask_kind_t;
typedef struct mask_node {
    mask_kind_t kind;
    int input;
    int64_t rows; /* per sample */
    row_mask_t a[OP_INPUTS_MAX], b[OP_INPUTS_MAX];
    int count;
    int64_t groups; /* MASK_SEEN: per sample */
    bool causal;    /* MASK_TOKENS, MASK_SEEN */
} mask_node_t;

typedef struct named_value {
    char *name;
    value_t value;
    row_mask_t mask;
} named_value_t;

typedef struct parameter {
    char *name;
    int64_t rows, columns, count;
    int axes; /* of a convolution's window; 0: a matrix or a vector */
    int64_t sizes[PARAMETER_AXES_MAX], taps;
    init_t init;
    parameter_role_t role;
    bool statistic;
    double momentum;
    fold_t *fold; /* owned, with its names; NULL: none */
} parameter_node_t;

struct graph {
    int64_t length;
    bool predicts;
    status_t status;
    char *error;
    node_t *nodes;
    int node_count;
    value_info_t *values;
    int value_count;
    mask_node_t *masks;
    int mask_count;
    parameter_node_t *parameters;
    int parameter_count;
    named_value_t *inputs;
    int input_count;
    named_value_t *outputs;
    int output_count;
};

/* Building: a node with its output value [rows, columns]; one of the shape of its only input; one
 * more weight of a node. */
node_t *graph_add_node(graph_t *graph, op_kind_t kind, const char *name, const value_t *in,
                       int input_count, int64_t rows, int64_t columns);
value_t graph_add_unary(graph_t *graph, op_kind_t kind, const char *name, value_t x,
                        row_mask_t mask);
void graph_add_weight(graph_t *graph, node_t *node, weight_t weight);
const value_info_t *value_of(const graph_t *graph, value_t x);

/* Rows a weight_t stands for, and elements in a row of a parameter. */
int64_t weight_rows(const graph_t *graph, weight_t weight);
bool node_learns(const graph_t *graph, const node_t *node); /* some weight of it is learned */
int64_t parameter_width(const graph_t *graph, parameter_t parameter);

#endif
