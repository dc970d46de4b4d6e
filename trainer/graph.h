/* graph.h - a model, built once into a static graph of operations.
 *
 * Building calls return handles and never fail: the first mistake is kept and returned by
 * graph_check. A value is a matrix of `rows_per_sample` rows for each sample; a mask is one byte
 * per row. Batch size, memory and gradients are the executor's affair (executor.h). Order of
 * creation is part of the result: it fixes parameter order, token order, and the order in which
 * gradients of a value used twice add. */
#ifndef JMT_GRAPH_H
#define JMT_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"

typedef struct graph graph_t;
typedef int value_t;     /* handle of a matrix */
typedef int row_mask_t;  /* handle of a mask; NO_MASK: all rows valid */
typedef int parameter_t; /* handle of a learned tensor */
enum { NO_MASK = -1 };

graph_t *graph_open(int64_t length); /* time steps per sample */
void graph_close(graph_t *graph);    /* NULL allowed */
status_t graph_check(const graph_t *graph) MUST_CHECK;
/* A mistake of whoever builds, if `condition` does not hold: "model: NODE: WHAT". */
bool graph_require(graph_t *graph, const char *node, bool condition, const char *what);
int64_t graph_length(const graph_t *graph);
/* What is built from here on is for prediction alone (predictor.h): dropout is left out, and layers
 * may compute the same from folded weights. */
void graph_predict(graph_t *graph);
bool graph_predicts(const graph_t *graph);

/* --- parameters ------------------------------------------------------------------------------ */

/* How PyTorch initialises (jmt.md 1.9): by chance, a constant, or from another parameter. */
typedef struct init {
    double bound;     /* > 0: uniform(-bound, bound) */
    double deviation; /* > 0: normal, of mean 0 */
    bool row_norms;   /* else the norms of the rows of `of`, made before */
    parameter_t of;
    double constant; /* else this */
} init_t;

/* columns 0: a vector of `rows`. */
parameter_t graph_parameter(graph_t *graph, const char *name, int64_t rows, int64_t columns,
                            init_t init);
/* The shape outside is a convolution's: [rows, columns / (product of sizes), sizes...]. */
enum { PARAMETER_AXES_MAX = 3 };
void graph_parameter_window(graph_t *graph, parameter_t parameter, int axes, const int64_t *sizes);

/* What training does to a parameter: the optimiser's update; nothing; or it averages what each
 * step's batch had (batch_norm in kernels.h): p += momentum (mean over the shards - p). */
typedef enum { PARAMETER_LEARNED, PARAMETER_FIXED, PARAMETER_RUNNING } parameter_role_t;
void graph_parameter_fix(graph_t *graph, parameter_t parameter);
/* It is one of a batch norm's statistics, which are not counted among a model's parameters.
 * momentum 0: fixed. */
void graph_parameter_statistic(graph_t *graph, parameter_t parameter, double momentum);

/* A parameter that is no part of the model's state but computed from others. In a graph for
 * prediction they are those of the trained model; else fixed ones of the same graph.
 *   product  left right (+ plus), of runs of their rows; `inner` is what is summed over;
 *            transposed: left' right
 *   norm     of a convolution and the batch norm behind it, which is `norm`.weight, .bias,
 *            .running_mean and .running_var, with s = weight / sqrt(running_var + epsilon): the
 *            rows of `left` times s; left NULL: bias - running_mean s */
typedef struct fold {
    const char *left, *right, *plus; /* names; plus NULL: none */
    int64_t left_begin, right_begin, inner;
    bool transposed;
    const char *norm; /* not NULL: this rule */
    double epsilon;
} fold_t;
parameter_t graph_parameter_folded(graph_t *graph, const char *name, int64_t rows, int64_t columns,
                                   const fold_t *fold);

/* Rows [begin, begin + count) of a parameter; count 0: all rows. */
typedef struct weight {
    parameter_t parameter;
    int64_t begin, count;
} weight_t;
static inline weight_t weight_of(parameter_t parameter) { return (weight_t){parameter, 0, 0}; }

/* --- values ---------------------------------------------------------------------------------- */

/* The feature stream of a modality: [length, dim] per sample, and its validity. */
value_t graph_input(graph_t *graph, const char *name, int64_t dim, row_mask_t *mask_out);
/* The same where a step is a clip or picture: [length * cells, columns], its features cell by
 * cell. */
value_t graph_input_cells(graph_t *graph, const char *name, int64_t cells, int64_t columns,
                          row_mask_t *mask_out);

value_t graph_linear(graph_t *graph, const char *name, value_t x, weight_t weight, weight_t bias,
                     activation_t activation);
/* x W with W as graph_linear has it. Nothing is made of the bias: it gets gradient 0. */
value_t graph_linear_transposed(graph_t *graph, const char *name, value_t x, weight_t weight,
                                weight_t bias);
/* Attention of `groups` per sample: queries q [groups*query_len], keys and values k, v. causal: row
 * i of a group sees the keys 0..i. */
value_t graph_attention(graph_t *graph, const char *name, value_t q, value_t k, value_t v,
                        row_mask_t keys, int64_t groups, int64_t heads, bool causal);
/* At each row of a sample the rows of that number of all samples of the shard, one group each. Its
 * multiply-accumulates count one sample. */
value_t graph_attention_across(graph_t *graph, const char *name, value_t q, value_t k, value_t v,
                               row_mask_t keys, int64_t heads);
value_t graph_add_layernorm(graph_t *graph, const char *name, value_t x, value_t y, weight_t gain,
                            weight_t bias);
/* Of one value: LN(x). */
value_t graph_layernorm(graph_t *graph, const char *name, value_t x, weight_t gain, weight_t bias);
value_t graph_l2_normalize(graph_t *graph, const char *name, value_t x, row_mask_t mask);
value_t graph_mask_rows(graph_t *graph, const char *name, value_t x, row_mask_t mask);
value_t graph_dropout(graph_t *graph, const char *name, value_t x, double probability);

/* Drops whole columns of a sequence of `period` rows; 0: of a sample, over all its steps. */
value_t graph_dropout_channels(graph_t *graph, const char *name, value_t x, int64_t period,
                               double probability);
/* Leaky ReLU of x + y; y -1: of x. */
value_t graph_leaky_relu(graph_t *graph, const char *name, value_t x, value_t y);

/* Convolution over a sequence, steps outside it or masked out counting as 0. */
typedef struct temporal {
    int64_t period; /* rows that are one sequence; 0: a sample's steps */
    int64_t taps, dilation;
    int64_t before;         /* steps from the first that is read to the one that is written */
    parameter_t v, g, bias; /* weight-normed: [out, in * taps], [out], [out] */
} temporal_t;
value_t graph_temporal_conv(graph_t *graph, const char *name, value_t x, row_mask_t mask,
                            const temporal_t *temporal);

/* Over grids of cells; kernels.h says what they compute. bias -1: none. */
value_t graph_conv(graph_t *graph, const char *name, value_t x, parameter_t weight,
                   parameter_t bias, const op_axis_t axis[OP_AXES], int64_t groups,
                   activation_t activation);
value_t graph_pool(graph_t *graph, const char *name, value_t x, const op_axis_t axis[OP_AXES],
                   pool_rule_t rule);
typedef struct batch_norm {
    parameter_t gain, bias, mean, variance;
    norm_rule_t rule;
    double epsilon;
} batch_norm_t;
/* mask: rows that do not count. */
value_t graph_batch_norm(graph_t *graph, const char *name, value_t x, row_mask_t mask,
                         const batch_norm_t *norm);

value_t graph_tanh(graph_t *graph, const char *name, value_t x);
value_t graph_relu(graph_t *graph, const char *name, value_t x);
value_t graph_prelu(graph_t *graph, const char *name, value_t x, parameter_t slope);
/* x * softmax(scores) over the columns of each row, where each score weighs as many columns of x.
 * mask: a byte for each score, as graph_mask_tokens makes them. */
value_t graph_softmax_gate(graph_t *graph, const char *name, value_t x, value_t scores,
                           row_mask_t mask);
/* Of each sample's rows (steps) x: W x, without a bias; W [rows of the result, rows of x]. */
value_t graph_mix_rows(graph_t *graph, const char *name, value_t x, parameter_t weight);
/* Of each sample: x' y / sqrt(columns of x), [columns of x, columns of y], which may be more rows
 * than there are steps. */
value_t graph_correlate(graph_t *graph, const char *name, value_t x, value_t y);
/* A learned table [period, columns] added to every run of `period` rows. */
value_t graph_add_rows(graph_t *graph, const char *name, value_t x, parameter_t table);
/* Rows masked out become the learned vector. */
value_t graph_fill_rows(graph_t *graph, const char *name, value_t x, row_mask_t mask,
                        parameter_t vector);
/* The sinusoidal encoding of row % period, over sqrt(columns). */
value_t graph_add_waves(graph_t *graph, const char *name, value_t x, int64_t period);

value_t graph_sum(graph_t *graph, const char *name, const value_t *terms, int count);
/* Side by side: [rows, sum of columns]. */
value_t graph_concat(graph_t *graph, const char *name, const value_t *parts, int count);
/* Tokens of each row one below the other: parts [rows, d] become [rows * count, d]. */
value_t graph_tokens(graph_t *graph, const char *name, const value_t *parts, int count);
/* One row from `count` tokens per row: the last valid; mean, sum or largest of the valid; or all of
 * them side by side, the others 0. */
value_t graph_select_token(graph_t *graph, const char *name, value_t tokens, int count,
                           row_mask_t mask, token_rule_t rule);
int64_t graph_columns_of(const graph_t *graph, value_t x);
int64_t graph_rows_of(const graph_t *graph, value_t x); /* per sample */
/* A view of columns; no copy. The views of one value must not overlap and together cover it; there
 * are none of a view. */
value_t graph_columns(graph_t *graph, value_t x, int64_t begin, int64_t count);

row_mask_t graph_mask_any(graph_t *graph, const row_mask_t *masks, int count);
row_mask_t graph_mask_all(graph_t *graph, const row_mask_t *masks, int count);
/* Of `rows` rows in groups: some key of the row's group is valid; causal: one up to that row. */
row_mask_t graph_mask_seen(graph_t *graph, row_mask_t keys, int64_t rows, int64_t groups,
                           bool causal);
/* Validity of tokens (query k <- key k), jmt.md 5: the query's row and any key of the sample;
 * causal: any key up to that row. */
row_mask_t graph_mask_tokens(graph_t *graph, const row_mask_t *queries, const row_mask_t *keys,
                             int count, bool causal);

/* Marks x as the prediction of a target (kept until the end of the step; the loss starts there). */
void graph_output(graph_t *graph, const char *name, value_t x);

/* --- what was built -------------------------------------------------------------------------- */

typedef struct parameter_info {
    const char *name;
    int64_t rows, columns; /* columns 0: vector */
    int64_t count;
    int rank; /* the shape outside: in files, as PyTorch has it */
    int64_t dims[2 + PARAMETER_AXES_MAX];
    init_t init;
    parameter_role_t role;
    bool statistic;
    double momentum;    /* of a running one */
    const fold_t *fold; /* not NULL: it is no part of the state */
} parameter_info_t;

int graph_parameter_count(const graph_t *graph);
parameter_info_t graph_parameter_info(const graph_t *graph, parameter_t parameter);
int64_t graph_parameter_elements(const graph_t *graph); /* without statistics and folded ones */

int graph_input_count(const graph_t *graph);
const char *graph_input_name(const graph_t *graph, int input);
int64_t graph_input_dim(const graph_t *graph, int input); /* of a step, all cells */
int graph_output_count(const graph_t *graph);
const char *graph_output_name(const graph_t *graph, int output);
int64_t graph_output_columns(const graph_t *graph, int output);

typedef struct layer_info { /* one node, for `plan` */
    const char *name, *op;
    int64_t rows, columns; /* per sample */
    int64_t parameters;    /* elements of the weights it reads (shared ones counted at each use) */
    int64_t macs;          /* multiply-accumulates per sample, forward */
} layer_info_t;
int graph_node_count(const graph_t *graph);
layer_info_t graph_layer_info(const graph_t *graph, int node);
int64_t graph_macs(const graph_t *graph); /* per sample, forward */

#endif
