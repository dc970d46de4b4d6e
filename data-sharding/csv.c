#include "data-sharding/csv.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

typedef struct cursor {
    char *next;
    int64_t line;
} cursor_t;

/* Unquotes a field in place; the cursor is left on the separator. */
static status_t take_field(const csv_t *csv, cursor_t *at, char **field_out, char **end_out) {
    const char ends[] = {csv->separator, '\r', '\n', '\0'};
    if (*at->next != '"') {
        *field_out = at->next;
        at->next += strcspn(at->next, ends);
        *end_out = at->next;
        return STATUS_OK;
    }
    int64_t first_line = at->line;
    char *out = ++at->next;
    *field_out = out;
    for (;; at->next++) {
        if (*at->next == '\0') {
            return status_fail(STATUS_INPUT, "%s:%lld: a quoted field does not end; add the quote",
                               csv->path, (long long)first_line);
        }
        if (*at->next == '"' && *++at->next != '"') {
            break;
        }
        at->line += *at->next == '\n';
        *out++ = *at->next;
    }
    *end_out = out;
    if (strchr(ends, *at->next) == NULL) { /* which finds the text's end, too */
        return status_fail(STATUS_INPUT,
                           "%s:%lld: text after a closing quote; quote the whole field", csv->path,
                           (long long)at->line);
    }
    return STATUS_OK;
}

static bool is_empty(const csv_row_t *row) { return row->count == 1 && row->fields[0][0] == '\0'; }

static status_t take_row(csv_t *csv, cursor_t *at) {
    csv_row_t row = {.line = at->line};
    status_t status = STATUS_OK;
    for (bool more = true; more && status == STATUS_OK;) {
        char *field = NULL, *end = NULL;
        status = take_field(csv, at, &field, &end);
        if (status == STATUS_OK) {
            row.fields = array_grow(row.fields, row.count, sizeof *row.fields);
            row.fields[row.count++] = field;
            more = *at->next == csv->separator;
            at->next += more;
            if (!more) {
                at->next += *at->next == '\r';
                at->line += *at->next == '\n';
                at->next += *at->next == '\n';
            }
            *end = '\0'; /* only now: the end may be the separator itself */
        }
    }
    bool narrow = csv->row_count > 0 && csv->rows[0].count == 1;
    if (status != STATUS_OK || (is_empty(&row) && !narrow)) {
        free(row.fields);
        return status;
    }
    csv->rows = array_grow(csv->rows, csv->row_count, sizeof row);
    csv->rows[csv->row_count++] = row;
    return STATUS_OK;
}

static status_t parse(const char *path, char *text, size_t bytes, char separator, csv_t *csv_out);

static status_t open_separated(const char *path, char separator, csv_t *csv_out) {
    char *text;
    size_t bytes;
    TRY(file_read(path, &text, &bytes));
    return parse(path, text, bytes, separator, csv_out);
}

status_t csv_open(const char *path, csv_t *csv_out) { return open_separated(path, ',', csv_out); }

status_t csv_open_tabs(const char *path, csv_t *csv_out) {
    return open_separated(path, '\t', csv_out);
}

/* Whole lines until so many are not empty; a quoted field may run over several. */
static void take_lines(FILE *file, int64_t rows, char **text_out, size_t *bytes_out) {
    char *line = NULL;
    size_t room = 0, bytes = 0;
    ssize_t got;
    bool quoted = false;
    *text_out = alloc_zero(1, 1);
    while (rows > 0 && (got = getline(&line, &room, file)) > 0) {
        *text_out = realloc(*text_out, bytes + (size_t)got + 1);
        REQUIRE(*text_out != NULL);
        memcpy(*text_out + bytes, line, (size_t)got + 1);
        bytes += (size_t)got;
        for (ssize_t i = 0; i < got; i++) {
            quoted ^= line[i] == '"';
        }
        rows -= !quoted && line[strspn(line, "\r\n")] != '\0';
    }
    free(line);
    *bytes_out = bytes;
}

status_t csv_open_head(const char *path, int64_t rows, csv_t *csv_out) {
    FILE *file;
    TRY(file_open(path, &file));
    char *text;
    size_t bytes;
    take_lines(file, rows, &text, &bytes);
    fclose(file);
    return csv_parse(path, text, bytes, csv_out);
}

status_t csv_parse(const char *path, char *text, size_t bytes, csv_t *csv_out) {
    return parse(path, text, bytes, ',', csv_out);
}

static status_t parse(const char *path, char *text, size_t bytes, char separator, csv_t *csv_out) {
    csv_t csv = {.path = text_copy(path), .text = text, .separator = separator};
    status_t status = STATUS_OK;
    if (strlen(csv.text) != bytes) {
        status = status_fail(STATUS_INPUT, "%s: holds NUL bytes; it is no CSV file", path);
    }
    cursor_t at = {csv.text, 1};
    if (strncmp(csv.text, "\xEF\xBB\xBF", 3) == 0) {
        at.next += 3; /* byte order mark */
    }
    while (status == STATUS_OK && *at.next != '\0') {
        status = take_row(&csv, &at);
    }
    while (csv.row_count > 0 && is_empty(&csv.rows[csv.row_count - 1])) {
        free(csv.rows[--csv.row_count].fields);
    }
    if (status != STATUS_OK) {
        csv_close(&csv);
        return status;
    }
    *csv_out = csv;
    return STATUS_OK;
}

void csv_close(csv_t *csv) {
    for (int64_t i = 0; i < csv->row_count; i++) {
        free(csv->rows[i].fields);
    }
    free(csv->rows);
    free(csv->text);
    free(csv->path);
    *csv = (csv_t){0};
}

status_t csv_text(const csv_t *csv, int64_t row, int column, const char **text_out) {
    const csv_row_t *r = &csv->rows[row];
    if (column < 0 || column >= r->count) {
        return status_fail(STATUS_INPUT,
                           "%s:%lld: %d fields, column %d is missing; repair the file", csv->path,
                           (long long)r->line, r->count, column + 1);
    }
    *text_out = r->fields[column];
    return STATUS_OK;
}

status_t csv_number(const csv_t *csv, int64_t row, int column, double *value_out) {
    const char *text;
    TRY(csv_text(csv, row, column, &text));
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value)) {
        return status_fail(STATUS_INPUT,
                           "%s:%lld: column %d is \"%s\", not a finite number; repair the file",
                           csv->path, (long long)csv->rows[row].line, column + 1, text);
    }
    *value_out = value;
    return STATUS_OK;
}

status_t csv_integer(const csv_t *csv, int64_t row, int column, int64_t *value_out) {
    const char *text;
    TRY(csv_text(csv, row, column, &text));
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0) {
        return status_fail(STATUS_INPUT,
                           "%s:%lld: column %d is \"%s\", not a whole number; repair the file",
                           csv->path, (long long)csv->rows[row].line, column + 1, text);
    }
    *value_out = value;
    return STATUS_OK;
}

void csv_write_field(FILE *file, const char *text) {
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text != '\0'; text++) {
        fprintf(file, "%s%c", *text == '"' ? "\"" : "", *text);
    }
    fputc('"', file);
}
