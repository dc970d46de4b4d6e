#include "trainer/plan_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "data-sharding/manifest.h"
#include "kernels/base/bytes.h"
#include "trainer/model_data.h"
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

/* What this process has in memory: the program and its libraries. -1: nobody tells. */
static int64_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long long pages = 0, resident = 0;
    int got = file != NULL ? fscanf(file, "%lld %lld", &pages, &resident) : 0;
    if (file != NULL) {
        fclose(file);
    }
    return got == 2 ? resident * sysconf(_SC_PAGESIZE) : -1;
}

/* With the data open this process has what a run has besides: HDF5, tables of the data, and about
 * as much for planning as that for its log. Without, so much more; measured on a small set. */
enum { DATA_BYTES = 5376 << 10, PROCESS_BYTES = 16 << 20 };

static int64_t process_bytes(bool data_is_open) {
    int64_t resident = resident_bytes();
    return (data_is_open ? 0 : DATA_BYTES) + (resident >= 0 ? resident : PROCESS_BYTES);
}

/* A device that has address space and no memory: planning needs places, not room. */
enum { PLANNING_PAGE = 4096 };

static status_t planning_alloc(const device_t *device, size_t bytes, const char *what,
                               void **memory_out) {
    (void)device;
    size_t length = bytes + PLANNING_PAGE;
    char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return status_fail_errno(STATUS_FAILED, "cannot plan %zu bytes for %s", bytes, what);
    }
    memcpy(memory, &length, sizeof length);
    *memory_out = memory + PLANNING_PAGE;
    return STATUS_OK;
}

static void planning_release(const device_t *device, void *memory) {
    (void)device;
    if (memory != NULL) {
        char *begin = (char *)memory - PLANNING_PAGE;
        size_t length;
        memcpy(&length, begin, sizeof length);
        munmap(begin, length);
    }
}

static void planning_copy_in(const device_t *device, void *to, const void *host, size_t bytes) {
    (void)device;
    memcpy(to, host, bytes);
}

/* The host that an executor is planned for is told from the device by its memory alone. */
static device_t planning_on(const device_t *device) {
    device_t planning = *device;
    planning.host = true;
    planning.alloc = planning_alloc;
    planning.release = planning_release;
    planning.copy_in = planning_copy_in;
    return planning;
}

typedef struct planned {
    const config_t *config;
    dataset_t *dataset; /* NULL: not there yet */
    int64_t dims[CONFIG_MODALITIES_MAX];
    graph_t *graph;
    flat_state_t flat;
    const kernels_t *kernels;
    const device_t *device;
    device_t planning;
    executor_t *executor, *unsharded; /* V shards on one rank, and the same batch as one shard */
    bool evaluation_folded;
    int64_t evaluation_macs;
} planned_t;

static status_t open_executor(const planned_t *plan, int shards, executor_t **executor_out) {
    executor_config_t config = {
        .kernels = plan->kernels,
        .device = &plan->planning,
        .samples_per_shard = plan->config->batch / shards,
        .shard_count = shards,
        .backward = true,
    };
    return executor_open(plan->graph, &config, executor_out);
}

static size_t bytes_of(const executor_t *executor) {
    return executor_arena_bytes(executor) + executor_scratch_bytes(executor);
}

/* What the shards cost beside one: V - 1 more gradients are added, written and read where they do
 * not stay in the cache, and memory. */
static json_t *price(const planned_t *plan) {
    int64_t shards = plan->config->virtual_shards;
    int64_t additions = (shards - 1) * graph_parameter_elements(plan->graph);
    int64_t traffic = 2 * (int64_t)sizeof(float) * additions;
    int64_t memory =
        max_i64(0, (int64_t)bytes_of(plan->executor) - (int64_t)bytes_of(plan->unsharded));
    return json_pack("{s:I, s:I, s:I, s:I}", "samples", (json_int_t)(plan->config->batch / shards),
                     "fold_additions", (json_int_t)additions, "fold_bytes", (json_int_t)traffic,
                     "memory_bytes", (json_int_t)memory);
}

static json_t *describe(const planned_t *plan) {
    const config_t *config = plan->config;
    reduce_layout_t layout = flat_state_layout(&plan->flat, (int)config->virtual_shards);
    int64_t arena = (int64_t)executor_arena_bytes(plan->executor);
    int64_t state = state_count(config) * plan->flat.elements * (int64_t)sizeof(float);
    int64_t process = process_bytes(plan->dataset != NULL);
    bool host = plan->device->host;
    int64_t ahead = config->data.prefetch,
            batch = (int64_t)batch_ahead_bytes(plan->graph, config, !host, 1);
    int64_t places = executor_dtype(plan->executor) == DTYPE_F32 ? ahead : ahead + 1; /* as float */
    if (!host) {
        places = ahead + (ahead > 0) + 2; /* on its way; the executor's own; what is not ahead */
    }
    int64_t mirrors = host ? 0 : state + plan->flat.elements * (int64_t)sizeof(float);
    int64_t on_device = (int64_t)bytes_of(plan->executor) + state +
                        (int64_t)reduce_bytes(&layout, 0, 1, true) + (host ? 0 : 2 * batch);
    int64_t resident = (host ? on_device : mirrors) + process + places * batch;
    json_t *report = json_pack("{s:s, s:I, s:I, s:f, s:I, s:I, s:I}", "model", config->model.name,
                               "parameters", (json_int_t)graph_parameter_elements(plan->graph),
                               "macs", (json_int_t)graph_macs(plan->graph), "flop_step",
                               2.0 * executor_step_macs(plan->executor) * (double)config->batch,
                               "arena_bytes", (json_int_t)arena, "optimizer_bytes",
                               (json_int_t)state, "rss_bytes", (json_int_t)resident);
    json_t *rest =
        json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "process_bytes", (json_int_t)process, "batch",
                  (json_int_t)config->batch, "window", (json_int_t)config->data.window,
                  "virtual_shards", (json_int_t)config->virtual_shards, "shard", price(plan),
                  "layers", layer_list(plan->graph));
    json_object_set_new(rest, "evaluation",
                        json_pack("{s:b, s:I}", "folded", plan->evaluation_folded, "macs",
                                  (json_int_t)plan->evaluation_macs));
    json_object_set_new(rest, "device", json_string(plan->device->kind));
    json_object_set_new(rest, "device_bytes", json_integer(host ? 0 : on_device));
    json_object_update(report, rest);
    json_decref(rest);
    return report;
}

static status_t open_data(planned_t *plan) {
    const char *path = plan->config->data.path;
    char *manifest = text_format("%s/" MANIFEST_NAME, path);
    bool there = path[0] != '\0' && file_exists(manifest);
    free(manifest);
    if (there) {
        TRY(model_data_open(plan->config, path, NULL, &plan->dataset));
        TRY(model_data_check(plan->config, plan->dataset));
    }
    return there ? model_data_dims(plan->config, plan->dataset, plan->dims)
                 : model_dims(plan->config, plan->dims);
}

static status_t open_all(planned_t *plan) {
    TRY(open_data(plan));
    TRY(model_build(plan->config, plan->dims, &plan->graph));
    TRY(flat_state_make(plan->graph, &plan->flat));
    TRY(trainer_kernels(plan->config, NULL, &plan->kernels, &plan->device));
    plan->planning = planning_on(plan->device);
    TRY(open_executor(plan, (int)plan->config->virtual_shards, &plan->executor));
    TRY(open_executor(plan, 1, &plan->unsharded));
    return predictor_describe(plan->config, plan->dims, &plan->evaluation_folded,
                              &plan->evaluation_macs);
}

status_t plan_report(const config_t *config, json_t **report_out) {
    planned_t plan = {.config = config};
    status_t status = open_all(&plan);
    if (status == STATUS_OK) {
        *report_out = describe(&plan);
    }
    executor_close(plan.unsharded);
    executor_close(plan.executor);
    flat_state_free(&plan.flat);
    graph_close(plan.graph);
    dataset_close(plan.dataset);
    device_close(plan.device);
    return status;
}

status_t plan_order(const config_t *config, int64_t epoch, json_t **report_out) {
    dataset_t *dataset = NULL;
    TRY(model_data_open(config, config->data.path, NULL, &dataset));
    int64_t count = dataset_sample_count(dataset, SPLIT_TRAIN);
    int64_t *order = alloc_zero(count, sizeof *order);
    sample_order_t *sample_order = model_data_order(config, dataset);
    sample_order_epoch(sample_order, epoch, count, order);
    sample_order_close(sample_order);
    json_t *samples = json_array(), *ids = json_array();
    for (int64_t i = 0; i < count; i++) {
        sample_info_t info = dataset_sample(dataset, SPLIT_TRAIN, i);
        json_array_append_new(samples, json_pack("{s:I, s:s, s:I, s:i}", "id", (json_int_t)i,
                                                 "recording", info.recording, "first_step",
                                                 (json_int_t)info.first_step, "file", info.file));
        json_array_append_new(ids, json_integer(order[i]));
    }
    *report_out = json_pack("{s:I, s:I, s:I, s:o, s:o}", "epoch", (json_int_t)epoch, "seed",
                            (json_int_t)config->seed, "batch", (json_int_t)config->batch, "samples",
                            samples, "order", ids);
    free(order);
    dataset_close(dataset);
    return STATUS_OK;
}
