/* csv.h - comma-separated values: quoted fields, doubled quotes, CRLF; errors name file and
 * line. */
#ifndef JMT_CSV_H
#define JMT_CSV_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kernels/base/status.h"

typedef struct csv_row {
    int64_t line; /* of the file, from 1 */
    int count;
    char **fields;
} csv_row_t;

typedef struct csv {
    char *path, *text;
    char separator;
    csv_row_t *rows;
    int64_t row_count;
} csv_t;

/* Empty lines are skipped, but for those between the rows of a table of one column: there each is
 * a row whose field is empty. */
status_t csv_open(const char *path, csv_t *csv_out) MUST_CHECK;
/* The same of values separated by tabs. */
status_t csv_open_tabs(const char *path, csv_t *csv_out) MUST_CHECK;
/* Its first rows alone: at least so many, unless the file has fewer. */
status_t csv_open_head(const char *path, int64_t rows, csv_t *csv_out) MUST_CHECK;
/* The same from text in memory, which the table owns from now on, also where this fails. */
status_t csv_parse(const char *path, char *text, size_t bytes, csv_t *csv_out) MUST_CHECK;
void csv_close(csv_t *csv);

/* One field, quoted where its text needs that. */
void csv_write_field(FILE *file, const char *text);

/* Field values, refused with FILE:LINE unless there and finite. */
status_t csv_text(const csv_t *csv, int64_t row, int column, const char **text_out) MUST_CHECK;
status_t csv_number(const csv_t *csv, int64_t row, int column, double *value_out) MUST_CHECK;
status_t csv_integer(const csv_t *csv, int64_t row, int column, int64_t *value_out) MUST_CHECK;

#endif
