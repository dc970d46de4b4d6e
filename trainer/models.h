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
/* The same function of the same inputs, to predict by (graph_predict). */
status_t model_build_prediction(const config_t *config, const int64_t *dims,
                                graph_t **graph_out) MUST_CHECK;

/* Indices into config->modalities of those whose features the model reads, in order: its streams
 * (config_streams), the parts of one in its place. The number of them; 1 for `majority`. */
int model_modalities(const config_t *config, int indices[CONFIG_MODALITIES_MAX]);
/* For each of these, which stream it feeds; the number of streams. */
int model_streams_of(const config_t *config, int streams_out[CONFIG_MODALITIES_MAX]);

/* What all blocks of the model have in common, from the configuration. */
block_spec_t spec_of(const config_t *config);

/* One token per branch and time step, each [length, model.dim], and the masks of the streams that
 * ask (query) and are asked (key). */
typedef struct tokens {
    int count;
    value_t x[OP_INPUTS_MAX];
    row_mask_t query[OP_INPUTS_MAX], key[OP_INPUTS_MAX];
    name_t name[OP_INPUTS_MAX];
} tokens_t;

/* The forms of model.output (model_output.c), parameters included: tokens to [length, width]. */
value_t output_self_attention(graph_t *graph, const config_t *config, const tokens_t *tokens);
value_t output_fc(graph_t *graph, const config_t *config, const tokens_t *tokens, int64_t width);
value_t output_concat_encoder(graph_t *graph, const config_t *config, const tokens_t *tokens);

/* What jca does once and rjcma several times (model_jca.c), parameters included: to [length,
 * count * model.dim]. */
value_t joint_cross_attention(graph_t *graph, const config_t *config, const model_input_t *input,
                              int64_t times);

/* majority, clock, stimulus: tables set from the training labels, with nothing left to train. */
bool model_is_control(const config_t *config);

/* Output columns of a target: its classes, or 1. */
int64_t target_columns(const target_config_t *target);
/* That its labels name: 2 of a binary one, which has one column; 0: labels are values. */
int64_t target_classes(const target_config_t *target);

/* One function per model: its parameters in the order of jmt.md appendix A, then the computation.
 * It returns [length, width] per sample; model_build puts the heads on it: one per target, or, for
 * `unimodal`, one hidden layer for all targets (512-128-2, jmt.md 1.8). `decision` has its own. */
value_t model_jmt(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_jmt_no_joint(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_mt(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_concat(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_concat_att(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_jca(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_rjcma(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_lfan(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_can(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_decision(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_concat_encoder(graph_t *graph, const config_t *config, const model_input_t *input);
value_t model_unimodal(graph_t *graph, const config_t *config, const model_input_t *input);

#endif
