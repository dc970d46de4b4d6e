#include "trainer/submission.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/evaluation_post.h"
#include "trainer/models.h"

typedef struct point {
    double frame;  /* at which it was predicted, from 0 */
    int64_t begin; /* of its numbers in those of the series */
} point_t;

typedef struct series {
    char *recording;
    int64_t frames, count;
    point_t *points;
    float *values;                     /* of all points, as added: [columns] each */
    float *labels[CONFIG_TARGETS_MAX]; /* [frames] */
} series_t;

struct submission {
    const config_t *config;
    target_fit_t fit;
    int shifts;
    /* Of a point's numbers: the values, or the scores of the classes, of each target. */
    int64_t first[CONFIG_TARGETS_MAX], columns;
    bool finished; /* nothing is added any more: points are in order, and post-processed */
    series_t *series;
    int64_t count;
};

/* --- collecting ------------------------------------------------------------------------------ */

status_t submission_open(const config_t *config, const target_fit_t *fit, int shifts, bool to_write,
                         submission_t **submission_out) {
    bool values = false;
    for (int t = 0; t < config->target_count; t++) {
        values |= target_classes(&config->targets[t]) == 0;
    }
    if (!values && !to_write) {
        return status_fail(STATUS_INPUT, "--shifts scores the values of frames, and all targets "
                                         "have classes; add --submission FILE, or leave it out");
    }
    submission_t *s = alloc_zero(1, sizeof *s);
    *s = (submission_t){.config = config, .fit = *fit, .shifts = shifts};
    for (int t = 0; t < config->target_count; t++) {
        s->first[t] = s->columns;
        s->columns += target_columns(&config->targets[t]);
    }
    *submission_out = s;
    return STATUS_OK;
}

void submission_close(submission_t *s) {
    for (int64_t i = 0; s != NULL && i < s->count; i++) {
        free(s->series[i].recording);
        free(s->series[i].points);
        free(s->series[i].values);
        for (int t = 0; t < s->config->target_count; t++) {
            free(s->series[i].labels[t]);
        }
    }
    if (s != NULL) {
        free(s->series);
    }
    free(s);
}

/* Evaluations list recordings in one order, so the one sought is at or behind `from`, as a rule. */
static int64_t series_of(submission_t *s, int64_t from, const dataset_t *dataset, split_t split,
                         int64_t sample) {
    const char *recording = dataset_sample(dataset, split, sample).recording;
    for (int64_t k = 0; k < s->count; k++) {
        int64_t i = (from + k) % s->count;
        if (strcmp(s->series[i].recording, recording) == 0) {
            return i;
        }
    }
    int64_t frames = dataset_frames(dataset, split, sample).count;
    s->series = array_grow(s->series, s->count, sizeof *s->series);
    series_t *series = &s->series[s->count];
    *series = (series_t){.recording = text_copy(recording), .frames = frames};
    for (int t = 0; t < s->config->target_count; t++) {
        series->labels[t] = alloc_zero(max_i64(frames, 1), sizeof(float));
        dataset_frame_labels(dataset, split, sample, t, series->labels[t]);
    }
    return s->count++;
}

static void add_point(const submission_t *s, series_t *series, const evaluation_t *e, int64_t from,
                      double frame) {
    point_t point = {.frame = frame, .begin = series->count * s->columns};
    series->points = array_grow(series->points, series->count, sizeof *series->points);
    series->points[series->count++] = point;
    for (int t = 0; t < e->target_count; t++) {
        for (int64_t c = 0; c < e->columns[t]; c++) {
            int64_t at = point.begin + s->first[t] + c;
            series->values = array_grow(series->values, at, sizeof *series->values);
            series->values[at] = e->prediction[t][from * e->columns[t] + c];
        }
    }
}

void submission_add(submission_t *s, const evaluation_t *e, const dataset_t *dataset,
                    split_t split) {
    int64_t at = 0;
    for (int64_t sample = 0; sample < e->steps / e->length; sample++) {
        sample_info_t info = dataset_sample(dataset, split, sample);
        frames_info_t frames = dataset_frames(dataset, split, sample);
        at = series_of(s, at, dataset, split, sample);
        series_t *series = &s->series[at];
        for (int64_t i = 0; i < info.steps; i++) {
            int64_t from = sample * e->length + i;
            if (e->stretch[from] < 0) {
                continue;
            }
            double frame = frames.offset + (double)(info.first_step + i) * frames.ratio;
            add_point(s, series, e, from, frame);
        }
    }
}

/* --- values of frames ------------------------------------------------------------------------ */

static bool is_value(const submission_t *s, int target) {
    return target_classes(&s->config->targets[target]) == 0;
}

static float *number_of(const series_t *series, int64_t point, int64_t column) {
    return &series->values[series->points[point].begin + column];
}

static int compare_points(const void *left, const void *right) {
    double a = ((const point_t *)left)->frame, b = ((const point_t *)right)->frame;
    return (a > b) - (a < b);
}

static void post_process_series(const submission_t *s, series_t *series) {
    float *x = alloc_zero(max_i64(series->count, 1), sizeof *x);
    float *out = alloc_zero(max_i64(series->count, 1), sizeof *out);
    int64_t *stretch = alloc_zero(max_i64(series->count, 1), sizeof *stretch);
    for (int t = 0; t < s->config->target_count; t++) {
        if (!is_value(s, t)) {
            continue;
        }
        bool fitted = strcmp(s->config->targets[t].smooth, "fit") == 0;
        int64_t width = (int64_t)s->fit.widths[t] * (fitted ? s->shifts : 1);
        post_process_t how = target_post_process(s->config, t, width);
        for (int64_t i = 0; i < series->count; i++) {
            x[i] = *number_of(series, i, s->first[t]);
        }
        post_process(&how, x, stretch, series->count, out);
        for (int64_t i = 0; i < series->count; i++) {
            *number_of(series, i, s->first[t]) = out[i];
        }
    }
    free(x);
    free(out);
    free(stretch);
}

static void finish(submission_t *s) {
    for (int64_t i = 0; !s->finished && i < s->count; i++) {
        series_t *series = &s->series[i];
        qsort(series->points, (size_t)series->count, sizeof *series->points, compare_points);
        post_process_series(s, series);
    }
    s->finished = true;
}

/* at: the last point that is not behind the frame, or the first one. */
static double value_at(const series_t *series, int64_t at, int64_t frame, int64_t column) {
    int64_t next = min_i64(at + 1, series->count - 1);
    double before = series->points[at].frame, behind = series->points[next].frame;
    double a = (double)*number_of(series, at, column);
    if ((double)frame <= before || behind <= before) {
        return a;
    }
    double part = ((double)frame - before) / (behind - before);
    return (1.0 - part) * a + part * (double)*number_of(series, next, column);
}

/* The last point that is not behind the frame; at: that of an earlier frame. */
static int64_t advance(const series_t *series, int64_t at, int64_t frame) {
    while (at + 1 < series->count && series->points[at + 1].frame <= (double)frame) {
        at++;
    }
    return at;
}

/* --- writing, scoring ------------------------------------------------------------------------ */

static int64_t class_at(const submission_t *s, const series_t *series, int64_t at, int64_t frame,
                        int target) {
    float scores[CLASSES_MAX];
    int64_t columns = target_columns(&s->config->targets[target]);
    for (int64_t c = 0; c < columns; c++) {
        scores[c] = (float)value_at(series, at, frame, s->first[target] + c);
    }
    return predicted_class(scores, columns, s->fit.cuts[target]);
}

/* Of classes with names the challenge of expressions wants these, though a line has one class. */
static void write_header(FILE *file, const config_t *config) {
    fprintf(file, "image_location");
    if (config->target_count == 1 && config->targets[0].class_names[0] != '\0') {
        for (const char *c = config->targets[0].class_names, *end; *c != '\0'; c = end) {
            c += strspn(c, " ");
            end = c + strcspn(c, " ");
            fprintf(file, ",%.*s", (int)(end - c), c);
        }
        fputc('\n', file);
        return;
    }
    for (int t = 0; t < config->target_count; t++) {
        fputc(',', file);
        csv_write_field(file, config->targets[t].name);
    }
    fputc('\n', file);
}

static void write_series(FILE *file, const submission_t *s, const series_t *series) {
    int64_t at = 0;
    for (int64_t frame = 0; frame < series->frames; frame++) {
        at = advance(series, at, frame);
        char *image = text_format("%s/%05lld.jpg", series->recording, (long long)frame + 1);
        csv_write_field(file, image);
        free(image);
        for (int t = 0; t < s->config->target_count; t++) {
            if (is_value(s, t)) {
                fprintf(file, ",%.6f", value_at(series, at, frame, s->first[t]));
            } else {
                fprintf(file, ",%lld", (long long)class_at(s, series, at, frame, t));
            }
        }
        fputc('\n', file);
    }
}

status_t submission_write(submission_t *s, const char *path) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    REQUIRE(file != NULL);
    finish(s);
    write_header(file, s->config);
    for (int64_t i = 0; i < s->count; i++) {
        write_series(file, s, &s->series[i]);
    }
    fclose(file);
    status_t status = file_write_durable(path, text, bytes);
    free(text);
    return status;
}

static int compare_series(const void *left, const void *right) {
    const series_t *a = left, *b = right;
    return strcmp(a->recording, b->recording);
}

void submission_score(submission_t *s, scores_t *scores) {
    int64_t frames = 0;
    bool unlabelled = s->config->parity.unlabelled_as_right;
    finish(s);
    if (s->count > 0) { /* sums in the order of names, as of steps */
        qsort(s->series, (size_t)s->count, sizeof *s->series, compare_series);
    }
    for (int64_t i = 0; i < s->count; i++) {
        frames += s->series[i].frames;
    }
    float *x = alloc_zero(max_i64(frames, 1), sizeof *x);
    float *y = alloc_zero(max_i64(frames, 1), sizeof *y);
    int64_t *sequence = alloc_zero(max_i64(frames, 1), sizeof *sequence);
    for (int t = 0; t < s->config->target_count; t++) {
        if (!is_value(s, t)) {
            continue;
        }
        int64_t put = 0;
        for (int64_t i = 0; i < s->count; i++) {
            const series_t *series = &s->series[i];
            for (int64_t frame = 0, at = 0; frame < series->frames; frame++, put++) {
                at = advance(series, at, frame);
                float label = series->labels[t][frame];
                x[put] = (float)value_at(series, at, frame, s->first[t]);
                y[put] = unlabelled && isnan(label) ? 0.0f : label;
                sequence[put] = i;
            }
        }
        score_frames(x, y, sequence, frames, &scores[t]);
    }
    free(x);
    free(y);
    free(sequence);
}
