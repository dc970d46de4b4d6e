/* The files that a run begins with, init.NAME: read, printed, and each wrong use. */
#include <string.h>

#include "check.h"
#include "configs/config.h"
#include "kernels/base/bytes.h"

static void wrong_uses_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *yaml, *error;
    } cases[] = {
        {"init: {vidoe: a.pt}\nmodalities: {video: {}}\ntargets: {x: {}}\n",
         "it:1:15: init.vidoe names no modality; use one of modalities, or init.model for all "
         "parameters"},
        {"init: {model: a.pt}\nmodalities: {model: {}}\ntargets: {x: {}}\n",
         "it:1:15: init.model means all parameters, and modalities.model is there; rename the "
         "modality"},
        {"init: {a: w.pt}\nmodel: {name: majority}\nmodalities: {a: {}}\ntargets: {x: {}}\n",
         "it:1:11: init.a has no effect with model.name majority, which nothing is trained of; "
         "remove it"},
        {"init: {video: {file: a}}\n",
         "it:1:15: init.video takes one value, not a mapping; write it like 'init.video: \"\"'"},
        {"init: a.pt\n",
         "it:1:7: init takes a mapping of settings; write its keys below it, indented"},
        {"init: {a: w.pt}\ninit.a: v.pt\n",
         "it:2:1: duplicate key 'init.a', first given at line 1; remove one"},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        config_t *config = NULL;
        assert_int_equal(config_parse(cases[i].yaml, "it", NULL, 0, &config), STATUS_INPUT);
        assert_string_equal(status_text(), cases[i].error);
    }
}

static const char text[] = "init: {a: w.pt}\nmodalities: {a: {}, b: {}}\ntargets: {x: {}}\n"
                           "model: {name: unimodal, modalities: [b]}\n";

static config_t *parsed(const char *set) {
    config_t *config = NULL;
    CHECK_OK(config_parse(text, "it", &set, set != NULL, &config));
    return config;
}

/* Of no effect: in a file that serves many models, but not by --set. */
static void a_file_may_serve_many_models(void **state) {
    (void)state;
    config_t *config = parsed(NULL);
    assert_int_equal(config->init_count, 1);
    assert_string_equal(config->init[0].file, "w.pt");
    config_free(config);
    const char *set = "init.a=v.pt";
    config = NULL;
    CHECK_FAILS(config_parse(text, "it", &set, 1, &config), STATUS_INPUT,
                "the model does not read a");
    config = parsed("init.a=");
    assert_int_equal(config->init_count, 0);
    config_free(config);
}

static void differences_are_named(void **state) {
    (void)state;
    config_t *a = parsed(NULL), *b = parsed("init.b=v.pt");
    int count = 0;
    char **keys = config_differences(a, b, &count);
    assert_int_equal(count, 1);
    assert_string_equal(keys[0], "init");
    for (int i = 0; i < count; i++) {
        free(keys[i]);
    }
    free(keys);
    char *value = config_value(b, "init"), *file = config_value(b, "init.b");
    assert_string_equal(value, "[a, b]");
    assert_string_equal(file, "v.pt");
    assert_null(config_value(a, "init.b"));
    free(value);
    free(file);
    config_free(a);
    config_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_uses_are_refused),
        cmocka_unit_test(a_file_may_serve_many_models),
        cmocka_unit_test(differences_are_named),
    };
    return RUN_TESTS(tests);
}
