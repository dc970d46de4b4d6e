#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "launch/command.h"
#include "launch/opened.h"
#include "launch/page_table.h"

static const option_t options[] = {
    OPENED_OPTIONS,
    {"--corrupt", "MODALITY=KIND:LEVEL,...", "noise:DB, drop:P, missing:P, shift:STEPS; repeated"},
    {"--seed", "N", "of what is drawn (default 0)"},
    {"--csv", "FILE", "write modality,corruption,level,target,metric,value"},
    OPTION_END,
};

enum { CURVES_MAX = 1024 };

typedef struct curve {
    corruption_t points[CURVES_MAX]; /* the first one is none */
    int count;
} curve_t;

/* --- what is asked for ----------------------------------------------------------------------- */

static status_t parse_levels(const char *text, corruption_t corruption, const char *levels,
                             curve_t *curve) {
    for (const char *next = levels; next != NULL;) {
        char *end = NULL;
        corruption.level = strtod(next, &end);
        bool number = end != next && (*end == ',' || *end == '\0');
        if (!number || !corruption_takes(corruption.kind, corruption.level)) {
            return status_fail(STATUS_INPUT,
                               "--corrupt %s: '%s' is no level of %s; noise takes dB, drop and "
                               "missing probabilities, shift whole steps",
                               text, next, corruption_name(corruption.kind));
        }
        if (curve->count == CURVES_MAX) {
            return status_fail(STATUS_INPUT, "--corrupt: more than %d levels; give fewer",
                               CURVES_MAX - 1);
        }
        curve->points[curve->count++] = corruption;
        next = *end == ',' ? end + 1 : NULL;
    }
    return STATUS_OK;
}

static status_t parse_one(const trainer_t *t, const char *text, uint64_t seed, curve_t *curve) {
    corruption_t corruption = {.modality = -1, .seed = seed};
    const char *equals = strchr(text, '=');
    const char *colon = equals != NULL ? strchr(equals, ':') : NULL;
    if (colon == NULL) {
        return status_fail(STATUS_INPUT,
                           "--corrupt %s: MODALITY=KIND:LEVEL,... is expected, as in audio=noise:0",
                           text);
    }
    char *modality = text_format("%.*s", (int)(equals - text), text);
    char *kind = text_format("%.*s", (int)(colon - equals - 1), equals + 1);
    for (int m = 0; m < t->modality_count; m++) {
        corruption.modality = strcmp(t->modality_names[m], modality) == 0 ? m : corruption.modality;
    }
    status_t status = STATUS_OK;
    if (corruption.modality < 0) {
        status =
            status_fail(STATUS_INPUT, "--corrupt %s: the model has no modality %s", text, modality);
    } else if (!corruption_find(kind, &corruption.kind)) {
        status = status_fail(STATUS_INPUT,
                             "--corrupt %s: '%s' is not noise, drop, missing or shift", text, kind);
    } else {
        status = parse_levels(text, corruption, colon + 1, curve);
    }
    free(modality);
    free(kind);
    return status;
}

static status_t parse(const trainer_t *t, const arguments_t *arguments, curve_t *curve) {
    int count = 0;
    int64_t seed = 0;
    const char *const *texts = arguments_values(arguments, "--corrupt", &count);
    TRY(arguments_integer(arguments, "--seed", 0, INT64_MAX, 0, &seed));
    curve->count = 1;
    for (int i = 0; i < count; i++) {
        TRY(parse_one(t, texts[i], (uint64_t)seed, curve));
    }
    return count > 0 ? STATUS_OK
                     : status_fail(STATUS_INPUT, "nothing to corrupt; give --corrupt "
                                                 "MODALITY=KIND:LEVEL,...");
}

/* --- what comes of it ------------------------------------------------------------------------ */

static json_t *row_of(const trainer_t *t, const corruption_t *c, const evaluation_t *evaluation,
                      split_t split) {
    char *text = evaluation_json(evaluation, t->config, split_name(split));
    json_t *scores = json_loads(text, 0, NULL);
    bool none = c->kind == CORRUPTION_NONE;
    json_t *row = json_pack(
        "{s:s, s:s, s:o, s:O, s:O}", "modality", none ? "" : t->modality_names[c->modality],
        "corruption", corruption_name(c->kind), "level", none ? json_null() : json_real(c->level),
        "metrics", json_object_get(scores, "metrics"), "targets",
        json_object_get(scores, "targets"));
    json_decref(scores);
    free(text);
    return row;
}

static status_t predict_all(trainer_t *t, split_t split, const curve_t *curve, json_t *rows) {
    for (int i = 0; i < curve->count; i++) {
        evaluation_t *evaluation = NULL;
        TRY(batch_corrupt(&t->batch, &curve->points[i]));
        TRY(trainer_evaluate(t, split, "scoring", &evaluation));
        json_array_append_new(rows, row_of(t, &curve->points[i], evaluation, split));
        evaluation_free(evaluation);
    }
    return STATUS_OK;
}

static const char *text_at(const json_t *row, const char *key) {
    return json_string_value(json_object_get(row, key));
}

static status_t write_csv(json_t *rows, const char *path) {
    char *text = NULL;
    size_t bytes = 0, index;
    json_t *row, *scores, *value;
    const char *target, *metric;
    FILE *file = open_memstream(&text, &bytes);
    REQUIRE(file != NULL);
    fprintf(file, "modality,corruption,level,target,metric,value\n");
    json_array_foreach(rows, index, row) {
        json_object_foreach(json_object_get(row, "targets"), target, scores) {
            json_object_foreach(scores, metric, value) {
                if (json_is_real(value)) {
                    fprintf(file, "%s,%s,", text_at(row, "modality"), text_at(row, "corruption"));
                    if (json_is_real(json_object_get(row, "level"))) {
                        fprintf(file, "%g", json_real_value(json_object_get(row, "level")));
                    }
                    fprintf(file, ",%s,%s,%.17g\n", target, metric, json_real_value(value));
                }
            }
        }
    }
    fclose(file);
    status_t status = file_write_durable(path, text, bytes);
    free(text);
    return status;
}

static void print_rows(const char *json) {
    enum { COLUMNS_MAX = 15, CELL_BYTES = 32 };
    page_column_t columns[COLUMNS_MAX] = {
        {"modality", false, 0}, {"corruption", false, 0}, {"level", true, 0}};
    int count = 3;
    size_t index;
    json_t *root = json_loads(json, 0, NULL), *rows = json_object_get(root, "rows"), *row, *value;
    const char *metric;
    json_object_foreach(json_object_get(json_array_get(rows, 0), "metrics"), metric, value) {
        if (count < COLUMNS_MAX) {
            columns[count] = (page_column_t){metric, true, count};
            count++;
        }
    }
    page_t page = page_of(stdout);
    page_table_t *table = page_table_open(columns, count);
    json_array_foreach(rows, index, row) {
        char cells[COLUMNS_MAX][CELL_BYTES];
        const char *shown[COLUMNS_MAX] = {text_at(row, "modality"), text_at(row, "corruption")};
        for (int c = 2; c < count; c++) {
            json_t *from = c == 2 ? row : json_object_get(row, "metrics");
            value = json_object_get(from, columns[c].title);
            snprintf(cells[c], CELL_BYTES, "%s", "-");
            if (json_is_real(value)) {
                snprintf(cells[c], CELL_BYTES, c == 2 ? "%g" : "%.4f", json_real_value(value));
            }
            shown[c] = cells[c];
        }
        page_table_row(table, shown);
    }
    page_table_print(table, &page);
    page_table_close(table);
    json_decref(root);
}

static status_t report(json_t *rows, const opened_t *opened, const arguments_t *arguments) {
    json_t *root = json_pack("{s:s, s:I, s:s, s:s, s:O}", "checkpoint", opened->name, "step",
                             (json_int_t)opened->checkpoint.progress.step, "data",
                             opened->data_path, "split", split_name(opened->split), "rows", rows);
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    const char *csv = arguments_value(arguments, "--csv");
    status_t status = csv != NULL ? write_csv(rows, csv) : STATUS_OK;
    if (status == STATUS_OK) {
        status = opened_answer(arguments, text, print_rows);
    }
    free(text);
    json_decref(root);
    return status;
}

/* --- the command ----------------------------------------------------------------------------- */

static status_t measure(comm_t *comm, const arguments_t *arguments, const opened_t *opened) {
    evaluation_source_t source = {
        .checkpoint = &opened->checkpoint, .name = opened->name, .data_path = opened->data_path};
    trainer_t *t = NULL;
    TRY(opened_trainer(comm, opened->config, &source, opened->split, &t));
    curve_t *curve = alloc_zero(1, sizeof *curve);
    json_t *rows = json_array();
    status_t status = comm_agree(comm, parse(t, arguments, curve), NULL);
    if (status == STATUS_OK) {
        status = predict_all(t, opened->split, curve, rows);
    }
    if (status == STATUS_OK) {
        bool first = comm_rank(comm) == 0;
        status =
            comm_agree(comm, first ? report(rows, opened, arguments) : STATUS_OK, "write results");
    }
    json_decref(rows);
    free(curve);
    trainer_close(t);
    return status;
}

static status_t run(comm_t *comm, const arguments_t *arguments) {
    opened_t opened;
    status_t status = opened_open(comm, arguments, false, &opened);
    if (status == STATUS_OK) {
        status = measure(comm, arguments, &opened);
    }
    opened_close(&opened);
    return status;
}

static const example_t examples[] = {
    {"jmt robustness runs/one/checkpoints/best-ccc --corrupt audio=noise:20,10,0,-10", ""},
    {"jmt robustness runs/one --corrupt video=drop:0.1,0.5,0.9 --corrupt audio=missing:1",
     "frames lost; without sound"},
    EXAMPLE_END,
};

const command_t command_robustness = {
    .name = "robustness",
    .group = GROUP_RESULT,
    .synopsis = "CHECKPOINT --corrupt MODALITY=KIND:LEVEL,... [--corrupt ...]... [--data DIR] "
                "[--split train|valid|test] [--seed N] [--csv FILE] [--out FILE] "
                "[--set KEY=VALUE]... [--json]",
    .summary = "score a checkpoint on input that is made worse, level by level",
    .help = "The first row is the input as it is; each level of each --corrupt is one more, with "
            "one modality changed. noise: Gaussian, so many dB below the sample's own features as "
            "the model gets them (standardised). drop: each step is missing with that probability. "
            "missing: a sample lacks the modality with that probability. shift: it comes so many "
            "steps too late, within the window. What is drawn depends on seed, modality and sample "
            "alone: the same on any number of ranks.",
    .options = options,
    .examples = examples,
    .positional_min = 1,
    .positional_max = 1,
    .collective = true,
    .run = run,
};
