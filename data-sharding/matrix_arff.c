#include "data-sharding/matrix_arff.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { NAME_BYTES = 256 };
static const double even = 0.01; /* what a time may be off, in steps */

typedef enum { TAKEN, LEFT_OUT, TIME } role_t;

typedef struct attribute {
    char name[NAME_BYTES];
    bool number;
    role_t role;
} attribute_t;

typedef struct arff {
    const char *path;
    char *text, *at; /* at: what was not read yet */
    int64_t line;
    attribute_t *attributes;
    int64_t count;
    char *data; /* the first line of it */
    int64_t data_line;
} arff_t;

static status_t refuse(const arff_t *a, const char *why) {
    return status_fail(STATUS_INPUT, "%s:%lld: %s", a->path, (long long)a->line, why);
}

/* The next line that holds something, without blanks around it and comments; NULL: none. */
static char *next_line(arff_t *a) {
    while (*a->at != '\0') {
        char *line = a->at, *end = line + strcspn(line, "\n");
        a->at = *end == '\n' ? end + 1 : end;
        *end = '\0';
        a->line++;
        while (isspace((unsigned char)*line)) {
            line++;
        }
        while (end > line && isspace((unsigned char)end[-1])) {
            *--end = '\0';
        }
        if (*line != '\0' && *line != '%') {
            return line;
        }
    }
    return NULL;
}

/* A word, or a text in quotes, up to one of the ends; false: the quotes do not close, or it is too
 * long. */
static bool take(char **at, const char *ends, char word_out[NAME_BYTES]) {
    char *from = *at, quote = *from == '\'' || *from == '"' ? *from++ : '\0';
    size_t bytes = 0;
    while (*from != '\0' && (quote != '\0' ? *from != quote : strchr(ends, *from) == NULL)) {
        from += quote != '\0' && *from == '\\' && from[1] != '\0';
        if (bytes + 1 == NAME_BYTES) {
            return false;
        }
        word_out[bytes++] = *from++;
    }
    if (quote != '\0' && *from++ != quote) {
        return false;
    }
    while (quote == '\0' && bytes > 0 && isspace((unsigned char)word_out[bytes - 1])) {
        bytes--;
    }
    word_out[bytes] = '\0';
    *at = from + strspn(from, " \t");
    return true;
}

/* --- what columns there are ------------------------------------------------------------------- */

static bool is_one_of(const char *const *names, int count, const char *name) {
    for (int i = 0; i < count; i++) {
        if (strcasecmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static role_t role_of(const attribute_t *attribute, const char *dataset) {
    static const char *const times[] = {"frametime", "time", "timestamp"};
    static const char *const others[] = {"class", "frameindex", "frame"};
    if (dataset[0] != '\0' && strcmp(attribute->name, dataset) == 0) {
        return TAKEN;
    }
    if (attribute->number && is_one_of(times, ARRAY_LEN(times), attribute->name)) {
        return TIME;
    }
    bool out = !attribute->number || is_one_of(others, ARRAY_LEN(others), attribute->name);
    return out || dataset[0] != '\0' ? LEFT_OUT : TAKEN;
}

static status_t add_attribute(arff_t *a, char *line, const char *dataset) {
    static const char *const numbers[] = {"numeric", "real", "integer"};
    attribute_t attribute = {.number = false};
    char *at = line + strlen("@attribute"), type[NAME_BYTES] = "";
    at += strspn(at, " \t");
    if (!take(&at, " \t{", attribute.name) || attribute.name[0] == '\0' || *at == '\0') {
        return refuse(a, "not @attribute NAME TYPE; write it again");
    }
    attribute.number =
        *at != '{' && take(&at, " \t{", type) && is_one_of(numbers, ARRAY_LEN(numbers), type);
    attribute.role = role_of(&attribute, dataset);
    if (attribute.role == TAKEN && !attribute.number) {
        return refuse(a, "the attribute that dataset names is no number; name another");
    }
    a->attributes = array_grow(a->attributes, a->count, sizeof *a->attributes);
    a->attributes[a->count++] = attribute;
    return STATUS_OK;
}

static status_t read_head(arff_t *a, const char *dataset) {
    for (char *line = next_line(a); line != NULL; line = next_line(a)) {
        if (strncasecmp(line, "@attribute", strlen("@attribute")) == 0) {
            TRY(add_attribute(a, line, dataset));
        } else if (strcasecmp(line, "@data") == 0) {
            a->data = a->at;
            a->data_line = a->line;
            return STATUS_OK;
        } else if (strncasecmp(line, "@relation", strlen("@relation")) != 0) {
            return refuse(a, "neither @relation, @attribute nor @data; is this ARFF?");
        }
    }
    return status_fail(STATUS_INPUT, "%s: no line @data; get it again", a->path);
}

static int64_t columns_of(const arff_t *a, role_t role) {
    int64_t count = 0;
    for (int64_t i = 0; i < a->count; i++) {
        count += a->attributes[i].role == role;
    }
    return count;
}

/* --- rows ------------------------------------------------------------------------------------- */

static status_t number_of(const arff_t *a, const char *word, double *value_out) {
    char *end;
    *value_out = strcmp(word, "?") == 0 ? NAN : strtod(word, &end);
    if (!isnan(*value_out) && (end == word || *end != '\0')) {
        return status_fail(STATUS_INPUT, "%s:%lld: \"%s\" is no number; repair the row", a->path,
                           (long long)a->line, word);
    }
    return STATUS_OK;
}

static status_t read_row(const arff_t *a, char *line, float *values, double *time_out) {
    int64_t column = 0;
    *time_out = NAN;
    if (*line == '{') {
        return refuse(a, "a sparse row; write it with all its values");
    }
    for (int64_t i = 0; i < a->count; i++) {
        char word[NAME_BYTES];
        double value = NAN;
        if (!take(&line, ",", word) || (i + 1 < a->count) != (*line == ',')) {
            return status_fail(STATUS_INPUT,
                               "%s:%lld: not a row of %lld values; repair it or get it again",
                               a->path, (long long)a->line, (long long)a->count);
        }
        line += *line == ',';
        line += strspn(line, " \t");
        if (a->attributes[i].role != LEFT_OUT) {
            TRY(number_of(a, word, &value));
        }
        if (a->attributes[i].role == TAKEN) {
            values[column++] = (float)value;
        } else if (a->attributes[i].role == TIME && isnan(*time_out)) {
            *time_out = value;
        }
    }
    return STATUS_OK;
}

static int64_t count_rows(const arff_t *a) {
    int64_t rows = 0;
    for (const char *at = a->data; *at != '\0';) {
        const char *first = at + strspn(at, " \t\r\v\f");
        rows += *first != '\n' && *first != '\0' && *first != '%';
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    return rows;
}

/* Even times tell the rate; one that the manifest has must be the same. */
static status_t take_times(const arff_t *a, const double *times, const matrix_rules_t *rules,
                           matrix_t *m) {
    if (m->rows == 0 || columns_of(a, TIME) == 0) {
        return STATUS_OK;
    }
    double step = m->rows > 1 ? (times[m->rows - 1] - times[0]) / (double)(m->rows - 1) : 0.0;
    bool good = isfinite(times[0]) && (m->rows == 1 || (step > 0.0 && isfinite(1.0 / step)));
    for (int64_t i = 0; i < m->rows && good; i++) {
        good = fabs(times[i] - times[0] - (double)i * step) <= even * step;
    }
    if (!good) {
        return status_fail(
            STATUS_INPUT,
            "%s: its times are not even; leave the attribute out, or fill in rows of "
            "?",
            a->path);
    }
    if (m->rows > 1 && rules->rate_hz > 0.0 && fabs(step * rules->rate_hz - 1.0) > even) {
        return status_fail(STATUS_INPUT,
                           "%s: by its times %.6g rows a second, and rate_hz is %.6g; correct it",
                           a->path, 1.0 / step, rules->rate_hz);
    }
    m->start_s = times[0];
    m->rate_hz = step > 0.0 ? 1.0 / step : 0.0;
    return STATUS_OK;
}

static status_t read_data(arff_t *a, const matrix_rules_t *rules, matrix_t *m) {
    double *times = alloc_zero(max_i64(m->rows, 1), sizeof *times);
    int64_t row = 0;
    status_t status = STATUS_OK;
    for (char *line = next_line(a); line != NULL && status == STATUS_OK; line = next_line(a)) {
        REQUIRE(row < m->rows);
        status = read_row(a, line, m->values + row * m->columns, &times[row]);
        row++;
    }
    if (status == STATUS_OK) {
        status = take_times(a, times, rules, m);
    }
    free(times);
    matrix_mark_finite(m);
    return status;
}

static status_t read_all(arff_t *a, const char *dataset, const matrix_rules_t *rules, matrix_t *m) {
    TRY(read_head(a, dataset));
    int64_t columns = columns_of(a, TAKEN);
    if (columns == 0) {
        return status_fail(STATUS_INPUT, "%s: no attribute of numbers%s%s; name one that is there",
                           a->path, dataset[0] != '\0' ? " called " : "", dataset);
    }
    TRY(matrix_make(a->path, count_rows(a), columns, m));
    return read_data(a, rules, m);
}

status_t matrix_read_arff(const char *path, const char *dataset, const matrix_rules_t *rules,
                          matrix_t *matrix_out) {
    arff_t a = {.path = path};
    TRY(file_read(path, &a.text, NULL));
    a.at = a.text;
    status_t status = read_all(&a, dataset, rules, matrix_out);
    free(a.attributes);
    free(a.text);
    return status;
}
