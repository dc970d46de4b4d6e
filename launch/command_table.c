#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/log.h"
#include "launch/command.h"
#include "launch/page_table.h"
#include "trainer/run_table.h"

static const option_t options[] = {
    {"--format", "md|csv|latex|json", "default md; on a terminal a table as wide as that"},
    OPTION_END,
};

/* --- on a terminal --------------------------------------------------------------------------- */

enum { CELL_BYTES = 48 };

static const page_column_t columns[] = {
    {"model", false, 0},      {"marks", false, 3}, {"runs", true, 5},
    {"accuracy", true, 0},    {"uar", true, 2},    {"f1_macro", true, 8},
    {"f1_weighted", true, 9}, {"mae", true, 1},    {"rmse", true, 7},
    {"r", true, 4},           {"ccc", true, 0},    {"ccc_per_sequence", true, 6}};

static bool is_used(json_t *models, const char *column) {
    const char *name;
    json_t *model, *value;
    bool used = false;
    json_object_foreach(models, name, model) {
        value = json_object_get(model, column);
        used |= json_is_object(value) || (json_is_string(value) && json_string_length(value) > 0);
    }
    return used;
}

static void cell_of(const json_t *model, const char *metric, bool utf8, char cell[CELL_BYTES]) {
    const json_t *value = json_object_get(model, metric), *std = json_object_get(value, "std");
    snprintf(cell, CELL_BYTES, "-");
    if (value != NULL && json_is_number(std)) {
        snprintf(cell, CELL_BYTES, "%.3f %s %.3f",
                 json_number_value(json_object_get(value, "mean")), utf8 ? "\u00b1" : "+-",
                 json_number_value(std));
    } else if (value != NULL) {
        snprintf(cell, CELL_BYTES, "%.3f", json_number_value(json_object_get(value, "mean")));
    }
}

static int64_t runs_of(json_t *model) {
    const char *metric;
    json_t *value;
    size_t runs = 0;
    json_object_foreach(model, metric, value) {
        size_t count = json_array_size(json_object_get(value, "values"));
        runs = count > runs ? count : runs;
    }
    return (int64_t)runs;
}

static void add_row(page_table_t *table, const page_column_t *used, int count, const char *name,
                    json_t *model, bool utf8) {
    char cells[ARRAY_LEN(columns)][CELL_BYTES];
    const char *row[ARRAY_LEN(columns)] = {name};
    for (int c = 1; c < count; c++) {
        row[c] = cells[c];
        if (strcmp(used[c].title, "marks") == 0) {
            row[c] = json_string_value(json_object_get(model, "marks"));
        } else if (strcmp(used[c].title, "runs") == 0) {
            snprintf(cells[c], CELL_BYTES, "%lld", (long long)runs_of(model));
        } else {
            cell_of(model, used[c].title, utf8, cells[c]);
        }
    }
    page_table_row(table, row);
}

static void print_page(const page_t *page, const run_table_t *runs) {
    char *text = run_table_json(runs);
    json_t *root = json_loads(text, 0, NULL), *models = json_object_get(root, "models"), *model;
    page_column_t used[ARRAY_LEN(columns)];
    int count = 0;
    for (int c = 0; c < ARRAY_LEN(columns); c++) {
        bool always = c == 0 || c == 2;
        if (always || is_used(models, columns[c].title)) {
            used[count++] = columns[c];
        }
    }
    page_table_t *table = page_table_open(used, count);
    const char *name, *chosen = json_string_value(json_object_get(root, "selected_on"));
    json_object_foreach(models, name, model) {
        add_row(table, used, count, name, model, page->terminal.utf8);
    }
    page_table_print(table, page);
    page_say(page, "%s of %s; checkpoints selected on %s%s. --format md has all columns.",
             json_string_value(json_object_get(root, "split")),
             json_string_value(json_object_get(root, "data")),
             strcmp(chosen, "last") == 0 || strncmp(chosen, "step ", 5) == 0 ? "" : "valid ",
             chosen);
    page_table_close(table);
    json_decref(root);
    free(text);
}

/* --- the command ----------------------------------------------------------------------------- */

/* On stderr: a number says little without what is reached by who saw nothing. */
static void say_missing(const run_table_t *table) {
    char *missing = run_table_missing(table);
    fflush(stdout);
    if (missing[0] != '\0') {
        log_info("no control row of: %s", missing);
    }
    free(missing);
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    (void)comm;
    run_table_t *table = NULL;
    TRY(run_table_open(arguments->positional, arguments->positional_count, &table));
    const char *format = arguments_value(arguments, "--format");
    bool json = format != NULL && strcmp(format, "json") == 0; /* has it among its keys */
    char *text = NULL;
    status_t status = STATUS_OK;
    page_t page = page_of(stdout);
    if (format == NULL && page.terminal.columns > 0) {
        print_page(&page, table);
    } else if (json) {
        text = run_table_json(table);
        printf("%s\n", text);
    } else {
        status = run_table_text(table, format != NULL ? format : "md", &text);
        if (status == STATUS_OK) {
            printf("%s", text);
        }
    }
    free(text);
    if (status == STATUS_OK && !json) {
        say_missing(table);
    }
    run_table_close(table);
    return status;
}

static const example_t examples[] = {
    {"jmt table runs/mosi-*", ""},
    {"jmt table runs/cv-jmt runs/cv-concat --format latex", ""},
    EXAMPLE_END,
};

const command_t command_table = {
    .name = "table",
    .group = GROUP_RESULT,
    .synopsis = "RUN... [--format md|csv|latex|json]",
    .summary = "runs side by side: a row for each model, spread over seeds",
    .help =
        "RUN is a directory of jmt train that holds evaluation.json (jmt evaluate ... --out), or "
        "one of jmt cv (a run is then a seed, pooled over its folds). Runs that differ in more "
        "than "
        "their seed are rows of their own, named by the settings in which they differ. \"selected "
        "on\" says what chose the checkpoint, on held-out training people; n is the number of "
        "labels scored.",
    .options = options,
    .examples = examples,
    .positional_min = 1,
    .positional_max = POSITIONALS_MAX,
    .run = run,
};
