/* The vanilla multimodal transformer (jmt.md 1.8): an encoder per modality, cross-attention for
 * every ordered pair, concatenation, Linear. */
#include "trainer/models.h"

#include <stdio.h>

value_t model_mt(graph_t *graph, const config_t *config, const model_input_t *input) {
    int64_t dim = config->model.dim;
    encoder_t encoder[STREAMS_MAX];
    attention_t cross[STREAMS_MAX];
    char prefix[STREAMS_MAX][128];
    for (int m = 0; m < input->count; m++) {
        encoder[m] = encoder_make(graph, input->name[m], config->model.layers, dim,
                                  config->model.ff, config->model.heads);
    }
    for (int m = 0; m < input->count; m++) {
        snprintf(prefix[m], sizeof prefix[m], "%s.cross", input->name[m]);
        cross[m] = attention_make(graph, prefix[m], dim, config->model.heads);
    }
    linear_t fusion = linear_make(graph, "fusion", input->count * (input->count - 1) * dim, dim);

    stream_t stream[STREAMS_MAX];
    value_t query[STREAMS_MAX];
    for (int m = 0; m < input->count; m++) {
        stream[m] = input->stream[m];
        stream[m].x = encoder_apply(graph, input->name[m], &encoder[m], stream[m], 1);
    }
    for (int m = 0; m < input->count; m++) {
        query[m] = attention_query(graph, prefix[m], cross[m], stream[m].x);
    }
    value_t pair[STREAMS_MAX * STREAMS_MAX];
    int pairs = 0;
    for (int i = 0; i < input->count; i++) {
        for (int j = i + 1; j < input->count; j++) {
            char name[300];
            snprintf(name, sizeof name, "%s.%s", prefix[i], input->name[j]);
            pair[pairs++] = attention_cross(graph, name, cross[i], query[i], stream[j], 1);
            snprintf(name, sizeof name, "%s.%s", prefix[j], input->name[i]);
            pair[pairs++] = attention_cross(graph, name, cross[j], query[j], stream[i], 1);
        }
    }
    value_t all = graph_concat(graph, "fusion.concat", pair, pairs);
    return linear_apply(graph, "fusion", fusion, all, ACTIVATION_NONE);
}
