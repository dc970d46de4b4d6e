/* models.h - the models by name: `jmt` (the paper) and what it is compared with (jmt.md 1.8). */
#ifndef JMT_MODELS_H
#define JMT_MODELS_H

#include "configs/config.h"
#include "trainer/layers.h"

enum { STREAMS_MAX = CONFIG_MODALITIES_MAX + 1 };

/* First words of parameter names that are not modalities: no modality may be called so. */
#define JOINT_NAME  "joint"
#define TOKEN_NAME  "token"
#define FUSION_NAME "fusion"
#define HEAD_NAME   "head"

/* What every model starts from: its modalities as streams of model.dim features, projected by
 * `front` where wanted, L2-normalised (`unimodal`: not), and zero where masked. */
typedef struct model_input {
    int count;
    const char *name[STREAMS_MAX];
    stream_t stream[STREAMS_MAX];
} model_input_t;

/* Builds the graph of config->model for features of these dims (one per modality of the model, in
 * order; see model_modalities). Batch-free. */
status_t model_build(const config_t *config, const int64_t *dims, graph_t **graph_out) MUST_CHECK;

/* Indices into config->modalities of those the model uses, in order; the number of them. */
int model_modalities(const config_t *config, int indices[CONFIG_MODALITIES_MAX]);

/* Output columns of a target: its classes, or 1. */
int64_t target_columns(const target_config_t *target);

/* One function per model: its parameters in the order of jmt.md appendix A, then the computation.
 * It returns [length, model.dim] per sample; model_build puts the heads on it: one per target, or,
 * for `unimodal`, one hidden layer for all targets (512-128-2, jmt.md 1.8). */
value_t model_jmt(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_mt(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_concat(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_concat_encoder(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_unimodal(graph_t *graph, const config_t *config, const model_input_t *input);

#endif
