#include "trainer/front.h"

#include <string.h>

static status_t kind_of(const config_t *config, const modality_config_t *modality, int64_t dim,
                        front_kind_t *kind_out) {
    bool differs = dim != config->model.dim, linear = strcmp(modality->front, "linear") == 0;
    if (strcmp(modality->front, "tcn") == 0) {
        *kind_out = FRONT_TCN;
        return STATUS_OK;
    }
    if (differs && strcmp(modality->front, "none") == 0) {
        return status_fail(STATUS_INPUT,
                           "modalities.%s has %d features but model.dim is %d; set "
                           "modalities.%s.front: linear",
                           modality->name, (int)dim, (int)config->model.dim, modality->name);
    }
    *kind_out = linear || differs ? FRONT_LINEAR : FRONT_NONE;
    return STATUS_OK;
}

status_t front_make(graph_t *graph, const config_t *config, const modality_config_t *modality,
                    int64_t dim, front_t *front_out) {
    TRY(kind_of(config, modality, dim, &front_out->kind));
    name_t name = name_of("%s.front", modality->name);
    if (front_out->kind == FRONT_LINEAR) {
        front_out->linear = linear_make(graph, name.text, dim, config->model.dim);
    } else if (front_out->kind == FRONT_TCN) {
        tcn_spec_t spec = {.blocks = modality->tcn_blocks,
                           .kernel = modality->tcn_kernel,
                           .causal = modality->tcn_causal,
                           .dropout = modality->tcn_dropout};
        front_out->tcn = tcn_make(graph, name.text, &spec, dim, config->model.dim);
    }
    return STATUS_OK;
}

value_t front_apply(graph_t *graph, const char *modality, const front_t *front, stream_t x) {
    name_t name = name_of("%s.front", modality);
    if (front->kind == FRONT_LINEAR) {
        return linear_apply(graph, name.text, front->linear, x.x, ACTIVATION_NONE);
    }
    return front->kind == FRONT_TCN ? tcn_apply(graph, name.text, &front->tcn, x) : x.x;
}
