#include "trainer/people_interval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "trainer/models.h"

typedef struct sums {
    value_sums_t plain, post;
    double *confusion; /* [classes, classes]; NULL: values */
} sums_t;

typedef struct person {
    char *subject;
    sums_t *sums; /* [runs, targets] */
} person_t;

struct people {
    const config_t *config;
    int runs;
    person_t *person;
    int64_t count;
};

/* --- collecting ------------------------------------------------------------------------------ */

static sums_t *sums_open(const people_t *people) {
    const config_t *config = people->config;
    int targets = config->target_count;
    sums_t *sums = alloc_zero(max_i64((int64_t)people->runs * targets, 1), sizeof *sums);
    for (int i = 0; i < people->runs * targets; i++) {
        int64_t classes = target_classes(&config->targets[i % targets]);
        if (classes > 0) {
            sums[i].confusion = alloc_zero(classes * classes, sizeof(double));
        }
    }
    return sums;
}

static void sums_close(const people_t *people, sums_t *sums) {
    for (int i = 0; i < people->runs * people->config->target_count; i++) {
        free(sums[i].confusion);
    }
    free(sums);
}

people_t *people_open(const config_t *config, int runs) {
    people_t *people = alloc_zero(1, sizeof *people);
    *people = (people_t){.config = config, .runs = runs};
    return people;
}

void people_close(people_t *people) {
    for (int64_t k = 0; people != NULL && k < people->count; k++) {
        free(people->person[k].subject);
        sums_close(people, people->person[k].sums);
    }
    if (people != NULL) {
        free(people->person);
    }
    free(people);
}

int64_t people_count(const people_t *people) { return people->count; }

static person_t *person_of(people_t *people, const char *subject) {
    for (int64_t k = people->count - 1; k >= 0; k--) { /* mostly the latest */
        if (strcmp(people->person[k].subject, subject) == 0) {
            return &people->person[k];
        }
    }
    people->person = array_grow(people->person, people->count, sizeof *people->person);
    people->person[people->count] = (person_t){text_copy(subject), sums_open(people)};
    return &people->person[people->count++];
}

void people_add(people_t *people, int run, const char *subject, int target, double label,
                double prediction, double post) {
    const config_t *config = people->config;
    person_t *person = person_of(people, subject);
    sums_t *sums = &person->sums[run * config->target_count + target];
    int64_t classes = target_classes(&config->targets[target]);
    if (classes > 0) {
        REQUIRE(label >= 0.0 && label < (double)classes && prediction >= 0.0 &&
                prediction < (double)classes);
        sums->confusion[(int64_t)label * classes + (int64_t)prediction] += 1.0;
        return;
    }
    value_sums_add(&sums->plain, prediction, label);
    if (!isnan(post)) {
        value_sums_add(&sums->post, post, label);
    }
}

/* --- one draw -------------------------------------------------------------------------------- */

static void join(value_sums_t *to, const value_sums_t *from, double times) {
    to->n += times * from->n;
    to->x += times * from->x;
    to->y += times * from->y;
    to->xx += times * from->xx;
    to->yy += times * from->yy;
    to->xy += times * from->xy;
    to->distance += times * from->distance;
}

/* times[k]: how often a person was drawn. */
static void score_target(const people_t *people, const double *times, int run, int target,
                         scores_t *scores) {
    const target_config_t *config = &people->config->targets[target];
    int64_t classes = target_classes(config);
    int at = run * people->config->target_count + target;
    value_sums_t plain = {0}, post = {0};
    memset(scores, 0, sizeof *scores);
    scores->classes = classes;
    for (int64_t k = 0; k < people->count; k++) {
        const sums_t *sums = &people->person[k].sums[at];
        join(&plain, &sums->plain, times[k]);
        join(&post, &sums->post, times[k]);
        for (int64_t c = 0; c < classes * classes; c++) {
            scores->confusion[c / classes][c % classes] += (int64_t)(times[k] * sums->confusion[c]);
        }
    }
    if (classes > 0) {
        score_confusion(target_columns(config) == 1, scores);
    } else {
        score_sums(&plain, &post, scores);
    }
}

/* value_out[m]: the mean over runs of metric m, itself a mean over targets. */
static void score_draw(const people_t *people, const double *times, scores_t *scores,
                       double value_out[METRIC_COUNT]) {
    int targets = people->config->target_count;
    for (int m = 0; m < METRIC_COUNT; m++) {
        value_out[m] = 0.0;
    }
    for (int run = 0; run < people->runs; run++) {
        for (int t = 0; t < targets; t++) {
            score_target(people, times, run, t, &scores[t]);
        }
        for (int m = 0; m < METRIC_COUNT; m++) {
            value_out[m] += scores_mean(scores, targets, (metric_t)m) / people->runs;
        }
    }
}

/* --- all draws ------------------------------------------------------------------------------- */

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts; a draw without the metric (everybody in it lacks the label) does not count. */
static interval_t percentiles(double *values, int count) {
    int known = 0;
    for (int i = 0; i < count; i++) {
        if (!isnan(values[i])) {
            values[known++] = values[i];
        }
    }
    if (known == 0) {
        return (interval_t){NAN, NAN};
    }
    qsort(values, (size_t)known, sizeof *values, compare);
    return (interval_t){values[(int)floor(0.025 * (known - 1))],
                        values[(int)ceil(0.975 * (known - 1))]};
}

static void draw(const people_t *people, int number, double *times) {
    const rng_key_t key = {0, rng_name("people_interval"), (uint64_t)number};
    memset(times, 0, (size_t)people->count * sizeof *times);
    for (int64_t i = 0; i < people->count; i++) {
        times[rng_below(key, (uint64_t)i, (uint64_t)people->count)] += 1.0;
    }
}

void people_intervals(const people_t *people, interval_t intervals_out[METRIC_COUNT]) {
    int draws = people->count > 1 ? PEOPLE_DRAWS : 0;
    double(*values)[PEOPLE_DRAWS] = alloc_zero(METRIC_COUNT, sizeof *values);
    double *times = alloc_zero(max_i64(people->count, 1), sizeof *times);
    scores_t *scores = alloc_zero(max_i64(people->config->target_count, 1), sizeof *scores);
    for (int i = 0; i < draws; i++) {
        double value[METRIC_COUNT];
        draw(people, i, times);
        score_draw(people, times, scores, value);
        for (int m = 0; m < METRIC_COUNT; m++) {
            values[m][i] = value[m];
        }
    }
    for (int m = 0; m < METRIC_COUNT; m++) {
        intervals_out[m] = percentiles(values[m], draws);
    }
    free(values);
    free(times);
    free(scores);
}
