#include "trainer/models.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/backbone.h"
#include "trainer/front.h"
#include "trainer/intra.h"

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
    {"jca", 1, CONFIG_MODALITIES_MAX, false, false, model_jca},
    {"rjcma", 1, CONFIG_MODALITIES_MAX, false, false, model_rjcma},
    {"lfan", 1, CONFIG_MODALITIES_MAX, false, false, model_lfan},
    {"can", 1, CONFIG_MODALITIES_MAX, false, false, model_can},
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

int64_t target_classes(const target_config_t *target) {
    return strcmp(target->loss, "binary_cross_entropy") == 0 ? 2 : target->classes;
}

bool model_is_control(const config_t *config) {
    const char *name = config->model.name;
    return strcmp(name, "majority") == 0 || strcmp(name, "clock") == 0 ||
           strcmp(name, "stimulus") == 0;
}

int model_modalities(const config_t *config, int indices[CONFIG_MODALITIES_MAX]) {
    bool reads_nothing = strcmp(config->model.name, "majority") == 0;
    int streams[CONFIG_MODALITIES_MAX], parts[INTRA_PARTS], count = 0;
    int stream_count = config_streams(config, streams);
    for (int s = 0; s < stream_count; s++) {
        bool made = config_parts(config, streams[s], parts);
        for (int i = 0; i < (made ? INTRA_PARTS : 1); i++) {
            REQUIRE(count < CONFIG_MODALITIES_MAX);
            indices[count++] = made ? parts[i] : streams[s];
        }
    }
    return reads_nothing && count > 1 ? 1 : count;
}

int model_streams_of(const config_t *config, int streams_out[CONFIG_MODALITIES_MAX]) {
    int streams[CONFIG_MODALITIES_MAX], parts[INTRA_PARTS], count = 0;
    int stream_count = config_streams(config, streams);
    for (int s = 0; s < stream_count; s++) {
        for (int i = 0; i < (config_parts(config, streams[s], parts) ? INTRA_PARTS : 1); i++) {
            streams_out[count++] = s;
        }
    }
    return stream_count;
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

/* A stream of the model: one modality behind its front, or two and what joins them. */
typedef struct source {
    const modality_config_t *modality, *part[INTRA_PARTS]; /* part[0]: itself, if it is not made */
    int part_count;
    front_t front[INTRA_PARTS];
    stream_t x[INTRA_PARTS];
    intra_t intra;
    const char *normalize; /* l2 | none | layernorm */
    norm_t norm;           /* layernorm */
} source_t;

/* model.normalize: what is done to a stream before the model; masked rows are 0 afterwards. */
static value_t normalized(graph_t *graph, const source_t *source, const stream_t *stream) {
    const char *modality = source->modality->name, *normalize = source->normalize;
    norm_t norm = source->norm;
    value_t x = stream->x;
    if (strcmp(normalize, "l2") == 0) {
        return graph_l2_normalize(graph, name_of("%s.normalize", modality).text, x, stream->mask);
    }
    if (strcmp(normalize, "layernorm") == 0) {
        x = graph_layernorm(graph, name_of("%s.norm", modality).text, x, weight_of(norm.gain),
                            weight_of(norm.bias));
    }
    return graph_mask_rows(graph, name_of("%s.mask", modality).text, x, stream->mask);
}

/* dims: of this source's parts. */
static status_t make_source(graph_t *graph, const config_t *config, int index, const int64_t *dims,
                            const char *normalize, source_t *source) {
    int parts[INTRA_PARTS] = {index, index};
    bool made = config_parts(config, index, parts);
    source->modality = &config->modalities[index];
    source->part_count = made ? INTRA_PARTS : 1;
    TRY(check_name(source->modality->name));
    for (int i = 0; i < source->part_count; i++) {
        const modality_config_t *part = source->part[i] = &config->modalities[parts[i]];
        TRY(check_name(part->name));
        int64_t dim = 0;
        TRY(backbone_input(graph, part, dims[i], &source->x[i], &dim));
        TRY(front_make(graph, config, part, dim, &source->front[i]));
    }
    if (made) {
        source->intra = intra_make(graph, config, source->modality);
    }
    source->normalize = normalize;
    if (strcmp(normalize, "layernorm") == 0) {
        source->norm =
            norm_make(graph, name_of("%s.norm", source->modality->name).text, config->model.dim);
    }
    return STATUS_OK;
}

static stream_t apply_source(graph_t *graph, const source_t *source) {
    stream_t x[INTRA_PARTS];
    for (int i = 0; i < source->part_count; i++) {
        x[i] = source->x[i];
        x[i].x = front_apply(graph, source->part[i]->name, &source->front[i], x[i]);
    }
    const char *name = source->modality->name;
    stream_t stream = source->part_count > 1 ? intra_apply(graph, name, &source->intra, x) : x[0];
    stream.x = normalized(graph, source, &stream);
    return stream;
}

/* Parameters of all modalities first, then what is computed from them. */
static status_t build_streams(graph_t *graph, const config_t *config, const int64_t *dims,
                              const char *normalize, source_t *sources, model_input_t *input) {
    int indices[CONFIG_MODALITIES_MAX];
    input->count = config_streams(config, indices);
    for (int m = 0; m < input->count; m++) {
        TRY(make_source(graph, config, indices[m], dims, normalize, &sources[m]));
        dims += sources[m].part_count;
    }
    for (int m = 0; m < input->count; m++) {
        input->name[m] = sources[m].modality->name;
        input->stream[m] = apply_source(graph, &sources[m]);
    }
    return STATUS_OK;
}

static status_t build_inputs(graph_t *graph, const config_t *config, const int64_t *dims,
                             const char *normalize, model_input_t *input) {
    source_t *sources = alloc_zero(STREAMS_MAX, sizeof *sources);
    status_t status = build_streams(graph, config, dims, normalize, sources, input);
    free(sources);
    return status;
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
    int count = config_streams(config, indices);
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

static status_t build(const config_t *config, const int64_t *dims, bool predict,
                      graph_t **graph_out) {
    const model_row_t *row = NULL;
    TRY(find_model(config, &row));
    graph_t *graph = graph_open(config->data.window);
    if (predict) {
        graph_predict(graph);
    }
    status_t status = STATUS_OK;
    if (row->build == NULL) {
        build_control(graph, config, dims);
    } else {
        model_input_t input = {0};
        status = build_inputs(graph, config, dims, row->plain ? "none" : config->model.normalize,
                              &input);
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

status_t model_build(const config_t *config, const int64_t *dims, graph_t **graph_out) {
    return build(config, dims, false, graph_out);
}

status_t model_build_prediction(const config_t *config, const int64_t *dims, graph_t **graph_out) {
    return build(config, dims, true, graph_out);
}
