#include "data-sharding/matrix_csv.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data-sharding/csv.h"
#include "kernels/base/bytes.h"

enum { GAP_NUMBERS_MAX = 1 << 24, GAP_RATIO_MAX = 1024 };

static bool is_number(const char *text) {
    char *end;
    strtod(text, &end);
    return end != text && *end == '\0';
}

/* As pandas, R and others write what is not there. */
static bool is_missing(const char *text) {
    static const char *const words[] = {"",     "nan",  "-nan", "na",  "n/a",
                                        "#n/a", "<na>", "null", "none"};
    for (int i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_frame(const char *name) { return strcasecmp(name, "frame") == 0; }

static status_t refuse(const csv_t *csv, const char *why) {
    return status_fail(STATUS_INPUT, "%s:%lld: %s", csv->path, (long long)csv->rows[0].line, why);
}

static void trim(char **field) {
    while (isspace((unsigned char)**field)) {
        (*field)++;
    }
    for (size_t end = strlen(*field); end > 0 && isspace((unsigned char)(*field)[end - 1]); end--) {
        (*field)[end - 1] = '\0';
    }
}

/* What the fields of the first row are; a word for a missing value stands for a number. */
typedef struct first_row {
    int words, numbers;
    bool unnamed; /* nothing stands first, but something behind it */
    bool counts;  /* its numbers are 0, 1, ..., as they are spelt in a header */
} first_row_t;

static first_row_t look_at(const csv_row_t *row) {
    first_row_t first = {.counts = true};
    first.unnamed = row->count > 1 && row->fields[0][0] == '\0';
    for (int c = 0; c < row->count; c++) {
        const char *text = row->fields[c];
        char index[16];
        snprintf(index, sizeof index, "%d", c - first.unnamed);
        if (text[0] != '\0' && (is_number(text) || is_missing(text))) {
            first.numbers++;
            first.counts = first.counts && strcmp(text, index) == 0;
        } else {
            first.words += text[0] != '\0';
        }
    }
    return first;
}

/* Names, numbers, or something that could be both: then it is not guessed. */
static status_t is_header(const csv_t *csv, const matrix_rules_t *rules, bool *header_out) {
    const csv_row_t *row = &csv->rows[0];
    first_row_t first = look_at(row);
    bool mixed = first.words > 0 && first.numbers > 0 && !is_frame(row->fields[0]);
    bool counted = first.words == 0 && first.numbers > 0 && first.counts;
    if (rules->header < 0 && mixed) {
        return refuse(csv,
                      "the first row has names and numbers; name every column in words, or say "
                      "what it is by --set header=1 (names) or --set header=0 (numbers)");
    }
    if (rules->header < 0 && counted) {
        return refuse(csv,
                      "the first row reads 0,1,2,... from the left: names of columns (as pandas "
                      "writes them), or numbers? say so by --set header=1 (names) or --set "
                      "header=0 (numbers)");
    }
    *header_out = mixed || counted ? rules->header == 1 : first.words > 0;
    return STATUS_OK;
}

static status_t check_names(const csv_row_t *row, const csv_t *csv) {
    const char *first = row->fields[0];
    if (first[0] == '\0' || strncmp(first, "Unnamed:", 8) == 0) {
        return refuse(csv, "the first column has no name, as where pandas writes an index; write "
                           "the file by to_csv(index=False), or call the column frame if it counts "
                           "frames");
    }
    for (int c = 1; c < row->count; c++) {
        if (row->fields[c][0] == '\0') {
            return status_fail(STATUS_INPUT, "%s:%lld: column %d has no name; name or remove it",
                               csv->path, (long long)row->line, c + 1);
        }
        if (is_frame(row->fields[c])) {
            return status_fail(STATUS_INPUT,
                               "%s:%lld: column %d is called %s and would be a feature; put it "
                               "first, or remove it",
                               csv->path, (long long)row->line, c + 1, row->fields[c]);
        }
    }
    return STATUS_OK;
}

/* What is known once the first row is understood. */
typedef struct table {
    bool header, frames, times;
    double unit_s;   /* of the times */
    int64_t columns; /* of numbers */
} table_t;

/* The columns before the numbers. */
static int index_columns(const table_t *table) { return table->frames || table->times; }

/* Of a column of times in seconds; 0: not called so. */
static double unit_of(const char *name) {
    static const struct {
        const char *name;
        double unit_s;
    } units[] = {{"time", 1.0},   {"timestamp", 1.0}, {"t", 1.0},       {"seconds", 1.0},
                 {"time_s", 1.0}, {"time_ms", 1e-3},  {"time_us", 1e-6}};
    for (int i = 0; i < ARRAY_LEN(units); i++) {
        if (strcasecmp(name, units[i].name) == 0) {
            return units[i].unit_s;
        }
    }
    return 0.0;
}

static status_t understand(const csv_t *csv, const matrix_rules_t *rules, table_t *table_out) {
    if (csv->row_count == 0) {
        return status_fail(STATUS_INPUT,
                           "%s: is empty; write a header, or take its row out of the manifest",
                           csv->path);
    }
    csv_row_t *row = &csv->rows[0];
    for (int c = 0; c < row->count; c++) {
        trim(&row->fields[c]);
    }
    table_t table = {0};
    TRY(is_header(csv, rules, &table.header));
    if (table.header) {
        TRY(check_names(row, csv));
    }
    table.frames = table.header && is_frame(row->fields[0]);
    table.unit_s = table.header && rules->timed ? unit_of(row->fields[0]) : 0.0;
    table.times = table.unit_s > 0.0;
    if (rules->timed && !table.times) {
        return refuse(csv, "no rate_hz, and the first column is not called time (seconds), time_ms "
                           "or time_us; give one of the two");
    }
    table.columns = row->count - index_columns(&table);
    if (table.columns == 0) {
        return refuse(csv, table.times ? "no column but the time; add one of numbers"
                                       : "no column but frame; add one of numbers");
    }
    *table_out = table;
    return STATUS_OK;
}

static status_t read_frame(const csv_t *csv, int64_t row, const matrix_rules_t *rules,
                           int64_t *frame_out) {
    int64_t frame;
    TRY(csv_integer(csv, row, 0, &frame));
    if (frame < rules->first_frame) {
        return status_fail(STATUS_INPUT,
                           "%s:%lld: frame %lld is before the first, %lld; set first_frame as the "
                           "file counts",
                           csv->path, (long long)csv->rows[row].line, (long long)frame,
                           (long long)rules->first_frame);
    }
    *frame_out = frame - rules->first_frame;
    return STATUS_OK;
}

static status_t fill_row(const csv_t *csv, int64_t r, int before, int64_t step, matrix_t *m) {
    m->valid[step] = 1;
    for (int d = 0; d < (int)m->columns; d++) {
        double value = 0.0;
        char **field = &csv->rows[r].fields[d + before];
        trim(field);
        bool gap = is_missing(*field);
        if (!gap) {
            TRY(csv_number(csv, r, d + before, &value));
        }
        m->values[step * m->columns + d] = (float)value;
        m->valid[step] = m->valid[step] && !gap && isfinite((float)value);
    }
    return STATUS_OK;
}

static status_t fill(const csv_t *csv, const matrix_rules_t *rules, const table_t *table,
                     matrix_t *m) {
    int64_t frame = -1;
    for (int64_t r = table->header; r < csv->row_count; r++) {
        const csv_row_t *row = &csv->rows[r];
        if (row->count != m->columns + index_columns(table)) {
            return status_fail(STATUS_INPUT, "%s:%lld: %d fields, expected %lld; repair the row",
                               csv->path, (long long)row->line, row->count,
                               (long long)m->columns + index_columns(table));
        }
        int64_t before = frame++;
        if (table->frames) {
            TRY(read_frame(csv, r, rules, &frame));
        }
        if (frame <= before || frame >= m->rows) {
            return status_fail(STATUS_INPUT, "%s:%lld: frame %lld does not follow %lld; sort them",
                               csv->path, (long long)row->line,
                               (long long)(frame + rules->first_frame),
                               (long long)(before + rules->first_frame));
        }
        TRY(fill_row(csv, r, index_columns(table), frame, m));
    }
    return STATUS_OK;
}

/* One row more than the last frame says; a mistyped one must not fill the memory. */
static status_t count_frames(const csv_t *csv, const matrix_rules_t *rules, int64_t columns,
                             int64_t *rows_out) {
    int64_t last = csv->row_count - 1, frame = 0;
    int64_t room = GAP_NUMBERS_MAX / columns + GAP_RATIO_MAX * last;
    TRY(read_frame(csv, last, rules, &frame));
    if (frame >= room) {
        return status_fail(
            STATUS_INPUT,
            "%s:%lld: frame %lld in a file of %lld rows; count frames from the start "
            "of the recording",
            csv->path, (long long)csv->rows[last].line, (long long)frame, (long long)last);
    }
    *rows_out = frame + 1;
    return STATUS_OK;
}

/* Times must be even, but for jitter that moves no row into another's place. */
static status_t take_times(const csv_t *csv, const table_t *table, matrix_t *m) {
    int64_t first = table->header, rows = csv->row_count - first;
    double begin = 0.0, end = 0.0, time = 0.0;
    if (rows < 2) {
        return status_fail(STATUS_INPUT, "%s: one row tells no rate; give rate_hz", csv->path);
    }
    TRY(csv_number(csv, first, 0, &begin));
    TRY(csv_number(csv, csv->row_count - 1, 0, &end));
    double period = (end - begin) / (double)(rows - 1);
    for (int64_t i = 0; i < rows; i++) {
        TRY(csv_number(csv, first + i, 0, &time));
        if (!(period > 0.0 && fabs(time - begin - period * (double)i) <= 0.5 * period)) {
            return status_fail(
                STATUS_INPUT,
                "%s:%lld: time %g does not follow evenly (%g from row to row); "
                "bring the rows to one rate, with empty cells where nothing is known",
                csv->path, (long long)csv->rows[first + i].line, time, period);
        }
    }
    m->rate_hz = 1.0 / (period * table->unit_s);
    m->start_s = begin * table->unit_s;
    return STATUS_OK;
}

static status_t read_rows(const csv_t *csv, const matrix_rules_t *rules, matrix_t *m) {
    table_t table;
    TRY(understand(csv, rules, &table));
    int64_t rows = csv->row_count - table.header;
    if (table.frames && rows > 0) {
        TRY(count_frames(csv, rules, table.columns, &rows));
    }
    TRY(matrix_make(csv->path, rows, table.columns, m));
    if (table.times && rows > 0) {
        TRY(take_times(csv, &table, m));
    }
    return fill(csv, rules, &table, m);
}

status_t matrix_csv_read(const char *path, const matrix_rules_t *rules, matrix_t *matrix_out) {
    csv_t csv;
    matrix_t m = {0};
    TRY(csv_open(path, &csv));
    status_t status = read_rows(&csv, rules, &m);
    csv_close(&csv);
    if (status != STATUS_OK) {
        matrix_free(&m);
        return status;
    }
    *matrix_out = m;
    return STATUS_OK;
}

bool matrix_names_time(const char *names) {
    char *first = text_format("%.*s", (int)strcspn(names, ","), names);
    bool time = unit_of(first) > 0.0;
    free(first);
    return time;
}

static char *join_names(const csv_row_t *row, int first) {
    char *names = text_copy(row->fields[first]);
    for (int c = first + 1; c < row->count; c++) {
        char *longer = text_format("%s,%s", names, row->fields[c]);
        free(names);
        names = longer;
    }
    return names;
}

status_t matrix_csv_head(const char *path, const matrix_rules_t *rules, matrix_head_t *head_out) {
    csv_t csv;
    table_t table;
    matrix_head_t head = {.frame = -1};
    TRY(csv_open_head(path, 2, &csv));
    status_t status = understand(&csv, rules, &table);
    if (status == STATUS_OK && table.frames && csv.row_count > 1) {
        status = csv_integer(&csv, 1, 0, &head.frame);
    }
    if (status == STATUS_OK) {
        head.columns = table.columns;
        head.names = table.header ? join_names(&csv.rows[0], index_columns(&table)) : NULL;
        *head_out = head;
    }
    csv_close(&csv);
    return status;
}

void matrix_head_free(matrix_head_t *head) {
    free(head->names);
    *head = (matrix_head_t){0};
}
