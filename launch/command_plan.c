#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/command.h"
#include "trainer/model_data.h"
#include "trainer/plan_report.h"

static const option_t options[] = {
    OPTION_SET,
    {"--order", "EPOCH", "the training samples in the order in which this epoch takes them"},
    OPTION_JSON,
    OPTION_END,
};

static void print_order(const json_t *order) {
    size_t i;
    json_t *id;
    json_array_foreach(json_object_get(order, "order"), i, id) {
        printf("%lld\n", (long long)json_integer_value(id));
    }
}

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static void print_layers(const json_t *layers) {
    size_t i;
    json_t *layer;
    printf("%-40s %-13s %12s %11s %10s\n", "layer", "operation", "shape", "parameters", "MMAC");
    json_array_foreach(layers, i, layer) {
        const json_t *shape = json_object_get(layer, "shape");
        char size[32];
        snprintf(size, sizeof size, "%lld x %lld",
                 (long long)json_integer_value(json_array_get(shape, 0)),
                 (long long)json_integer_value(json_array_get(shape, 1)));
        printf("%-40s %-13s %12s %11.0f %10.3f\n", text(layer, "name"), text(layer, "op"), size,
               number(layer, "parameters"), number(layer, "macs") * 1e-6);
    }
    printf("(of one sample; shared parameters stand at each use)\n\n");
}

static void print_plan(const json_t *plan) {
    static const double mib = 1048576.0;
    const json_t *shard = json_object_get(plan, "shard");
    double shards = number(plan, "virtual_shards"), work = number(plan, "flop_step");
    print_layers(json_object_get(plan, "layers"));
    printf("model           %s, %.0f parameters\n", text(plan, "model"),
           number(plan, "parameters"));
    printf("one sample      %.1f MMAC forward, window %.0f\n", number(plan, "macs") * 1e-6,
           number(plan, "window"));
    printf("evaluation      %.1f MMAC of one sample%s\n",
           number(json_object_get(plan, "evaluation"), "macs") * 1e-6,
           json_is_true(json_object_get(json_object_get(plan, "evaluation"), "folded"))
               ? ", attention folded"
               : "");
    printf("one step        batch %.0f, %.3f GFLOP forward and backward\n", number(plan, "batch"),
           work * 1e-9);
    printf("memory          %.1f MiB activations and gradients, %.1f MiB optimiser, %.1f MiB in "
           "all (one rank)\n",
           number(plan, "arena_bytes") / mib, number(plan, "optimizer_bytes") / mib,
           number(plan, "rss_bytes") / mib);
    printf("virtual shards  %.0f of %.0f samples; price beside one shard: %.3f GFLOP (%.2f %%) and "
           "%.2f GB of memory traffic in a step, %.1f MiB\n",
           shards, number(shard, "samples"), number(shard, "fold_additions") * 1e-9,
           100.0 * number(shard, "fold_additions") / work, number(shard, "fold_bytes") * 1e-9,
           number(shard, "memory_bytes") / mib);
}

static status_t report(const config_t *config, const arguments_t *arguments, json_t **report_out) {
    if (arguments_has(arguments, "--order")) {
        int64_t epoch = 0;
        TRY(arguments_integer(arguments, "--order", 0, INT64_MAX, 0, &epoch));
        return plan_order(config, epoch, report_out);
    }
    int64_t dims[CONFIG_MODALITIES_MAX];
    TRY(model_dims(config, dims));
    return plan_report(config, dims, report_out);
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    config_t *config = NULL;
    json_t *object = NULL;
    TRY(command_config_of(arguments, 0, &config));
    status_t status = report(config, arguments, &object);
    if (status == STATUS_OK && arguments_has(arguments, "--json")) {
        char *dump = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        printf("%s\n", dump);
        free(dump);
    } else if (status == STATUS_OK && arguments_has(arguments, "--order")) {
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
