#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "configs/config.h"
#include "kernels/base/bytes.h"
#include "trainer/resume.h"

#define ENTRIES "modalities: {a: {}, b: {}}\ntargets: {y: {}}\n"

static config_t *config_of(const char *text, const char *set) {
    config_t *config = NULL;
    char *yaml = text_format("%s" ENTRIES, text);
    CHECK_OK(config_parse(yaml, "t.yaml", &set, set != NULL, &config));
    free(yaml);
    return config;
}

/* Letters: what README says of a setting; R same bits, T averaged by a table, G going on, E
 * evaluation. */
static void where_settings_may_differ(void **state) {
    (void)state;
    static const struct {
        const char *key, *where;
    } cases[] = {
        {"seed", "T"},
        {"data.path", "RTGE"},
        {"data.prefetch", "RTGE"},
        {"comm.timeout_s", "RTGE"},
        {"checkpoint.keep", "RTG"},
        {"checkpoint.every_steps", "RTG"},
        {"threads", "TGE"},
        {"device", "TGE"},
        {"backend", "TGE"},
        {"reduce", "TGE"},
        {"evaluation.fold_attention", "TGE"},
        {"virtual_shards", "GE"},
        {"precision", "GE"},
        {"epochs", "G"},
        {"early_stopping.patience", "G"},
        {"batch", "E"},
        {"data.stride", "E"},
        {"data.missing", "E"},
        {"split.fold", "E"},
        {"targets.y.threshold", "E"},
        {"targets.y.smooth", "E"},
        {"evaluation.smooth_edges", "E"},
        {"evaluation.every_window", "E"},
        {"data.shift", "E"},
        {"targets.y.class_weights", "E"},
        {"targets.y.steps", "E"},
        {"parity.unlabelled_as_right", "E"},
        {"parity.skip", ""},
        {"modalities.b.track", ""},
        {"parity.whole_windows", ""},
        {"parity.attention_over_samples", ""},
        {"targets.y.loss", ""},
        {"targets", ""},
        {"modalities", ""},
        {"modalities.a.dim", ""},
        {"modalities.none.dim", ""},
        {"model.dim", ""},
        {"optimizer.learning_rate", ""},
        {"split.allow_subject_overlap", ""},
        {"select_on", ""},
        {"no.such.key", ""},
    };
    config_t *config = config_of("", NULL);
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char found[5] = "";
        for (int bit = 0, count = 0; bit < 4; bit++) {
            bool may = config_may_differ(config, cases[i].key, (config_occasion_t)(1 << bit));
            found[count] = may ? "RTGE"[bit] : '\0';
            count += may;
        }
        if (strcmp(found, cases[i].where) != 0) {
            fail_msg("%s: %s instead of %s", cases[i].key, found, cases[i].where);
        }
    }
    config_free(config);
}

static void check_difference(const char *set, config_occasion_t occasion, const char *expected) {
    config_t *a = config_of("model: {dim: 8}\n", NULL), *b = config_of("model: {dim: 8}\n", set);
    char *text = config_difference(a, b, occasion);
    assert_string_equal(text != NULL ? text : "none", expected);
    free(text);
    config_free(a);
    config_free(b);
}

static void the_first_difference_is_named(void **state) {
    (void)state;
    check_difference("model.dim=8", DIFFER_IN_RUN, "none");
    check_difference("model.dim=16", DIFFER_AT_RESUME, "model.dim was 8 and is 16");
    check_difference("data.path=/a", DIFFER_IN_RUN, "none");
    check_difference("epochs=7", DIFFER_AT_RESUME, "none");
    check_difference("epochs=7", DIFFER_IN_RUN, "epochs was 5 and is 7");
    check_difference("targets.y.weight=2", DIFFER_IN_ROW, "targets.y.weight was 1 and is 2");
    check_difference("modalities.c={}", DIFFER_IN_ROW, "modalities was [a, b] and is [a, b, c]");
    check_difference("modalities.b=null", DIFFER_IN_ROW, "modalities was [a, b] and is [a]");
}

/* A run of an earlier version lacks the settings that came since: they have their defaults. */
static void older_runs_go_on(void **state) {
    (void)state;
    config_t *config = config_of("model: {dim: 8}\n", NULL);
    const char *older = "model: {dim: 8}\n" ENTRIES, *other = "model: {dim: 16}\n" ENTRIES;
    CHECK_OK(resume_same_results(older, "runs/a", config));
    CHECK_FAILS(
        resume_same_results(other, "runs/a", config), STATUS_INPUT,
        "runs/a: the configuration differs from that of the run: model.dim was 16 and is 8");
    CHECK_FAILS(resume_same_results("model: {dmi: 8}\n", "runs/a", config), STATUS_INPUT,
                "unknown key");
    config_free(config);
}

/* With other shards, block would show samples of an epoch twice. */
static void shards_of_block_stay(void **state) {
    (void)state;
    for (int block = 0; block < 2; block++) {
        const char *text = block ? "shuffle: block\n" : "";
        config_t *a = config_of(text, NULL), *b = config_of(text, "virtual_shards=4");
        char *difference = config_difference(a, b, DIFFER_AT_RESUME);
        assert_true((difference != NULL) == block);
        free(difference);
        config_free(a);
        config_free(b);
    }
}

/* What nothing reads is refused of who asks for it now, not of a run that is there. */
static void stored_settings_may_be_without_effect(void **state) {
    (void)state;
    static const char *const texts[] = {
        "loss: {ccc_unbiased: true}\nmodalities: {a: {}}\ntargets: {y: {loss: mse}}\n",
        "data: {clock_step_s: 2}\n" ENTRIES,
        "data: {permute_within: person}\n" ENTRIES,
        "split: {fold: 1}\n" ENTRIES,
        "split: {by: both}\n" ENTRIES,
        "data: {shuffle_window: 5}\n" ENTRIES,
        "optimizer: {beta1: 0.5}\n" ENTRIES,
        "model: {name: concat, token: mean}\n" ENTRIES,
        "model: {branches: [a<-b, b<-a], joint: sum}\n" ENTRIES,
        "modalities: {a: {tcn_blocks: 2}}\ntargets: {y: {}}\n",
    };
    for (int i = 0; i < ARRAY_LEN(texts); i++) {
        config_t *config = NULL;
        CHECK_FAILS(config_parse(texts[i], "t", NULL, 0, &config), STATUS_INPUT, "has no effect");
        CHECK_OK(config_parse_stored(texts[i], "t", NULL, 0, &config));
        config_free(config);
    }
    config_t *config = NULL;
    const char *set = "split.fold=2";
    CHECK_FAILS(config_parse_stored(texts[3], "t", &set, 1, &config), STATUS_INPUT,
                "split.fold 2 has no effect");
    CHECK_FAILS(config_parse_stored("batch: 9\n", "t", NULL, 0, &config), STATUS_INPUT,
                "no multiple of virtual_shards");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_settings_may_differ),
        cmocka_unit_test(the_first_difference_is_named),
        cmocka_unit_test(older_runs_go_on),
        cmocka_unit_test(shards_of_block_stay),
        cmocka_unit_test(stored_settings_may_be_without_effect),
    };
    return RUN_TESTS(tests);
}
