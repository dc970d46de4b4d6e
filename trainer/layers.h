/* layers.h - the blocks models are written with: parameters first (in PyTorch's order and with its
 * initialisation, jmt.md 1.9), then applied as often as wanted. Names end as in PyTorch. */
#ifndef JMT_LAYERS_H
#define JMT_LAYERS_H

#include "trainer/graph.h"

/* Part of the numerics fingerprint, whatever the backend: to be raised when a block or a model
 * comes to compute the same by other operations. */
enum { LAYERS_VERSION = 2 };

/* A name made like printf, by value: name_of("%s.cross", stream).text lives to the end of the call
 * it is an argument of. */
typedef struct name {
    char text[256];
} name_t;
name_t name_of(const char *format, ...) PRINTF_LIKE(1, 2);

/* A stream of features over time with the validity of its steps. */
typedef struct stream {
    value_t x;
    row_mask_t mask;
} stream_t;

/* Streams of equal length side by side; a step is valid where any of them is. */
stream_t concat_streams(graph_t *graph, const char *name, const stream_t *streams, int count);

typedef struct linear {
    parameter_t weight, bias;
} linear_t;
linear_t linear_make(graph_t *graph, const char *name, int64_t in, int64_t out);
value_t linear_apply(graph_t *graph, const char *name, linear_t linear, value_t x,
                     activation_t activation);

/* A temporal convolutional network (jmt.md 1.2): blocks i = 0, 1, ... of two weight-normed
 * convolutions with dilation 2^i, each with leaky ReLU and dropout of whole channels; then
 * LeakyReLU(it + x), x through a Linear `downsample` where widths differ. Steps that are not valid
 * count as zeros to each convolution. */
typedef struct tcn_spec {
    int64_t blocks, kernel;
    int64_t period; /* rows of a sequence; 0: the steps of a sample */
    bool causal;    /* sees no later step; else as many before as after (one less before if even) */
    bool fixed;     /* no parameter is learned */
    double dropout;
} tcn_spec_t;
typedef struct tcn_block {
    temporal_t conv[2];
    bool resized;
    linear_t downsample;
} tcn_block_t;
enum { TCN_BLOCKS_MAX = 16 };
typedef struct tcn {
    tcn_spec_t spec;
    tcn_block_t block[TCN_BLOCKS_MAX];
} tcn_t;
tcn_t tcn_make(graph_t *graph, const char *name, const tcn_spec_t *spec, int64_t in, int64_t out);
/* Over sequences of `spec.period` rows; x.mask of as many rows as x.x, or NO_MASK. */
value_t tcn_apply(graph_t *graph, const char *name, const tcn_t *tcn, stream_t x);

/* What the blocks of a model have in common. */
typedef enum { POSITION_NONE, POSITION_SINUSOIDAL, POSITION_LEARNED } position_t;
typedef struct block_spec {
    int64_t layers, dim, ff, heads;
    bool causal;         /* a row sees no later row */
    bool literal;        /* cross-attention as the paper prints it (attention_cross) */
    bool across;         /* self-attention: of one step over the samples of a shard */
    double dropout;      /* of what attention and feed-forward parts hand on */
    position_t position; /* added to what an encoder takes, relative to the window */
} block_spec_t;

/* Layer normalisation of a sum: LN(x + y). */
typedef struct norm {
    parameter_t gain, bias;
} norm_t;

norm_t norm_make(graph_t *graph, const char *name, int64_t dim);

/* Multi-head attention, packed projections: in_proj_weight [3d, d] rows Q, K, V (jmt.md 1.6.2).
 *
 * Folded (jmt.md 7.3): in a graph for prediction, with one head, keys and values are the vectors
 * y themselves, and the four projections become two. For
 *     scores  (Q x + b_Q)' (K y + b_K) = (K'Q x + K'b_Q)' y + the same for all y
 *     result  O (sum w (V y + b_V)) + b_O = OV (sum w y) + (O b_V + b_O), as the weights sum to 1
 * only where no key is seen there are no weights: the result is b_O. */
typedef struct attention {
    int64_t dim, heads;
    bool causal, literal, across, folded;
    double dropout;
    parameter_t in_weight, in_bias, out_weight; /* not folded */
    linear_t asked, answer;                     /* folded: K' Q, and O V */
    parameter_t out_bias;
} attention_t;
/* Whether it is folded: that is for the graph, the number of heads and the width to say. */
bool attention_folds(const graph_t *graph, const block_spec_t *spec);
attention_t attention_make(graph_t *graph, const char *name, const block_spec_t *spec);
/* Self-attention of `groups` independent sequences per sample; of one if across. */
value_t attention_self(graph_t *graph, const char *name, attention_t attention, stream_t x,
                       int64_t groups);
/* What the rows of x ask of `streams` streams of `keys` rows each, once for all that have these
 * weights: Q x or, where that makes fewer products, K' Q x. The bias of the keys adds the same to
 * all scores of a row, and is left out there. */
typedef struct query {
    value_t x;
    bool of_rows; /* K' is applied: the keys are the rows of a stream themselves */
} query_t;
query_t attention_query(graph_t *graph, const char *name, attention_t attention, value_t x,
                        int64_t keys, int streams);
/* Of such queries against keys and values of another stream, out-projection included.
 * spec.literal: softmax(K Q') V as the paper writes it: rows belong to keys and weigh over queries
 * (jmt.md 1.6.3); the mask is then that of steps where both streams are valid. */
value_t attention_cross(graph_t *graph, const char *name, attention_t attention, query_t query,
                        stream_t key_value, int64_t groups);

/* Post-norm transformer encoder: y = LN(x + MHA(x, x)); z = LN(y + W2 relu(W1 y + b1) + b2). */
typedef struct encoder_layer {
    attention_t attention;
    linear_t linear1, linear2;
    norm_t norm1, norm2;
} encoder_layer_t;
enum { ENCODER_LAYERS_MAX = 32 };
typedef struct encoder {
    int64_t layers;
    position_t position;
    parameter_t positions; /* learned: [length, dim] */
    encoder_layer_t layer[ENCODER_LAYERS_MAX];
} encoder_t;
encoder_t encoder_make(graph_t *graph, const char *name, const block_spec_t *spec);
value_t encoder_apply(graph_t *graph, const char *name, const encoder_t *encoder, stream_t x,
                      int64_t groups);

/* A learned table of `rows` rows for graph_add_rows, of one for graph_fill_rows, or the weights of
 * graph_mix_rows, [rows, dim]. */
parameter_t table_make(graph_t *graph, const char *name, int64_t rows, int64_t dim);

/* Cross-attention of streams (jmt.md 1.6.3) with what may stand around it (1.6.6):
 * t = MHA(q, k); residual: t = LN(q + t); feed_forward: t = LN(t + W2 relu(W1 t + b1) + b2). */
typedef struct cross {
    encoder_layer_t layer; /* only the parts that are there */
    bool residual, feed_forward;
} cross_t;
cross_t cross_make(graph_t *graph, const char *name, const block_spec_t *spec, bool residual,
                   bool feed_forward);
/* projected: attention_query of `query`. */
value_t cross_apply(graph_t *graph, const char *name, const cross_t *cross, value_t query,
                    query_t projected, stream_t key_value);

/* Heads, Linear -> ReLU -> Dropout -> Linear (jmt.md 1.6.5), in two halves, because targets may
 * share the first: NAME.0 (and .2, the dropout), and TARGET.head.3, which is the graph's output
 * TARGET. */
linear_t head_hidden_make(graph_t *graph, const char *name, int64_t dim, int64_t hidden);
linear_t head_out_make(graph_t *graph, const char *target, int64_t hidden, int64_t outputs);
value_t head_hidden(graph_t *graph, const char *name, linear_t hidden, value_t x, double dropout);
void head_out(graph_t *graph, const char *target, linear_t out, value_t hidden);

#endif
