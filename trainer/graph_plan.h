/* graph_plan.h - where everything of a graph lies: forward values, gradients, and when it is alive.
 *
 * All counts are per sample; the executor multiplies by its batch. Times run over one step: node i
 * forward is time i, the loss is N, node i backward is 2N - i, the step ends at 2N + 1. */
#ifndef JMT_GRAPH_PLAN_H
#define JMT_GRAPH_PLAN_H

#include "trainer/graph_internal.h"

typedef struct view {
    int buffer; /* -1: there is none */
    int64_t offset, rows, columns, row_stride;
} view_t;

typedef struct buffer {
    int64_t elements;    /* per sample */
    int first, last;     /* times */
    int64_t byte_offset; /* in the arena, once placed */
} buffer_t;

typedef struct gradient_sum { /* fan-out: the gradients of all uses, in order of creation */
    view_t total;
    view_t terms[OP_INPUTS_MAX];
    int term_count;
    int before_node; /* executed before this node's backward; -1: at the end */
} gradient_sum_t;

/* Parameters whose gradients are made by the same calls (weight and bias), one of them learned;
 * their leaf of the canonical tree is the sum over uses in order of creation. Uses read all rows of
 * the parameter or disjoint runs of them. */
typedef struct fold_unit {
    parameter_t parameters[OP_WEIGHTS_MAX];
    int parameter_count;
    int *nodes; /* uses, in order of creation */
    int node_count;
    int64_t elements;
} fold_unit_t;

typedef struct graph_plan {
    const graph_t *graph;
    bool backward;
    bool private_buffers; /* no buffer's memory is used again: what tests compare the arena with */
    buffer_t *buffers;
    int buffer_count;
    view_t *values;                /* by value */
    view_t *gradients;             /* by value: the total */
    view_t *loss_gradients;        /* by output: where the loss writes its part of the total */
    view_t (*d_in)[OP_INPUTS_MAX]; /* by node: where its backward writes */
    gradient_sum_t *sums;          /* in the order of execution */
    int sum_count;
    fold_unit_t *units; /* in the order of completion during backward */
    int unit_count;
} graph_plan_t;

/* backward false: forward only. input_gradients: down to the graph's inputs (for `jmt step`). */
status_t graph_plan_make(const graph_t *graph, bool backward, bool input_gradients,
                         graph_plan_t **plan_out) MUST_CHECK;
void graph_plan_free(graph_plan_t *plan);

int graph_plan_new_buffer(graph_plan_t *plan, int64_t elements);
/* Some input of node i needs its gradient. */
bool graph_plan_has_backward_data(const graph_plan_t *plan, int i);
/* Lifetimes of values and gradients; `saved` gives each node's own buffer or -1. */
void graph_plan_lifetimes(graph_plan_t *plan, const int *saved);
/* Gives every buffer its byte_offset; returns the arena's bytes. */
int64_t graph_plan_place(graph_plan_t *plan, int64_t samples, size_t element_bytes);

#endif
