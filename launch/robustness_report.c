#include "launch/robustness_report.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "launch/opened.h"
#include "launch/page_table.h"

enum { CELL_BYTES = 32, METRICS_MAX = 12 };

static const char *text_at(const json_t *row, const char *key) {
    return json_string_value(json_object_get(row, key));
}

/* --- CSV ------------------------------------------------------------------------------------- */

/* A path may hold anything; what is quoted is one cell. */
static void put_name(FILE *file, const char *name) {
    fputc('"', file);
    for (; *name != '\0'; name++) {
        fprintf(file, *name == '"' ? "\"\"" : "%c", *name);
    }
    fputc('"', file);
}

static void put_row(FILE *file, const char *model, const json_t *row) {
    const char *target, *metric;
    json_t *scores, *value, *level = json_object_get(row, "level");
    json_object_foreach(json_object_get(row, "targets"), target, scores) {
        json_object_foreach(scores, metric, value) {
            if (json_is_real(value)) {
                put_name(file, model);
                fprintf(file, ",%s,%s,", text_at(row, "modality"), text_at(row, "corruption"));
                if (json_is_real(level)) {
                    fprintf(file, "%g", json_real_value(level));
                }
                fprintf(file, ",%s,%s,%.17g\n", target, metric, json_real_value(value));
            }
        }
    }
}

static status_t write_csv(json_t *models, const char *path) {
    char *text = NULL;
    size_t bytes = 0, m, index;
    json_t *model, *row;
    FILE *file = open_memstream(&text, &bytes);
    REQUIRE(file != NULL);
    fprintf(file, "model,modality,corruption,level,target,metric,value\n");
    json_array_foreach(models, m, model) {
        json_array_foreach(json_object_get(model, "rows"), index, row) {
            put_row(file, text_at(model, "model"), row);
        }
    }
    fclose(file);
    status_t status = file_write_durable(path, text, bytes);
    free(text);
    return status;
}

/* --- tables ---------------------------------------------------------------------------------- */

/* The first three cells: which row it is. */
static void put_level(const json_t *row, char cells[][CELL_BYTES], const char **shown) {
    json_t *level = json_object_get(row, "level");
    shown[0] = text_at(row, "modality");
    shown[1] = text_at(row, "corruption");
    shown[2] = cells[2];
    snprintf(cells[2], CELL_BYTES, "-");
    if (json_is_real(level)) {
        snprintf(cells[2], CELL_BYTES, "%g", json_real_value(level));
    }
}

static void put_score(const json_t *row, const char *metric, char *cell) {
    json_t *value = json_object_get(json_object_get(row, "metrics"), metric);
    snprintf(cell, CELL_BYTES, "-");
    if (json_is_real(value)) {
        snprintf(cell, CELL_BYTES, "%.4f", json_real_value(value));
    }
}

/* A column for each metric. */
static void print_one(const page_t *page, json_t *rows) {
    enum { COLUMNS_MAX = METRICS_MAX + 3 };
    page_column_t columns[COLUMNS_MAX] = {
        {"modality", false, 0}, {"corruption", false, 0}, {"level", true, 0}};
    int count = 3;
    size_t index;
    json_t *row, *value;
    const char *metric;
    json_object_foreach(json_object_get(json_array_get(rows, 0), "metrics"), metric, value) {
        if (count < COLUMNS_MAX) {
            columns[count] = (page_column_t){metric, true, count};
            count++;
        }
    }
    page_table_t *table = page_table_open(columns, count);
    json_array_foreach(rows, index, row) {
        char cells[COLUMNS_MAX][CELL_BYTES];
        const char *shown[COLUMNS_MAX];
        put_level(row, cells, shown);
        for (int c = 3; c < count; c++) {
            put_score(row, columns[c].title, cells[c]);
            shown[c] = cells[c];
        }
        page_table_row(table, shown);
    }
    page_table_print(table, page);
    page_table_close(table);
}

/* A column for each model. */
static void print_metric(const page_t *page, json_t *models, const char *metric) {
    enum { COLUMNS_MAX = ROBUSTNESS_MODELS_MAX + 3 };
    page_column_t columns[COLUMNS_MAX] = {
        {"modality", false, 0}, {"corruption", false, 0}, {"level", true, 0}};
    int count = 3;
    size_t index;
    json_t *model, *row;
    json_array_foreach(models, index, model) {
        columns[count++] = (page_column_t){text_at(model, "model"), true, 0};
    }
    page_table_t *table = page_table_open(columns, count);
    json_array_foreach(json_object_get(json_array_get(models, 0), "rows"), index, row) {
        char cells[COLUMNS_MAX][CELL_BYTES];
        const char *shown[COLUMNS_MAX];
        put_level(row, cells, shown);
        for (int c = 3; c < count; c++) {
            json_t *rows = json_object_get(json_array_get(models, (size_t)c - 3), "rows");
            put_score(json_array_get(rows, index), metric, cells[c]);
            shown[c] = cells[c];
        }
        page_table_row(table, shown);
    }
    page_say(page, "%s", metric);
    page_table_print(table, page);
    page_table_close(table);
}

static bool is_known(json_t *models, size_t before, const char *metric) {
    for (size_t m = 0; m < before; m++) {
        json_t *rows = json_object_get(json_array_get(models, m), "rows");
        if (json_object_get(json_object_get(json_array_get(rows, 0), "metrics"), metric) != NULL) {
            return true;
        }
    }
    return false;
}

static void print_all(const char *json) {
    page_t page = page_of(stdout);
    json_t *root = json_loads(json, 0, NULL), *models = json_object_get(root, "models");
    json_t *model, *value;
    const char *metric;
    size_t m;
    json_array_foreach(models, m, model) {
        json_t *rows = json_object_get(model, "rows");
        json_object_foreach(json_object_get(json_array_get(rows, 0), "metrics"), metric, value) {
            if (json_is_real(value) && !is_known(models, m, metric)) {
                print_metric(&page, models, metric);
            }
        }
    }
    if (models == NULL) {
        print_one(&page, json_object_get(root, "rows"));
    }
    json_decref(root);
}

/* --- all of it ------------------------------------------------------------------------------- */

status_t robustness_report(json_t *models, const arguments_t *arguments) {
    json_t *root = json_array_size(models) == 1 ? json_incref(json_array_get(models, 0))
                                                : json_pack("{s:O}", "models", models);
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    const char *csv = arguments_value(arguments, "--csv");
    status_t status = csv != NULL ? write_csv(models, csv) : STATUS_OK;
    if (status == STATUS_OK) {
        status = opened_answer(arguments, text, print_all);
    }
    free(text);
    json_decref(root);
    return status;
}
