/* Baselines without cross-attention (jmt.md 1.8): one modality alone; feature concatenation; and
 * concatenation with the encoder layer over time, which isolates what cross-attention adds. */
#include "trainer/models.h"

value_t model_unimodal(graph_t *graph, const config_t *config, const model_input_t *input) {
    (void)graph;
    (void)config;
    return input->stream[0].x;
}

/* z = W [m1; ...; mM] + b */
static stream_t concat_linear(graph_t *graph, const model_input_t *input, linear_t fusion) {
    stream_t all = concat_streams(graph, "fusion.concat", input->stream, input->count);
    all.x = linear_apply(graph, FUSION_NAME, fusion, all.x, ACTIVATION_NONE);
    return all;
}

static linear_t make_fusion(graph_t *graph, const config_t *config, const model_input_t *input) {
    return linear_make(graph, FUSION_NAME, input->count * config->model.dim, config->model.dim);
}

value_t model_concat(graph_t *graph, const config_t *config, const model_input_t *input) {
    return concat_linear(graph, input, make_fusion(graph, config, input)).x;
}

value_t model_concat_encoder(graph_t *graph, const config_t *config, const model_input_t *input) {
    linear_t fusion = make_fusion(graph, config, input);
    encoder_t encoder = encoder_make(graph, FUSION_NAME, config->model.layers, config->model.dim,
                                     config->model.ff, config->model.heads);
    stream_t fused = concat_linear(graph, input, fusion);
    return encoder_apply(graph, FUSION_NAME, &encoder, fused, 1);
}
