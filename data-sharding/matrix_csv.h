/* matrix_csv.h - a table of numbers as CSV: what its first row is, and a row for each step.
 *
 * A first row of words is a header; one of numbers is a row, unless it reads 0,1,...,n-1 (as pandas
 * names columns without a name) or is part words: then matrix_rules.header decides, and where it
 * does not, the file is refused. Words for a missing value (NA, N/A, NaN, null, None in any case)
 * stand for numbers, in every row. Every column of a header has a name. A first column called
 * "frame" (any case, blanks around it) holds ascending indexes; frames left out are not valid.
 *
 * Where matrix_rules.timed, the first column is called time, timestamp, t, seconds or time_s
 * (seconds), time_ms or time_us instead: its times must be even, and tell the rate. */
#ifndef JMT_MATRIX_CSV_H
#define JMT_MATRIX_CSV_H

#include <stdbool.h>
#include <stdint.h>

#include "data-sharding/matrix_file.h"
#include "kernels/base/status.h"

typedef struct matrix_head {
    int64_t columns; /* of numbers, without "frame" */
    char *names;     /* "x,y", without "frame"; NULL: no header */
    int64_t frame;   /* of the first row, as it stands there; -1: no such column, or no row */
} matrix_head_t;

/* What the first rows say; the rest of the file is not looked at. */
status_t matrix_csv_head(const char *path, const matrix_rules_t *rules,
                         matrix_head_t *head_out) MUST_CHECK;
void matrix_head_free(matrix_head_t *head);

/* Whether the first of these names is that of a column of times. */
bool matrix_names_time(const char *names);

status_t matrix_csv_read(const char *path, const matrix_rules_t *rules,
                         matrix_t *matrix_out) MUST_CHECK;

#endif
