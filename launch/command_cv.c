#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "launch/command.h"
#include "launch/page_table.h"
#include "trainer/cv.h"

static const option_t options[] = {
    OPTION_SET,
    {"--folds", "all|none|LIST",
     "which folds, such as 0,2,3 (default: all); none: the split as it stands, with each seed"},
    {"--seeds", "LIST", "each fold with each of these (default: the configuration's seed)"},
    {"--out", "DIR", "where results go, and are gone on from"},
    OPTION_JSON,
    OPTION_END,
};

/* "0,2,3": whole numbers, none twice. */
static status_t list_of(const char *option, const char *text, int64_t **list_out, int *count_out) {
    int64_t *list = NULL;
    int count = 0;
    bool good = true;
    for (const char *at = text; good; at++) {
        char *end = NULL;
        errno = 0;
        long long value = strtoll(at, &end, 10);
        good = *at >= '0' && *at <= '9' && errno == 0 && (*end == ',' || *end == '\0');
        for (int i = 0; i < count; i++) {
            good = good && list[i] != value;
        }
        list = array_grow(list, count, sizeof *list);
        list[count++] = value;
        at = end;
        if (*end == '\0') {
            break;
        }
    }
    if (!good) {
        free(list);
        return status_fail(STATUS_INPUT,
                           "%s %s: whole numbers with commas between are expected, none twice",
                           option, text);
    }
    *list_out = list;
    *count_out = count;
    return STATUS_OK;
}

typedef struct lists {
    int64_t *folds, *seeds;
    cv_options_t options;
} lists_t;

static status_t read_options(const arguments_t *arguments, const config_t *config, lists_t *lists) {
    const char *folds = arguments_value(arguments, "--folds");
    const char *seeds = arguments_value(arguments, "--seeds");
    lists->options.out = arguments_value(arguments, "--out");
    if (lists->options.out == NULL) {
        return status_fail(STATUS_INPUT, "--out is missing; name a directory for the results");
    }
    lists->options.no_folds = folds != NULL && strcmp(folds, "none") == 0;
    if (folds != NULL && strcmp(folds, "all") != 0 && !lists->options.no_folds) {
        TRY(list_of("--folds", folds, &lists->folds, &lists->options.fold_count));
    }
    if (seeds != NULL) {
        TRY(list_of("--seeds", seeds, &lists->seeds, &lists->options.seed_count));
    } else {
        lists->seeds = alloc_zero(1, sizeof *lists->seeds);
        lists->seeds[0] = config->seed;
        lists->options.seed_count = 1;
    }
    lists->options.folds = lists->folds;
    lists->options.seeds = lists->seeds;
    return STATUS_OK;
}

static void number_text(const json_t *value, char *text, size_t bytes) {
    snprintf(text, bytes, "-");
    if (json_is_number(value)) {
        snprintf(text, bytes, "%.4f", json_number_value(value));
    }
}

static void print_text(const char *text) {
    static const page_column_t columns[] = {{"metric", false, 0},
                                            {"pooled", true, 0},
                                            {"mean of folds", true, 1},
                                            {"deviation", true, 2}};
    json_t *root = json_loads(text, 0, NULL), *value, *all = json_object_get(root, "pooled");
    page_t page = page_of(stdout);
    page_table_t *table = page_table_open(columns, ARRAY_LEN(columns));
    const char *metric;
    char pooled[24], mean[24], deviation[24];
    json_object_foreach(json_object_get(all, "metrics"), metric, value) {
        json_t *folds = json_object_get(json_object_get(root, "over_folds"), metric);
        number_text(value, pooled, sizeof pooled);
        number_text(json_object_get(folds, "mean"), mean, sizeof mean);
        number_text(json_object_get(folds, "std"), deviation, sizeof deviation);
        page_table_row(table, (const char *const[]){metric, pooled, mean, deviation});
    }
    page_table_print(table, &page);
    page_say(&page, "%s, %s: %lld labels scored", json_string_value(json_object_get(root, "row")),
             json_string_value(json_object_get(root, "split")),
             (long long)json_integer_value(json_object_get(all, "n")));
    page_table_close(table);
    json_decref(root);
}

static status_t report(const arguments_t *arguments, const char *out) {
    char *path = text_format("%s/summary.json", out), *text = NULL;
    status_t status = file_read(path, &text, NULL);
    if (status == STATUS_OK && arguments_has(arguments, "--json")) {
        printf("%s\n", text);
    } else if (status == STATUS_OK) {
        print_text(text);
    }
    free(text);
    free(path);
    return status;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    config_t *config = NULL;
    lists_t lists = {0};
    status_t status = command_config_of(arguments, 0, &config);
    if (status == STATUS_OK) {
        status = read_options(arguments, config, &lists);
    }
    status = comm_agree(comm, status, NULL);
    if (status == STATUS_OK) {
        comm_set_timeout(comm, config->comm.timeout_s);
        status = cv_run(config, comm, &lists.options);
    }
    if (status == STATUS_OK) {
        status = comm_rank(comm) == 0 ? report(arguments, lists.options.out) : STATUS_OK;
        status = comm_agree(comm, status, "read summary");
    }
    free(lists.folds);
    free(lists.seeds);
    config_free(config);
    return status;
}

static const example_t examples[] = {
    {"jmt cv configs/tiny/jmt.yaml --set split.folds=5 --out runs/cv", ""},
    {"jmt launch -n 4 cv configs/tiny/jmt.yaml --set split.folds=-1 --seeds 0,1,2 --out runs/loo",
     "every person left out once, three times, on four ranks"},
    {"jmt cv configs/mosi/jmt.yaml --folds none --seeds 0,1,2 --out runs/mosi-jmt",
     "the official test people, with intervals over them"},
    EXAMPLE_END,
};

const command_t command_cv = {
    .name = "cv",
    .group = GROUP_TRAIN,
    .synopsis =
        "CONFIG --out DIR [--folds all|none|LIST] [--seeds LIST] [--set KEY=VALUE]... [--json]",
    .summary = "cross-validation: train and test every fold",
    .help = "split.folds says how many folds there are; -1 leaves one person out at a time. A "
            "fold's people are tested by the checkpoint that is best on held-out others. DIR gets "
            "summary.json, predictions.csv, and a run directory for each fold and seed. The same "
            "command again keeps what is done and goes on with the rest.\nIn the files of "
            "init.NAME {fold} and {seed} stand for these, so that each fold can begin with the "
            "weights of the same fold of another cross-validation; a fold whose people these were "
            "trained on is refused.",
    .options = options,
    .examples = examples,
    .exit_codes = "0 done, 1 failed, 2 bad configuration or data, 75 stopped by a signal: the same "
                  "command goes on.",
    .positional_min = 1,
    .positional_max = 1,
    .collective = true,
    .run = run,
};
