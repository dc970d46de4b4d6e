/* Baselines without cross-attention (jmt.md 1.8): one modality alone; feature concatenation, also
 * with weights over the features; and concatenation with the encoder layer over time, which
 * isolates what cross-attention adds. */
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
    block_spec_t spec = spec_of(config);
    encoder_t encoder = encoder_make(graph, FUSION_NAME, &spec);
    stream_t fused = concat_linear(graph, input, fusion);
    return encoder_apply(graph, FUSION_NAME, &encoder, fused, 1);
}

/* c = [m1; ...; mM]; z = W (c * softmax(V tanh(c) + b_V)) + b: weights over a step's features. */
value_t model_concat_att(graph_t *graph, const config_t *config, const model_input_t *input) {
    int64_t width = input->count * config->model.dim;
    linear_t scores = linear_make(graph, "fusion.attention", width, width);
    linear_t fusion = make_fusion(graph, config, input);
    value_t c = concat_streams(graph, "fusion.concat", input->stream, input->count).x;
    value_t score = linear_apply(graph, "fusion.attention", scores,
                                 graph_tanh(graph, "fusion.tanh", c), ACTIVATION_NONE);
    value_t weighted = graph_softmax_gate(graph, "fusion.gate", c, score, NO_MASK);
    return linear_apply(graph, FUSION_NAME, fusion, weighted, ACTIVATION_NONE);
}
