#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/sample_order.h"
#include "kernels/base/bytes.h"
#include "launch/command.h"
#include "trainer/models.h"
#include "trainer/plan_report.h"
#include "trainer/step_port.h"
#include "trainer/trainer.h"

static const option_t options[] = {
    OPTION_SET,
    {"--order", "EPOCH", "the training samples and the order in which this epoch takes them"},
    OPTION_JSON,
    OPTION_END,
};

static status_t order_object(comm_t *comm, const config_t *config, int64_t epoch, json_t **out) {
    trainer_t *t = NULL;
    TRY(trainer_open(config, comm, config->data.path, NULL, true, &t));
    int64_t *order = alloc_zero(t->train_count, sizeof *order);
    sample_order((uint64_t)config->seed, epoch, t->train_count, order);
    json_t *samples = json_array(), *ids = json_array();
    for (int64_t i = 0; i < t->train_count; i++) {
        sample_info_t info = dataset_sample(t->dataset, SPLIT_TRAIN, i);
        json_array_append_new(samples,
                              json_pack("{s:I, s:s, s:I}", "id", (json_int_t)i, "recording",
                                        info.recording, "first_step", (json_int_t)info.first_step));
        json_array_append_new(ids, json_integer(order[i]));
    }
    *out = json_pack("{s:I, s:I, s:I, s:o, s:o}", "epoch", (json_int_t)epoch, "seed",
                     (json_int_t)config->seed, "batch", (json_int_t)config->batch, "samples",
                     samples, "order", ids);
    free(order);
    trainer_close(t);
    return STATUS_OK;
}

static void print_order(const json_t *order) {
    const json_t *ids = json_object_get(order, "order");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        printf("%lld\n", (long long)json_integer_value(json_array_get(ids, i)));
    }
}

static void print_plan(const json_t *plan) {
    size_t i;
    json_t *layer;
    printf("%-36s %-14s %12s %12s %14s\n", "layer", "operation", "shape", "parameters",
           "MAC/sample");
    json_array_foreach(json_object_get(plan, "layers"), i, layer) {
        const json_t *shape = json_object_get(layer, "shape");
        printf("%-36s %-14s %6lld x%5lld %12lld %14lld\n",
               json_string_value(json_object_get(layer, "name")),
               json_string_value(json_object_get(layer, "op")),
               (long long)json_integer_value(json_array_get(shape, 0)),
               (long long)json_integer_value(json_array_get(shape, 1)),
               (long long)json_integer_value(json_object_get(layer, "parameters")),
               (long long)json_integer_value(json_object_get(layer, "macs")));
    }
    printf("\n%-22s %lld\n", "parameters",
           (long long)json_integer_value(json_object_get(plan, "parameters")));
    printf("%-22s %.3f GFLOP (forward and backward, one batch)\n", "work of a step",
           json_real_value(json_object_get(plan, "flop_step")) * 1e-9);
    printf("%-22s %.1f MiB activations, %.1f MiB in all (one rank)\n", "memory",
           (double)json_integer_value(json_object_get(plan, "arena_bytes")) / 1048576.0,
           (double)json_integer_value(json_object_get(plan, "rss_bytes")) / 1048576.0);
}

/* Dims that the configuration leaves open are those of the data. */
static status_t dims_of(const config_t *config, int64_t dims[CONFIG_MODALITIES_MAX]) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    bool open = false;
    for (int m = 0; m < count; m++) {
        open |= config->modalities[indices[m]].dim == 0;
    }
    if (!open || config->data.path[0] == '\0') {
        return config_dims(config, dims);
    }
    const char *names[CONFIG_MODALITIES_MAX];
    for (int m = 0; m < count; m++) {
        names[m] = config->modalities[indices[m]].name;
    }
    dataset_config_t data = {.path = config->data.path,
                             .window = config->data.window,
                             .modalities = names,
                             .modality_count = count};
    dataset_t *dataset = NULL;
    TRY(dataset_open(&data, &dataset));
    for (int m = 0; m < count; m++) {
        dims[m] = dataset_modality_dim(dataset, m);
    }
    dataset_close(dataset);
    return STATUS_OK;
}

static status_t plan_object(const config_t *config, json_t **out) {
    int64_t dims[CONFIG_MODALITIES_MAX];
    char *text = NULL;
    TRY(dims_of(config, dims));
    TRY(plan_report(config, dims, &text));
    *out = json_loads(text, 0, NULL);
    free(text);
    return STATUS_OK;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    config_t *config = NULL;
    json_t *object = NULL;
    int64_t epoch = 0;
    bool order = arguments_has(arguments, "--order");
    TRY(arguments_integer(arguments, "--order", 0, INT64_MAX, 0, &epoch));
    TRY(command_config_of(arguments, 0, &config));
    status_t status =
        order ? order_object(comm, config, epoch, &object) : plan_object(config, &object);
    if (status == STATUS_OK && arguments_has(arguments, "--json")) {
        char *text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        printf("%s\n", text);
        free(text);
    } else if (status == STATUS_OK && order) {
        print_order(object);
    } else if (status == STATUS_OK) {
        print_plan(object);
    }
    json_decref(object);
    config_free(config);
    return status;
}

const command_t command_plan = {
    .name = "plan",
    .synopsis = "CONFIG [--order EPOCH] [--json]",
    .summary = "layers, shapes, parameters, work and memory, without training",
    .help = "",
    .options = options,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
