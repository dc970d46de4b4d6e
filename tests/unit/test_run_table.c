#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/run_table.h"

static char root_[64];

static int make_root(void **state) {
    (void)state;
    snprintf(root_, sizeof root_, "/tmp/jmt-run-table-XXXXXX");
    return mkdtemp(root_) == NULL;
}

static int remove_root(void **state) {
    (void)state;
    return dir_remove(root_) != STATUS_OK;
}

static void write_file(const char *run, const char *name, const char *text) {
    char *path = text_format("%s/%s/%s", root_, run, name);
    CHECK_OK(file_write_durable(path, text, strlen(text)));
    free(path);
}

static void write_object(const char *run, const char *name, json_t *object) {
    char *text = json_dumps(object, 0);
    write_file(run, name, text);
    free(text);
    json_decref(object);
}

/* A run as far as the table reads it: ROW, and what its evaluation says, which has the settings.
 * config.yaml is what somebody has made of it since. */
static char *make_run_of(const char *run, const char *row, int seed, const char *yaml,
                         const char *evaluation) {
    char *directory = text_format("%s/%s", root_, run);
    CHECK_OK(dir_make(directory));
    char *manifest = text_format("{\"row\": \"%s\", \"seed\": 77, \"data\": \"not read\", "
                                 "\"marks\": \"not read\", \"selected_on\": \"ccc\"}",
                                 row);
    char *config = text_format("seed: %d\nmodalities: {a: {}}\ntargets: {y: {}}\n%s", seed, yaml);
    write_file(run, "manifest.json", manifest);
    json_t *record = json_loads(evaluation, 0, NULL);
    json_object_set_new(record, "config", json_string(config));
    write_file(run, "config.yaml", "model: {token: max}\nmodalities: {a: {}}\ntargets: {y: {}}\n");
    write_object(run, "evaluation.json", record);
    free(manifest);
    free(config);
    return directory;
}

static char *said(const char *split, const char *data, int seed, const char *marks, int n,
                  const char *metrics) {
    return text_format("{\"split\": \"%s\", \"data\": \"%s\", \"data_path\": \"d\", "
                       "\"training_data\": \"x\", \"selected_on\": \"ccc\", \"seed\": %d, "
                       "\"marks\": \"%s\", \"settings\": {}, \"n\": %d, \"metrics\": {%s}}",
                       split, data, seed, marks, n, metrics);
}

static char *make_run(const char *run, const char *row, int seed, const char *data,
                      const char *metrics) {
    int n = strcmp(run, "a1") == 0 ? 90 : strcmp(run, "a2") == 0 ? 70 : 80;
    char *evaluation = said("test", data, seed, "", n, metrics);
    char *directory = make_run_of(run, row, seed, "", evaluation);
    free(evaluation);
    return directory;
}

static double at(json_t *root, const char *model, const char *metric, const char *what) {
    json_t *values =
        json_object_get(json_object_get(json_object_get(root, "models"), model), metric);
    json_t *value = json_object_get(values, what);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void mean_and_sample_spread(void **state) {
    (void)state;
    char *runs[] = {
        make_run("a0", "jmt", 3, "x", "\"ccc\": 0.5, \"accuracy\": 1"),
        make_run("a1", "jmt", 1, "x", "\"ccc\": 0.75, \"accuracy\": 0.5"),
        make_run("a2", "jmt", 2, "x", "\"ccc\": 0.25"),
        make_run("b0", "mt", 1, "x", "\"ccc\": 0.125"),
    };
    run_table_t *table = NULL;
    CHECK_OK(run_table_open((const char *const *)runs, 4, &table));
    char *text = run_table_json(table);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    /* 0.5, 0.75, 0.25: mean 0.5, squares 0 + 1/16 + 1/16 over n - 1 = 2 */
    assert_true(at(root, "jmt", "ccc", "mean") == 0.5);
    assert_true(at(root, "jmt", "ccc", "std") == 0.25);
    assert_true(at(root, "jmt", "accuracy", "mean") == 0.75);
    assert_true(fabs(at(root, "jmt", "accuracy", "std") - sqrt(0.125)) < 1e-15);
    assert_true(at(root, "mt", "ccc", "mean") == 0.125);
    assert_true(isnan(at(root, "mt", "ccc", "std")));
    json_t *seeds = json_object_get(root, "seeds");
    assert_int_equal(json_array_size(seeds), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(json_integer_value(json_array_get(seeds, (size_t)i)), i + 1);
    }
    json_decref(root);
    free(text);
    CHECK_OK(run_table_text(table, "csv", &text));
    assert_string_equal(text, "model,selected_on,marks,runs,n,accuracy,accuracy_std,ccc,ccc_std\n"
                              "jmt,valid ccc,,3,70-90,0.750000,0.353553,0.500000,0.250000\n"
                              "mt,valid ccc,,1,80,,,0.125000,\n");
    free(text);
    CHECK_FAILS(run_table_text(table, "html", &text), STATUS_INPUT, "--format html");
    run_table_close(table);
    for (int i = 0; i < 4; i++) {
        free(runs[i]);
    }
}

static void what_does_not_belong_together_is_refused(void **state) {
    (void)state;
    char *runs[] = {make_run("c0", "jmt", 1, "x", "\"ccc\": 0.5"),
                    make_run("c1", "jmt", 1, "x", "\"ccc\": 0.5"),
                    make_run("c2", "jmt", 2, "y", "\"ccc\": 0.5")};
    run_table_t *table = NULL;
    const char *twice[] = {runs[0], runs[1]}, *mixed[] = {runs[0], runs[2]};
    CHECK_FAILS(run_table_open(twice, 2, &table), STATUS_INPUT, "seed 1 already");
    CHECK_FAILS(run_table_open(mixed, 2, &table), STATUS_INPUT, "its data is 'y'");
    write_file("c0", "evaluation.json", "{\"split\": ");
    CHECK_FAILS(run_table_open(twice, 1, &table), STATUS_INPUT, "is damaged");
    const char *nowhere[] = {"/nowhere"};
    CHECK_FAILS(run_table_open(nowhere, 1, &table), STATUS_INPUT, "/nowhere/manifest.json");
    char *path = text_format("%s/evaluation.json", runs[0]);
    unlink(path);
    CHECK_FAILS(run_table_open(twice, 1, &table), STATUS_INPUT, "make it by jmt evaluate ");
    CHECK_FAILS(run_table_open(twice, 1, &table), STATUS_INPUT, "checkpoints/best-ccc --out ");
    free(path);
    write_file("c0", "evaluation.json", "{\"split\": \"test\", \"n\": 1, \"metrics\": {}}");
    CHECK_FAILS(run_table_open(twice, 1, &table), STATUS_INPUT, "is of an older version");
    for (int i = 0; i < 3; i++) {
        free(runs[i]);
    }
}

/* What an earlier version trained with is a row, though nothing reads one of its settings. */
static void stored_settings_are_not_judged(void **state) {
    (void)state;
    char *evaluation = said("test", "x", 1, "", 80, "\"accuracy\": 0.5");
    char *run = make_run_of("o0", "jmt", 1, "loss: {ccc_unbiased: true}\n", evaluation);
    json_t *record = json_loads(evaluation, 0, NULL);
    json_object_set_new(record, "config",
                        json_string("loss: {ccc_unbiased: true}\nmodalities: {a: {}}\n"
                                    "targets: {y: {loss: mse}}\n"));
    write_object("o0", "evaluation.json", record);
    run_table_t *table = NULL;
    CHECK_OK(run_table_open((const char *const *)&run, 1, &table));
    run_table_close(table);
    write_file("o0", "evaluation.json", evaluation); /* without its settings */
    CHECK_FAILS(run_table_open((const char *const *)&run, 1, &table), STATUS_INPUT,
                "is of an older version; write it again");
    free(evaluation);
    free(run);
}

static char *make_cv(const char *run, const char *row, double mean, const char *interval) {
    char *directory = text_format("%s/%s", root_, run);
    CHECK_OK(dir_make(directory));
    char *text =
        text_format("{\"config\": \"modalities: {a: {}}\\ntargets: {y: {}}\", \"row\": \"%s\", "
                    "\"marks\": \"\", \"selected_on\": \"last\", \"split\": \"test of 5 folds\", "
                    "\"data\": \"x\", \"pooled\": {\"interval\": {%s}}, \"by_seed\": ["
                    "{\"seed\": 4, \"n\": 33, \"metrics\": {\"uar\": %g, \"rmse\": 1}}]}",
                    row, interval, mean);
    write_file(run, "summary.json", text);
    free(text);
    return directory;
}

/* b lies within a's interval, c below it; d has none. What is best depends on the metric. */
static void rows_that_overlap_are_not_ranked(void **state) {
    (void)state;
    char *runs[] = {make_cv("ia", "jmt", 0.75, "\"uar\": [0.625, 0.875]"),
                    make_cv("ib", "mt", 0.625, "\"uar\": [0.5, 0.625]"),
                    make_cv("ic", "concat", 0.5, "\"uar\": [0.25, 0.5625]"),
                    make_cv("id", "lfan", 1.0, "")};
    run_table_t *table = NULL;
    char *text = NULL;
    CHECK_OK(run_table_open((const char *const *)runs, 4, &table));
    assert_true(run_table_has_intervals(table));
    CHECK_OK(run_table_text(table, "csv", &text));
    assert_string_equal(
        text, "model,selected_on,marks,runs,n,uar,uar_std,uar_low,uar_high,rmse,rmse_std,rmse_low,"
              "rmse_high,ranking\n"
              "jmt,last,,1,33,0.750000,,0.625000,0.875000,1.000000,,,,none\n"
              "mt,last,,1,33,0.625000,,0.500000,0.625000,1.000000,,,,none\n"
              "concat,last,,1,33,0.500000,,0.250000,0.562500,1.000000,,,,behind\n"
              "lfan,last,,1,33,1.000000,,,,1.000000,,,,\n");
    free(text);
    CHECK_OK(run_table_text(table, "md", &text));
    assert_non_null(strstr(text, "| 0.750 [0.625, 0.875] | 1.000         | none |\n"));
    free(text);
    run_table_close(table);
    CHECK_OK(run_table_open((const char *const[]){runs[0], runs[2]}, 2, &table));
    assert_string_equal(run_table_rank(table, 0), "first");
    assert_string_equal(run_table_rank(table, 1), "behind");
    run_table_close(table);
    for (int i = 0; i < 2; i++) { /* by what selected them, a metric or one target's */
        free(runs[i]);
        runs[i] = make_cv(i == 0 ? "ia" : "ib", i == 0 ? "jmt" : "mt", 0.5,
                          i == 0 ? "\"uar\": [0.4, 0.6], \"rmse\": [1, 1]"
                                 : "\"uar\": [0.4, 0.6], \"rmse\": [2, 3]");
        char *path = text_format("%s/summary.json", runs[i]);
        json_t *root = json_load_file(path, 0, NULL);
        json_object_set_new(root, "selected_on", json_string("y.rmse; last"));
        write_object(i == 0 ? "ia" : "ib", "summary.json", root);
        free(path);
    }
    CHECK_OK(run_table_open((const char *const *)runs, 2, &table));
    assert_string_equal(run_table_rank(table, 0), "first"); /* of equal means the first is best */
    assert_string_equal(run_table_rank(table, 1), "behind");
    run_table_close(table);
    for (int i = 0; i < 4; i++) {
        free(runs[i]);
    }
}

/* Each seed of a cross-validation is a run, by its pooled scores; not beside runs on one split. */
static void cross_validations_are_rows(void **state) {
    (void)state;
    char *run = make_run("d0", "jmt", 1, "x", "\"ccc\": 0.5");
    char *directory = text_format("%s/cv", root_);
    CHECK_OK(dir_make(directory));
    write_file("cv", "summary.json",
               "{\"config\": \"modalities: {a: {}}\\ntargets: {y: {}}\", \"row\": \"mt\", "
               "\"marks\": \"control; transductive\", \"selected_on\": \"last\", "
               "\"split\": \"test of 5 folds\", "
               "\"data\": \"x\", \"by_seed\": ["
               "{\"seed\": 4, \"n\": 33, \"metrics\": {\"uar\": 0.5, \"f1_weighted\": 0.25}}, "
               "{\"seed\": 5, \"n\": 33, \"metrics\": {\"uar\": 1.0, \"f1_weighted\": 0.75}}]}");
    run_table_t *table = NULL;
    char *text = NULL;
    const char *both[] = {directory, run};
    CHECK_OK(run_table_open(both, 1, &table));
    CHECK_OK(run_table_text(table, "csv", &text));
    assert_string_equal(text,
                        "model,selected_on,marks,runs,n,uar,uar_std,f1_weighted,f1_weighted_std\n"
                        "mt,last,control; transductive,2,33,0.750000,0.353553,0.500000,0.353553\n");
    free(text);
    run_table_close(table);
    char *evaluation = said("test", "x", 1, "", 1, "\"ccc\": 0.5");
    free(make_run_of("d0", "jmt", 1, "", evaluation));
    CHECK_FAILS(run_table_open(both, 2, &table), STATUS_INPUT, "its split is 'test'");
    free(evaluation);
    write_file("cv", "summary.json", "{\"row\": \"mt\"}");
    CHECK_FAILS(run_table_open(both, 1, &table), STATUS_INPUT, "is not of jmt cv");
    write_file("cv", "summary.json", "{\"row\": \"mt\", \"by_seed\": [{}]}");
    CHECK_FAILS(run_table_open(both, 1, &table), STATUS_INPUT, "the same jmt cv again");
    free(directory);
    free(run);
}

/* Runs of one name that a reader must not compare stand in rows of their own, and say why. */
static void marks_part_rows(void **state) {
    (void)state;
    const char *marks[] = {"", "transductive; baseline 2 min", "", "schedule known"};
    char *runs[4];
    for (int i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "m%d", i);
        char *evaluation = said("test", "x", i, marks[i], 80, "\"ccc\": 0.5");
        runs[i] = make_run_of(name, "jmt", i, "", evaluation);
        free(evaluation);
    }
    run_table_t *table = NULL;
    char *text = NULL;
    CHECK_OK(run_table_open((const char *const *)runs, 4, &table));
    CHECK_OK(run_table_text(table, "csv", &text));
    assert_string_equal(text, "model,selected_on,marks,runs,n,ccc,ccc_std\n"
                              "jmt,valid ccc,,2,80,0.500000,0.000000\n"
                              "jmt,valid ccc,transductive; baseline 2 min,1,80,0.500000,\n"
                              "jmt,valid ccc,schedule known,1,80,0.500000,\n");
    free(text);
    CHECK_OK(run_table_text(table, "md", &text));
    assert_non_null(strstr(text, "| jmt            | valid ccc      | schedule known           |"));
    free(text);
    text = run_table_json(table);
    json_t *root = json_loads(text, 0, NULL), *models = json_object_get(root, "models");
    assert_int_equal(json_object_size(models), 3);
    json_t *row = json_object_get(models, "jmt [transductive; baseline 2 min]");
    assert_string_equal(json_string_value(json_object_get(row, "marks")),
                        "transductive; baseline 2 min");
    json_decref(root);
    free(text);
    run_table_close(table);
    for (int i = 0; i < 4; i++) {
        free(runs[i]);
    }
}

/* Runs that differ in more than their seed are not averaged: each setting is a row, named by what
 * differs; what decides no result may differ. */
static void settings_part_rows(void **state) {
    (void)state;
    const char *yaml[] = {
        "threads: 2\n",
        "checkpoint: {keep: 7}\n",
        "model: {token: mean}\n",
        "model: {token: mean}\noptimizer: {name: adam, learning_rate: 0.5}\n",
    };
    const int seeds[] = {1, 2, 1, 1}; /* two of them with one seed: no collision */
    char *runs[4];
    for (int i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "s%d", i);
        char *evaluation = said("test", "x", seeds[i], "", 80, "\"ccc\": 0.5");
        runs[i] = make_run_of(name, "jmt", seeds[i], yaml[i], evaluation);
        free(evaluation);
    }
    run_table_t *table = NULL;
    char *text = NULL;
    CHECK_OK(run_table_open((const char *const *)runs, 3, &table));
    CHECK_OK(run_table_text(table, "csv", &text));
    assert_string_equal(text, "model,selected_on,marks,runs,n,ccc,ccc_std\n"
                              "jmt token=last,valid ccc,,2,80,0.500000,0.000000\n"
                              "jmt token=mean,valid ccc,,1,80,0.500000,\n");
    free(text);
    run_table_close(table);
    CHECK_OK(run_table_open((const char *const *)runs, 4, &table));
    text = run_table_json(table);
    json_t *root = json_loads(text, 0, NULL), *models = json_object_get(root, "models");
    json_t *row = json_object_get(models, "jmt token=mean optimizer.name=adam learning_rate=0.5");
    assert_int_equal(json_object_size(models), 3);
    assert_string_equal(json_string_value(json_object_get(row, "model")), "jmt");
    json_t *settings = json_object_get(row, "settings");
    assert_string_equal(json_string_value(json_object_get(settings, "model.token")), "mean");
    json_decref(root);
    free(text);
    run_table_close(table);
    /* What an evaluation changed counts, too. */
    char *evaluation = said("test", "x", 1, "", 80, "\"ccc\": 0.5");
    free(make_run_of("s2", "jmt", 1, "data: {stride: 3}\n", evaluation));
    free(evaluation);
    CHECK_OK(run_table_open((const char *const *)runs, 3, &table));
    CHECK_OK(run_table_text(table, "csv", &text));
    assert_non_null(strstr(text, "jmt stride=0,") != NULL ? strstr(text, "jmt stride=3,") : NULL);
    free(text);
    run_table_close(table);
    for (int i = 0; i < 4; i++) {
        free(runs[i]);
    }
}

static void other_splits_and_selections_are_refused(void **state) {
    (void)state;
    const char *keys[] = {"seed: 3", "folds: 5", "valid_fraction: 0.5", "test_fraction: 0.5"};
    char *first = said("test", "x", 1, "", 80, "\"ccc\": 0.5");
    char *run = make_run_of("p0", "jmt", 1, "", first);
    run_table_t *table = NULL;
    for (int i = 0; i < ARRAY_LEN(keys); i++) {
        char *yaml = text_format("split: {%s}\n", keys[i]);
        char *evaluation = said("test", "x", 2, "", 80, "\"ccc\": 0.5");
        char *other = make_run_of("p1", "jmt", 2, yaml, evaluation);
        const char *both[] = {run, other};
        CHECK_FAILS(run_table_open(both, 2, &table), STATUS_INPUT, ": its split.");
        free(yaml);
        free(evaluation);
        free(other);
    }
    const char *later = "{\"split\": \"test\", \"data\": \"x\", \"training_data\": \"x\", "
                        "\"selected_on\": \"last\", \"seed\": 1, \"marks\": \"\", "
                        "\"settings\": {}, \"n\": 80, \"metrics\": {\"ccc\": 0.5}}";
    char *other = make_run_of("p1", "jmt", 2, "", later);
    const char *both[] = {run, other};
    CHECK_FAILS(run_table_open(both, 2, &table), STATUS_INPUT, "its selected on is 'last'");
    CHECK_OK(run_table_open(both + 1, 1, &table)); /* what was scored says so, not the manifest */
    char *text = NULL;
    CHECK_OK(run_table_text(table, "csv", &text));
    assert_non_null(strstr(text, "\njmt,last,,1,"));
    free(text);
    run_table_close(table);
    free(first);
    free(run);
    free(other);
}

/* What TeX, md and CSV take for their own stays a text; a split other than test is loud. */
static void formats_keep_names_whole(void **state) {
    (void)state;
    char *one = said("valid", "x", 1, "SCORED ON VALIDATION PEOPLE; seen stimuli", 80,
                     "\"f1_macro\": 0.5, \"ccc\": 0.25");
    char *two = said("valid", "x", 2, "SCORED ON VALIDATION PEOPLE; seen stimuli", 80,
                     "\"f1_macro\": 0.75, \"ccc\": 0.25");
    char *three = said("valid", "x", 1, "control", 80, "\"f1_macro\": 0.5");
    char *runs[] = {make_run_of("l0", "a_b&c%d#e$f{g}h~i^j<k|l\\\\m", 1, "", one),
                    make_run_of("l1", "a_b&c%d#e$f{g}h~i^j<k|l\\\\m", 2, "", two),
                    make_run_of("l2", "q, \\\"r\\\"", 1, "", three)};
    run_table_t *table = NULL;
    char *text = NULL;
    CHECK_OK(run_table_open((const char *const *)runs, 3, &table));
    CHECK_OK(run_table_text(table, "latex", &text));
    assert_string_equal(
        text, "\\begin{tabular}{lllrrrr}\n"
              "model & selected on & marks & runs & n & f1\\_macro & ccc \\\\\n"
              "a\\_b\\&c\\%d\\#e\\$f\\{g\\}h\\~{}i\\^{}j$<$k$\\vert$l$\\backslash$m & valid ccc & "
              "SCORED ON VALIDATION PEOPLE; seen stimuli & 2 & 80 & 0.625 $\\pm$ 0.177 & "
              "0.250 $\\pm$ 0.000 \\\\\n"
              "q, \"r\" & valid ccc & control & 1 & 80 & 0.500 &  \\\\\n"
              "\\end{tabular}\n");
    free(text);
    CHECK_OK(run_table_text(table, "csv", &text));
    assert_non_null(strstr(text, "\n\"q, \"\"r\"\"\",valid ccc,control,1,80,"));
    assert_non_null(strstr(text, ",SCORED ON VALIDATION PEOPLE; seen stimuli,2,"));
    free(text);
    CHECK_OK(run_table_text(table, "md", &text));
    assert_non_null(strstr(text, "j<k\\|l\\m | valid ccc "));
    assert_non_null(strstr(text, "| SCORED ON VALIDATION PEOPLE; seen stimuli | "));
    free(text);
    run_table_close(table);
    for (int i = 0; i < 3; i++) {
        free(runs[i]);
    }
    free(one);
    free(two);
    free(three);
}

static void missing_controls_are_named(void **state) {
    (void)state;
    const char *rows[] = {
        "jmt",   "majority", "jmt (labels permuted)", "jmt (labels permuted within person)",
        "clock", "stimulus"};
    const char *missing[] = {"majority, labels permuted within person, clock, stimulus",
                             "labels permuted within person, clock, stimulus",
                             "labels permuted within person, clock, stimulus",
                             "clock, stimulus",
                             "stimulus",
                             ""};
    char *runs[6];
    run_table_t *table = NULL;
    for (int i = 0; i < 6; i++) {
        char name[8];
        snprintf(name, sizeof name, "k%d", i);
        char *evaluation = said("test", "x", 1, "unseen stimuli", 80, "\"ccc\": 0.5");
        runs[i] = make_run_of(name, rows[i], 1, "", evaluation);
        free(evaluation);
        CHECK_OK(run_table_open((const char *const *)runs, i + 1, &table));
        char *text = run_table_missing(table);
        assert_string_equal(text, missing[i]);
        free(text);
        run_table_close(table);
    }
    char *evaluation = said("test", "x", 1, "", 80, "\"ccc\": 0.5"); /* no groups: no stimulus */
    free(make_run_of("k0", "jmt", 1, "", evaluation));
    free(evaluation);
    CHECK_OK(run_table_open((const char *const *)runs, 1, &table));
    char *text = run_table_missing(table);
    assert_string_equal(text, "majority, labels permuted within person, clock");
    free(text);
    run_table_close(table);
    for (int i = 0; i < 6; i++) {
        free(runs[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mean_and_sample_spread, make_root, remove_root),
        cmocka_unit_test_setup_teardown(what_does_not_belong_together_is_refused, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(stored_settings_are_not_judged, make_root, remove_root),
        cmocka_unit_test_setup_teardown(marks_part_rows, make_root, remove_root),
        cmocka_unit_test_setup_teardown(rows_that_overlap_are_not_ranked, make_root, remove_root),
        cmocka_unit_test_setup_teardown(cross_validations_are_rows, make_root, remove_root),
        cmocka_unit_test_setup_teardown(settings_part_rows, make_root, remove_root),
        cmocka_unit_test_setup_teardown(other_splits_and_selections_are_refused, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(formats_keep_names_whole, make_root, remove_root),
        cmocka_unit_test_setup_teardown(missing_controls_are_named, make_root, remove_root),
    };
    return RUN_TESTS(tests);
}
