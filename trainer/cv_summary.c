#include "trainer/cv_summary.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/cv_pool.h"
#include "trainer/evaluation_post.h"
#include "trainer/people_interval.h"
#include "trainer/run_directory.h"

enum {
    COLUMN_RECORDING,
    COLUMN_SUBJECT,
    COLUMN_STEP,
    COLUMN_NAME,
    COLUMN_TARGET,
    COLUMN_VALUE,
    COLUMN_POST
};

typedef struct summary {
    const config_t *config;
    const cv_plan_t *plan;
    pool_t pools[CONFIG_TARGETS_MAX]; /* of the seed at hand */
    int64_t n, n_invalid;
    people_t *people;
    int run; /* of the seed at hand */
    json_t *folds, *by_seed;
    json_t *marks, *selected_on; /* keys: what folds say, in order of appearance */
    FILE *csv;
} summary_t;

char *cv_fold_directory(const cv_plan_t *plan, int64_t fold, int64_t seed) {
    return text_format("%s/fold-%lld-seed-%lld", plan->out, (long long)fold, (long long)seed);
}

/* --- reading --------------------------------------------------------------------------------- */

static status_t read_evaluation(const char *directory, json_t **root_out) {
    char *path = text_format("%s/evaluation.json", directory), *text = NULL;
    status_t status = file_read(path, &text, NULL);
    if (status == STATUS_OK) {
        *root_out = json_loads(text, 0, NULL);
        if (!json_is_object(json_object_get(*root_out, "targets")) ||
            !json_is_string(json_object_get(*root_out, "marks")) ||
            !json_is_string(json_object_get(*root_out, "selected_on"))) {
            json_decref(*root_out);
            *root_out = NULL;
            status = status_fail(STATUS_INPUT,
                                 "%s is damaged; remove it, and the fold is evaluated again", path);
        }
    }
    free(text);
    free(path);
    return status;
}

/* The parts of a text that are not there yet: "a; b". */
static void add_parts(json_t *parts, const char *text) {
    while (text[0] != '\0') {
        const char *end = strstr(text, "; ");
        size_t length = end != NULL ? (size_t)(end - text) : strlen(text);
        char *part = text_format("%.*s", (int)length, text);
        json_object_set_new(parts, part, json_null());
        free(part);
        text += end != NULL ? length + 2 : length;
    }
}

static char *joined(json_t *parts) {
    const char *part;
    json_t *unused;
    char *text = text_copy("");
    json_object_foreach(parts, part, unused) {
        char *longer = text_format("%s%s%s", text, text[0] != '\0' ? "; " : "", part);
        free(text);
        text = longer;
    }
    return text;
}

static int target_of(const config_t *config, const char *name) {
    for (int t = 0; t < config->target_count; t++) {
        if (strcmp(config->targets[t].name, name) == 0) {
            return t;
        }
    }
    return -1;
}

static void add_subject(json_t *subjects, const char *alias) {
    for (size_t i = json_array_size(subjects); i > 0; i--) {
        if (strcmp(json_string_value(json_array_get(subjects, i - 1)), alias) == 0) {
            return;
        }
    }
    json_array_append_new(subjects, json_string(alias));
}

static status_t add_predictions(summary_t *s, const csv_t *csv, int64_t fold, int64_t seed,
                                json_t *subjects) {
    const char *last[CONFIG_TARGETS_MAX] = {NULL};
    int columns = config_is_post_processed(s->config) ? COLUMN_POST + 1 : COLUMN_POST;
    for (int64_t i = 1; i < csv->row_count; i++) {
        const char *text[COLUMN_POST + 1];
        double target = 0.0, prediction = 0.0, post = (double)NAN;
        for (int c = 0; c < columns; c++) {
            TRY(csv_text(csv, i, c, &text[c]));
        }
        TRY(csv_number(csv, i, COLUMN_TARGET, &target));
        TRY(csv_number(csv, i, COLUMN_VALUE, &prediction));
        int t = target_of(s->config, text[COLUMN_NAME]);
        if (t < 0) {
            return status_fail(STATUS_INPUT, "%s: there is no target %s; choose another --out",
                               csv->path, text[COLUMN_NAME]);
        }
        bool same = last[t] != NULL && strcmp(last[t], text[COLUMN_RECORDING]) == 0;
        last[t] = text[COLUMN_RECORDING];
        if (target_is_post_processed(&s->config->targets[t])) {
            TRY(csv_number(csv, i, COLUMN_POST, &post));
        }
        pool_add(&s->pools[t], target, prediction, post, same);
        people_add(s->people, s->run, text[COLUMN_SUBJECT], t, target, prediction, post);
        add_subject(subjects, text[COLUMN_SUBJECT]);
        fprintf(s->csv, "%lld,%lld", (long long)fold, (long long)seed);
        for (int c = 0; c < columns; c++) {
            fputc(',', s->csv);
            csv_write_field(s->csv, text[c]);
        }
        fputc('\n', s->csv);
    }
    return STATUS_OK;
}

static status_t add_fold(summary_t *s, int64_t fold, int64_t seed) {
    char *directory = cv_fold_directory(s->plan, fold, seed);
    char *path = text_format("%s/predictions.csv", directory);
    json_t *root = NULL, *subjects = json_array();
    csv_t csv = {0};
    status_t status = read_evaluation(directory, &root);
    if (status == STATUS_OK) {
        status = csv_open(path, &csv);
    }
    if (status == STATUS_OK) {
        status = add_predictions(s, &csv, fold, seed, subjects);
        csv_close(&csv);
        json_t *targets = json_object_get(root, "targets");
        for (int t = 0; t < s->config->target_count; t++) {
            json_t *target = json_object_get(targets, s->config->targets[t].name);
            s->pools[t].n_invalid += json_integer_value(json_object_get(target, "n_invalid"));
        }
        s->n += json_integer_value(json_object_get(root, "n"));
        s->n_invalid += json_integer_value(json_object_get(root, "n_invalid"));
        add_parts(s->marks, json_string_value(json_object_get(root, "marks")));
        add_parts(s->selected_on, json_string_value(json_object_get(root, "selected_on")));
        json_object_del(root, "data"); /* the same for all; */
        json_object_del(root, "config");
        json_object_set(root, "subjects", subjects);
        json_array_append(s->folds, root);
    }
    json_decref(subjects);
    json_decref(root);
    free(path);
    free(directory);
    return status;
}

/* --- scoring --------------------------------------------------------------------------------- */

/* The folds of one seed as if they were one test part. */
static void close_seed(summary_t *s, int64_t seed) {
    evaluation_t all = {.target_count = s->config->target_count};
    all.scores = alloc_zero(max_i64(all.target_count, 1), sizeof *all.scores);
    for (int t = 0; t < all.target_count; t++) {
        pool_score(&s->pools[t], &s->config->targets[t], &all.scores[t]);
        pool_clear(&s->pools[t]);
    }
    char *text = evaluation_json(&all, s->config, split_name(SPLIT_TEST));
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    free(all.scores);
    json_object_del(root, "loss"); /* is not one of pooled predictions */
    json_object_set_new(root, "n", json_integer(s->n));
    json_object_set_new(root, "n_invalid", json_integer(s->n_invalid));
    json_object_set_new(root, "seed", json_integer(seed));
    json_array_append_new(s->by_seed, root);
    s->n = s->n_invalid = 0;
    s->run++;
}

/* {mean, std, n} of METRIC over rows[].metrics, or over rows[].targets.TARGET; NULL: no row has
 * it. */
static json_t *spread(json_t *rows, const char *target, const char *metric) {
    double sum = 0.0, squares = 0.0, mean = 0.0;
    int count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < json_array_size(rows); i++) {
            json_t *row = json_array_get(rows, i);
            json_t *from = json_object_get(row, target != NULL ? "targets" : "metrics");
            json_t *value =
                json_object_get(target != NULL ? json_object_get(from, target) : from, metric);
            double distance = json_number_value(value) - mean;
            sum += pass == 0 && value != NULL ? json_number_value(value) : 0.0;
            count += pass == 0 && value != NULL;
            squares += pass == 1 && value != NULL ? distance * distance : 0.0;
        }
        mean = count > 0 ? sum / count : 0.0;
    }
    json_t *std = count > 1 ? json_real(sqrt(squares / (count - 1))) : json_null();
    json_t *result = json_pack("{s:f, s:o, s:i}", "mean", mean, "std", std, "n", count);
    if (count == 0) {
        json_decref(result);
        return NULL;
    }
    return result;
}

/* By metric: its spread, or one part of it. */
static json_t *spreads(json_t *rows, const char *target, const char *part) {
    json_t *object = json_object();
    for (int m = 0; m < METRIC_COUNT; m++) {
        json_t *value = spread(rows, target, metric_name((metric_t)m));
        if (value != NULL) {
            json_object_set(object, metric_name((metric_t)m),
                            part != NULL ? json_object_get(value, part) : value);
            json_decref(value);
        }
    }
    return object;
}

/* By metric: [low, high] of the mean over seeds, over people drawn anew. */
static json_t *intervals(const summary_t *s) {
    interval_t interval[METRIC_COUNT];
    json_t *object = json_object();
    people_intervals(s->people, interval);
    for (int m = 0; m < METRIC_COUNT; m++) {
        if (!isnan(interval[m].low)) {
            json_object_set_new(object, metric_name((metric_t)m),
                                json_pack("[f, f]", interval[m].low, interval[m].high));
        }
    }
    return object;
}

static json_t *pooled(const summary_t *s) {
    json_t *targets = json_object(), *first = json_array_get(s->by_seed, 0);
    for (int t = 0; t < s->config->target_count; t++) {
        const char *name = s->config->targets[t].name;
        json_object_set_new(targets, name, spreads(s->by_seed, name, "mean"));
    }
    return json_pack("{s:O, s:O, s:o, s:o, s:o, s:I, s:o}", "n", json_object_get(first, "n"),
                     "n_invalid", json_object_get(first, "n_invalid"), "metrics",
                     spreads(s->by_seed, NULL, "mean"), "std", spreads(s->by_seed, NULL, "std"),
                     "targets", targets, "people", (json_int_t)people_count(s->people), "interval",
                     intervals(s));
}

/* --- writing --------------------------------------------------------------------------------- */

static status_t write_text(const cv_plan_t *plan, const char *name, const char *text) {
    char *path = text_format("%s/%s", plan->out, name);
    status_t status = file_write_durable(path, text, strlen(text));
    free(path);
    return status;
}

static status_t write_summary(const summary_t *s) {
    const cv_plan_t *plan = s->plan;
    config_t common = *s->config;
    const config_t *config = &common;
    common.split.fold = 0;
    char *row = run_row_name(config), *yaml = config_yaml(config);
    if (json_object_del(s->selected_on, "last") == 0) { /* of folds that nobody could judge */
        json_object_set_new(s->selected_on, "last", json_null());
    }
    char *marks = joined(s->marks), *selected_on = joined(s->selected_on);
    json_t *seeds = json_array();
    for (int i = 0; i < plan->seed_count; i++) {
        json_array_append_new(seeds, json_integer(plan->seeds[i]));
    }
    bool all = plan->fold_count == plan->fold_total;
    const char *by = strcmp(config->split.by, "group") == 0             ? " by group"
                     : strcmp(config->split.by, "both") == 0            ? " by person and group"
                     : strcmp(config->split.by, "leaky_published") == 0 ? ", LEAKY"
                                                                        : "";
    char *split = config->split.folds == 0 ? text_copy(split_name(SPLIT_TEST))
                  : all                    ? text_format("test of %d folds%s", plan->fold_count, by)
                        : text_format("test of %d of %d folds%s", plan->fold_count,
                                      (int)plan->fold_total, by);
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:O, s:o, s:O}", "program", "jmt",
        "model", config->model.name, "row", row, "selected_on", selected_on, "marks", marks,
        "config", yaml, "split", split, "data", plan->data_identity, "fold_total",
        (json_int_t)plan->fold_total, "seeds", seeds, "pooled", pooled(s), "by_seed", s->by_seed,
        "over_folds", spreads(s->folds, NULL, NULL), "folds", s->folds);
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17));
    status_t status = write_text(plan, "summary.json", text);
    free(text);
    json_decref(root);
    free(split);
    free(row);
    free(yaml);
    free(marks);
    free(selected_on);
    return status;
}

static status_t add_all(summary_t *s) {
    fprintf(s->csv, "fold,seed,recording,subject,step,name,target,prediction%s\n",
            config_is_post_processed(s->config) ? ",post" : "");
    for (int i = 0; i < s->plan->seed_count; i++) {
        for (int f = 0; f < s->plan->fold_count; f++) {
            TRY(add_fold(s, s->plan->folds[f], s->plan->seeds[i]));
        }
        close_seed(s, s->plan->seeds[i]);
    }
    return STATUS_OK;
}

status_t cv_summarize(const config_t *config, const cv_plan_t *plan) {
    summary_t s = {.config = config, .plan = plan};
    char *csv = NULL;
    size_t bytes = 0;
    s.people = people_open(config, plan->seed_count);
    s.folds = json_array();
    s.by_seed = json_array();
    s.marks = json_object();
    s.selected_on = json_object();
    s.csv = open_memstream(&csv, &bytes);
    REQUIRE(s.csv != NULL);
    status_t status = add_all(&s);
    fclose(s.csv);
    if (status == STATUS_OK) {
        status = write_text(plan, "predictions.csv", csv);
    }
    if (status == STATUS_OK) {
        status = write_summary(&s);
    }
    for (int t = 0; t < CONFIG_TARGETS_MAX; t++) { /* left over after an error */
        pool_clear(&s.pools[t]);
    }
    people_close(s.people);
    json_decref(s.folds);
    json_decref(s.by_seed);
    json_decref(s.marks);
    json_decref(s.selected_on);
    free(csv);
    return status;
}
