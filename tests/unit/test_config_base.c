/* base:, --set and the order of precedence. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "configs/config.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

static int make_folder(void **state) {
    char *folder = text_copy("/tmp/jmt_config_XXXXXX");
    *state = folder;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    CHECK_OK(dir_remove(*state));
    free(*state);
    return 0;
}

static void put(void **state, const char *name, const char *text) {
    char *path = text_format("%s/%s", (const char *)*state, name);
    CHECK_OK(file_write_durable(path, text, strlen(text)));
    free(path);
}

static status_t load(void **state, const char *name, const char *set, config_t **config_out) {
    char *path = text_format("%s/%s", (const char *)*state, name);
    status_t status = config_load(path, &set, set == NULL ? 0 : 1, config_out);
    free(path);
    return status;
}

/* The error must be exactly "FOLDER/text". */
static void load_fails(void **state, const char *name, const char *set, const char *text) {
    config_t *config = NULL;
    assert_int_equal(load(state, name, set, &config), STATUS_INPUT);
    assert_null(config);
    size_t length = strlen(*state);
    assert_memory_equal(status_text(), *state, length);
    assert_string_equal(status_text() + length + 1, text);
}

static void later_wins_and_order_is_of_first_appearance(void **state) {
    char *sub = text_format("%s/sub", (const char *)*state);
    CHECK_OK(dir_make(sub));
    free(sub);
    put(state, "root.yaml",
        "seed: 1\nepochs: 1\nbatch: 8\nmodalities: {b: {dim: 1}, a: {}}\n"
        "targets: {t: {}}\n");
    put(state, "sub/middle.yaml", "base: ../root.yaml\nepochs: 2\nbatch: 16\n");
    put(state, "leaf.yaml", "batch: 24\nmodalities: {c: {}, b: {dim: 2}}\nbase: sub/middle.yaml\n");
    config_t *config = NULL;
    CHECK_OK(load(state, "leaf.yaml", "threads=3", &config));
    assert_int_equal(config->seed, 1);
    assert_int_equal(config->epochs, 2);
    assert_int_equal(config->batch, 24);
    assert_int_equal(config->threads, 3);
    assert_int_equal(config->model.dim, 512);
    assert_int_equal(config->modality_count, 3);
    assert_string_equal(config->modalities[0].name, "b");
    assert_int_equal(config->modalities[0].dim, 2);
    assert_string_equal(config->modalities[1].name, "a");
    assert_string_equal(config->modalities[2].name, "c");
    config_free(config);
    CHECK_OK(load(state, "leaf.yaml", "batch=32", &config));
    assert_int_equal(config->batch, 32);
    config_free(config);
}

static void null_removes_what_a_base_gave(void **state) {
    put(state, "all.yaml",
        "modalities: {a: {dim: 3}, b: {dim: 4}, c: {}}\n"
        "targets: {x: {weight: 3}, y: {}}\n");
    put(state, "less.yaml", "base: all.yaml\nmodalities: {a: null}\ntargets.x: ~\n");
    config_t *config = NULL;
    CHECK_OK(load(state, "less.yaml", "modalities.c=null", &config));
    assert_int_equal(config->modality_count, 1);
    assert_string_equal(config->modalities[0].name, "b");
    assert_int_equal(config->target_count, 1);
    assert_string_equal(config->targets[0].name, "y");
    config_free(config);
    CHECK_OK(load(state, "less.yaml", "modalities.a={}", &config));
    assert_string_equal(config->modalities[2].name, "a");
    assert_int_equal(config->modalities[2].dim, 0);
    config_free(config);
    put(state, "wrong.yaml", "base: all.yaml\nmodalities:\n  d: null\n");
    load_fails(state, "wrong.yaml", NULL,
               "wrong.yaml:3:3: null removes 'modalities.d', but no base gives it; remove the "
               "line, or write {} for an entry with defaults");
}

static void a_bad_base_is_refused(void **state) {
    char expected[512];
    put(state, "a.yaml", "seed: 1\nbase: b.yaml\n");
    put(state, "b.yaml", "base: a.yaml\n");
    load_fails(state, "a.yaml", NULL,
               "b.yaml:1:7: base 'a.yaml' leads back to itself; remove one base: of the circle");
    put(state, "self.yaml", "base: ./self.yaml\n");
    load_fails(state, "self.yaml", NULL,
               "self.yaml:1:7: base './self.yaml' leads back to itself; remove one base: of the "
               "circle");
    put(state, "lost.yaml", "base: nothing.yaml\n");
    snprintf(expected, sizeof expected,
             "lost.yaml:1:7: base 'nothing.yaml' is no file (looked for %s/nothing.yaml); a base "
             "is relative to the file that names it",
             (const char *)*state);
    load_fails(state, "lost.yaml", NULL, expected);
    put(state, "list.yaml", "base: [a.yaml]\n");
    load_fails(state, "list.yaml", NULL,
               "list.yaml:1:7: base takes the path of one file, relative to this one");
    put(state, "bad.yaml", "seed: 1\nepoch: 2\n");
    put(state, "user.yaml", "base: bad.yaml\n");
    load_fails(state, "user.yaml", NULL, "bad.yaml:2:1: unknown key 'epoch'; did you mean epochs?");
    for (int i = 0; i < 9; i++) {
        char name[16], text[32];
        snprintf(name, sizeof name, "d%d.yaml", i);
        snprintf(text, sizeof text, i == 0 ? "seed: 1\n" : "base: d%d.yaml\n", i - 1);
        put(state, name, text);
    }
    config_t *config = NULL;
    CHECK_OK(load(state, "d7.yaml", NULL, &config));
    config_free(config);
    load_fails(state, "d8.yaml", NULL,
               "d1.yaml:1:7: more than 7 files by base: in a row; join some");
}

static void rules_across_keys_point_at_the_last_giver(void **state) {
    put(state, "x.yaml", "batch: 20\nvirtual_shards: 10\n");
    put(state, "y.yaml", "base: x.yaml\n\nbatch: 24\n");
    load_fails(state, "y.yaml", NULL,
               "y.yaml:3:8: batch 24 is no multiple of virtual_shards 10; use batch 20 or 30");
    config_t *config = NULL;
    CHECK_FAILS(load(state, "x.yaml", "virtual_shards=6", &config), STATUS_INPUT,
                "--set virtual_shards=6: batch 20 is no multiple of virtual_shards 6; use batch 18 "
                "or 24");
    load_fails(state, "missing.yaml", NULL,
               "missing.yaml: no such config file; name one such as configs/tiny/jmt.yaml");
    assert_int_equal(config_load(*state, NULL, 0, &config), STATUS_INPUT);
    assert_null(config);
}

static void sets_follow_the_rules_of_files(void **state) {
    (void)state;
    const char *sets[] = {"optimizer.learning_rate=1e-3",
                          "data.path=",
                          "data.path=/a=b",
                          "modalities.a.dim=3",
                          "modalities.b={dim: 4}",
                          "targets.t.loss=mse",
                          "model.modalities=[b, a]",
                          "seed=1",
                          "seed=2"};
    config_t *config = NULL;
    CHECK_OK(config_load(NULL, sets, ARRAY_LEN(sets), &config));
    assert_true(config->optimizer.learning_rate == 1e-3);
    assert_string_equal(config->data.path, "/a=b");
    assert_string_equal(config->model.modalities, "b a");
    assert_int_equal(config->modalities[1].dim, 4);
    assert_int_equal(config->seed, 2);
    config_free(config);
    const struct {
        const char *set, *error;
    } cases[] = {
        {"seed", "--set seed: no KEY=VALUE; write it like --set optimizer.name=sgd"},
        {"=1", "--set =1: no KEY=VALUE; write it like --set optimizer.name=sgd"},
        {"sede=1", "--set sede=1: unknown key 'sede'; did you mean seed?"},
        {"seed=", "--set seed=: seed: '' is not an integer; write plain decimal digits such as 0"},
        {"seed=1.5",
         "--set seed=1.5: seed: '1.5' is not an integer; write plain decimal digits such as 0"},
        {"seed=null",
         "--set seed=null: seed cannot be null; leave the key out to keep its default"},
        {"base=x.yaml",
         "--set base=x.yaml: base stands only in a config file; give that file instead"},
        {"model=jmt",
         "--set model=jmt: model takes a mapping of settings; write its keys below it, indented"},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        config = NULL;
        assert_int_equal(config_load(NULL, &cases[i].set, 1, &config), STATUS_INPUT);
        assert_string_equal(status_text(), cases[i].error);
        assert_null(config);
    }
    CHECK_FAILS(config_parse("base: x.yaml\n", "memory", NULL, 0, &config), STATUS_INPUT,
                "memory:1:1: base stands only in a config file");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_wins_and_order_is_of_first_appearance),
        cmocka_unit_test(null_removes_what_a_base_gave),
        cmocka_unit_test(a_bad_base_is_refused),
        cmocka_unit_test(rules_across_keys_point_at_the_last_giver),
        cmocka_unit_test(sets_follow_the_rules_of_files),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
