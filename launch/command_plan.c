#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "launch/command.h"
#include "launch/page_table.h"
#include "trainer/plan_report.h"
#include "trainer/progress_bar.h"

static const option_t options[] = {
    OPTION_SET,
    {"--full", NULL, "a row for every layer, not for every part"},
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

/* --- parts and layers as a table ------------------------------------------------------------- */

typedef struct part {
    char name[96];
    const char *op;
    int layers;
    int64_t rows, columns; /* of its last output */
    double parameters, macs;
} part_t;

/* "video.encoder.0.attention.in_proj" belongs to "video.encoder". */
static void part_name(const char *layer, char *name, size_t bytes) {
    const char *dot = strchr(layer, '.');
    dot = dot != NULL ? strchr(dot + 1, '.') : NULL;
    snprintf(name, bytes, "%.*s", dot != NULL ? (int)(dot - layer) : (int)strlen(layer), layer);
}

static part_t *find_part(part_t *parts, int *count, const json_t *layer, bool full) {
    char name[96];
    part_name(text(layer, "name"), name, sizeof name);
    for (int i = 0; i < *count && !full; i++) {
        if (strcmp(parts[i].name, name) == 0) {
            return &parts[i];
        }
    }
    part_t *part = &parts[(*count)++];
    snprintf(part->name, sizeof part->name, "%s", full ? text(layer, "name") : name);
    return part;
}

static int collect_parts(const json_t *layers, bool full, part_t *parts) {
    int count = 0;
    size_t i;
    json_t *layer;
    json_array_foreach(layers, i, layer) {
        const json_t *shape = json_object_get(layer, "shape");
        part_t *part = find_part(parts, &count, layer, full);
        part->op = text(layer, "op");
        part->layers++;
        part->rows = json_integer_value(json_array_get(shape, 0));
        part->columns = json_integer_value(json_array_get(shape, 1));
        part->parameters += number(layer, "parameters");
        part->macs += number(layer, "macs");
    }
    return count;
}

static void add_row(page_table_t *table, const char *name, const char *second, const char *shape,
                    double parameters, double macs, double macs_all) {
    char weights[AMOUNT_BYTES] = "-", work[AMOUNT_BYTES] = "-", share[16] = "-";
    if (parameters > 0.0) {
        amount_text(parameters, weights);
    }
    if (macs > 0.0) {
        amount_text(macs, work);
        snprintf(share, sizeof share, "%.1f %%", 100.0 * macs / macs_all);
    }
    page_table_row(table, (const char *const[]){name, second, shape, weights, work, share});
}

static void print_layers(const page_t *page, const json_t *plan, bool full) {
    const json_t *layers = json_object_get(plan, "layers");
    const page_column_t columns[] = {{full ? "layer" : "part", false, 0},
                                     {full ? "operation" : "layers", !full, 3},
                                     {"output", true, 4},
                                     {"parameters", true, 0},
                                     {"MAC", true, 2},
                                     {"share", true, 0}};
    part_t *parts = alloc_zero((int64_t)json_array_size(layers) + 1, sizeof *parts);
    page_table_t *table = page_table_open(columns, ARRAY_LEN(columns));
    int count = collect_parts(layers, full, parts), layer_count = (int)json_array_size(layers);
    double used = 0.0, whole = number(plan, "parameters"), macs = number(plan, "macs");
    char second[16], shape[48];
    for (int i = 0; i < count; i++) {
        snprintf(second, sizeof second, "%d", parts[i].layers);
        snprintf(shape, sizeof shape, "%lld x %lld", (long long)parts[i].rows,
                 (long long)parts[i].columns);
        add_row(table, parts[i].name, full ? parts[i].op : second, shape, parts[i].parameters,
                parts[i].macs, macs);
        used += parts[i].parameters;
    }
    page_table_rule(table);
    snprintf(second, sizeof second, "%d", layer_count);
    add_row(table, "whole", full ? "" : second, "", whole, macs, macs);
    page_table_print(table, page);
    if (used > whole) {
        page_wrap(
            page, 0, 0,
            "Weights that several layers share stand at each of them, and once in the whole.");
    }
    page_table_close(table);
    free(parts);
}

/* --- what it takes --------------------------------------------------------------------------- */

enum { FACT_INDENT = 22 };

static void print_memory(const page_t *page, const json_t *plan) {
    static const double mib = 1048576.0;
    if (number(plan, "device_bytes") > 0.0) {
        page_fact(page, FACT_INDENT, "memory",
                  "on one rank %.1f MiB of the device (%s): %.1f activations and gradients, %.1f "
                  "optimiser, the rest is weights and the reduction; and %.1f MiB of the host",
                  number(plan, "device_bytes") / mib, text(plan, "device"),
                  number(plan, "arena_bytes") / mib, number(plan, "optimizer_bytes") / mib,
                  number(plan, "rss_bytes") / mib);
        return;
    }
    page_fact(page, FACT_INDENT, "memory",
              "%.1f MiB on one rank: %.1f activations and gradients, %.1f optimiser, the rest is "
              "weights, the reduction, batches read ahead, and the program",
              number(plan, "rss_bytes") / mib, number(plan, "arena_bytes") / mib,
              number(plan, "optimizer_bytes") / mib);
}

static void print_shards(const page_t *page, const json_t *plan) {
    const json_t *shard = json_object_get(plan, "shard");
    char traffic[AMOUNT_BYTES], samples[AMOUNT_BYTES];
    amount_of_text(number(shard, "fold_bytes"), "B", traffic);
    amount_text(number(shard, "samples"), samples);
    page_fact(page, FACT_INDENT, "virtual shards",
              "%.0f of %s sample%s, so at most %.0f ranks; beside a single shard they cost %.2f %% "
              "more arithmetic, %s of memory traffic in a step, and %.1f MiB",
              number(plan, "virtual_shards"), samples, number(shard, "samples") == 1.0 ? "" : "s",
              number(plan, "virtual_shards"),
              100.0 * number(shard, "fold_additions") / number(plan, "flop_step"), traffic,
              number(shard, "memory_bytes") / 1048576.0);
}

static void print_plan(const json_t *plan, bool full) {
    page_t page = page_of(stdout);
    char parameters[AMOUNT_BYTES], macs[AMOUNT_BYTES], flop[AMOUNT_BYTES];
    amount_text(number(plan, "parameters"), parameters);
    amount_text(number(plan, "macs"), macs);
    amount_of_text(number(plan, "flop_step"), "FLOP", flop);
    print_layers(&page, plan, full);
    printf("\n");
    page_fact(&page, FACT_INDENT, "model", "%s, %.0f parameters", text(plan, "model"),
              number(plan, "parameters"));
    page_fact(&page, FACT_INDENT, "one sample",
              "%.0f steps of time, %s multiply-adds (MAC) forward", number(plan, "window"), macs);
    const json_t *evaluation = json_object_get(plan, "evaluation");
    amount_text(number(evaluation, "macs"), macs);
    page_fact(&page, FACT_INDENT, "evaluation", "%s multiply-adds of one sample%s", macs,
              json_is_true(json_object_get(evaluation, "folded")) ? ", attention folded" : "");
    page_fact(&page, FACT_INDENT, "one training step", "batch of %.0f, %s forward and backward",
              number(plan, "batch"), flop);
    print_memory(&page, plan);
    print_shards(&page, plan);
}

static status_t report(const config_t *config, const arguments_t *arguments, json_t **report_out) {
    if (arguments_has(arguments, "--order")) {
        int64_t epoch = 0;
        TRY(arguments_integer(arguments, "--order", 0, INT64_MAX, 0, &epoch));
        return plan_order(config, epoch, report_out);
    }
    return plan_report(config, report_out);
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
        print_plan(object, arguments_has(arguments, "--full"));
    }
    json_decref(object);
    config_free(config);
    return status;
}

static const example_t examples[] = {
    {"jmt plan configs/full/jmt.yaml", "a row for each part of the model"},
    {"jmt plan configs/full/jmt.yaml --full", "every layer"},
    {"jmt plan configs/full/jmt.yaml --set model.dim=256 --set batch=64", ""},
    EXAMPLE_END,
};

const command_t command_plan = {
    .name = "plan",
    .group = GROUP_BEFORE,
    .synopsis = "CONFIG [--full] [--set KEY=VALUE]... [--json]\nCONFIG --order EPOCH [--set "
                "KEY=VALUE]... [--json]",
    .summary = "layers, shapes, parameters, work and memory, before training",
    .help = "Work is in multiply-adds (MAC) of the forward pass of one sample; its share is in per "
            "cent of the whole. A weight that is used twice counts once in the total. Memory is "
            "that of one rank which holds all virtual shards.",
    .options = options,
    .examples = examples,
    .positional_min = 1,
    .positional_max = 1,
    .run = run,
};
