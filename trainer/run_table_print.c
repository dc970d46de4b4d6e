/* run_table_print.c - the rows as md, csv and LaTeX. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "kernels/base/bytes.h"
#include "trainer/run_table_internal.h"

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

/* The names of two more columns of csv. */
static void append_bounds(char **text, format_t format, const run_table_t *table,
                          const char *metric) {
    if (format == FORMAT_CSV && run_table_has_intervals(table)) {
        char *names = text_format(",%s_low,%s_high", metric, metric);
        append(text, format, names, 0);
        free(names);
    }
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
        if (run_table_has(table, c)) {
            append(text, format, separator[format], 0);
            append_name(text, format, run_table_column(c)->metric, CELL_WIDTH);
            append(text, format, format == FORMAT_CSV ? "," : "", 0);
            append(text, format, format == FORMAT_CSV ? run_table_column(c)->metric : "", 0);
            append(text, format, format == FORMAT_CSV ? "_std" : "", 0);
            append_bounds(text, format, table, run_table_column(c)->metric);
        }
    }
    if (run_table_has_intervals(table)) {
        append(text, format, separator[format], 0);
        append(text, format, "ranking", 0);
    }
    append(text, format, line_end[format], 0);
}

static void append_rule(char **text, const run_table_t *table) {
    append(text, FORMAT_MD, "|---|---|---|---:|---:", 0);
    for (int c = 0; c < TABLE_COLUMNS; c++) {
        append(text, FORMAT_MD, run_table_has(table, c) ? "|---:" : "", 0);
    }
    append(text, FORMAT_MD, run_table_has_intervals(table) ? "|---|\n" : "|\n", 0);
}

static void append_cell(char **text, format_t format, run_spread_t s, bool intervals) {
    char mean[32] = "", spread[32] = "", bounds[64] = "", cell[160];
    int digits = format == FORMAT_CSV ? 6 : 3;
    if (s.count > 0) {
        snprintf(mean, sizeof mean, "%.*f", digits, s.mean);
    }
    if (s.count > 1) {
        snprintf(spread, sizeof spread, "%.*f", digits, s.std);
    }
    bool both = format == FORMAT_CSV || s.count > 1, known = s.count > 0 && !isnan(s.low);
    if (known) {
        bool csv = format == FORMAT_CSV;
        snprintf(bounds, sizeof bounds, csv ? ",%.*f,%.*f" : " [%.*f, %.*f]", digits, s.low, digits,
                 s.high);
    } else if (intervals && format == FORMAT_CSV) {
        snprintf(bounds, sizeof bounds, ",,");
    }
    snprintf(cell, sizeof cell, "%s%s%s%s", mean, both ? plus_minus[format] : "", spread, bounds);
    append(text, format, cell, CELL_WIDTH);
}

/* What chose the checkpoint: never a test person. */
static void append_selected(char **text, format_t format, const run_table_t *table) {
    char *selected = run_table_selected(table);
    append_name(text, format, selected, SELECTED_WIDTH);
    free(selected);
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

static void append_row(char **text, format_t format, const run_table_t *table, int row_index) {
    const row_t *row = &table->rows[row_index];
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
        if (run_table_has(table, c)) {
            append(text, format, separator[format], 0);
            append_cell(text, format, run_table_spread(table, row_index, c),
                        run_table_has_intervals(table));
        }
    }
    if (run_table_has_intervals(table)) {
        append(text, format, separator[format], 0);
        append(text, format, run_table_rank(table, row_index), 0);
    }
    append(text, format, line_end[format], 0);
}

static void append_tabular(char **text, const run_table_t *table) {
    append(text, FORMAT_LATEX, "\\begin{tabular}{lllrr", 0);
    for (int c = 0; c < TABLE_COLUMNS; c++) {
        append(text, FORMAT_LATEX, run_table_has(table, c) ? "r" : "", 0);
    }
    append(text, FORMAT_LATEX, run_table_has_intervals(table) ? "l}\n" : "}\n", 0);
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
        append_row(&text, format, table, r);
    }
    append(&text, format, format == FORMAT_LATEX ? "\\end{tabular}\n" : "", 0);
    *text_out = text;
    return STATUS_OK;
}
