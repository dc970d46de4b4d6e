#include "trainer/models.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

typedef struct model_row {
    const char *name;
    int modalities_min, modalities_max;
    bool plain;     /* no L2-normalisation; targets share the hidden layer of the head */
    bool own_heads; /* the outputs are made by `build` */
    value_t (*build)(graph_t *graph, const config_t *config, const model_input_t *input);
} model_row_t;

/* Controls are tables that training labels fill: `majority` sees nothing, its output is a constant;
 * `clock` and `stimulus` see the built-in modality of that name. Of the others, the most modalities
 * are those whose M (M + 1) tokens or M (M - 1) pairs are at most OP_INPUTS_MAX. */
static const model_row_t models[] = {
    {"jmt", 1, 7, false, false, model_jmt},
    {"jmt_no_joint", 2, 8, false, false, model_jmt_no_joint},
    {"mt", 2, 8, false, false, model_mt},
    {"concat", 1, CONFIG_MODALITIES_MAX, false, false, model_concat},
    {"concat_att", 1, CONFIG_MODALITIES_MAX, false, false, model_concat_att},
    {"concat_encoder", 1, CONFIG_MODALITIES_MAX, false, false, model_concat_encoder},
    {"decision", 1, CONFIG_MODALITIES_MAX, true, true, model_decision},
    {"unimodal", 1, 1, true, false, model_unimodal},
    {"majority", 1, CONFIG_MODALITIES_MAX, true, true, NULL},
    {"clock", 1, 1, true, true, NULL},
    {"stimulus", 1, 1, true, true, NULL},
};

block_spec_t spec_of(const config_t *config) {
    const char *position = config->model.position;
    return (block_spec_t){
        .layers = config->model.layers,
        .dim = config->model.dim,
        .ff = config->model.ff,
        .heads = config->model.heads,
        .causal = config->model.causal,
        .dropout = config->model.dropout,
        .position = strcmp(position, "learned") == 0      ? POSITION_LEARNED
                    : strcmp(position, "sinusoidal") == 0 ? POSITION_SINUSOIDAL
                                                          : POSITION_NONE,
    };
}

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

bool model_is_control(const config_t *config) {
    const char *name = config->model.name;
    return strcmp(name, "majority") == 0 || strcmp(name, "clock") == 0 ||
           strcmp(name, "stimulus") == 0;
}

int model_modalities(const config_t *config, int indices[CONFIG_MODALITIES_MAX]) {
    int count = 0;
    bool reads_nothing = strcmp(config->model.name, "majority") == 0;
    if (model_is_control(config) && !reads_nothing) {
        indices[0] = modality_index(config, config->model.name, strlen(config->model.name));
        return indices[0] >= 0 ? 1 : 0;
    }
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

static status_t check_name(const char *name) {
    static const char *const taken[] = {JOINT_NAME, TOKEN_NAME, FUSION_NAME, HEAD_NAME};
    for (int i = 0; i < ARRAY_LEN(taken); i++) {
        if (strcmp(name, taken[i]) == 0) {
            return status_fail(STATUS_INPUT,
                               "a modality cannot be called %s: models have parameters of that "
                               "name; rename modalities.%s",
                               name, name);
        }
    }
    return STATUS_OK;
}

/* Parameters of all modalities first, then what is computed from them. */
static status_t build_inputs(graph_t *graph, const config_t *config, const int64_t *dims,
                             bool normalize, model_input_t *input) {
    int indices[CONFIG_MODALITIES_MAX];
    input->count = model_modalities(config, indices);
    bool front[STREAMS_MAX];
    linear_t projection[STREAMS_MAX];
    for (int m = 0; m < input->count; m++) {
        const modality_config_t *modality = &config->modalities[indices[m]];
        TRY(check_name(modality->name));
        TRY(wants_front(config, modality, dims[m], &front[m]));
        stream_t *stream = &input->stream[m];
        input->name[m] = modality->name;
        stream->x = graph_input(graph, modality->name, dims[m], &stream->mask);
        if (front[m]) {
            projection[m] = linear_make(graph, name_of("%s.front", modality->name).text, dims[m],
                                        config->model.dim);
        }
    }
    for (int m = 0; m < input->count; m++) {
        stream_t *stream = &input->stream[m];
        if (front[m]) {
            stream->x = linear_apply(graph, name_of("%s.front", input->name[m]).text, projection[m],
                                     stream->x, ACTIVATION_NONE);
        }
        stream->x = normalize
                        ? graph_l2_normalize(graph, name_of("%s.normalize", input->name[m]).text,
                                             stream->x, stream->mask)
                        : graph_mask_rows(graph, name_of("%s.mask", input->name[m]).text, stream->x,
                                          stream->mask);
    }
    return STATUS_OK;
}

static name_t hidden_name(const config_t *config, int target, bool shared) {
    return shared ? name_of(HEAD_NAME) : name_of("%s.head", config->targets[target].name);
}

static void build_heads(graph_t *graph, const config_t *config, bool shared, value_t x) {
    int64_t dim = graph_columns_of(graph, x), width = config->model.head_hidden;
    linear_t hidden[CONFIG_TARGETS_MAX], out[CONFIG_TARGETS_MAX];
    for (int t = 0; t < config->target_count; t++) {
        hidden[t] = shared && t > 0
                        ? hidden[0]
                        : head_hidden_make(graph, hidden_name(config, t, shared).text, dim, width);
        out[t] = head_out_make(graph, config->targets[t].name, width,
                               target_columns(&config->targets[t]));
    }
    value_t y = x;
    for (int t = 0; t < config->target_count; t++) {
        if (t == 0 || !shared) {
            y = head_hidden(graph, hidden_name(config, t, shared).text, hidden[t], x,
                            config->model.head_dropout);
        }
        head_out(graph, config->targets[t].name, out[t], y);
    }
}

/* One Linear per target on the first modality, its weights and bias zero until control_fit. */
static void build_control(graph_t *graph, const config_t *config, const int64_t *dims) {
    int indices[CONFIG_MODALITIES_MAX];
    model_modalities(config, indices);
    row_mask_t mask;
    value_t x = graph_input(graph, config->modalities[indices[0]].name, dims[0], &mask);
    for (int t = 0; t < config->target_count; t++) {
        const char *target = config->targets[t].name;
        int64_t columns = target_columns(&config->targets[t]);
        name_t name = name_of("%s.%s", target, config->model.name);
        linear_t constant = {
            graph_parameter(graph, name_of("%s.weight", name.text).text, columns, dims[0],
                            (init_t){0}),
            graph_parameter(graph, name_of("%s.bias", name.text).text, columns, 0, (init_t){0}),
        };
        graph_output(graph, target, linear_apply(graph, name.text, constant, x, ACTIVATION_NONE));
    }
}

static status_t find_model(const config_t *config, const model_row_t **row_out) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    const model_row_t *row = NULL;
    for (int i = 0; i < ARRAY_LEN(models); i++) {
        row = strcmp(models[i].name, config->model.name) == 0 ? &models[i] : row;
    }
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
    *row_out = row;
    return STATUS_OK;
}

status_t model_build(const config_t *config, const int64_t *dims, graph_t **graph_out) {
    const model_row_t *row = NULL;
    TRY(find_model(config, &row));
    graph_t *graph = graph_open(config->data.window);
    status_t status = STATUS_OK;
    if (row->build == NULL) {
        build_control(graph, config, dims);
    } else {
        model_input_t input = {0};
        status = build_inputs(graph, config, dims, !row->plain, &input);
        if (status == STATUS_OK) {
            value_t x = row->build(graph, config, &input);
            if (!row->own_heads) {
                build_heads(graph, config, row->plain, x);
            }
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
