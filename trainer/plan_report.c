#include "trainer/plan_report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/models.h"
#include "trainer/trainer.h"

static json_t *layer_list(const graph_t *graph) {
    json_t *layers = json_array();
    for (int i = 0; i < graph_node_count(graph); i++) {
        layer_info_t layer = graph_layer_info(graph, i);
        json_array_append_new(layers, json_pack("{s:s, s:s, s:[I, I], s:I, s:I}", "name",
                                                layer.name, "op", layer.op, "shape",
                                                (json_int_t)layer.rows, (json_int_t)layer.columns,
                                                "parameters", (json_int_t)layer.parameters, "macs",
                                                (json_int_t)layer.macs));
    }
    return layers;
}

/* Optimiser states of the parameters' size: none, one (momentum) or two (Adam). */
static int64_t state_count(const config_t *config) {
    if (strcmp(config->optimizer.name, "sgd") == 0) {
        return config->optimizer.momentum > 0.0;
    }
    return 2;
}

enum { PROCESS_BYTES = 24 << 20 }; /* program, libraries and HDF5, measured on an empty model */

static json_t *describe(const config_t *config, const graph_t *graph, const flat_state_t *flat,
                        const executor_t *executor) {
    reduce_layout_t layout = flat_state_layout(flat, (int)config->virtual_shards);
    int64_t arena = (int64_t)executor_arena_bytes(executor);
    int64_t state = state_count(config) * flat->elements * (int64_t)sizeof(float);
    int64_t resident = arena + (int64_t)executor_scratch_bytes(executor) + state +
                       (int64_t)reduce_bytes(&layout, 0, 1) + PROCESS_BYTES;
    return json_pack("{s:s, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:i, s:I, s:o}", "model",
                     config->model.name, "parameters", (json_int_t)graph_parameter_elements(graph),
                     "macs", (json_int_t)graph_macs(graph), "flop_step",
                     6.0 * (double)graph_macs(graph) * (double)config->batch, "arena_bytes",
                     (json_int_t)arena, "optimizer_bytes", (json_int_t)state, "rss_bytes",
                     (json_int_t)resident, "batch", (json_int_t)config->batch, "virtual_shards",
                     (int)config->virtual_shards, "window", (json_int_t)config->data.window,
                     "layers", layer_list(graph));
}

status_t plan_report(const config_t *config, const int64_t *dims, char **json_out) {
    const kernels_t *kernels = NULL;
    const device_t *device = NULL;
    graph_t *graph = NULL;
    executor_t *executor = NULL;
    flat_state_t flat = {0};
    TRY(trainer_kernels(config, &kernels, &device));
    TRY(model_build(config, dims, &graph));
    executor_config_t executor_config = {
        .kernels = kernels,
        .device = device,
        .samples_per_shard = config->batch / config->virtual_shards,
        .shard_count = (int)config->virtual_shards,
        .backward = true,
    };
    status_t status = flat_state_make(graph, &flat);
    if (status == STATUS_OK) {
        status = executor_open(graph, &executor_config, &executor);
    }
    if (status == STATUS_OK) {
        json_t *report = describe(config, graph, &flat, executor);
        *json_out = json_dumps(report, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        json_decref(report);
    }
    executor_close(executor);
    flat_state_free(&flat);
    graph_close(graph);
    return status;
}
