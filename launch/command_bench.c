#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "launch/bench.h"

static const option_t options[] = {
    OPTION_SET,
    {"--rounds", "N", "how often each thing is measured (default 11)"},
    {"--interactive", NULL, "model: one step for each line of stdin, one JSON object for each"},
    {"--evaluate", NULL, "model: forward alone, as jmt evaluate does, instead of steps"},
    {"--checkpoint", "DIR", "model --evaluate: with the weights of this checkpoint"},
    OPTION_JSON,
    OPTION_END,
};

typedef struct kind {
    const char *name;
    status_t (*run)(bench_t *bench);
    bool alone; /* one process */
} kind_t;

static const kind_t kinds[] = {
    {"kernels", bench_kernels, true},
    {"model", bench_model, false},
    {"comm", bench_comm, false},
    {"io", bench_io, true},
};

static status_t kind_of(const comm_t *comm, const char *name, const kind_t **kind_out) {
    for (int i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].name, name) != 0) {
            continue;
        }
        *kind_out = &kinds[i];
        if (kinds[i].alone && comm_size(comm) > 1) {
            return status_fail(STATUS_INPUT, "bench %s is of one process; start it alone", name);
        }
        return STATUS_OK;
    }
    return status_fail(STATUS_INPUT, "there is no bench %s; kernels, model, comm or io is expected",
                       name);
}

static status_t config_of(const arguments_t *arguments, config_t **config_out) {
    if (arguments->positional_count > 1) {
        return command_config_of(arguments, 1, config_out);
    }
    int count = 0;
    const char *const *sets = arguments_values(arguments, "--set", &count);
    return config_load("configs/full/jmt.yaml", sets, count, config_out);
}

static status_t open_bench(const arguments_t *arguments, bench_t *bench, const kind_t **kind_out) {
    int64_t rounds = BENCH_ROUNDS;
    TRY(kind_of(bench->comm, arguments->positional[0], kind_out));
    TRY(arguments_integer(arguments, "--rounds", 1, 100000, BENCH_ROUNDS, &rounds));
    bench->rounds = (int)rounds;
    bench->ms = alloc_zero(rounds, sizeof *bench->ms);
    return config_of(arguments, &bench->config);
}

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static void print_cell(const json_t *result, const char *key, int width, int digits) {
    const json_t *value = json_object_get(result, key);
    if (json_is_number(value)) {
        printf(" %*.*f", width, digits, json_number_value(value));
    } else {
        printf(" %*s", width, "-");
    }
}

static void print_table(const bench_t *bench) {
    const json_t *limits = json_object_get(bench->facts, "limits"), *result;
    size_t i;
    if (limits != NULL) {
        printf("limits of this machine (%s, %d thread%s): %.0f GFLOP/s; copying %.0f GB/s in the "
               "first cache, %.1f GB/s beyond all of them\n\n",
               json_string_value(json_object_get(limits, "isa")), bench->limits.threads,
               bench->limits.threads > 1 ? "s" : "", number(limits, "gflop_s"),
               1e-9 * bench->limits.copy_s[0], 1e-9 * bench->limits.copy_s[LIMITS_SIZES - 1]);
    }
    printf("%-31s %-39s %9s %9s %8s %7s %7s\n", "", "shape", "min ms", "median", "GFLOP/s", "GB/s",
           "% limit");
    json_array_foreach(bench->results, i, result) {
        printf("%-31s %-39s", json_string_value(json_object_get(result, "name")),
               json_string_value(json_object_get(result, "shape")));
        print_cell(result, "ms_min", 9, 4);
        print_cell(result, "ms_median", 9, 4);
        print_cell(result, "gflop_s", 8, 1);
        print_cell(result, "gb_s", 7, 1);
        const json_t *ratio = json_object_get(result, "limit_ratio");
        if (json_is_number(ratio)) {
            printf(" %7.0f\n", 100.0 * json_number_value(ratio));
        } else {
            printf(" %7s\n", "-");
        }
    }
}

static void print_results(const bench_t *bench) {
    if (!arguments_has(bench->arguments, "--json")) {
        print_table(bench);
        return;
    }
    json_t *object = json_copy(bench->facts);
    json_object_set(object, "results", bench->results);
    char *text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    printf("%s\n", text);
    free(text);
    json_decref(object);
}

static status_t close_bench(bench_t *bench) {
    status_t status = STATUS_OK;
    if (bench->directory != NULL && comm_rank(bench->comm) == 0) {
        status = dir_remove(bench->directory);
    }
    free(bench->directory);
    free(bench->ms);
    config_free(bench->config);
    json_decref(bench->results);
    json_decref(bench->facts);
    return status;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    bench_t bench = {.comm = comm, .arguments = arguments};
    const kind_t *kind = NULL;
    bench.results = json_array();
    bench.facts = json_object();
    status_t status = comm_agree(comm, open_bench(arguments, &bench, &kind), NULL);
    if (status == STATUS_OK) {
        comm_set_timeout(comm, bench.config->comm.timeout_s);
        json_object_set_new(bench.facts, "bench", json_string(kind->name));
        json_object_set_new(bench.facts, "ranks", json_integer(comm_size(comm)));
        status = kind->run(&bench);
    }
    if (status == STATUS_OK && comm_rank(comm) == 0 && !arguments_has(arguments, "--interactive")) {
        print_results(&bench);
    }
    status_t closed = close_bench(&bench);
    return status != STATUS_OK ? status : closed;
}

static const example_t examples[] = {
    {"jmt bench kernels", "operations of the published size"},
    {"jmt bench model configs/tiny/jmt.yaml", "a training step and its parts"},
    {"jmt launch -n 2 bench comm", "the reduction between ranks"},
    {"jmt bench io configs/tiny/jmt.yaml", "shards to batches"},
    EXAMPLE_END,
};

const command_t command_bench = {
    .name = "bench",
    .group = GROUP_BEFORE,
    .examples = examples,
    .synopsis = "kernels|model|comm|io [CONFIG] [--rounds N] [--set KEY=VALUE]... [--json]\n"
                "model [CONFIG] --interactive [--evaluate [--checkpoint DIR]]",
    .summary = "how fast each part runs, beside the machine's measured limits",
    .help =
        "kernels: every operation at the shapes of CONFIG, forward and both backwards. model: "
        "training steps (with --evaluate, forward alone) and their parts. comm: the sum of "
        "gradients and the sharing of weights over the ranks. io: samples from shards, "
        "checksums on, beside plain reading.\n"
        "CONFIG is configs/full/jmt.yaml unless given. Without data.path the data are random. A "
        "limit is the processor's speed on registers or the memory's at that size, whichever "
        "binds; % limit is how much of it the median reaches.",
    .options = options,
    .positional_min = 1,
    .positional_max = 2,
    .collective = true,
    .run = run,
};
