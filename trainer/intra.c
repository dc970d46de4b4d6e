#include "trainer/intra.h"

#include <string.h>

#include "trainer/models.h"

intra_t intra_make(graph_t *graph, const config_t *config, const modality_config_t *modality) {
    name_t name = name_of("%s.intra", modality->name);
    intra_t intra = {.concat = strcmp(modality->intra, "concat_fc") == 0};
    if (intra.concat) {
        int64_t dim = config->model.dim;
        intra.linear = linear_make(graph, name.text, INTRA_PARTS * dim, dim);
        return intra;
    }
    block_spec_t spec = spec_of(config);
    spec.layers = 1;
    spec.causal = false; /* the tokens of a step are of one time */
    spec.position = POSITION_NONE;
    intra.encoder = encoder_make(graph, name.text, &spec);
    intra.attention = attention_make(graph, name_of("%s.attention", name.text).text, &spec);
    return intra;
}

static value_t apply_concat(graph_t *graph, const char *name, const intra_t *intra,
                            const stream_t parts[INTRA_PARTS]) {
    value_t x[INTRA_PARTS];
    for (int i = 0; i < INTRA_PARTS; i++) {
        name_t mask = name_of("%s.mask.%d", name, i);
        x[i] = graph_mask_rows(graph, mask.text, parts[i].x, parts[i].mask);
    }
    value_t both = graph_concat(graph, name_of("%s.concat", name).text, x, INTRA_PARTS);
    return linear_apply(graph, name, intra->linear, both, ACTIVATION_NONE);
}

/* As the tokens of the fusion: of the last attention the query of the token that is kept. */
static value_t apply_attention(graph_t *graph, const char *name, const intra_t *intra,
                               const stream_t parts[INTRA_PARTS]) {
    name_t attention = name_of("%s.attention", name);
    value_t x[INTRA_PARTS];
    row_mask_t masks[INTRA_PARTS];
    for (int i = 0; i < INTRA_PARTS; i++) {
        x[i] = parts[i].x;
        masks[i] = parts[i].mask;
    }
    int64_t length = graph_length(graph);
    stream_t stack = {graph_tokens(graph, name_of("%s.stack", name).text, x, INTRA_PARTS),
                      graph_mask_tokens(graph, masks, masks, INTRA_PARTS, false)};
    stack.x = encoder_apply(graph, name, &intra->encoder, stack, length);
    value_t last = graph_select_token(graph, name_of("%s.last", name).text, stack.x, INTRA_PARTS,
                                      stack.mask, TOKEN_LAST);
    query_t query = attention_query(graph, attention.text, intra->attention, last,
                                    graph_rows_of(graph, stack.x), 1);
    return attention_cross(graph, attention.text, intra->attention, query, stack, length);
}

stream_t intra_apply(graph_t *graph, const char *modality, const intra_t *intra,
                     const stream_t parts[INTRA_PARTS]) {
    name_t name = name_of("%s.intra", modality);
    row_mask_t masks[INTRA_PARTS] = {parts[0].mask, parts[1].mask};
    return (stream_t){
        intra->concat ? apply_concat(graph, name.text, intra, parts)
                      : apply_attention(graph, name.text, intra, parts),
        graph_mask_any(graph, masks, INTRA_PARTS),
    };
}
