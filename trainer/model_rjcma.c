/* Recursive joint cross-modal attention (Praveen and Alam, CVPR Workshops 2024, arXiv 2403.13659,
 * section 3; jmt.md 1.8): joint cross-attention (model_jca.c) time after time, each turn taking
 * what the last one gave in the place of the modalities,
 *
 *   X_m(0) = X_m      X_m(t) = JCA_m(X_m(t - 1), J(t - 1))      J(t) = [X_1(t), ..., X_M(t)]
 *
 * t = 1 .. model.recursions, after which all X_m side by side go to the heads. Being a recursion,
 * all turns have the same weights: as many as jca has. The published systems choose how often on
 * validation people, so it is a setting (2 unless set); once is jca. */
#include "trainer/models.h"

value_t model_rjcma(graph_t *graph, const config_t *config, const model_input_t *input) {
    return joint_cross_attention(graph, config, input, config->model.recursions);
}
