#include "trainer/layers.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

name_t name_of(const char *format, ...) {
    name_t name;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(name.text, sizeof name.text, format, arguments);
    va_end(arguments);
    REQUIRE(length >= 0 && (size_t)length < sizeof name.text);
    return name;
}

static parameter_t make(graph_t *graph, const char *prefix, const char *suffix, int64_t rows,
                        int64_t columns, init_t init) {
    return graph_parameter(graph, name_of("%s.%s", prefix, suffix).text, rows, columns, init);
}

stream_t concat_streams(graph_t *graph, const char *name, const stream_t *streams, int count) {
    value_t parts[OP_INPUTS_MAX];
    row_mask_t masks[OP_INPUTS_MAX];
    for (int i = 0; i < count; i++) {
        parts[i] = streams[i].x;
        masks[i] = streams[i].mask;
    }
    return (stream_t){graph_concat(graph, name, parts, count), graph_mask_any(graph, masks, count)};
}

static init_t uniform(double bound) { return (init_t){.bound = bound}; }
static init_t constant(double value) { return (init_t){.constant = value}; }

/* --- linear ---------------------------------------------------------------------------------- */

linear_t linear_make(graph_t *graph, const char *name, int64_t in, int64_t out) {
    init_t init = uniform(1.0 / sqrt((double)in));
    linear_t linear;
    linear.weight = make(graph, name, "weight", out, in, init);
    linear.bias = make(graph, name, "bias", out, 0, init);
    return linear;
}

value_t linear_apply(graph_t *graph, const char *name, linear_t linear, value_t x,
                     activation_t activation) {
    return graph_linear(graph, name, x, weight_of(linear.weight), weight_of(linear.bias),
                        activation);
}

/* --- attention ------------------------------------------------------------------------------- */

/* Folding multiplies matrices of this width twice, in double, whenever weights are loaded: seconds
 * where they are wider. */
enum { FOLDED_DIM_MAX = 1024 };

bool attention_folds(const graph_t *graph, const block_spec_t *spec) {
    return graph_predicts(graph) && spec->heads == 1 && spec->dim <= FOLDED_DIM_MAX &&
           !spec->across;
}

/* K' Q with its bias K' b_Q: what rows ask. The paper's literal form has Q and K in each other's
 * place. */
static linear_t make_asked(graph_t *graph, const char *name, const block_spec_t *spec) {
    int64_t dim = spec->dim, query = 0, key = dim;
    name_t weight = name_of("%s.in_proj_weight", name), bias = name_of("%s.in_proj_bias", name);
    fold_t fold = {.left = weight.text,
                   .left_begin = spec->literal ? query : key,
                   .transposed = true,
                   .right = weight.text,
                   .right_begin = spec->literal ? key : query,
                   .inner = dim};
    linear_t asked;
    asked.weight =
        graph_parameter_folded(graph, name_of("%s.asked.weight", name).text, dim, dim, &fold);
    fold.right = bias.text;
    asked.bias = graph_parameter_folded(graph, name_of("%s.asked.bias", name).text, dim, 0, &fold);
    return asked;
}

/* O V with its bias O b_V + b_O: what rows get for the mean that they weigh. */
static linear_t make_answer(graph_t *graph, const char *name, const block_spec_t *spec) {
    int64_t dim = spec->dim, value = 2 * dim;
    name_t out = name_of("%s.out_proj.weight", name), out_bias = name_of("%s.out_proj.bias", name);
    name_t weight = name_of("%s.in_proj_weight", name), bias = name_of("%s.in_proj_bias", name);
    fold_t fold = {.left = out.text, .right = weight.text, .right_begin = value, .inner = dim};
    linear_t answer;
    answer.weight =
        graph_parameter_folded(graph, name_of("%s.answer.weight", name).text, dim, dim, &fold);
    fold.right = bias.text;
    fold.plus = out_bias.text;
    answer.bias =
        graph_parameter_folded(graph, name_of("%s.answer.bias", name).text, dim, 0, &fold);
    return answer;
}

attention_t attention_make(graph_t *graph, const char *name, const block_spec_t *spec) {
    int64_t dim = spec->dim;
    attention_t a = {.dim = dim,
                     .heads = spec->heads,
                     .causal = spec->causal,
                     .literal = spec->literal,
                     .across = spec->across,
                     .folded = attention_folds(graph, spec),
                     .dropout = spec->dropout};
    double xavier = sqrt(6.0 / (double)(4 * dim)), bound = 1.0 / sqrt((double)dim);
    if (a.folded) {
        a.asked = make_asked(graph, name, spec);
        a.answer = make_answer(graph, name, spec);
    } else {
        a.in_weight = make(graph, name, "in_proj_weight", 3 * dim, dim, uniform(xavier));
        a.in_bias = make(graph, name, "in_proj_bias", 3 * dim, 0, constant(0.0));
        a.out_weight = make(graph, name, "out_proj.weight", dim, dim, uniform(bound));
    }
    a.out_bias = make(graph, name, "out_proj.bias", dim, 0, constant(0.0));
    return a;
}

static value_t drop(graph_t *graph, const char *name, value_t x, double probability) {
    return probability > 0.0
               ? graph_dropout(graph, name_of("%s.dropout", name).text, x, probability)
               : x;
}

/* Rows [begin, begin + count) of the packed projection, applied to x. */
static value_t project(graph_t *graph, const char *name, const char *suffix, attention_t a,
                       value_t x, int64_t begin, int64_t count) {
    weight_t weight = {a.in_weight, begin, count}, bias = {a.in_bias, begin, count};
    return graph_linear(graph, name_of("%s.%s", name, suffix).text, x, weight, bias,
                        ACTIVATION_NONE);
}

static value_t project_out(graph_t *graph, const char *name, attention_t a, value_t mixed) {
    linear_t out = a.folded ? a.answer : (linear_t){a.out_weight, a.out_bias};
    return linear_apply(graph, name_of("%s.out_proj", name).text, out, mixed, ACTIVATION_NONE);
}

static value_t attend(graph_t *graph, const char *name, attention_t a, value_t q, value_t k,
                      value_t v, row_mask_t keys, int64_t groups) {
    name_t node = name_of("%s.attention", name);
    REQUIRE(!a.across || (groups == 1 && !a.causal));
    value_t mixed =
        a.across ? graph_attention_across(graph, node.text, q, k, v, keys, a.heads)
                 : graph_attention(graph, node.text, q, k, v, keys, groups, a.heads, a.causal);
    value_t y = project_out(graph, name, a, mixed);
    if (a.folded) {
        row_mask_t seen = graph_mask_seen(graph, keys, graph_rows_of(graph, q), groups, a.causal);
        y = graph_fill_rows(graph, name_of("%s.unseen", name).text, y, seen, a.out_bias);
    }
    return drop(graph, name, y, a.dropout);
}

static value_t ask(graph_t *graph, const char *name, attention_t a, value_t x) {
    return linear_apply(graph, name_of("%s.asked", name).text, a.asked, x, ACTIVATION_NONE);
}

value_t attention_self(graph_t *graph, const char *name, attention_t a, stream_t x,
                       int64_t groups) {
    if (a.folded) {
        return attend(graph, name, a, ask(graph, name, a, x.x), x.x, x.x, x.mask, groups);
    }
    value_t packed = project(graph, name, "in_proj", a, x.x, 0, 3 * a.dim);
    value_t q = graph_columns(graph, packed, 0, a.dim);
    value_t k = graph_columns(graph, packed, a.dim, a.dim);
    value_t v = graph_columns(graph, packed, 2 * a.dim, a.dim);
    return attend(graph, name, a, q, k, v, x.mask, groups);
}

/* The rows themselves can be weighed by K' q, as when folded, but in steps that learn. It costs a
 * product of the queries and one less of each stream of keys, and V, if the queries are fewer, is
 * applied to the mean that they get. */
static bool asks_of_rows(attention_t a, int64_t queries, int64_t keys, int streams) {
    int64_t values = queries < keys ? queries : keys;
    return a.heads == 1 && !a.literal && queries + streams * values < streams * 2 * keys;
}

query_t attention_query(graph_t *graph, const char *name, attention_t a, value_t x, int64_t keys,
                        int streams) {
    if (a.folded) {
        return (query_t){a.literal ? x : ask(graph, name, a, x), true}; /* literal: keys ask */
    }
    value_t q = project(graph, name, "query", a, x, 0, a.dim);
    if (!asks_of_rows(a, graph_rows_of(graph, q), keys, streams)) {
        return (query_t){q, false};
    }
    weight_t key = {a.in_weight, a.dim, a.dim}, bias = {a.in_bias, a.dim, a.dim};
    q = graph_linear_transposed(graph, name_of("%s.key", name).text, q, key, bias);
    return (query_t){q, true};
}

/* V of the mean of rows: they are more than those who ask. */
static value_t attend_to_rows(graph_t *graph, const char *name, attention_t a, value_t asked,
                              stream_t rows, int64_t groups) {
    value_t mean = graph_attention(graph, name_of("%s.attention", name).text, asked, rows.x, rows.x,
                                   rows.mask, groups, a.heads, a.causal);
    value_t y = project(graph, name, "value", a, mean, 2 * a.dim, a.dim);
    row_mask_t seen =
        graph_mask_seen(graph, rows.mask, graph_rows_of(graph, asked), groups, a.causal);
    y = graph_mask_rows(graph, name_of("%s.seen", name).text, y, seen);
    return drop(graph, name, project_out(graph, name, a, y), a.dropout);
}

value_t attention_cross(graph_t *graph, const char *name, attention_t a, query_t query,
                        stream_t key_value, int64_t groups) {
    value_t q = query.x, k = key_value.x, v = key_value.x;
    if (a.folded) {
        k = a.literal ? ask(graph, name, a, k) : k;
    } else if (query.of_rows && graph_rows_of(graph, q) < graph_rows_of(graph, k)) {
        return attend_to_rows(graph, name, a, q, key_value, groups);
    } else if (query.of_rows) {
        v = project(graph, name, "value", a, v, 2 * a.dim, a.dim);
    } else {
        value_t packed = project(graph, name, "key_value", a, key_value.x, a.dim, 2 * a.dim);
        k = graph_columns(graph, packed, 0, a.dim);
        v = graph_columns(graph, packed, a.dim, a.dim);
    }
    return attend(graph, name, a, a.literal ? k : q, a.literal ? q : k, v, key_value.mask, groups);
}

/* --- encoder --------------------------------------------------------------------------------- */

norm_t norm_make(graph_t *graph, const char *name, int64_t dim) {
    return (norm_t){make(graph, name, "weight", dim, 0, constant(1.0)),
                    make(graph, name, "bias", dim, 0, constant(0.0))};
}

static value_t norm_apply(graph_t *graph, const char *name, norm_t norm, value_t x, value_t y) {
    return graph_add_layernorm(graph, name, x, y, weight_of(norm.gain), weight_of(norm.bias));
}

static encoder_layer_t encoder_layer_make(graph_t *graph, const char *name,
                                          const block_spec_t *spec) {
    encoder_layer_t layer;
    layer.attention = attention_make(graph, name_of("%s.attention", name).text, spec);
    layer.linear1 = linear_make(graph, name_of("%s.linear1", name).text, spec->dim, spec->ff);
    layer.linear2 = linear_make(graph, name_of("%s.linear2", name).text, spec->ff, spec->dim);
    layer.norm1 = norm_make(graph, name_of("%s.norm1", name).text, spec->dim);
    layer.norm2 = norm_make(graph, name_of("%s.norm2", name).text, spec->dim);
    return layer;
}

parameter_t table_make(graph_t *graph, const char *name, int64_t rows, int64_t dim) {
    return make(graph, name, "weight", rows, dim, uniform(1.0 / sqrt((double)dim)));
}

encoder_t encoder_make(graph_t *graph, const char *name, const block_spec_t *spec) {
    REQUIRE(spec->layers <= ENCODER_LAYERS_MAX);
    encoder_t encoder = {.layers = spec->layers, .position = spec->position};
    if (spec->position == POSITION_LEARNED) {
        encoder.positions =
            table_make(graph, name_of("%s.position", name).text, graph_length(graph), spec->dim);
    }
    for (int64_t i = 0; i < spec->layers; i++) {
        encoder.layer[i] =
            encoder_layer_make(graph, name_of("%s.encoder.%d", name, (int)i).text, spec);
    }
    return encoder;
}

/* LN(x + W2 relu(W1 x + b1) + b2) */
static value_t feed_forward(graph_t *graph, const char *name, const encoder_layer_t *layer,
                            value_t x) {
    double dropout = layer->attention.dropout;
    name_t second = name_of("%s.linear2", name);
    value_t hidden =
        linear_apply(graph, name_of("%s.linear1", name).text, layer->linear1, x, ACTIVATION_RELU);
    hidden = drop(graph, name, hidden, dropout);
    value_t y = linear_apply(graph, second.text, layer->linear2, hidden, ACTIVATION_NONE);
    y = drop(graph, second.text, y, dropout);
    return norm_apply(graph, name_of("%s.norm2", name).text, layer->norm2, x, y);
}

static value_t encoder_layer_apply(graph_t *graph, const char *name, const encoder_layer_t *layer,
                                   stream_t x, int64_t groups) {
    value_t attended =
        attention_self(graph, name_of("%s.attention", name).text, layer->attention, x, groups);
    value_t y = norm_apply(graph, name_of("%s.norm1", name).text, layer->norm1, x.x, attended);
    return feed_forward(graph, name, layer, y);
}

value_t encoder_apply(graph_t *graph, const char *name, const encoder_t *encoder, stream_t x,
                      int64_t groups) {
    name_t position = name_of("%s.position", name);
    if (encoder->position == POSITION_LEARNED) {
        x.x = graph_add_rows(graph, position.text, x.x, encoder->positions);
    } else if (encoder->position == POSITION_SINUSOIDAL) {
        x.x = graph_add_waves(graph, position.text, x.x, graph_length(graph));
    }
    for (int64_t i = 0; i < encoder->layers; i++) {
        x.x = encoder_layer_apply(graph, name_of("%s.encoder.%d", name, (int)i).text,
                                  &encoder->layer[i], x, groups);
    }
    return x.x;
}

/* --- cross-attention ------------------------------------------------------------------------- */

cross_t cross_make(graph_t *graph, const char *name, const block_spec_t *spec, bool residual,
                   bool feed_forward_too) {
    cross_t cross = {.residual = residual, .feed_forward = feed_forward_too};
    encoder_layer_t *layer = &cross.layer;
    layer->attention = attention_make(graph, name, spec);
    if (feed_forward_too) {
        layer->linear1 = linear_make(graph, name_of("%s.linear1", name).text, spec->dim, spec->ff);
        layer->linear2 = linear_make(graph, name_of("%s.linear2", name).text, spec->ff, spec->dim);
    }
    if (residual) {
        layer->norm1 = norm_make(graph, name_of("%s.norm1", name).text, spec->dim);
    }
    if (feed_forward_too) {
        layer->norm2 = norm_make(graph, name_of("%s.norm2", name).text, spec->dim);
    }
    return cross;
}

value_t cross_apply(graph_t *graph, const char *name, const cross_t *cross, value_t query,
                    query_t projected, stream_t key_value) {
    const encoder_layer_t *layer = &cross->layer;
    value_t t = attention_cross(graph, name, layer->attention, projected, key_value, 1);
    if (cross->residual) {
        t = norm_apply(graph, name_of("%s.norm1", name).text, layer->norm1, query, t);
    }
    if (cross->feed_forward) {
        t = feed_forward(graph, name_of("%s.ffn", name).text, layer, t);
    }
    return t;
}

/* --- head ------------------------------------------------------------------------------------ */

linear_t head_hidden_make(graph_t *graph, const char *name, int64_t dim, int64_t hidden) {
    return linear_make(graph, name_of("%s.0", name).text, dim, hidden);
}

linear_t head_out_make(graph_t *graph, const char *target, int64_t hidden, int64_t outputs) {
    return linear_make(graph, name_of("%s.head.3", target).text, hidden, outputs);
}

value_t head_hidden(graph_t *graph, const char *name, linear_t hidden, value_t x, double dropout) {
    x = linear_apply(graph, name_of("%s.0", name).text, hidden, x, ACTIVATION_RELU);
    return dropout > 0.0 ? graph_dropout(graph, name_of("%s.2", name).text, x, dropout) : x;
}

void head_out(graph_t *graph, const char *target, linear_t out, value_t hidden) {
    graph_output(
        graph, target,
        linear_apply(graph, name_of("%s.head.3", target).text, out, hidden, ACTIVATION_NONE));
}
