/* kernels.h - the table of operations. One table per (backend, activation type); `ref` in float and
 * double is the plain truth, others fill the same table and are tested against it.
 *
 * Matrices. An activation is a matrix of rows x cols for each local shard; row r of shard s begins
 * at data + s * shard_stride + r * row_stride (elements). Only the row stride is free, so packed
 * projections, concatenations and token stacks are views that producers write into.
 *
 * An operation is planned once (shapes and attributes are fixed, libraries make their primitives)
 * and then called for a run of shards [shard_begin, shard_end). Calls never allocate, never fail.
 * What they read and write lies in the memory of their device, unless it says host here; they are
 * done in the order in which they are called, but not before the call returns (device.h).
 *   prepare           overwrites kept, from the weights
 *   forward           overwrites out and saved
 *   backward_data     overwrites d_in[i] where d_in[i].data is not NULL; d_out is read only
 *   backward_weights  overwrites d_weight[i]: of ONE shard: shard_end is the next
 *   backward_tree     overwrites d_weight[i]: of a run of shards, see there
 * No shard's result depends on which other shards are in the call, on the rank count or on time.
 *
 * With DTYPE_BF16 an operation reads bf16 activations, computes in float and rounds what it stores
 * as an activation once, to nearest. linear and conv round their weights too, before they
 * multiply. */
#ifndef JMT_KERNELS_H
#define JMT_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"
#include "kernels/device.h"
#include "kernels/picture.h"

/* Of activations and their gradients. What else there is of a table (weights and their gradients,
 * saved, workspace, kept, optimiser state) is float, or double with DTYPE_F64. */
typedef enum { DTYPE_F32, DTYPE_F64, DTYPE_BF16 } dtype_t;
static inline size_t dtype_bytes(dtype_t dtype) {
    return dtype == DTYPE_F64 ? 8 : dtype == DTYPE_BF16 ? 2 : 4;
}
static inline size_t dtype_state_bytes(dtype_t dtype) { return dtype == DTYPE_F64 ? 8 : 4; }

/* Activations from and to numbers of the host; bf16 is rounded to nearest, ties to even. */
double dtype_get(dtype_t dtype, const void *data, int64_t index);
void dtype_set(dtype_t dtype, void *data, int64_t index, double value);
void dtype_from_float(dtype_t dtype, void *to, const float *from, int64_t count);
void dtype_to_float(dtype_t dtype, float *to, const void *from, int64_t count);

typedef struct matrix {
    void *data; /* NULL: absent */
    int64_t rows, cols;
    int64_t row_stride;
    int64_t shard_stride;
} matrix_t;

static inline matrix_t matrix_from_shard(matrix_t matrix, int shard, dtype_t dtype) {
    matrix.data = (char *)matrix.data + shard * matrix.shard_stride * (int64_t)dtype_bytes(dtype);
    return matrix;
}

/* One byte per row (or per token, per key): 1 valid, 0 not. data NULL: all valid. */
typedef struct mask {
    uint8_t *data;
    int64_t count;        /* per shard */
    int64_t shard_stride; /* bytes */
} mask_t;

typedef enum { ACTIVATION_NONE, ACTIVATION_RELU } activation_t;
typedef enum { TOKEN_LAST, TOKEN_MEAN, TOKEN_SUM, TOKEN_MAX, TOKEN_CONCAT } token_rule_t;
typedef enum { POOL_MAX, POOL_AVERAGE, POOL_INSIDE, POOL_ADAPTIVE } pool_rule_t;
typedef enum { NORM_FROZEN, NORM_SHARD, NORM_GLOBAL } norm_rule_t;

/*  name           inputs   what it computes, per shard
 *  linear         x        y = act(x W' + b); W [out,in], b [out]; y has out columns.
 *                          transposed: y = x W, W [in,out], without activation; b [in] is not read
 *                          and gets gradient 0
 *  attention      q,k,v    multi-head scaled dot-product attention in `groups` independent groups:
 *                          q [groups*query_len, d], k and v [groups*key_len, d], heads divide d;
 *                          mask: groups*key_len keys; causal: query i sees keys 0..i alone
 *                          (query_len is key_len); a query that sees no valid key yields 0.
 *                          across: the rows of groups take turns, row i of group g is row
 *                          i*groups + g; for calls with live NULL
 *                          saved: the probabilities [groups, heads, query_len, key_len]
 *  add_layernorm  x[,y]    z = LN(x + y) * gain + bias, population variance, epsilon inside the
 *                          root; weights gain [d], bias [d]; saved: mean and 1/sd of each row
 *  relu           x        max(0, x)
 *  leaky_relu     x[,y]    z = x + y: z where it is above 0, else 0.01 z
 *  prelu          x        x where it is above 0, else the weight [d] times it
 *  temporal_conv  x        over each run of `period` rows: y[t] = b + the sum over j < taps of
 *                          W_j x[t + j dilation - before], where rows outside the run or masked
 *                          out count as 0 and get no gradient; weight-normed: weights v [out, in,
 *                          taps], g [out], b [out]; W[o] = g[o] v[o] / |v[o]|
 *  conv           x        y = act(b + W * x) over a grid of one to three axes (op_axis), columns
 *                          in `groups` equal parts; rows are [samples, axis 0, axis 1, axis 2];
 *                          weights W [out, in/groups, size 0, size 1, size 2] and, with `bias`,
 *                          b [out]
 *  pool           x        each column over the windows of a grid as conv has them: the largest
 *                          element (the first of equal ones; a NaN is larger), or a mean: over all
 *                          of a window, where what is outside counts as 0 (count_include_pad), over
 *                          what is inside, or (adaptive) over places floor(o in / out) to
 *                          ceil((o+1) in / out) of each axis, which needs extents alone. Rows
 *                          masked out are outside; where nothing is inside: 0. saved: where the
 *                          largest were
 *  batch_norm     x        (x - mean) / sqrt(variance + epsilon) * gain + bias by column; weights
 *                          gain, bias, running mean, running variance [d]. NORM_FROZEN: by the
 *                          running ones; NORM_SHARD: by population statistics of the shard's valid
 *                          rows; NORM_GLOBAL: by those of the whole batch's (`sums`, `totals`);
 *                          both by the running ones when not training. Rows masked out become 0
 *                          and get gradient 0. d_weight[2] and [3] are no gradients but what the
 *                          running ones average: the mean and n-1 variance of the shard or batch,
 *                          and what is running where there are none (frozen; n = 0; the variance
 *                          of n = 1). saved: statistics
 *  l2_normalize   x        x / max(|x|, 1e-12) by row; rows masked out become 0 and get gradient 0
 *  mask_rows      x        x, with rows masked out set to 0; so is their gradient
 *  concat         x...     columns side by side (a part whose storage lies in out is skipped)
 *  select_token   x        x [rows*tokens, d] -> [rows, d]: the last valid token of each row, or
 *                          the mean, sum or largest elements (the first of equal ones) of its valid
 *                          tokens; mask: rows*tokens; none valid: the last. concat: -> [rows,
 *                          tokens*d], side by side, 0 for a token that is not valid
 *  dropout        x        training: x * (u >= p) / (1 - p) with u = uniform(seed, node, step,
 *                          element), element counted over the GLOBAL batch (shard_first + s);
 *                          else the identity. period P > 1: one u for a column of P rows
 *  sum            x...     x0 + x1 + ... in this order (1 to 64 terms; out may be one of them)
 *  tanh           x        tanh x
 *  softmax_gate   x,s      x * softmax(s), over the columns of each row of s; each of them weighs
 *                          as many columns of x, in this order. mask: rows * columns of s: weight 0
 *                          where not valid. saved: the weights
 *  add_rows       x        row r plus row r % period of the weight [period, d]
 *  fill_rows      x        x, with rows masked out set to the weight [d], which has their gradient
 *  add_waves      x        row r plus the sinusoidal encoding of position t = r % period over
 *                          sqrt(d): columns 2i and 2i+1 are sin and cos of t / 10000^(2i/d)
 *  mix_rows       x        y = W x for the rows of each of `groups` equal groups: W [rows of y,
 *                          rows of x] of a group
 *  correlate      a,b      a' b / sqrt(columns of a) over the rows of each of `groups` equal
 *                          groups: [groups * columns of a, columns of b]
 */
#define OP_LIST(X)                                                                                 \
    X(linear)                                                                                      \
    X(attention)                                                                                   \
    X(add_layernorm)                                                                               \
    X(relu)                                                                                        \
    X(leaky_relu)                                                                                  \
    X(prelu)                                                                                       \
    X(temporal_conv)                                                                               \
    X(conv)                                                                                        \
    X(pool)                                                                                        \
    X(batch_norm)                                                                                  \
    X(l2_normalize)                                                                                \
    X(mask_rows)                                                                                   \
    X(concat)                                                                                      \
    X(select_token)                                                                                \
    X(dropout)                                                                                     \
    X(sum)                                                                                         \
    X(tanh)                                                                                        \
    X(softmax_gate)                                                                                \
    X(add_rows)                                                                                    \
    X(fill_rows)                                                                                   \
    X(add_waves)                                                                                   \
    X(mix_rows)                                                                                    \
    X(correlate)

#define OP_ENUM_(name) OP_##name,
typedef enum { OP_LIST(OP_ENUM_) OP_COUNT } op_kind_t;
const char *op_kind_name(op_kind_t kind); /* "linear" ... */

enum { OP_INPUTS_MAX = 64, OP_WEIGHTS_MAX = 4 };

/* A window on one axis of a grid: place o of the result reads o * stride + j * dilation - before
 * for 0 <= j < size. What lies outside the input counts as 0, so that the padding at the end is as
 * wide as `out` has it. Grids of fewer axes begin with axes whose extents, size, stride and
 * dilation are 1. */
enum { OP_AXES = 3 };
typedef struct op_axis {
    int64_t in, out; /* extents */
    int64_t size, stride, dilation, before;
} op_axis_t;

static inline int64_t window_taps(const op_axis_t axis[OP_AXES]) {
    return axis[0].size * axis[1].size * axis[2].size;
}

typedef struct op_attributes {
    activation_t activation;           /* linear, conv */
    bool transposed;                   /* linear */
    int64_t groups;                    /* attention, conv, mix_rows, correlate */
    int64_t heads, query_len, key_len; /* attention */
    bool causal, across;               /* attention */
    int64_t period;                    /* add_rows, add_waves, temporal_conv, dropout */
    int64_t taps, dilation, before;    /* temporal_conv */
    op_axis_t axis[OP_AXES];           /* conv, pool */
    bool bias;                         /* conv */
    pool_rule_t pool_rule;             /* pool */
    norm_rule_t norm_rule;             /* batch_norm */
    double epsilon;                    /* batch_norm */
    int64_t tokens;                    /* select_token */
    token_rule_t token_rule;           /* select_token */
    double probability;                /* dropout */
    uint64_t node_hash;                /* dropout: rng_name(node name) */
} op_attributes_t;

/* Whether backward_data reads the inputs again, and both backwards the output. */
bool op_backward_data_reads_in(op_kind_t kind, const op_attributes_t *attributes);
bool op_backward_reads_out(op_kind_t kind, const op_attributes_t *attributes);

typedef struct op_shape {
    int64_t rows, cols, row_stride; /* of one shard */
} op_shape_t;

/* What plan() is told: shapes of one shard; strides are those of every later call. Gradients have
 * strides of their own, given per call. */
typedef struct op_description {
    const device_t *device;
    op_kind_t kind;
    op_attributes_t attributes;
    int input_count;
    op_shape_t in[OP_INPUTS_MAX];
    op_shape_t out;
    op_shape_t d_in[OP_INPUTS_MAX]; /* rows 0: this gradient is never asked for */
    op_shape_t d_out;               /* rows 0: no backward at all */
    bool weights_stay;              /* forward only: from one call of prepare to the next */
    int shard_count;                /* most shards of one call; 0: one */
} op_description_t;

typedef struct op_plan op_plan_t; /* owned by the table that made it; free with plan_close */

/* What plan() answers: memory the caller provides to every call. Floats, or doubles with F64. */
typedef struct op_needs {
    int64_t saved_count;     /* per shard, kept from forward to backward */
    int64_t workspace_count; /* per call, contents undefined between calls */
    int64_t kept_count;      /* weights_stay: what prepare makes of the weights, for all shards */
    int64_t sum_count;       /* doubles that `sums` makes of a shard; 0: shards are on their own */
} op_needs_t;

/* What differs from step to step, on the device, for calls that are replayed (device.h). */
typedef struct step_now {
    uint64_t step;
    double learning_rate;
    double keep;                     /* adamw: what weight decay leaves of a weight */
    double correction1, correction2; /* c1 and c2 of adam */
    int64_t update_index;
    /* What judge says of the step. */
    double loss, norm, gradient_scale;
    int64_t applies; /* 0: it changes nothing */
} step_now_t;

typedef struct step_scalars {
    uint64_t seed;
    uint64_t step;
    const step_now_t *now; /* NULL: `step`; else a device that is not the host reads its `step` */
    int64_t shard_first;   /* global index of local shard 0 */
    bool training;         /* false: dropout is the identity, batch norm goes by what is running */
    bool drops_nothing;    /* training without dropout: to compare a step with another program's */
} step_scalars_t;

/* Of each sample the steps whose rows count. What the others hold, no result depends on, and their
 * gradients are 0; whoever computes may write 0 there instead. */
typedef struct step_range {
    int32_t begin, end;
} step_range_t;
typedef struct live {
    const step_range_t *ranges; /* [shards, samples] */
    int64_t samples, length;    /* of a shard; steps of a sample, of which each is as many rows */
} live_t;

typedef struct op_call {
    matrix_t in[OP_INPUTS_MAX], out;
    matrix_t d_in[OP_INPUTS_MAX], d_out;
    const void *weight[OP_WEIGHTS_MAX];
    void *d_weight[OP_WEIGHTS_MAX];
    mask_t mask;
    void *saved;
    int64_t saved_shard_stride; /* elements */
    void *workspace;
    void *kept; /* plans of equal weights and an equal kept_count may share it */
    int shard_begin, shard_end;
    const step_scalars_t *scalars; /* host */
    const double *totals;          /* [sum_count] */
    const live_t *live;            /* host; NULL: every row counts */
} op_call_t;

/* One of several uses of the same weights. */
typedef struct op_use {
    const op_plan_t *plan;
    const op_call_t *call; /* its d_weight and run of shards are not read */
} op_use_t;

typedef enum { PASS_FORWARD, PASS_BACKWARD_DATA, PASS_BACKWARD_WEIGHTS, PASS_COUNT } pass_t;

typedef struct op_row {
    /* STATUS_UNAVAILABLE with the reason if this backend cannot do these shapes. */
    status_t (*plan)(const op_description_t *description, op_plan_t **plan_out,
                     op_needs_t *needs_out);
    void (*plan_close)(op_plan_t *plan);                           /* NULL plan allowed */
    void (*prepare)(const op_plan_t *plan, const op_call_t *call); /* NULL: keeps nothing */
    void (*forward)(const op_plan_t *plan, const op_call_t *call);
    void (*backward_data)(const op_plan_t *plan, const op_call_t *call);
    void (*backward_weights)(const op_plan_t *plan, const op_call_t *call); /* NULL: no weights */
    /* The sum of the canonical tree over the shards [shard_begin, shard_end), which are all of it,
     * one complete subtree, or the first ones of such (it splits at the largest power of two below
     * their number); a leaf is one shard's gradient, all uses taken together. scratch: as many
     * gradients as such a tree has levels, each of the weights' elements rounded up to 16. NULL:
     * the caller adds. */
    void (*backward_tree)(const op_use_t *uses, int use_count, int shard_begin, int shard_end,
                          void *const d_weight[OP_WEIGHTS_MAX], void *scratch);
    /* Where plan says sum_count, in training, before forward and before backward_data: that many
     * doubles of each shard of the call, at sums + s * sum_count, of which somebody makes the
     * totals of the whole batch (sums_total) that these two then read. NULL: never. */
    void (*sums)(const op_plan_t *plan, const op_call_t *call, pass_t pass, double *sums);
} op_row_t;

/* into = what `sums` would have made of both, the rows of `into` first. Host. */
void op_sums_add(pass_t pass, int64_t sum_count, double *into, const double *other);

/* Losses couple a whole batch, so they come in two halves with a sum over shards between them.
 *   ccc            sums n, Sx, Sy, Sxx, Syy, Sxy (double) of predictions x and targets y;
 *                  loss = 1 - 2 s_xy / (s_xx + s_yy + (m_x - m_y)^2 + 1e-8); population
 *                  statistics, or n-1 in variances and covariance when `unbiased` (jmt.md 2.1)
 *                  With mse_weight a seventh sum S(x-y)^2, and loss + mse_weight S(x-y)^2 / n.
 *   mse            sums n, S(x-y)^2; loss = S / n
 *   cross_entropy  x has one column per class, y is the class index. With class weights w and label
 *                  smoothing e, of p = softmax(x): sums n, W = S w[y] and
 *                  S (1-e) w[y] -log p[y] + e/C sum_c w[c] -log p[c]; loss = S / W
 *   binary         y in [0, 1], sums n, S w y -log p + (1-y) -log(1-p) of p = sigmoid(x), w the
 *                  weight of the label 1; loss = S / n
 * A target that is NaN is invalid: in no sum, gradient 0. n = 0: loss 0, gradient 0. ccc with
 * n < 2: the same, without its squared errors too. Row r of shard s of x belongs to
 * target[s * rows + r]. */
typedef enum { LOSS_CCC, LOSS_MSE, LOSS_CROSS_ENTROPY, LOSS_BINARY } loss_kind_t;
enum { LOSS_SUMS = 7, LOSS_CLASSES_MAX = 64 };

typedef struct loss_call {
    const device_t *device;
    loss_kind_t kind;
    bool unbiased;
    double weight;               /* multiplies the gradient, and the caller's loss */
    double mse_weight;           /* ccc */
    double label_smoothing;      /* cross_entropy */
    const double *class_weights; /* host; cross_entropy: one per class, at most LOSS_CLASSES_MAX;
                                  * binary: of the label 1; NULL: 1 */
    matrix_t x;                  /* predictions */
    const void *target;          /* [shards, rows], float, or double with DTYPE_F64 */
    matrix_t d_x;                /* overwritten by loss_gradient */
    int shard_begin, shard_end;
    int64_t sums_stride; /* from the sums of one shard to those of the next */
} loss_call_t;

/* Without call->weight; x, target and d_x are not read. */
double loss_value(const loss_call_t *call, const double sums[LOSS_SUMS]);

/* Flat parameter state, in spans: runs of elements of one tensor. PyTorch's arithmetic (jmt.md
 * 2.4):
 *   sgd    g += wd*w; m = first ? g : momentum*m + g; w -= lr * (nesterov ? g + momentum*m : m)
 *   adam   g += wd*w;                 m, v moments; w -= lr * (m/c1) / (sqrt(v/c2) + eps)
 *   adamw  w -= lr*wd*w; then as adam with wd = 0            c1 = 1 - beta1^t, c2 = 1 - beta2^t
 * What is running (batch_norm) is not learned: w += momentum * (g / shards - w), in double. What is
 * fixed stays. */
typedef enum { OPTIMIZER_SGD, OPTIMIZER_ADAM, OPTIMIZER_ADAMW } optimizer_kind_t;
typedef enum { SPAN_LEARNED, SPAN_RUNNING, SPAN_FIXED } span_role_t;

typedef struct optimizer_span {
    int64_t offset;  /* of its first element in weight and gradient */
    int64_t state;   /* in m and v */
    int32_t count;   /* elements */
    int32_t role;    /* span_role_t */
    double momentum; /* SPAN_RUNNING; else 0 */
} optimizer_span_t;

typedef struct optimizer_call {
    const device_t *device;
    optimizer_kind_t kind;
    double learning_rate, weight_decay;
    double momentum; /* sgd; 0: m is not touched */
    bool nesterov;
    double beta1, beta2, epsilon; /* adam, adamw */
    int64_t update_index;         /* 1 for the first update */
    double gradient_scale;        /* multiplies g first: clipping */
    int64_t shards;               /* that the gradient of what is running is the sum over */
    void *weight;
    const void *gradient;
    void *m, *v; /* v: adam only */
    const optimizer_span_t *spans;
    int64_t span_count;
    const step_now_t *now; /* on the device; NULL: learning_rate, update_index and gradient_scale
                            * above; else its own, and whether anything is changed at all */
} optimizer_call_t;

/* What becomes of a step: its loss, the norm of its gradient, how it is clipped, and whether it
 * changes anything, which it does not where loss or norm is not finite or a rank has failed. All
 * but losses on the device. */
enum { LOSSES_MAX = 16 };
typedef struct judge_call {
    const device_t *device;
    const loss_call_t *losses; /* host; rows and gradients are not read */
    int loss_count;
    const double *totals; /* [loss_count][LOSS_SUMS] of the batch */
    const double
        *partials; /* [partial_count] squares of spans, and where those of flat order are */
    const int64_t *order;
    double *ordered; /* [partial_count], overwritten */
    int64_t partial_count;
    const double *words; /* rank r has failed if words[failed_at[r]] is not 0 */
    const int64_t *failed_at;
    int rank_count;
    double clip_norm; /* 0: none */
    step_now_t *now;
} judge_call_t;

/* c[m,n] = a[m,k] b[k,n] (+ plus[m,n]), each element summed in double over k in order and rounded
 * once: the same bits from every table of a type. a has any strides; rows of b, and c and plus as a
 * whole, are contiguous. c overlaps nothing. */
typedef struct multiply_call {
    int64_t m, n, k;
    const void *a;
    int64_t a_row, a_col;
    const void *b;
    int64_t b_row;
    const void *plus; /* NULL: none */
    void *c;
} multiply_call_t;

/* Clips of pictures from bytes to the numbers of an input (picture.h). A token that is masked
 * becomes zeros, and its bytes and change are not read. */
typedef struct pictures_call {
    const device_t *device;
    dtype_t dtype;                   /* of out: the table's */
    int64_t tokens, clip;            /* of all samples; pictures of a token */
    int64_t size, times;             /* height and width of the bytes; times these in out */
    const uint8_t *bytes;            /* [tokens, clip, size, size, 3] */
    const uint8_t *mask;             /* [tokens] */
    const picture_change_t *changes; /* [tokens] */
    float scale[2 * PICTURE_COLOURS];
    void *out; /* [tokens, clip, times size, times size, 3] */
} pictures_call_t;

typedef struct kernels {
    const char *backend; /* "ref" | "cpu" | "cuda" */
    const char *device;  /* whose memory it works in: "cpu" | "cuda" */
    dtype_t dtype;
    bool pairs; /* DTYPE_BF16: products by the processor's own, two bf16 at a time */
    op_row_t ops[OP_COUNT];

    /* Of all shards of the call; sums of shard s at sums + s * sums_stride, LOSS_SUMS doubles, are
     * overwritten (unused ones 0). */
    void (*loss_sums)(const loss_call_t *call, double *sums);
    /* total: of the whole batch. */
    void (*loss_gradient)(const loss_call_t *call, const double total[LOSS_SUMS]);
    void (*optimizer_update)(const optimizer_call_t *call);
    void (*judge)(const judge_call_t *call);
    /* partials[i] = the sum of the squares of span i, in double in a fixed order; 0 of what is not
     * learned. */
    void (*sum_squares_spans)(const device_t *device, const void *gradient,
                              const optimizer_span_t *spans, int64_t span_count, double *partials);
    /* out may be a or b */
    void (*add)(const device_t *device, void *out, const void *a, const void *b, int64_t count);
    bool (*all_finite)(const device_t *device, const void *x, int64_t count); /* waits */
    /* For what is done once, weights of weights: the host's tables alone (kernels_on_host). */
    void (*multiply)(const device_t *device, const multiply_call_t *call);
    /* total [sum_count] = what the operations' sums of all shards come to, by the canonical tree
     * over them (comm/tree.h, op_sums_add); all [shards, sum_count] may be overwritten. */
    void (*sums_total)(const device_t *device, pass_t pass, int64_t sum_count, int shards,
                       double *all, double *total);

    void (*pictures)(const pictures_call_t *call);

    /* Masks are bytes on every backend; the lists in, query and key are the host's.
     * out[r] = any of in[i][r]; all of in[i][r]. */
    void (*mask_any)(const device_t *device, mask_t out, const mask_t *in, int count,
                     int shard_begin, int shard_end);
    void (*mask_all)(const device_t *device, mask_t out, const mask_t *in, int count,
                     int shard_begin, int shard_end);
    /* out[r]: some key that row r may see is valid: keys of r's group; causal: up to r. */
    void (*mask_seen)(const device_t *device, mask_t out, mask_t keys, int64_t groups, bool causal,
                      int shard_begin, int shard_end);
    /* Token k of row r is valid if query[k][r] is valid and any key[k] of r's group is (causal: any
     * up to r). out: rows*tokens per shard; rows = groups * length. */
    void (*mask_tokens)(const device_t *device, mask_t out, const mask_t *query, const mask_t *key,
                        int tokens, int64_t groups, bool causal, int shard_begin, int shard_end);
} kernels_t;

/* backend "ref", "cpu" or "cuda"; STATUS_UNAVAILABLE (exit 3) names what is missing and the remedy.
 * "cpu" and "cuda" have no double. The table is constant for the process; JMT_ISA is read here. */
status_t kernels_for(const char *backend, dtype_t dtype, const kernels_t **kernels_out) MUST_CHECK;

/* For what is computed of numbers that are on the host: the table itself if it is float or double
 * and works there, else one of floats that does. */
status_t kernels_on_host(const kernels_t *kernels, const kernels_t **host_out) MUST_CHECK;

/* What the machine and the environment (JMT_ISA) allow: "generic" | "avx2" | "avx512". */
status_t kernels_isa(const char **isa_out) MUST_CHECK;

/* Threads that one operation may use on this rank (OpenMP); to be set before plans are made. */
status_t kernels_set_threads(int threads) MUST_CHECK;

/* Version of what computes beside the reference, for the numerics fingerprint. Static. */
const char *kernels_library_version(const char *backend);

#endif
