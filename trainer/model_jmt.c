/* The joint multimodal transformer (arXiv 2403.10488; jmt.md 1.6): for modalities m1..mM
 *
 *   J = W_J [m1; ...; mM] + b_J                                   joint stream
 *   s = Encoder_s(s)                for each stream s of m1..mM, J
 *   t = Attention_q(q, k)           for each ordered pair of streams q <- k: one token per step
 *   z = Attention(Encoder(t1..tT))  over the tokens of a step, its last valid token
 */
#include "trainer/models.h"

#include <stdio.h>
#include <string.h>

typedef struct branch {
    int query, key; /* streams */
} branch_t;

/* Token order: both directions of each pair i < j of modalities, then J <- m, m <- J (jmt.md head).
 */
static int list_branches(int modalities, branch_t *branches) {
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

static stream_t joint_stream(graph_t *graph, linear_t projection, const model_input_t *input) {
    value_t parts[STREAMS_MAX];
    row_mask_t masks[STREAMS_MAX];
    for (int m = 0; m < input->count; m++) {
        parts[m] = input->stream[m].x;
        masks[m] = input->stream[m].mask;
    }
    value_t all = graph_concat(graph, "joint.concat", parts, input->count);
    value_t joint = linear_apply(graph, "joint.projection", projection, all, ACTIVATION_NONE);
    return (stream_t){joint, graph_mask_any(graph, masks, input->count)};
}

value_t model_jmt(graph_t *graph, const config_t *config, const model_input_t *input) {
    int64_t dim = config->model.dim, ff = config->model.ff, heads = config->model.heads;
    int64_t length = graph_length(graph);
    int modalities = input->count, streams = modalities + 1;
    const char *name[STREAMS_MAX];
    memcpy(name, input->name, sizeof name);
    name[modalities] = "joint";

    linear_t projection = linear_make(graph, "joint.projection", modalities * dim, dim);
    encoder_t encoder[STREAMS_MAX];
    attention_t cross[STREAMS_MAX];
    for (int s = 0; s < streams; s++) {
        encoder[s] = encoder_make(graph, name[s], config->model.layers, dim, ff, heads);
    }
    for (int s = 0; s < streams; s++) {
        char prefix[128];
        snprintf(prefix, sizeof prefix, "%s.cross", name[s]);
        cross[s] = attention_make(graph, prefix, dim, heads);
    }
    encoder_t token_encoder = encoder_make(graph, "token", 1, dim, ff, heads);
    attention_t token_attention = attention_make(graph, "token.attention", dim, heads);

    stream_t stream[STREAMS_MAX];
    memcpy(stream, input->stream, sizeof stream);
    stream[modalities] = joint_stream(graph, projection, input);
    value_t query[STREAMS_MAX];
    for (int s = 0; s < streams; s++) {
        stream[s].x = encoder_apply(graph, name[s], &encoder[s], stream[s], 1);
    }
    for (int s = 0; s < streams; s++) {
        char prefix[128];
        snprintf(prefix, sizeof prefix, "%s.cross", name[s]);
        query[s] = attention_query(graph, prefix, cross[s], stream[s].x);
    }

    branch_t branches[STREAMS_MAX * STREAMS_MAX];
    value_t token[STREAMS_MAX * STREAMS_MAX];
    row_mask_t query_mask[STREAMS_MAX * STREAMS_MAX], key_mask[STREAMS_MAX * STREAMS_MAX];
    int tokens = list_branches(modalities, branches);
    for (int t = 0; t < tokens; t++) {
        int q = branches[t].query, k = branches[t].key;
        char prefix[160];
        snprintf(prefix, sizeof prefix, "%s.cross.%s", name[q], name[k]);
        token[t] = attention_cross(graph, prefix, cross[q], query[q], stream[k], 1);
        query_mask[t] = stream[q].mask;
        key_mask[t] = stream[k].mask;
    }
    stream_t stack = {graph_tokens(graph, "token.stack", token, tokens),
                      graph_mask_tokens(graph, query_mask, key_mask, tokens)};
    stack.x = encoder_apply(graph, "token", &token_encoder, stack, length);

    token_rule_t rule = strcmp(config->model.token, "mean") == 0 ? TOKEN_MEAN : TOKEN_LAST;
    if (rule == TOKEN_MEAN) {
        value_t all = attention_self(graph, "token.attention", token_attention, stack, length);
        return graph_select_token(graph, "token.mean", all, tokens, stack.mask, rule);
    }
    /* Only the selected token's row of the last attention is read: project only its query. */
    value_t last = graph_select_token(graph, "token.last", stack.x, tokens, stack.mask, rule);
    value_t q = attention_query(graph, "token.attention", token_attention, last);
    return attention_cross(graph, "token.attention", token_attention, q, stack, length);
}
