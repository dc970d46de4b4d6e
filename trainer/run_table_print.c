/* run_table_print.c - mean and spread of the rows, as JSON, md, csv and LaTeX. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "kernels/base/bytes.h"
#include "trainer/run_table_internal.h"

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

/* --- controls -------------------------------------------------------------------------------- */

static void miss(char **text, const char *name) {
    char *longer = text_format("%s%s%s", *text, (*text)[0] != '\0' ? ", " : "", name);
    free(*text);
    *text = longer;
}

char *run_table_missing(const run_table_t *table) {
    bool majority = false, within = false, clock = false, stimulus = false, groups = false;
    for (int i = 0; i < table->row_count; i++) {
        const row_t *row = &table->rows[i];
        majority |= strcmp(row->name, "majority") == 0;
        within |= strstr(row->name, "(labels permuted within person)") != NULL;
        clock |= strcmp(row->name, "clock") == 0;
        stimulus |= strcmp(row->name, "stimulus") == 0;
        groups |= strstr(row->marks, "stimuli") != NULL;
    }
    static const char *const names[] = {"majority", "labels permuted within person", "clock",
                                        "stimulus"};
    bool there[] = {majority, within, clock, stimulus || !groups};
    char *text = text_copy("");
    for (int i = 0; i < ARRAY_LEN(names); i++) {
        if (!there[i]) {
            miss(&text, names[i]);
        }
    }
    return text;
}

/* --- JSON ------------------------------------------------------------------------------------ */

static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *row_object(const row_t *row) {
    json_t *object = json_pack("{s:s, s:s, s:O}", "model", row->name, "marks", row->marks,
                               "settings", row->settings);
    for (int c = 0; c < TABLE_COLUMNS; c++) {
        summary_t s = summarize(row, c);
        if (s.count == 0) {
            continue;
        }
        json_t *values = json_array();
        for (int i = 0; i < row->run_count; i++) {
            json_array_append_new(values, number(row->values[i][c]));
        }
        json_object_set_new(object, run_table_column(c),
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
        bool taken = json_object_get(models, row->label) != NULL;
        char *key = taken ? text_format("%s [%s]", row->label, row->marks) : text_copy(row->label);
        json_object_set_new(models, key, row_object(row));
        free(key);
    }
    char *missing = run_table_missing(table);
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:s}", "data", table->data, "identity",
                  table->identity, "split", table->split, "selected_on", table->selected_on,
                  "seeds", all_seeds(table), "models", models, "missing_controls", missing);
    free(missing);
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

static int shown_width(const char *text) { /* the sign of the spread is two bytes */
    return (int)strlen(text) - (strstr(text, "\u00b1") != NULL);
}

/* Appends to a text that grows; md pads to width columns. */
static void append(char **text, format_t format, const char *more, int width) {
    int shown = shown_width(more);
    int padding = format == FORMAT_MD && width > shown ? width - shown : 0;
    char *longer = text_format("%s%s%*s", *text, more, padding, "");
    free(*text);
    *text = longer;
}

static void put_letter(FILE *stream, format_t format, char c) {
    if (format == FORMAT_LATEX && strchr("<>|", c) != NULL) {
        fprintf(stream, "$%s$", c == '|' ? "\\vert" : c == '<' ? "<" : ">");
    } else if (format == FORMAT_LATEX && strchr("~^", c) != NULL) {
        fprintf(stream, "\\%c{}", c);
    } else if (format == FORMAT_LATEX && c == '\\') {
        fputs("$\\backslash$", stream);
    } else {
        bool escaped = strchr(format == FORMAT_LATEX ? "_&%#${}" : "|", c) != NULL;
        fprintf(stream, "%s%c", escaped ? "\\" : "", c);
    }
}

/* A text that comes from outside, so that the format keeps it whole: escaped or quoted. */
static void append_name(char **text, format_t format, const char *name, int width) {
    char *safe = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&safe, &bytes);
    REQUIRE(stream != NULL);
    if (format == FORMAT_CSV) {
        csv_write_field(stream, name);
    }
    for (const char *c = name; format != FORMAT_CSV && *c != '\0'; c++) {
        put_letter(stream, format, *c);
    }
    REQUIRE(fclose(stream) == 0);
    append(text, format, safe, width);
    free(safe);
}

static int name_width(const run_table_t *table) {
    int width = NAME_WIDTH;
    for (int i = 0; i < table->row_count; i++) {
        int shown = shown_width(table->rows[i].label);
        width = shown > width ? shown : width;
    }
    return width;
}

static void append_head(char **text, format_t format, const run_table_t *table) {
    append(text, format, format == FORMAT_MD ? "| " : "", 0);
    append(text, format, "model", name_width(table));
    append(text, format, separator[format], 0);
    append(text, format, format == FORMAT_CSV ? "selected_on" : "selected on", SELECTED_WIDTH);
    append(text, format, separator[format], 0);
    append(text, format, "marks", MARKS_WIDTH);
    append(text, format, separator[format], 0);
    append(text, format, "runs", 0);
    append(text, format, separator[format], 0);
    append(text, format, "n", COUNT_WIDTH);
    for (int c = 0; c < TABLE_COLUMNS; c++) {
        if (has_column(table, c)) {
            append(text, format, separator[format], 0);
            append_name(text, format, run_table_column(c), CELL_WIDTH);
            append(text, format, format == FORMAT_CSV ? "," : "", 0);
            append(text, format, format == FORMAT_CSV ? run_table_column(c) : "", 0);
            append(text, format, format == FORMAT_CSV ? "_std" : "", 0);
        }
    }
    append(text, format, line_end[format], 0);
}

static void append_rule(char **text, const run_table_t *table) {
    append(text, FORMAT_MD, "|---|---|---|---:|---:", 0);
    for (int c = 0; c < TABLE_COLUMNS; c++) {
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
    bool chosen = strcmp(table->selected_on, "last") != 0 &&
                  strncmp(table->selected_on, "step ", 5) != 0; /* by validation people */
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
    append_name(text, format, row->label, name_width(table));
    append(text, format, separator[format], 0);
    append_selected(text, format, table);
    append(text, format, separator[format], 0);
    append_name(text, format, row->marks, MARKS_WIDTH);
    append(text, format, separator[format], 0);
    append(text, format, runs, 4);
    append(text, format, separator[format], 0);
    append_count(text, format, row);
    for (int c = 0; c < TABLE_COLUMNS; c++) {
        if (has_column(table, c)) {
            append(text, format, separator[format], 0);
            append_cell(text, format, summarize(row, c));
        }
    }
    append(text, format, line_end[format], 0);
}

static void append_tabular(char **text, const run_table_t *table) {
    append(text, FORMAT_LATEX, "\\begin{tabular}{lllrr", 0);
    for (int c = 0; c < TABLE_COLUMNS; c++) {
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
