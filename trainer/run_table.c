#include "trainer/run_table.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

/* What is shown of an evaluation, in this order, where it has it. */
static const char *const columns[] = {"accuracy", "uar", "f1_macro", "f1_weighted",     "mae",
                                      "rmse",     "r",   "ccc",      "ccc_per_sequence"};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

typedef struct row {
    char *name, *marks; /* together one row; marks: run_marks, "" of older runs */
    int run_count;
    json_int_t *seeds, *counts; /* labels scored */
    double (*values)[COLUMNS];  /* NaN: this evaluation does not have it */
} row_t;

struct run_table {
    char *data, *identity, *split, *selected_on;
    row_t *rows;
    int row_count;
};

/* --- reading --------------------------------------------------------------------------------- */

static status_t read_json(const char *run, const char *name, json_t **object_out) {
    char *path = text_format("%s/%s", run, name), *text = NULL;
    status_t status = file_read(path, &text, NULL);
    if (status == STATUS_OK) {
        json_error_t error;
        *object_out = json_loads(text, 0, &error);
        if (*object_out == NULL || !json_is_object(*object_out)) {
            json_decref(*object_out);
            status =
                status_fail(STATUS_INPUT, "%s is damaged: %s; write it again", path, error.text);
        }
    }
    free(text);
    free(path);
    return status;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static row_t *find_row(run_table_t *table, const char *name, const char *marks) {
    for (int i = 0; i < table->row_count; i++) {
        if (strcmp(table->rows[i].name, name) == 0 && strcmp(table->rows[i].marks, marks) == 0) {
            return &table->rows[i];
        }
    }
    table->rows = array_grow(table->rows, table->row_count, sizeof *table->rows);
    table->rows[table->row_count] = (row_t){.name = text_copy(name), .marks = text_copy(marks)};
    return &table->rows[table->row_count++];
}

static status_t same(const char *run, const char *what, char **kept, const char *value) {
    if (*kept == NULL) {
        *kept = text_copy(value);
    }
    if (strcmp(*kept, value) != 0) {
        return status_fail(
            STATUS_INPUT,
            "%s: its %s is '%s', that of the runs before it '%s'; make a table of each", run, what,
            value, *kept);
    }
    return STATUS_OK;
}

static status_t add_values(row_t *row, const char *run, json_int_t seed, const json_t *evaluation) {
    const json_t *metrics = json_object_get(evaluation, "metrics");
    for (int i = 0; i < row->run_count; i++) {
        if (row->seeds[i] == seed) {
            return status_fail(STATUS_INPUT,
                               "%s: %s has a run with seed %lld already; leave one out", run,
                               row->name, (long long)seed);
        }
    }
    row->seeds = array_grow(row->seeds, row->run_count, sizeof *row->seeds);
    row->counts = array_grow(row->counts, row->run_count, sizeof *row->counts);
    row->counts[row->run_count] = json_integer_value(json_object_get(evaluation, "n"));
    row->values = array_grow(row->values, row->run_count, sizeof *row->values);
    row->seeds[row->run_count] = seed;
    for (int c = 0; c < COLUMNS; c++) {
        json_t *value = json_object_get(metrics, columns[c]);
        row->values[row->run_count][c] = json_is_number(value) ? json_number_value(value) : NAN;
    }
    row->run_count++;
    return STATUS_OK;
}

static status_t add_run(run_table_t *table, const char *run, const json_t *manifest,
                        const json_t *evaluation) {
    const char *name = text_of(manifest, "row");
    json_t *seed = json_object_get(manifest, "seed");
    json_t *metrics = json_object_get(evaluation, "metrics");
    if (name[0] == '\0' || !json_is_integer(seed) || !json_is_object(metrics)) {
        return status_fail(STATUS_INPUT, "%s is no run of jmt train; give run directories", run);
    }
    TRY(same(run, "data", &table->identity, text_of(manifest, "data")));
    TRY(same(run, "split", &table->split, text_of(evaluation, "split")));
    TRY(same(run, "select_on", &table->selected_on, text_of(manifest, "selected_on")));
    if (table->data == NULL) {
        table->data = text_copy(text_of(manifest, "data_path"));
    }
    return add_values(find_row(table, name, text_of(manifest, "marks")), run,
                      json_integer_value(seed), evaluation);
}

/* A directory of jmt cv: the pooled scores of each seed are a run. */
static status_t add_cv(run_table_t *table, const char *run, const json_t *summary) {
    const char *name = text_of(summary, "row");
    json_t *by_seed = json_object_get(summary, "by_seed");
    if (name[0] == '\0' || json_array_size(by_seed) == 0) {
        return status_fail(STATUS_INPUT, "%s/summary.json is not of jmt cv; give its directory",
                           run);
    }
    TRY(same(run, "data", &table->identity, text_of(summary, "data")));
    TRY(same(run, "split", &table->split, text_of(summary, "split")));
    TRY(same(run, "select_on", &table->selected_on, text_of(summary, "selected_on")));
    if (table->data == NULL) {
        table->data = text_copy(run);
    }
    for (size_t i = 0; i < json_array_size(by_seed); i++) {
        json_t *evaluation = json_array_get(by_seed, i);
        json_int_t seed = json_integer_value(json_object_get(evaluation, "seed"));
        TRY(add_values(find_row(table, name, text_of(summary, "marks")), run, seed, evaluation));
    }
    return STATUS_OK;
}

static status_t add_directory(run_table_t *table, const char *run) {
    json_t *first = NULL, *evaluation = NULL;
    char *path = text_format("%s/summary.json", run);
    bool cv = file_exists(path);
    free(path);
    status_t status = read_json(run, cv ? "summary.json" : "manifest.json", &first);
    if (status == STATUS_OK && !cv) {
        status = read_json(run, "evaluation.json", &evaluation);
    }
    if (status == STATUS_OK) {
        status = cv ? add_cv(table, run, first) : add_run(table, run, first, evaluation);
    }
    json_decref(first);
    json_decref(evaluation);
    return status;
}

status_t run_table_open(const char *const *runs, int run_count, run_table_t **table_out) {
    run_table_t *table = alloc_zero(1, sizeof *table);
    status_t status = STATUS_OK;
    for (int i = 0; i < run_count && status == STATUS_OK; i++) {
        status = add_directory(table, runs[i]);
    }
    if (status != STATUS_OK) {
        run_table_close(table);
        return status;
    }
    *table_out = table;
    return STATUS_OK;
}

void run_table_close(run_table_t *table) {
    if (table == NULL) {
        return;
    }
    for (int i = 0; i < table->row_count; i++) {
        free(table->rows[i].name);
        free(table->rows[i].marks);
        free(table->rows[i].seeds);
        free(table->rows[i].counts);
        free(table->rows[i].values);
    }
    free(table->rows);
    free(table->data);
    free(table->identity);
    free(table->split);
    free(table->selected_on);
    free(table);
}

/* --- mean and spread ------------------------------------------------------------------------- */

typedef struct summary {
    int count;
    double mean, std; /* std: NaN unless count > 1 */
} summary_t;

static summary_t summarize(const row_t *row, int column) {
    summary_t s = {.std = NAN};
    for (int i = 0; i < row->run_count; i++) {
        if (!isnan(row->values[i][column])) {
            s.mean += row->values[i][column];
            s.count++;
        }
    }
    s.mean = s.count > 0 ? s.mean / s.count : NAN;
    double squares = 0.0;
    for (int i = 0; i < row->run_count; i++) {
        double distance = row->values[i][column] - s.mean;
        squares += isnan(distance) ? 0.0 : distance * distance;
    }
    if (s.count > 1) {
        s.std = sqrt(squares / (s.count - 1));
    }
    return s;
}

static bool has_column(const run_table_t *table, int column) {
    for (int i = 0; i < table->row_count; i++) {
        if (summarize(&table->rows[i], column).count > 0) {
            return true;
        }
    }
    return false;
}

/* --- JSON ------------------------------------------------------------------------------------ */

static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *row_object(const row_t *row) {
    json_t *object = json_pack("{s:s}", "marks", row->marks);
    for (int c = 0; c < COLUMNS; c++) {
        summary_t s = summarize(row, c);
        if (s.count == 0) {
            continue;
        }
        json_t *values = json_array();
        for (int i = 0; i < row->run_count; i++) {
            json_array_append_new(values, number(row->values[i][c]));
        }
        json_object_set_new(object, columns[c],
                            json_pack("{s:o, s:o, s:o}", "mean", number(s.mean), "std",
                                      number(s.std), "values", values));
    }
    return object;
}

static int compare_seeds(const void *a, const void *b) {
    json_int_t x = *(const json_int_t *)a, y = *(const json_int_t *)b;
    return (x > y) - (x < y);
}

static json_t *all_seeds(const run_table_t *table) {
    json_int_t *seeds = NULL;
    int count = 0;
    for (int i = 0; i < table->row_count; i++) {
        for (int j = 0; j < table->rows[i].run_count; j++) {
            seeds = array_grow(seeds, count, sizeof *seeds);
            seeds[count++] = table->rows[i].seeds[j];
        }
    }
    if (count > 0) {
        qsort(seeds, (size_t)count, sizeof *seeds, compare_seeds);
    }
    json_t *array = json_array();
    for (int i = 0; i < count; i++) {
        if (i == 0 || seeds[i] != seeds[i - 1]) {
            json_array_append_new(array, json_integer(seeds[i]));
        }
    }
    free(seeds);
    return array;
}

char *run_table_json(const run_table_t *table) {
    json_t *models = json_object();
    for (int i = 0; i < table->row_count; i++) {
        const row_t *row = &table->rows[i];
        bool taken = json_object_get(models, row->name) != NULL;
        char *key = taken ? text_format("%s [%s]", row->name, row->marks) : text_copy(row->name);
        json_object_set_new(models, key, row_object(row));
        free(key);
    }
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "data", table->data, "identity",
                               table->identity, "split", table->split, "selected_on",
                               table->selected_on, "seeds", all_seeds(table), "models", models);
    char *text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17));
    json_decref(object);
    return text;
}

/* --- text ------------------------------------------------------------------------------------ */

typedef enum { FORMAT_MD, FORMAT_CSV, FORMAT_LATEX, FORMAT_COUNT } format_t;
static const char *const format_names[] = {"md", "csv", "latex"};
static const char *const separator[] = {" | ", ",", " & "};
static const char *const line_end[] = {" |\n", "\n", " \\\\\n"};
static const char *const plus_minus[] = {" \u00b1 ", ",", " $\\pm$ "};
enum {
    NAME_WIDTH = 14,
    SELECTED_WIDTH = 14,
    MARKS_WIDTH = 24,
    COUNT_WIDTH = 7,
    CELL_WIDTH = 13
}; /* "0.123 +- 0.456" lines up in md */

/* Appends to a text that grows; md pads to width columns (the sign of the spread is two bytes). */
static void append(char **text, format_t format, const char *more, int width) {
    int shown = (int)strlen(more) - (strstr(more, "\u00b1") != NULL);
    int padding = format == FORMAT_MD && width > shown ? width - shown : 0;
    char *longer = text_format("%s%s%*s", *text, more, padding, "");
    free(*text);
    *text = longer;
}

static void append_name(char **text, format_t format, const char *name, int width) {
    for (const char *c = name; format == FORMAT_LATEX && *c != '\0'; c++) {
        char letter[3] = {*c == '_' ? '\\' : *c, *c == '_' ? '_' : '\0', '\0'};
        append(text, format, letter, 0);
    }
    append(text, format, format == FORMAT_LATEX ? "" : name, width);
}

static void append_head(char **text, format_t format, const run_table_t *table) {
    append(text, format, format == FORMAT_MD ? "| " : "", 0);
    append(text, format, "model", NAME_WIDTH);
    append(text, format, separator[format], 0);
    append(text, format, format == FORMAT_CSV ? "selected_on" : "selected on", SELECTED_WIDTH);
    append(text, format, separator[format], 0);
    append(text, format, "marks", MARKS_WIDTH);
    append(text, format, separator[format], 0);
    append(text, format, "runs", 0);
    append(text, format, separator[format], 0);
    append(text, format, "n", COUNT_WIDTH);
    for (int c = 0; c < COLUMNS; c++) {
        if (has_column(table, c)) {
            append(text, format, separator[format], 0);
            append_name(text, format, columns[c], CELL_WIDTH);
            append(text, format, format == FORMAT_CSV ? "," : "", 0);
            append(text, format, format == FORMAT_CSV ? columns[c] : "", 0);
            append(text, format, format == FORMAT_CSV ? "_std" : "", 0);
        }
    }
    append(text, format, line_end[format], 0);
}

static void append_rule(char **text, const run_table_t *table) {
    append(text, FORMAT_MD, "|---|---|---|---:|---:", 0);
    for (int c = 0; c < COLUMNS; c++) {
        append(text, FORMAT_MD, has_column(table, c) ? "|---:" : "", 0);
    }
    append(text, FORMAT_MD, "|\n", 0);
}

static void append_cell(char **text, format_t format, summary_t s) {
    char mean[32] = "", spread[32] = "", cell[96];
    int digits = format == FORMAT_CSV ? 6 : 3;
    if (s.count > 0) {
        snprintf(mean, sizeof mean, "%.*f", digits, s.mean);
    }
    if (s.count > 1) {
        snprintf(spread, sizeof spread, "%.*f", digits, s.std);
    }
    bool both = format == FORMAT_CSV || s.count > 1;
    snprintf(cell, sizeof cell, "%s%s%s", mean, both ? plus_minus[format] : "", spread);
    append(text, format, cell, CELL_WIDTH);
}

/* What chose the checkpoint: never a test person. */
static void append_selected(char **text, format_t format, const run_table_t *table) {
    bool chosen = strcmp(table->selected_on, "last") != 0;
    append(text, format, chosen ? "valid " : "", 0);
    append_name(text, format, table->selected_on,
                SELECTED_WIDTH - (chosen ? (int)strlen("valid ") : 0));
}

/* Labels scored, of one run; a range if runs differ. */
static void append_count(char **text, format_t format, const row_t *row) {
    json_int_t least = row->counts[0], most = row->counts[0];
    for (int i = 1; i < row->run_count; i++) {
        least = row->counts[i] < least ? row->counts[i] : least;
        most = row->counts[i] > most ? row->counts[i] : most;
    }
    char *count = least == most ? text_format("%lld", (long long)least)
                                : text_format("%lld-%lld", (long long)least, (long long)most);
    append(text, format, count, COUNT_WIDTH);
    free(count);
}

static void append_row(char **text, format_t format, const run_table_t *table, const row_t *row) {
    char runs[16];
    snprintf(runs, sizeof runs, "%d", row->run_count);
    append(text, format, format == FORMAT_MD ? "| " : "", 0);
    append_name(text, format, row->name, NAME_WIDTH);
    append(text, format, separator[format], 0);
    append_selected(text, format, table);
    append(text, format, separator[format], 0);
    append(text, format, row->marks, MARKS_WIDTH);
    append(text, format, separator[format], 0);
    append(text, format, runs, 4);
    append(text, format, separator[format], 0);
    append_count(text, format, row);
    for (int c = 0; c < COLUMNS; c++) {
        if (has_column(table, c)) {
            append(text, format, separator[format], 0);
            append_cell(text, format, summarize(row, c));
        }
    }
    append(text, format, line_end[format], 0);
}

static void append_tabular(char **text, const run_table_t *table) {
    append(text, FORMAT_LATEX, "\\begin{tabular}{lllrr", 0);
    for (int c = 0; c < COLUMNS; c++) {
        append(text, FORMAT_LATEX, has_column(table, c) ? "r" : "", 0);
    }
    append(text, FORMAT_LATEX, "}\n", 0);
}

status_t run_table_text(const run_table_t *table, const char *format_name, char **text_out) {
    format_t format = FORMAT_MD;
    while (format < FORMAT_COUNT && strcmp(format_names[format], format_name) != 0) {
        format++;
    }
    if (format == FORMAT_COUNT) {
        return status_fail(STATUS_INPUT, "--format %s: md, csv, latex or json is expected",
                           format_name);
    }
    char *text = text_copy("");
    if (format == FORMAT_LATEX) {
        append_tabular(&text, table);
    }
    append_head(&text, format, table);
    if (format == FORMAT_MD) {
        append_rule(&text, table);
    }
    for (int r = 0; r < table->row_count; r++) {
        append_row(&text, format, table, &table->rows[r]);
    }
    append(&text, format, format == FORMAT_LATEX ? "\\end{tabular}\n" : "", 0);
    *text_out = text;
    return STATUS_OK;
}
