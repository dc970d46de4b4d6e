/* Channel attention (Zhang, An, Ding and Guan, report for ABAW5, arXiv 2303.10335, the second
 * model; jmt.md 1.8). At each step, of modality m
 *
 *   p_m = Linear(x_m)                                 of model.fusion_dim features (128 there)
 *   w = softmax(Linear([p_1; ...; p_M]))              a number for each modality
 *   z = [w_1 p_1; ...; w_M p_M]
 *
 * Masks: a modality that is missing at a step is 0 in p and has weight 0; the weights of the others
 * sum to 1.
 *
 * What follows, unlike the paper (Linear, batch norm, leaky ReLU, Linear), are the heads of all
 * models here, so that models differ in the fusion alone: a batch norm would make a sample's
 * gradient depend on which samples share its virtual shard. */
#include "trainer/models.h"

value_t model_can(graph_t *graph, const config_t *config, const model_input_t *input) {
    linear_t projection[STREAMS_MAX];
    stream_t part[STREAMS_MAX];
    row_mask_t mask[STREAMS_MAX];
    int64_t width = config->model.fusion_dim;
    for (int m = 0; m < input->count; m++) {
        name_t name = name_of("%s.fusion", input->name[m]);
        projection[m] = linear_make(graph, name.text, config->model.dim, width);
    }
    linear_t score = linear_make(graph, "fusion.score", input->count * width, input->count);
    for (int m = 0; m < input->count; m++) {
        name_t name = name_of("%s.fusion", input->name[m]);
        mask[m] = part[m].mask = input->stream[m].mask;
        value_t p =
            linear_apply(graph, name.text, projection[m], input->stream[m].x, ACTIVATION_NONE);
        part[m].x = graph_mask_rows(graph, name_of("%s.mask", name.text).text, p, mask[m]);
    }
    value_t all = concat_streams(graph, "fusion.concat", part, input->count).x;
    value_t scores = linear_apply(graph, "fusion.score", score, all, ACTIVATION_NONE);
    row_mask_t valid = graph_mask_tokens(graph, mask, mask, input->count, false);
    return graph_softmax_gate(graph, "fusion.gate", all, scores, valid);
}
