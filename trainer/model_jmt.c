/* The joint multimodal transformer (arXiv 2403.10488, section 3; jmt.md 1.6).
 *
 * For modalities m1..mM, each a stream of d features per time step:
 *
 *   (1)  J = W_J [m1; ...; mM] + b_J               joint stream                       jmt.md 1.6.1
 *   (2)  s = Encoder_s(s)                          over time, for s in m1..mM, J      jmt.md 1.6.2
 *   (3)  t = softmax(Q_q(q) K_q(k)' / sqrt(d_h)) V_q(k), projected out                jmt.md 1.6.3
 *            for every ordered pair of streams q <- k: one token per time step; the weights are
 *            those of the query's stream; no residual, normalisation or feed-forward around it
 *   (4)  z = SelfAttention(Encoder(t1..tT)), last  over the T tokens of a time step   jmt.md 1.6.4
 *
 * Heads follow in models.c. A masked step of a modality is 0 in (1), no key in (2) and (3), and
 * makes the tokens that query it invalid in (4); last is the last valid one (jmt.md 5). */
#include "trainer/models.h"

#include <string.h>

/* Order of creation is that of jmt.md, appendix A. */
typedef struct jmt {
    int modalities, streams; /* the last stream is J */
    const char *name[STREAMS_MAX];
    linear_t projection;            /* (1) */
    encoder_t encoder[STREAMS_MAX]; /* (2) */
    attention_t cross[STREAMS_MAX]; /* (3), by query */
    encoder_t token_encoder;        /* (4) */
    attention_t token_attention;
} jmt_t;

static jmt_t make_parameters(graph_t *graph, const config_t *config, const model_input_t *input) {
    int64_t dim = config->model.dim, ff = config->model.ff, heads = config->model.heads;
    jmt_t jmt = {.modalities = input->count, .streams = input->count + 1};
    memcpy(jmt.name, input->name, sizeof jmt.name);
    jmt.name[jmt.modalities] = JOINT_NAME;
    jmt.projection = linear_make(graph, "joint.projection", jmt.modalities * dim, dim);
    for (int s = 0; s < jmt.streams; s++) {
        jmt.encoder[s] = encoder_make(graph, jmt.name[s], config->model.layers, dim, ff, heads);
    }
    for (int s = 0; s < jmt.streams; s++) {
        jmt.cross[s] = attention_make(graph, name_of("%s.cross", jmt.name[s]).text, dim, heads);
    }
    jmt.token_encoder = encoder_make(graph, TOKEN_NAME, 1, dim, ff, heads);
    jmt.token_attention = attention_make(graph, "token.attention", dim, heads);
    return jmt;
}

/* (1) */
static stream_t joint_stream(graph_t *graph, const jmt_t *jmt, const model_input_t *input) {
    stream_t all = concat_streams(graph, "joint.concat", input->stream, input->count);
    all.x = linear_apply(graph, "joint.projection", jmt->projection, all.x, ACTIVATION_NONE);
    return all;
}

typedef struct branch {
    int query, key; /* streams */
} branch_t;

/* Token order: both directions of each pair i < j of modalities, then J <- m, m <- J. */
static int list_branches(int modalities, branch_t branches[OP_INPUTS_MAX]) {
    int count = 0, joint = modalities;
    for (int i = 0; i < modalities; i++) {
        for (int j = i + 1; j < modalities; j++) {
            branches[count++] = (branch_t){i, j};
            branches[count++] = (branch_t){j, i};
        }
    }
    for (int m = 0; m < modalities; m++) {
        branches[count++] = (branch_t){joint, m};
        branches[count++] = (branch_t){m, joint};
    }
    return count;
}

/* (3): all tokens of a time step below one another, [length * tokens, dim]. */
static stream_t cross_attend(graph_t *graph, const jmt_t *jmt, const stream_t *stream,
                             int *tokens_out) {
    value_t query[STREAMS_MAX]; /* projected once for all branches of the stream (jmt.md 7.3) */
    for (int s = 0; s < jmt->streams; s++) {
        query[s] = attention_query(graph, name_of("%s.cross", jmt->name[s]).text, jmt->cross[s],
                                   stream[s].x);
    }
    branch_t branches[OP_INPUTS_MAX];
    value_t token[OP_INPUTS_MAX];
    row_mask_t query_mask[OP_INPUTS_MAX], key_mask[OP_INPUTS_MAX];
    int tokens = list_branches(jmt->modalities, branches);
    for (int t = 0; t < tokens; t++) {
        int q = branches[t].query, k = branches[t].key;
        name_t name = name_of("%s.cross.%s", jmt->name[q], jmt->name[k]);
        token[t] = attention_cross(graph, name.text, jmt->cross[q], query[q], stream[k], 1);
        query_mask[t] = stream[q].mask;
        key_mask[t] = stream[k].mask;
    }
    *tokens_out = tokens;
    return (stream_t){graph_tokens(graph, "token.stack", token, tokens),
                      graph_mask_tokens(graph, query_mask, key_mask, tokens)};
}

/* (4) */
static value_t fuse_tokens(graph_t *graph, const jmt_t *jmt, stream_t stack, int tokens,
                           token_rule_t rule) {
    int64_t length = graph_length(graph);
    const attention_t *attention = &jmt->token_attention;
    stack.x = encoder_apply(graph, TOKEN_NAME, &jmt->token_encoder, stack, length);
    if (rule == TOKEN_MEAN) {
        value_t all = attention_self(graph, "token.attention", *attention, stack, length);
        return graph_select_token(graph, "token.mean", all, tokens, stack.mask, rule);
    }
    /* Of the last attention one row is read: the query of the selected token is enough. */
    value_t last = graph_select_token(graph, "token.last", stack.x, tokens, stack.mask, rule);
    value_t query = attention_query(graph, "token.attention", *attention, last);
    return attention_cross(graph, "token.attention", *attention, query, stack, length);
}

value_t model_jmt(graph_t *graph, const config_t *config, const model_input_t *input) {
    jmt_t jmt = make_parameters(graph, config, input);
    stream_t stream[STREAMS_MAX];
    memcpy(stream, input->stream, sizeof stream);
    stream[jmt.modalities] = joint_stream(graph, &jmt, input);
    for (int s = 0; s < jmt.streams; s++) { /* (2) */
        stream[s].x = encoder_apply(graph, jmt.name[s], &jmt.encoder[s], stream[s], 1);
    }
    int tokens = 0;
    stream_t stack = cross_attend(graph, &jmt, stream, &tokens);
    bool mean = strcmp(config->model.token, "mean") == 0;
    return fuse_tokens(graph, &jmt, stack, tokens, mean ? TOKEN_MEAN : TOKEN_LAST);
}
