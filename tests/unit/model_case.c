#include "model_case.h"

#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

const char *const case_models[] = {
    "name: jmt, layers: 2, head_dropout: 0.3",
    "name: jmt, token: mean",
    "name: jmt, modalities: [b]",
    "name: jmt, modalities: [c, a]",
    "name: mt",
    "name: jmt_no_joint, token: max, causal: true",
    "name: jmt, output: fc, branches: [-a<-b, -joint<-c], dropout: 0.2",
    "name: jmt, output: concat_encoder, modalities: [a, b], position: sinusoidal",
    "name: jmt, token: concat, modalities: [a, c], cross_ffn: true",
    "name: jmt, layers: 2, cross_weights: separate, cross_residual: true, cross_ffn: true, "
    "position: learned, token_type: true, causal: true, dropout: 0.1, head_dropout: 0.2",
    "name: jmt, joint: mlp, missing: learned, normalize: layernorm",
    "name: jmt, joint: sum, missing: learned, normalize: none, modalities: [b, a]",
    "name: jmt_no_joint, attn_form: paper_literal, cross_residual: true, causal: true",
    "name: concat_att",
    "name: jca, fusion_dim: 3, head_dropout: 0.2",
    "name: rjcma, fusion_dim: 5, recursions: 3, normalize: layernorm",
    "name: lfan, fusion_dim: 4, modalities: [c, a, b]",
    "name: can, fusion_dim: 3",
    "name: decision, head_dropout: 0.2",
    "name: concat, head_dropout: 0.5",
    "name: concat_encoder",
    "name: unimodal, modalities: [c]",
    "name: majority",
    "name: jmt, layers: 2}\nparity: {attention_over_samples: true",
    NULL,
};

/* a enters as it is (front auto, 6 features), b and c through a Linear. */
static const char yaml_rest[] =
    "batch: 24\nvirtual_shards: 24\ndata: {window: 5}\n"
    "modalities: {a: {dim: 6}, b: {dim: 5}, c: {dim: 7}}\n"
    "targets: {x: {loss: ccc, weight: 0.5}, k: {loss: cross_entropy, classes: 3}}\n";

double case_wave(uint64_t stream, int64_t i) {
    return 2.0 * (double)rng_uniform((rng_key_t){11, stream, 0}, (uint64_t)i) - 1.0;
}

void case_put(const model_case_t *c, void *memory, int64_t i, double value) {
    dtype_set(c->kernels->dtype, memory, i, value);
}

double case_get(const model_case_t *c, const void *memory, int64_t i) {
    return dtype_get(c->kernels->dtype, memory, i);
}

/* Weights and targets. */
static void put_state(const model_case_t *c, void *memory, int64_t i, double value) {
    dtype_set(c->kernels->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32, memory, i, value);
}

bool case_mixes_samples(const char *model) { return strstr(model, "over_samples") != NULL; }

model_case_t case_open(const char *model, const char *backend, dtype_t dtype) {
    return case_open_heads(model, 2, backend, dtype);
}

model_case_t case_open_heads(const char *model, int heads, const char *backend, dtype_t dtype) {
    model_case_t c = {.model = model};
    char *yaml = text_format("model: {dim: 6, ff: 7, heads: %d, head_hidden: 5, %s}\n%s", heads,
                             model, yaml_rest);
    CHECK_OK(config_parse(yaml, "test", NULL, 0, &c.config));
    free(yaml);
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(c.config, indices);
    for (int m = 0; m < count; m++) {
        c.dims[m] = c.config->modalities[indices[m]].dim;
    }
    CHECK_OK(kernels_for(backend, dtype, &c.kernels));
    CHECK_OK(kernels_set_threads(1)); /* two threads beside a busy neighbour wait for each other */
    CHECK_OK(device_open("cpu", 0, 1, &c.device));
    CHECK_OK(model_build(c.config, c.dims, &c.graph));
    c.offsets = alloc_zero(graph_parameter_count(c.graph), sizeof *c.offsets);
    for (int p = 0; p < graph_parameter_count(c.graph); p++) {
        c.offsets[p] = c.elements;
        c.elements += graph_parameter_info(c.graph, p).count;
    }
    c.weights = alloc_aligned((size_t)c.elements * dtype_state_bytes(dtype));
    for (int64_t i = 0; i < c.elements; i++) {
        put_state(&c, c.weights, i, 0.6 * case_wave(1, i));
    }
    return c;
}

void case_close(model_case_t *c) {
    free(c->weights);
    free(c->offsets);
    graph_close(c->graph);
    config_free(c->config);
}

case_run_t case_run_open(const model_case_t *c, tree_node_t shards, int64_t samples_per_shard,
                         case_options_t options) {
    executor_config_t config = {.kernels = c->kernels,
                                .device = c->device,
                                .samples_per_shard = samples_per_shard,
                                .shard_count = shards.end - shards.begin,
                                .shard_first = shards.begin,
                                .backward = !options.forward_only,
                                .input_gradients = options.input_gradients,
                                .private_buffers = options.private_buffers};
    case_run_t run = {
        .model = c,
        .shards = shards,
        .samples_per_shard = samples_per_shard,
        .scalars = {.seed = 3, .step = 17, .shard_first = shards.begin, .training = true}};
    CHECK_OK(executor_open(c->graph, &config, &run.executor));
    return run;
}

void case_run_close(case_run_t *run) { executor_close(run->executor); }

static bool is_valid(int m, int64_t sample, int64_t t) {
    bool missing = (m == 1 && sample % 3 == 2) || sample % 5 == 4;
    return !missing && case_wave(50 + (uint64_t)m, sample * CASE_LENGTH + t) > -0.6;
}

void case_fill_slot(case_run_t *run, int64_t slot, int64_t sample) {
    const model_case_t *c = run->model;
    for (int m = 0; m < graph_input_count(c->graph); m++) {
        for (int64_t t = 0; t < CASE_LENGTH; t++) {
            int64_t row = slot * CASE_LENGTH + t;
            bool valid = is_valid(m, sample, t);
            executor_mask(run->executor, m)[row] = valid;
            for (int64_t k = 0; k < c->dims[m]; k++) {
                int64_t i = (sample * CASE_LENGTH + t) * c->dims[m] + k;
                case_put(c, executor_input(run->executor, m), row * c->dims[m] + k,
                         valid ? case_wave(60 + (uint64_t)m, i) : 0.0);
            }
        }
    }
}

void case_fill(case_run_t *run) {
    for (int64_t slot = 0; slot < executor_samples(run->executor); slot++) {
        case_fill_slot(run, slot, run->shards.begin * run->samples_per_shard + slot);
    }
}

static double target_of(int output, int64_t row) {
    double wave = case_wave(70 + (uint64_t)output, row);
    if (wave > 0.8) {
        return NAN;
    }
    return output == 0 ? wave : floor(1.5 * (wave + 1.0));
}

static loss_call_t call_of(const case_run_t *run, int output, int64_t shard, void *target) {
    const model_case_t *c = run->model;
    size_t bytes = dtype_bytes(c->kernels->dtype);
    loss_call_t call = {.kind = output == 0 ? LOSS_CCC : LOSS_CROSS_ENTROPY,
                        .weight = c->config->targets[output].weight,
                        .target = target,
                        .x = executor_output(run->executor, output),
                        .d_x = executor_output_gradient(run->executor, output),
                        .shard_end = 1};
    for (int64_t r = 0; r < call.x.rows; r++) {
        int64_t row = (run->shards.begin + shard) * call.x.rows + r;
        put_state(c, target, r, target_of(output, row));
    }
    call.x.data = (char *)call.x.data + (size_t)(shard * call.x.shard_stride) * bytes;
    if (call.d_x.data != NULL) {
        call.d_x.data = (char *)call.d_x.data + (size_t)(shard * call.d_x.shard_stride) * bytes;
    }
    return call;
}

double case_loss(case_run_t *run) {
    const kernels_t *kernels = run->model->kernels;
    int shards = run->shards.end - run->shards.begin;
    void *target = alloc_aligned((size_t)(run->samples_per_shard * CASE_LENGTH) * 8);
    double loss = 0.0;
    for (int o = 0; o < CASE_OUTPUTS_MAX; o++) {
        double total[LOSS_SUMS] = {0.0}, sums[LOSS_SUMS];
        for (int s = 0; s < shards; s++) {
            loss_call_t call = call_of(run, o, s, target);
            kernels->loss_sums(&call, sums);
            for (int k = 0; k < LOSS_SUMS; k++) {
                total[k] += sums[k];
            }
        }
        loss_call_t call = call_of(run, o, 0, target);
        loss += call.weight * loss_value(&call, total);
        for (int s = 0; s < shards && call.d_x.data != NULL; s++) {
            call = call_of(run, o, s, target);
            kernels->loss_gradient(&call, total);
        }
    }
    free(target);
    return loss;
}

void case_wave_gradient(case_run_t *run) {
    for (int o = 0; o < CASE_OUTPUTS_MAX; o++) {
        matrix_t d = executor_output_gradient(run->executor, o);
        for (int64_t s = 0; s < run->shards.end - run->shards.begin; s++) {
            for (int64_t r = 0; r < d.rows; r++) {
                for (int64_t k = 0; k < d.cols; k++) {
                    int64_t row = (run->shards.begin + s) * d.rows + r;
                    case_put(run->model, d.data, s * d.shard_stride + r * d.row_stride + k,
                             case_wave(80 + (uint64_t)o, row * d.cols + k));
                }
            }
        }
    }
}

void case_gradients(const model_case_t *c, int total_shards, int64_t samples_per_shard,
                    tree_node_t shards, case_options_t options, case_parts_t *parts) {
    case_run_t run = case_run_open(c, shards, samples_per_shard, options);
    executor_state_t state = {.offsets = c->offsets, .weights = c->weights};
    state.part_count = tree_cover(total_shards, shards, state.part_leaves);
    for (int i = 0; i < state.part_count; i++) {
        parts->leaves[parts->count] = state.part_leaves[i];
        parts->gradient[parts->count] =
            alloc_aligned((size_t)c->elements * dtype_state_bytes(c->kernels->dtype));
        state.parts[i] = parts->gradient[parts->count++];
    }
    executor_bind(run.executor, &state);
    for (int round = 0; round < 2; round++) {
        case_fill(&run);
        CHECK_OK(executor_forward(run.executor, &run.scalars));
        case_wave_gradient(&run);
        CHECK_OK(executor_backward(run.executor, &run.scalars, NULL, NULL));
    }
    case_run_close(&run);
}

void case_parts_free(case_parts_t *parts) {
    for (int i = 0; i < parts->count; i++) {
        free(parts->gradient[i]);
    }
    parts->count = 0;
}
