#include "trainer/export.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/backbone.h"
#include "trainer/model_data.h"
#include "trainer/models.h"
#include "trainer/weights_init.h"

static char *metadata_of(const graph_t *graph, const char *trained_on) {
    json_t *order = json_array();
    for (int p = 0; p < graph_parameter_count(graph); p++) {
        parameter_info_t info = graph_parameter_info(graph, p);
        if (info.fold == NULL) {
            json_array_append_new(order, json_string(info.name));
        }
    }
    char *list = json_dumps(order, JSON_COMPACT);
    json_t *metadata = json_pack("{s:s, s:s}", "creation_order", list, "format", "pt");
    if (trained_on[0] != '\0') {
        json_object_set_new(metadata, "trained_on", json_string(trained_on));
    }
    char *text = json_dumps(metadata, JSON_COMPACT);
    json_decref(metadata);
    json_decref(order);
    free(list);
    return text;
}

void export_parameters(const graph_t *graph, const int64_t *offsets, const float *weights,
                       tensor_set_t *set_out) {
    tensor_set_t set = {.metadata = metadata_of(graph, "")};
    for (int p = 0; p < graph_parameter_count(graph); p++) {
        parameter_info_t info = graph_parameter_info(graph, p);
        if (info.fold != NULL) {
            continue;
        }
        tensor_set_borrow(&set, info.name, TENSOR_F32, info.rank, info.dims, weights + offsets[p]);
    }
    *set_out = set;
}

status_t export_initial(const config_t *config, tensor_set_t *set_out) {
    int64_t dims[CONFIG_MODALITIES_MAX];
    graph_t *graph = NULL;
    flat_state_t flat = {0};
    TRY(model_dims(config, dims));
    TRY(model_build(config, dims, &graph));
    status_t status = flat_state_make(graph, &flat);
    if (status == STATUS_OK) {
        float *weights = alloc_aligned((size_t)(flat.elements + flat.constants) * sizeof *weights);
        weights_origin_t origin = {0};
        flat_state_init(&flat, graph, (uint64_t)config->seed, weights);
        status = weights_init(config, graph, flat.offsets, weights, &origin);
        if (status == STATUS_OK) {
            export_parameters(graph, flat.offsets, weights, set_out);
            tensor_set_own(set_out);
        }
        weights_origin_free(&origin);
        free(weights);
    }
    flat_state_free(&flat);
    graph_close(graph);
    return status;
}

static const char weights_prefix[] = "weights/";
const char *export_weight_name(const tensor_t *tensor) {
    size_t length = sizeof weights_prefix - 1;
    return strncmp(tensor->name, weights_prefix, length) == 0 ? tensor->name + length : NULL;
}

/* The weight that a modality's features meet first; NULL: they are as wide as the model. */
static const tensor_t *first_weight(const config_t *config, const tensor_set_t *tensors,
                                    const char *modality) {
    if (model_is_control(config)) {
        name_t name =
            name_of("%s%s.%s.weight", weights_prefix, config->targets[0].name, config->model.name);
        return tensor_set_find(tensors, name.text);
    }
    name_t signal = name_of("%s%s.backbone.conv1.weight", weights_prefix, modality);
    if (tensor_set_find(tensors, signal.text) != NULL) {
        return tensor_set_find(tensors, signal.text);
    }
    name_t linear = name_of("%s%s.front.weight", weights_prefix, modality);
    name_t tcn = name_of("%s%s.front.0.downsample.weight", weights_prefix, modality);
    const tensor_t *tensor = tensor_set_find(tensors, linear.text);
    return tensor != NULL ? tensor : tensor_set_find(tensors, tcn.text);
}

/* Widths of the features that the weights were made for; no data is needed. */
static void dims_of_weights(const config_t *config, const tensor_set_t *tensors,
                            int64_t dims[CONFIG_MODALITIES_MAX]) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    for (int m = 0; m < count; m++) {
        const modality_config_t *modality = &config->modalities[indices[m]];
        const tensor_t *tensor = first_weight(config, tensors, modality->name);
        dims[m] = modality_model_dim(modality, modality_step_dim(modality));
        if (dims[m] == 0) {
            bool signal = strcmp(modality->backbone, "none") != 0; /* a row is a sample of it */
            dims[m] = tensor != NULL ? tensor->dims[1] * (signal ? modality->clip : 1)
                                     : config->model.dim;
        }
    }
}

static status_t graph_of(const checkpoint_t *checkpoint, graph_t **graph_out) {
    config_t *config = NULL;
    int64_t dims[CONFIG_MODALITIES_MAX];
    TRY(config_parse_stored(checkpoint->config_yaml, "checkpoint", NULL, 0, &config));
    dims_of_weights(config, &checkpoint->tensors, dims);
    status_t status = model_build(config, dims, graph_out);
    config_free(config);
    return status;
}

status_t export_checkpoint(const checkpoint_t *checkpoint, bool with_optimizer,
                           tensor_set_t *set_out) {
    graph_t *graph = NULL;
    TRY(graph_of(checkpoint, &graph));
    tensor_set_t set = {.metadata = metadata_of(graph, checkpoint->trained_on)};
    graph_close(graph);
    for (int i = 0; i < checkpoint->tensors.count; i++) {
        const tensor_t *from = &checkpoint->tensors.tensors[i];
        const char *bare = export_weight_name(from);
        if (bare != NULL || with_optimizer) {
            const char *name = bare != NULL ? bare : from->name;
            tensor_t *to = tensor_set_add(&set, name, from->type, from->rank, from->dims);
            memcpy(to->data, from->data, tensor_bytes(from));
        }
    }
    *set_out = set;
    return STATUS_OK;
}
