/* What is made of the tokens, one per branch and time step (jmt.md 1.6.4). A token that is not
 * valid is no key where tokens attend, and 0 where they stand side by side. */
#include <string.h>

#include "trainer/models.h"

static token_rule_t token_rule(const config_t *config) {
    static const char *const names[] = {
        [TOKEN_LAST] = "last", [TOKEN_MEAN] = "mean",     [TOKEN_SUM] = "",
        [TOKEN_MAX] = "max",   [TOKEN_CONCAT] = "concat",
    };
    token_rule_t rule = TOKEN_LAST;
    for (int i = TOKEN_LAST; i <= TOKEN_CONCAT; i++) {
        rule = strcmp(names[i], config->model.token) == 0 ? (token_rule_t)i : rule;
    }
    return rule;
}

value_t output_self_attention(graph_t *graph, const config_t *config, const tokens_t *tokens) {
    block_spec_t spec = spec_of(config);
    spec.layers = 1;
    spec.causal = false; /* the tokens of a step are of one time */
    spec.position = POSITION_NONE;
    bool typed = config->model.token_type;
    parameter_t type = typed ? table_make(graph, "token.type", tokens->count, spec.dim) : 0;
    encoder_t encoder = encoder_make(graph, TOKEN_NAME, &spec);
    attention_t attention = attention_make(graph, "token.attention", &spec);
    int64_t length = graph_length(graph);
    stream_t stack = {
        graph_tokens(graph, "token.stack", tokens->x, tokens->count),
        graph_mask_tokens(graph, tokens->query, tokens->key, tokens->count, config->model.causal)};
    if (typed) {
        stack.x = graph_add_rows(graph, "token.type", stack.x, type);
    }
    stack.x = encoder_apply(graph, TOKEN_NAME, &encoder, stack, length);
    token_rule_t rule = token_rule(config);
    if (rule != TOKEN_LAST) {
        value_t all = attention_self(graph, "token.attention", attention, stack, length);
        return graph_select_token(graph, name_of("token.%s", config->model.token).text, all,
                                  tokens->count, stack.mask, rule);
    }
    /* Of the last attention one row is read: the query of the selected token is enough. */
    value_t last =
        graph_select_token(graph, "token.last", stack.x, tokens->count, stack.mask, rule);
    query_t query = attention_query(graph, "token.attention", attention, last,
                                    graph_rows_of(graph, stack.x), 1);
    return attention_cross(graph, "token.attention", attention, query, stack, length);
}

/* All tokens of a step side by side; a step is valid where any of them is. */
static stream_t side_by_side(graph_t *graph, const config_t *config, const tokens_t *tokens) {
    stream_t valid[OP_INPUTS_MAX];
    for (int t = 0; t < tokens->count; t++) {
        valid[t].mask =
            graph_mask_tokens(graph, &tokens->query[t], &tokens->key[t], 1, config->model.causal);
        valid[t].x = graph_mask_rows(graph, name_of("%s.valid", tokens->name[t].text).text,
                                     tokens->x[t], valid[t].mask);
    }
    return concat_streams(graph, "fusion.concat", valid, tokens->count);
}

value_t output_fc(graph_t *graph, const config_t *config, const tokens_t *tokens, int64_t width) {
    linear_t fusion = linear_make(graph, FUSION_NAME, tokens->count * config->model.dim, width);
    stream_t all = side_by_side(graph, config, tokens);
    return linear_apply(graph, FUSION_NAME, fusion, all.x, ACTIVATION_NONE);
}

value_t output_concat_encoder(graph_t *graph, const config_t *config, const tokens_t *tokens) {
    block_spec_t spec = spec_of(config);
    spec.layers = 1;
    spec.dim *= tokens->count;
    spec.position = POSITION_NONE; /* the streams have had theirs */
    encoder_t encoder = encoder_make(graph, FUSION_NAME, &spec);
    return encoder_apply(graph, FUSION_NAME, &encoder, side_by_side(graph, config, tokens), 1);
}
