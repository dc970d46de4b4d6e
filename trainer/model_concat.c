/* Baselines without cross-attention (jmt.md 1.8): one modality alone; feature concatenation; and
 * concatenation with the encoder layer over time, which isolates what cross-attention adds. */
#include "trainer/models.h"

value_t model_unimodal(graph_t *graph, const config_t *config, const model_input_t *input) {
    (void)graph;
    (void)config;
    return input->stream[0].x;
}

static value_t concat_linear(graph_t *graph, linear_t fusion, const model_input_t *input) {
    value_t parts[STREAMS_MAX];
    for (int m = 0; m < input->count; m++) {
        parts[m] = input->stream[m].x;
    }
    value_t all = graph_concat(graph, "fusion.concat", parts, input->count);
    return linear_apply(graph, "fusion", fusion, all, ACTIVATION_NONE);
}

value_t model_concat(graph_t *graph, const config_t *config, const model_input_t *input) {
    linear_t fusion =
        linear_make(graph, "fusion", input->count * config->model.dim, config->model.dim);
    return concat_linear(graph, fusion, input);
}

value_t model_concat_encoder(graph_t *graph, const config_t *config, const model_input_t *input) {
    int64_t dim = config->model.dim;
    linear_t fusion = linear_make(graph, "fusion", input->count * dim, dim);
    encoder_t encoder = encoder_make(graph, "fusion", config->model.layers, dim, config->model.ff,
                                     config->model.heads);
    row_mask_t masks[STREAMS_MAX];
    for (int m = 0; m < input->count; m++) {
        masks[m] = input->stream[m].mask;
    }
    stream_t fused = {concat_linear(graph, fusion, input),
                      graph_mask_any(graph, masks, input->count)};
    return encoder_apply(graph, "fusion", &encoder, fused, 1);
}
