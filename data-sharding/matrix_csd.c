#include "data-sharding/matrix_csd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/h5_file.h"
#include "kernels/base/bytes.h"

/* Times are float32 by now: to a hundredth of a step they are the same. */
static const double slack_steps = 0.01;
static const double seconds_max = 1e6;

typedef struct sequence {
    float *features, *intervals;
    int64_t rows, columns;
} sequence_t;

static status_t read_sequence(const char *path, const char *base, sequence_t *s) {
    int64_t dims[3], spans[3];
    char *features = text_format("%s/features", base),
         *intervals = text_format("%s/intervals", base);
    status_t status = h5_read_numbers(path, features, 2, &s->features, dims);
    if (status == STATUS_OK) {
        s->rows = dims[0];
        s->columns = dims[1];
        status = h5_read_numbers(path, intervals, 2, &s->intervals, spans);
    }
    if (status == STATUS_OK && (spans[0] != s->rows || (spans[1] != 2 && s->rows > 0))) {
        status =
            status_fail(STATUS_INPUT,
                        "%s: %s has %lld rows and %lld intervals of %lld numbers; write it "
                        "again",
                        path, base, (long long)s->rows, (long long)spans[0], (long long)spans[1]);
    }
    free(intervals);
    free(features);
    return status;
}

typedef struct span {
    double begin, end;
    int64_t row;
} span_t;

/* Those that begin later come later. */
static int by_begin(const void *a, const void *b) {
    const span_t *x = a, *y = b;
    int by_time = (x->begin > y->begin) - (x->begin < y->begin);
    return by_time != 0 ? by_time : (x->row > y->row) - (x->row < y->row);
}

static status_t spans_of(const char *path, const char *base, const sequence_t *s, span_t *spans,
                         double *end_out) {
    *end_out = 0.0;
    for (int64_t r = 0; r < s->rows; r++) {
        spans[r] = (span_t){(double)s->intervals[2 * r], (double)s->intervals[2 * r + 1], r};
        if (!(spans[r].begin >= 0.0 && spans[r].end >= spans[r].begin &&
              spans[r].end <= seconds_max)) {
            return status_fail(STATUS_INPUT,
                               "%s: %s/intervals: row %lld is of %g to %g s; repair it", path, base,
                               (long long)r, spans[r].begin, spans[r].end);
        }
        *end_out = fmax(*end_out, spans[r].end);
    }
    qsort(spans, (size_t)s->rows, sizeof *spans, by_begin);
    return STATUS_OK;
}

static void put(const sequence_t *s, const span_t *span, double rate_hz, matrix_t *m) {
    const float *from = s->features + span->row * s->columns;
    bool valid = true;
    for (int64_t c = 0; c < s->columns; c++) {
        valid = valid && isfinite(from[c]);
    }
    int64_t first = (int64_t)ceil(span->begin * rate_hz - slack_steps);
    for (int64_t i = first; i < m->rows && (double)i < span->end * rate_hz - slack_steps; i++) {
        memcpy(m->values + i * m->columns, from, (size_t)m->columns * sizeof *from);
        m->valid[i] = valid;
    }
}

static status_t lay_out(const char *path, const char *base, const sequence_t *s, double rate_hz,
                        matrix_t *m) {
    span_t *spans = alloc_zero(max_i64(s->rows, 1), sizeof *spans);
    double end = 0.0;
    status_t status = spans_of(path, base, s, spans, &end);
    if (status == STATUS_OK) {
        int64_t steps = s->rows > 0 ? max_i64((int64_t)ceil(end * rate_hz - slack_steps), 1) : 0;
        status = matrix_make(path, steps, s->columns, m);
    }
    for (int64_t r = 0; r < s->rows && status == STATUS_OK; r++) {
        put(s, &spans[r], rate_hz, m);
    }
    free(spans);
    return status;
}

status_t matrix_read_csd(const char *path, const char *dataset, const matrix_rules_t *rules,
                         matrix_t *matrix_out) {
    if (dataset[0] == '\0' || !(rules->rate_hz > 0.0)) {
        return status_fail(STATUS_INPUT,
                           "%s: which sequence, and how many steps a second? name it in the column "
                           "\"dataset\", and give rate_hz",
                           path);
    }
    char *base = NULL, *root = NULL;
    if (strstr(dataset, "/data/") != NULL) {
        base = text_copy(dataset);
    } else {
        TRY(h5_only_name(path, &root));
        base = text_format("%s/data/%s", root, dataset);
        free(root);
    }
    sequence_t sequence = {0};
    status_t status = read_sequence(path, base, &sequence);
    if (status == STATUS_OK) {
        status = lay_out(path, base, &sequence, rules->rate_hz, matrix_out);
    }
    free(sequence.features);
    free(sequence.intervals);
    free(base);
    return status;
}
