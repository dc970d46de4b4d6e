/* Joint cross-attention (Praveen et al., CVPR Workshops 2022, arXiv 2203.14779, section 3; jmt.md
 * 1.8). X_m [L, d] is a modality, J [L, M d] all of them side by side; for each modality
 *
 *   C = tanh(X_m' W_j J / sqrt(M d))     its features against everybody's, over the window
 *   H = relu(X_m' W' + C W_c')           [d, k]
 *   X_m + (H W_h')'                      what goes on
 *
 * with W_j [L, L], W [k, L], W_c [k, M d], W_h [L, k] of each modality, without biases, k
 * (model.fusion_dim) 32, initialised as nn.Linear over their last axis. Everything is computed
 * transposed, rows being steps or what stands for them, so that no matrix has to be turned: C' =
 * tanh(J' (W_j' X_m) / sqrt(M d)), H' = relu(W X_m + W_c C'), W_h H'; W_j is stored as W_j', as
 * nn.Linear applied to X_m' has it. The published code has two modalities; J and the rest say
 * nothing about their number.
 *
 * Masks: steps that are not valid are rows of zeros in X_m and J, so that they add nothing to any
 * sum over steps, and what they would receive is set to 0. A modality that is missing wholly has
 * C = H = 0 and stays 0. W_j, W and W_h are as long as the window and know where in it a step is
 * (model_data.c); a sample that is shorter uses those of its steps.
 *
 * What follows, unlike the paper (Linear 128, dropout 0.6, Linear 1), are the heads of all models
 * here, with a relu between, so that models differ in the fusion alone. */
#include "trainer/models.h"

typedef struct jca { /* of one modality: W_j', W, W_c, W_h */
    parameter_t joint, own, cross, out;
} jca_t;

static jca_t make_jca(graph_t *graph, const config_t *config, const char *modality, int64_t all) {
    int64_t length = graph_length(graph), hidden = config->model.fusion_dim;
    jca_t jca;
    jca.joint = table_make(graph, name_of("%s.jca.joint", modality).text, length, length);
    jca.own = table_make(graph, name_of("%s.jca.own", modality).text, hidden, length);
    jca.cross = table_make(graph, name_of("%s.jca.cross", modality).text, hidden, all);
    jca.out = table_make(graph, name_of("%s.jca.out", modality).text, length, hidden);
    return jca;
}

static value_t apply_jca(graph_t *graph, const char *name, const jca_t *jca, stream_t x,
                         value_t all) {
    value_t mixed = graph_mix_rows(graph, name_of("%s.joint", name).text, x.x, jca->joint);
    value_t c = graph_correlate(graph, name_of("%s.correlate", name).text, all, mixed);
    c = graph_tanh(graph, name_of("%s.tanh", name).text, c);
    value_t both[] = {
        graph_mix_rows(graph, name_of("%s.own", name).text, x.x, jca->own),
        graph_mix_rows(graph, name_of("%s.cross", name).text, c, jca->cross),
    };
    value_t h = graph_sum(graph, name_of("%s.sum", name).text, both, 2);
    h = graph_relu(graph, name_of("%s.relu", name).text, h);
    value_t out[] = {x.x, graph_mix_rows(graph, name_of("%s.out", name).text, h, jca->out)};
    value_t sum = graph_sum(graph, name_of("%s.residual", name).text, out, 2);
    return graph_mask_rows(graph, name_of("%s.mask", name).text, sum, x.mask);
}

value_t joint_cross_attention(graph_t *graph, const config_t *config, const model_input_t *input,
                              int64_t times) {
    jca_t jca[STREAMS_MAX];
    stream_t x[STREAMS_MAX];
    for (int m = 0; m < input->count; m++) {
        jca[m] = make_jca(graph, config, input->name[m], input->count * config->model.dim);
        x[m] = input->stream[m];
    }
    for (int t = 0; t < (int)times; t++) {
        value_t all = concat_streams(graph, name_of("joint.%d", t).text, x, input->count).x;
        for (int m = 0; m < input->count; m++) {
            name_t name = name_of("%s.jca.%d", input->name[m], t);
            x[m].x = apply_jca(graph, name.text, &jca[m], x[m], all);
        }
    }
    return concat_streams(graph, "fusion.concat", x, input->count).x;
}

value_t model_jca(graph_t *graph, const config_t *config, const model_input_t *input) {
    return joint_cross_attention(graph, config, input, 1);
}
