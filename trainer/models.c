#include "trainer/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

typedef struct model_row {
    const char *name;
    int modalities_min, modalities_max;
    value_t (*build)(graph_t *graph, const config_t *config, const model_input_t *input);
} model_row_t;

/* `majority` has heads that see nothing: their output is a constant, set from training labels. */
static const model_row_t models[] = {
    {"jmt", 1, CONFIG_MODALITIES_MAX, model_jmt},
    {"mt", 2, CONFIG_MODALITIES_MAX, model_mt},
    {"concat", 1, CONFIG_MODALITIES_MAX, model_concat},
    {"concat_encoder", 1, CONFIG_MODALITIES_MAX, model_concat_encoder},
    {"unimodal", 1, 1, model_unimodal},
    {"majority", 1, CONFIG_MODALITIES_MAX, NULL},
};

int64_t target_columns(const target_config_t *target) {
    return strcmp(target->loss, "cross_entropy") == 0 ? target->classes : 1;
}

static int modality_index(const config_t *config, const char *name, size_t length) {
    for (int i = 0; i < config->modality_count; i++) {
        if (strlen(config->modalities[i].name) == length &&
            strncmp(config->modalities[i].name, name, length) == 0) {
            return i;
        }
    }
    return -1;
}

int model_modalities(const config_t *config, int indices[CONFIG_MODALITIES_MAX]) {
    int count = 0;
    for (const char *word = config->model.modalities; *word != '\0';) {
        size_t length = strcspn(word, " ");
        int index = modality_index(config, word, length);
        if (index >= 0 && count < CONFIG_MODALITIES_MAX) {
            indices[count++] = index;
        }
        word += length + strspn(word + length, " ");
    }
    if (config->model.modalities[0] == '\0') {
        count = config->modality_count;
        for (int i = 0; i < count; i++) {
            indices[i] = i;
        }
    }
    bool reads_nothing = strcmp(config->model.name, "majority") == 0;
    return reads_nothing && count > 1 ? 1 : count;
}

static status_t wants_front(const config_t *config, const modality_config_t *modality, int64_t dim,
                            bool *front_out) {
    bool differs = dim != config->model.dim;
    *front_out =
        strcmp(modality->front, "linear") == 0 || (strcmp(modality->front, "auto") == 0 && differs);
    if (!*front_out && differs) {
        return status_fail(STATUS_INPUT,
                           "modalities.%s has %d features but model.dim is %d; set "
                           "modalities.%s.front: linear",
                           modality->name, (int)dim, (int)config->model.dim, modality->name);
    }
    return STATUS_OK;
}

static status_t build_inputs(graph_t *graph, const config_t *config, const int64_t *dims,
                             model_input_t *input) {
    int indices[CONFIG_MODALITIES_MAX];
    input->count = model_modalities(config, indices);
    stream_t raw[STREAMS_MAX];
    bool front[STREAMS_MAX];
    linear_t projection[STREAMS_MAX];
    char name[STREAMS_MAX][128];
    for (int m = 0; m < input->count; m++) {
        const modality_config_t *modality = &config->modalities[indices[m]];
        input->name[m] = modality->name;
        TRY(wants_front(config, modality, dims[m], &front[m]));
        raw[m].x = graph_input(graph, modality->name, dims[m], &raw[m].mask);
        snprintf(name[m], sizeof name[m], "%s.front", modality->name);
        if (front[m]) {
            projection[m] = linear_make(graph, name[m], dims[m], config->model.dim);
        }
    }
    for (int m = 0; m < input->count; m++) {
        input->stream[m] = raw[m];
        if (front[m]) {
            input->stream[m].x =
                linear_apply(graph, name[m], projection[m], raw[m].x, ACTIVATION_NONE);
        }
        snprintf(name[m], sizeof name[m], "%s.normalize", input->name[m]);
        input->stream[m].x = graph_l2_normalize(graph, name[m], input->stream[m].x, raw[m].mask);
    }
    return STATUS_OK;
}

static void build_heads(graph_t *graph, const config_t *config, value_t x) {
    head_t heads[CONFIG_TARGETS_MAX];
    for (int t = 0; t < config->target_count; t++) {
        heads[t] = head_make(graph, config->targets[t].name, config->model.dim,
                             config->model.head_hidden, target_columns(&config->targets[t]));
    }
    for (int t = 0; t < config->target_count; t++) {
        head_apply(graph, config->targets[t].name, heads[t], x, config->model.head_dropout);
    }
}

/* One Linear per target on the first modality; its weights are zero (trainer/init.c). */
static void build_majority(graph_t *graph, const config_t *config, const int64_t *dims) {
    int indices[CONFIG_MODALITIES_MAX];
    model_modalities(config, indices);
    row_mask_t mask;
    value_t x = graph_input(graph, config->modalities[indices[0]].name, dims[0], &mask);
    for (int t = 0; t < config->target_count; t++) {
        char name[128];
        snprintf(name, sizeof name, "%s.majority", config->targets[t].name);
        int64_t columns = target_columns(&config->targets[t]);
        char weight[160], bias[160];
        snprintf(weight, sizeof weight, "%s.weight", name);
        snprintf(bias, sizeof bias, "%s.bias", name);
        parameter_t w = graph_parameter(graph, weight, columns, dims[0], (init_t){0});
        parameter_t b = graph_parameter(graph, bias, columns, 0, (init_t){0});
        graph_output(graph, config->targets[t].name,
                     graph_linear(graph, name, x, weight_of(w), weight_of(b), ACTIVATION_NONE));
    }
}

status_t model_build(const config_t *config, const int64_t *dims, graph_t **graph_out) {
    const model_row_t *row = NULL;
    for (int i = 0; i < ARRAY_LEN(models); i++) {
        if (strcmp(models[i].name, config->model.name) == 0) {
            row = &models[i];
        }
    }
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    if (row == NULL) {
        return status_fail(STATUS_INPUT, "unknown model.name %s", config->model.name);
    }
    if (count < row->modalities_min || count > row->modalities_max) {
        return status_fail(STATUS_INPUT,
                           "model %s takes %d to %d modalities, not %d; set model.modalities",
                           row->name, row->modalities_min, row->modalities_max, count);
    }
    if (config->target_count == 0) {
        return status_fail(STATUS_INPUT, "the model has no targets; add a section targets");
    }
    graph_t *graph = graph_open(config->data.window);
    status_t status = STATUS_OK;
    if (row->build == NULL) {
        build_majority(graph, config, dims);
    } else {
        model_input_t input = {0};
        status = build_inputs(graph, config, dims, &input);
        if (status == STATUS_OK) {
            build_heads(graph, config, row->build(graph, config, &input));
        }
    }
    if (status == STATUS_OK) {
        status = graph_check(graph);
    }
    if (status != STATUS_OK) {
        graph_close(graph);
        return status;
    }
    *graph_out = graph;
    return STATUS_OK;
}
