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

/* A run as far as the table reads it. */
static char *make_run(const char *run, const char *row, int seed, const char *data,
                      const char *metrics) {
    char *directory = text_format("%s/%s", root_, run);
    CHECK_OK(dir_make(directory));
    char *manifest = text_format("{\"row\": \"%s\", \"seed\": %d, \"data\": \"%s\", \"data_path\": "
                                 "\"d\", \"selected_on\": \"ccc\"}",
                                 row, seed, data);
    int n = strcmp(run, "a1") == 0 ? 90 : strcmp(run, "a2") == 0 ? 70 : 80;
    char *evaluation =
        text_format("{\"split\": \"test\", \"n\": %d, \"metrics\": {%s}}", n, metrics);
    write_file(run, "manifest.json", manifest);
    write_file(run, "evaluation.json", evaluation);
    free(manifest);
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
    for (int i = 0; i < 3; i++) {
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
               "{\"row\": \"mt\", \"marks\": \"control; transductive\", \"selected_on\": \"last\", "
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
    CHECK_FAILS(run_table_open(both, 2, &table), STATUS_INPUT, "its split is 'test'");
    write_file("cv", "summary.json", "{\"row\": \"mt\"}");
    CHECK_FAILS(run_table_open(both, 1, &table), STATUS_INPUT, "is not of jmt cv");
    free(directory);
    free(run);
}

/* Runs of one name that a reader must not compare stand in rows of their own, and say why. */
static void marks_part_rows(void **state) {
    (void)state;
    const char *marks[] = {"", "transductive", "", "schedule known"};
    char *runs[4];
    for (int i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "m%d", i);
        runs[i] = make_run(name, "jmt", i, "x", "\"ccc\": 0.5");
        char *manifest = text_format("{\"row\": \"jmt\", \"seed\": %d, \"data\": \"x\", "
                                     "\"data_path\": \"d\", \"selected_on\": \"ccc\", "
                                     "\"marks\": \"%s\"}",
                                     i, marks[i]);
        write_file(name, "manifest.json", manifest);
        free(manifest);
    }
    run_table_t *table = NULL;
    char *text = NULL;
    CHECK_OK(run_table_open((const char *const *)runs, 4, &table));
    CHECK_OK(run_table_text(table, "csv", &text));
    assert_string_equal(text, "model,selected_on,marks,runs,n,ccc,ccc_std\n"
                              "jmt,valid ccc,,2,80,0.500000,0.000000\n"
                              "jmt,valid ccc,transductive,1,80,0.500000,\n"
                              "jmt,valid ccc,schedule known,1,80,0.500000,\n");
    free(text);
    CHECK_OK(run_table_text(table, "md", &text));
    assert_non_null(strstr(text, "| jmt            | valid ccc      | transductive             |"));
    free(text);
    text = run_table_json(table);
    json_t *root = json_loads(text, 0, NULL), *models = json_object_get(root, "models");
    assert_int_equal(json_object_size(models), 3);
    json_t *row = json_object_get(models, "jmt [transductive]");
    assert_string_equal(json_string_value(json_object_get(row, "marks")), "transductive");
    json_decref(root);
    free(text);
    run_table_close(table);
    for (int i = 0; i < 4; i++) {
        free(runs[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mean_and_sample_spread, make_root, remove_root),
        cmocka_unit_test_setup_teardown(what_does_not_belong_together_is_refused, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(marks_part_rows, make_root, remove_root),
        cmocka_unit_test_setup_teardown(cross_validations_are_rows, make_root, remove_root),
    };
    return RUN_TESTS(tests);
}
