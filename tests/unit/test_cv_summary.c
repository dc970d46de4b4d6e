#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/cv_summary.h"

static char root_[64];

static int make_root(void **state) {
    (void)state;
    snprintf(root_, sizeof root_, "/tmp/jmt-cv-summary-XXXXXX");
    return mkdtemp(root_) == NULL;
}

static int remove_root(void **state) {
    (void)state;
    return dir_remove(root_) != STATUS_OK;
}

static void make_fold(int fold, const char *marks, const char *selected_on) {
    char *run = text_format("%s/fold-%d-seed-0", root_, fold);
    char *csv = text_format("%s/predictions.csv", run),
         *json = text_format("%s/evaluation.json", run);
    const char *rows = "recording,subject,step,name,target,prediction\nr,s,0,y,1,0.5\n";
    char *record =
        text_format("{\"targets\": {\"y\": {}}, \"n\": 1, \"config\": \"long\", \"marks\": "
                    "%s, \"selected_on\": \"%s\"}",
                    marks, selected_on);
    CHECK_OK(dir_make(run));
    CHECK_OK(file_write_durable(csv, rows, strlen(rows)));
    CHECK_OK(file_write_durable(json, record, strlen(record)));
    free(run);
    free(csv);
    free(json);
    free(record);
}

static const char *text_at(const json_t *root, const char *key) {
    return json_string_value(json_object_get(root, key));
}

/* A reader is told what holds of any fold; the first one does not speak for the others. */
static void every_fold_is_heard(void **state) {
    (void)state;
    make_fold(0, "\"transductive; seen stimuli\"", "last");
    make_fold(1, "\"transductive; some stimuli seen\"", "ccc");
    make_fold(2, "\"\"", "ccc");
    config_t *config = NULL;
    const char *yaml = "split: {folds: 3, fold: 2}\nmodalities: {a: {}}\ntargets: {y: {}}\n";
    CHECK_OK(config_parse(yaml, "t", NULL, 0, &config));
    int64_t folds[] = {0, 1, 2}, seed = 0;
    cv_plan_t plan = {.out = root_,
                      .fold_total = 3,
                      .folds = folds,
                      .fold_count = 3,
                      .seeds = &seed,
                      .seed_count = 1,
                      .data_identity = "x"};
    CHECK_OK(cv_summarize(config, &plan));
    char *path = text_format("%s/summary.json", root_);
    json_t *root = json_load_file(path, 0, NULL);
    assert_string_equal(text_at(root, "marks"), "transductive; seen stimuli; some stimuli seen");
    assert_string_equal(text_at(root, "selected_on"), "ccc; last");
    assert_non_null(strstr(text_at(root, "config"), "\n  fold: 0\n"));
    json_t *fold = json_array_get(json_object_get(root, "folds"), 1);
    assert_string_equal(text_at(fold, "selected_on"), "ccc");
    assert_null(json_object_get(fold, "config"));
    json_decref(root);
    free(path);
    make_fold(1, "null", "ccc");
    CHECK_FAILS(cv_summarize(config, &plan), STATUS_INPUT,
                "fold-1-seed-0/evaluation.json is damaged");
    config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_fold_is_heard, make_root, remove_root),
    };
    return RUN_TESTS(tests);
}
