/* Leader-follower attention (Zhang et al., ICCV Workshops 2021, arXiv 2107.01175, section 3; with
 * several heads their report for ABAW3, arXiv 2203.13031; jmt.md 1.8). At each step the modalities
 * are the tokens: of modality m
 *
 *   q_m, k_m, v_m = Linear(x_m)         of model.fusion_dim features (32), by model.heads heads
 *   [K Q' / sqrt(32)]  softmax by row   row m: how m's key weighs over everybody's query
 *   LN(softmax V + V)                   one gain and bias for all modalities
 *
 * and the leader, whose features x_1 stand beside all tokens, is the first modality of
 * model.modalities (in the paper the visual one). K Q', where the usual attention has Q K', is what
 * the authors' code computes. A convolution over time before it is `front: tcn` of the modality.
 *
 * Masks: a modality that is missing at a step is nobody's query there, and its token is 0, as is
 * the leader's place where the leader is missing. With one modality the softmax is 1.
 *
 * What follows, unlike the paper (Linear 1), are the heads of all models here, so that models
 * differ in the fusion alone. */
#include "trainer/models.h"

typedef struct follower {
    linear_t query, key, value;
} follower_t;

static follower_t make_follower(graph_t *graph, const char *modality, int64_t in, int64_t out) {
    follower_t follower;
    follower.query = linear_make(graph, name_of("%s.query", modality).text, in, out);
    follower.key = linear_make(graph, name_of("%s.key", modality).text, in, out);
    follower.value = linear_make(graph, name_of("%s.value", modality).text, in, out);
    return follower;
}

static value_t project(graph_t *graph, const char *modality, const char *what, linear_t linear,
                       value_t x) {
    name_t name = name_of("%s.%s", modality, what);
    return linear_apply(graph, name.text, linear, x, ACTIVATION_NONE);
}

value_t model_lfan(graph_t *graph, const config_t *config, const model_input_t *input) {
    follower_t follower[STREAMS_MAX];
    value_t q[STREAMS_MAX], k[STREAMS_MAX], v[STREAMS_MAX];
    row_mask_t mask[STREAMS_MAX];
    int count = input->count;
    int64_t width = config->model.fusion_dim;
    for (int m = 0; m < count; m++) {
        follower[m] = make_follower(graph, input->name[m], config->model.dim, width);
        mask[m] = input->stream[m].mask;
    }
    norm_t norm = norm_make(graph, "fusion.norm", width);
    for (int m = 0; m < count; m++) {
        value_t x = input->stream[m].x;
        q[m] = project(graph, input->name[m], "query", follower[m].query, x);
        k[m] = project(graph, input->name[m], "key", follower[m].key, x);
        v[m] = project(graph, input->name[m], "value", follower[m].value, x);
    }
    value_t queries = graph_tokens(graph, "fusion.queries", q, count);
    value_t keys = graph_tokens(graph, "fusion.keys", k, count);
    value_t values = graph_tokens(graph, "fusion.values", v, count);
    row_mask_t valid = graph_mask_tokens(graph, mask, mask, count, false);
    value_t mixed = graph_attention(graph, "fusion.attention", keys, queries, values, valid,
                                    graph_length(graph), config->model.heads, false);
    value_t tokens = graph_add_layernorm(graph, "fusion.norm", mixed, values, weight_of(norm.gain),
                                         weight_of(norm.bias));
    value_t beside[] = {
        input->stream[0].x,
        graph_select_token(graph, "fusion.followers", tokens, count, valid, TOKEN_CONCAT),
    };
    return graph_concat(graph, "fusion.concat", beside, 2);
}
