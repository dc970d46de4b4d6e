#include "trainer/submission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/evaluation_post.h"
#include "trainer/models.h"

typedef struct point {
    double frame; /* at which it was predicted, from 0 */
    float value[CONFIG_TARGETS_MAX];
} point_t;

typedef struct series {
    char *recording;
    int64_t frames, count;
    point_t *points;
} series_t;

struct submission {
    const config_t *config;
    target_fit_t fit;
    int shifts;
    series_t *series;
    int64_t count;
};

/* --- collecting ------------------------------------------------------------------------------ */

status_t submission_open(const config_t *config, const target_fit_t *fit, int shifts,
                         submission_t **submission_out) {
    for (int t = 0; t < config->target_count; t++) {
        if (target_classes(&config->targets[t]) > 0) {
            return status_fail(STATUS_INPUT,
                               "a submission has a value for each frame, and target %s has "
                               "classes; use --predictions",
                               config->targets[t].name);
        }
    }
    submission_t *s = alloc_zero(1, sizeof *s);
    *s = (submission_t){.config = config, .fit = *fit, .shifts = shifts};
    *submission_out = s;
    return STATUS_OK;
}

void submission_close(submission_t *s) {
    for (int64_t i = 0; s != NULL && i < s->count; i++) {
        free(s->series[i].recording);
        free(s->series[i].points);
    }
    if (s != NULL) {
        free(s->series);
    }
    free(s);
}

/* Evaluations list recordings in one order, so the one sought is at or behind `from`, as a rule. */
static int64_t series_of(submission_t *s, int64_t from, const char *recording, int64_t frames) {
    for (int64_t k = 0; k < s->count; k++) {
        int64_t i = (from + k) % s->count;
        if (strcmp(s->series[i].recording, recording) == 0) {
            return i;
        }
    }
    s->series = array_grow(s->series, s->count, sizeof *s->series);
    s->series[s->count] = (series_t){.recording = text_copy(recording), .frames = frames};
    return s->count++;
}

void submission_add(submission_t *s, const evaluation_t *e, const dataset_t *dataset,
                    split_t split) {
    int64_t at = 0;
    for (int64_t sample = 0; sample < e->steps / e->length; sample++) {
        sample_info_t info = dataset_sample(dataset, split, sample);
        frames_info_t frames = dataset_frames(dataset, split, sample);
        at = series_of(s, at, info.recording, frames.count);
        series_t *series = &s->series[at];
        for (int64_t i = 0; i < info.steps; i++) {
            int64_t from = sample * e->length + i;
            if (e->stretch[from] < 0) {
                continue;
            }
            point_t point = {.frame = frames.offset + (double)(info.first_step + i) * frames.ratio};
            for (int t = 0; t < e->target_count; t++) {
                point.value[t] = e->prediction[t][from];
            }
            series->points = array_grow(series->points, series->count, sizeof *series->points);
            series->points[series->count++] = point;
        }
    }
}

/* --- writing --------------------------------------------------------------------------------- */

static int compare_points(const void *left, const void *right) {
    double a = ((const point_t *)left)->frame, b = ((const point_t *)right)->frame;
    return (a > b) - (a < b);
}

static void post_process_series(const submission_t *s, series_t *series) {
    float *x = alloc_zero(max_i64(series->count, 1), sizeof *x);
    float *out = alloc_zero(max_i64(series->count, 1), sizeof *out);
    int64_t *stretch = alloc_zero(max_i64(series->count, 1), sizeof *stretch);
    for (int t = 0; t < s->config->target_count; t++) {
        bool fitted = strcmp(s->config->targets[t].smooth, "fit") == 0;
        int64_t width = (int64_t)s->fit.widths[t] * (fitted ? s->shifts : 1);
        post_process_t how = target_post_process(s->config, t, width);
        for (int64_t i = 0; i < series->count; i++) {
            x[i] = series->points[i].value[t];
        }
        post_process(&how, x, stretch, series->count, out);
        for (int64_t i = 0; i < series->count; i++) {
            series->points[i].value[t] = out[i];
        }
    }
    free(x);
    free(out);
    free(stretch);
}

/* at: the last point that is not behind the frame, or the first one. */
static double value_at(const series_t *series, int64_t at, int64_t frame, int target) {
    const point_t *a = &series->points[at];
    const point_t *b = &series->points[min_i64(at + 1, series->count - 1)];
    if ((double)frame <= a->frame || b->frame <= a->frame) {
        return (double)a->value[target];
    }
    double part = ((double)frame - a->frame) / (b->frame - a->frame);
    return (1.0 - part) * (double)a->value[target] + part * (double)b->value[target];
}

static void write_series(FILE *file, const submission_t *s, const series_t *series) {
    int64_t at = 0;
    for (int64_t frame = 0; frame < series->frames; frame++) {
        while (at + 1 < series->count && series->points[at + 1].frame <= (double)frame) {
            at++;
        }
        char *image = text_format("%s/%05lld.jpg", series->recording, (long long)frame + 1);
        csv_write_field(file, image);
        free(image);
        for (int t = 0; t < s->config->target_count; t++) {
            fprintf(file, ",%.6f", value_at(series, at, frame, t));
        }
        fputc('\n', file);
    }
}

status_t submission_write(submission_t *s, const char *path) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    REQUIRE(file != NULL);
    fprintf(file, "image_location");
    for (int t = 0; t < s->config->target_count; t++) {
        fputc(',', file);
        csv_write_field(file, s->config->targets[t].name);
    }
    fputc('\n', file);
    for (int64_t i = 0; i < s->count; i++) {
        series_t *series = &s->series[i];
        qsort(series->points, (size_t)series->count, sizeof *series->points, compare_points);
        post_process_series(s, series);
        write_series(file, s, series);
    }
    fclose(file);
    status_t status = file_write_durable(path, text, bytes);
    free(text);
    return status;
}
