#include "trainer/predictor.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/fold.h"
#include "trainer/mirror.h"
#include "trainer/models.h"

enum { WEIGHT_ALIGNMENT = 16 }; /* elements */

struct predictor {
    const kernels_t *host_kernels;
    graph_t *graph;
    int64_t *offsets; /* by parameter */
    mirror_t weights;
    executor_t *executor;
};

int64_t predictor_samples(const config_t *config, int64_t window) {
    enum { ROWS_MIN = 16 }; /* fewer leave registers of a product empty */
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    for (int m = 0; m < count; m++) { /* a backbone has thousands, and an empty sample costs all */
        if (strcmp(config->modalities[indices[m]].backbone, "none") != 0) {
            return 1;
        }
    }
    return div_up(ROWS_MIN, window);
}

static status_t build(const config_t *config, const int64_t *dims, graph_t **graph_out) {
    return config->evaluation.fold_attention ? model_build_prediction(config, dims, graph_out)
                                             : model_build(config, dims, graph_out);
}

static status_t open_weights(predictor_t *p, const kernels_t *kernels, const device_t *device) {
    int count = graph_parameter_count(p->graph);
    int64_t elements = 0;
    p->offsets = alloc_zero(count, sizeof *p->offsets);
    for (int i = 0; i < count; i++) {
        p->offsets[i] = elements;
        elements += align_up(graph_parameter_info(p->graph, i).count, WEIGHT_ALIGNMENT);
    }
    TRY(kernels_on_host(kernels, &p->host_kernels));
    size_t bytes = (size_t)elements * dtype_state_bytes(kernels->dtype);
    return mirror_open(device, bytes, "weights", &p->weights);
}

status_t predictor_open(const config_t *config, const int64_t *dims, const kernels_t *kernels,
                        const device_t *device, int64_t samples_per_shard, int shards,
                        predictor_t **predictor_out) {
    graph_t *graph = NULL;
    TRY(build(config, dims, &graph));
    return predictor_open_graph(graph, kernels, device, samples_per_shard, shards, predictor_out);
}

status_t predictor_open_graph(graph_t *graph, const kernels_t *kernels, const device_t *device,
                              int64_t samples_per_shard, int shards, predictor_t **predictor_out) {
    predictor_t *p = alloc_zero(1, sizeof *p);
    p->graph = graph;
    executor_config_t executor = {.kernels = kernels,
                                  .device = device,
                                  .samples_per_shard = samples_per_shard,
                                  .shard_count = shards,
                                  .weights_stay = true};
    status_t status = open_weights(p, kernels, device);
    if (status == STATUS_OK) {
        status = executor_open(p->graph, &executor, &p->executor);
    }
    if (status != STATUS_OK) {
        predictor_close(p);
        return status;
    }
    *predictor_out = p;
    return STATUS_OK;
}

void predictor_close(predictor_t *p) {
    if (p == NULL) {
        return;
    }
    executor_close(p->executor);
    graph_close(p->graph);
    free(p->offsets);
    mirror_close(&p->weights);
    free(p);
}

/* --- weights --------------------------------------------------------------------------------- */

void predictor_load(predictor_t *p, const graph_t *graph, const int64_t *offsets,
                    const void *weights) {
    size_t element_bytes = dtype_state_bytes(p->host_kernels->dtype);
    const device_t *device = executor_device(p->executor);
    trained_t trained = {graph, offsets, weights};
    device->synchronize(device); /* the weights before these are there */
    for (int i = 0; i < graph_parameter_count(p->graph); i++) {
        parameter_info_t info = graph_parameter_info(p->graph, i);
        char *weight = (char *)p->weights.host + (size_t)p->offsets[i] * element_bytes;
        int64_t width = 0;
        if (info.fold != NULL) {
            fold_parameter(p->host_kernels, &trained, &info, weight);
        } else {
            memcpy(weight, trained_rows(&trained, p->host_kernels, info.name, 0, &width),
                   (size_t)info.count * element_bytes);
        }
    }
    executor_state_t state = {.offsets = p->offsets, .weights = p->weights.there};
    mirror_write(&p->weights);
    executor_bind(p->executor, &state);
}

/* --- predicting ------------------------------------------------------------------------------ */

executor_t *predictor_executor(predictor_t *p) { return p->executor; }

void predictor_run(predictor_t *p) {
    step_scalars_t scalars = {0};
    REQUIRE(executor_forward(p->executor, &scalars) == STATUS_OK); /* gathers nothing */
}

status_t predictor_describe(const config_t *config, const int64_t *dims, bool *folded_out,
                            int64_t *macs_out) {
    graph_t *graph = NULL;
    TRY(build(config, dims, &graph));
    *folded_out = false;
    *macs_out = graph_macs(graph);
    for (int i = 0; i < graph_parameter_count(graph); i++) {
        *folded_out |= graph_parameter_info(graph, i).fold != NULL;
    }
    graph_close(graph);
    return STATUS_OK;
}
