/* Intervals over people: the binomial distribution where it is known; sums against plain scores. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "trainer/people_interval.h"

static config_t *parse(const char *targets) {
    char *yaml = text_format("modalities: {a: {}}\ntargets: {%s}\n", targets);
    config_t *config = NULL;
    CHECK_OK(config_parse(yaml, "t", NULL, 0, &config));
    free(yaml);
    return config;
}

static void add_named(people_t *people, int run, int person, double label, double prediction) {
    char *name = text_format("p%d", person);
    people_add(people, run, name, 0, label, prediction, (double)NAN);
    free(name);
}

/* Ten of twenty people are always right, the others never: X of 20 right is binomial, whose 2.5th
 * and 97.5th percentiles are 6 and 14. Steps of a person are no people: each has 1 to 9. */
static void people_are_drawn_and_not_steps(void **state) {
    (void)state;
    enum { PEOPLE = 20 };
    config_t *config = parse("y: {loss: cross_entropy, classes: 2}");
    people_t *people = people_open(config, 2);
    for (int run = 0; run < 2; run++) {
        for (int p = 0; p < PEOPLE; p++) {
            for (int step = 0; step < 9; step++) {
                add_named(people, run, p, step % 2, p < PEOPLE / 2 ? step % 2 : 1 - step % 2);
            }
        }
    }
    interval_t interval[METRIC_COUNT];
    assert_int_equal(people_count(people), PEOPLE);
    people_intervals(people, interval);
    assert_true(fabs(interval[METRIC_accuracy].low - 0.3) < 1e-12);
    assert_true(fabs(interval[METRIC_accuracy].high - 0.7) < 1e-12);
    assert_true(isnan(interval[METRIC_ccc].low) && isnan(interval[METRIC_f1_positive].high));
    people_close(people);
    config_free(config);
}

/* The mean of runs of which one is always right and one never. */
static void runs_are_averaged(void **state) {
    (void)state;
    config_t *config = parse("y: {loss: cross_entropy, classes: 3}");
    people_t *people = people_open(config, 2);
    for (int p = 0; p < 3; p++) {
        add_named(people, 0, p, p, p);
        add_named(people, 1, p, p, (p + 1) % 3);
    }
    interval_t interval[METRIC_COUNT];
    people_intervals(people, interval);
    assert_true(interval[METRIC_accuracy].low == 0.5 && interval[METRIC_accuracy].high == 0.5);
    people_close(people);
    people = people_open(config, 1);
    add_named(people, 0, 0, 1, 1);
    people_intervals(people, interval);
    assert_true(isnan(interval[METRIC_accuracy].low)); /* one person says nothing of others */
    people_close(people);
    config_free(config);
}

static void sums_say_what_plain_scores_say(void **state) {
    (void)state;
    enum { COUNT = 1000 };
    float x[COUNT], y[COUNT], post[COUNT];
    int64_t sequence[COUNT] = {0};
    scores_t *want = alloc_zero(1, sizeof *want), *got = alloc_zero(1, sizeof *got);
    value_sums_t plain = {0}, changed = {0};
    for (uint64_t i = 0; i < COUNT; i++) {
        y[i] = (float)rng_normal((rng_key_t){1, 2, 3}, i);
        x[i] = 0.5f * y[i] + (float)rng_normal((rng_key_t){1, 2, 4}, i) + 0.25f;
        post[i] = 0.5f * x[i];
        value_sums_add(&plain, (double)x[i], (double)y[i]);
        value_sums_add(&changed, (double)post[i], (double)y[i]);
    }
    score_values(x, y, sequence, COUNT, want);
    score_post(post, y, sequence, COUNT, want);
    score_sums(&plain, &changed, got);
    for (int m = 0; m < METRIC_COUNT; m++) {
        bool of_sequences = strstr(metric_name((metric_t)m), "per_sequence") != NULL;
        assert_true(of_sequences || isnan(want->value[m]) == isnan(got->value[m]));
        assert_true(isnan(got->value[m]) || fabs(want->value[m] - got->value[m]) < 1e-12);
    }
    for (int i = 0; i < COUNT; i++) {
        y[i] = (float)(i % 2);
    }
    score_classes(x, y, COUNT, 1, 0.0, want);
    got->classes = want->classes;
    memcpy(got->confusion, want->confusion, sizeof got->confusion);
    score_confusion(true, got);
    for (int m = 0; m < METRIC_COUNT; m++) {
        assert_true(isnan(want->value[m]) ? isnan(got->value[m]) : want->value[m] == got->value[m]);
    }
    assert_int_equal(got->n, COUNT);
    free(want);
    free(got);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_are_drawn_and_not_steps),
        cmocka_unit_test(runs_are_averaged),
        cmocka_unit_test(sums_say_what_plain_scores_say),
    };
    return RUN_TESTS(tests);
}
