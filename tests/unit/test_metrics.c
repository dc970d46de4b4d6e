#include <math.h>
#include <string.h>

#include "check.h"
#include "trainer/metrics.h"

static void ccc_of_the_specification(void **state) {
    (void)state;
    /* jmt.md 2.1: population C = 0.7764449291 */
    const float x[] = {.1f, .4f, -.2f, .3f, .05f}, y[] = {0.f, .5f, -.1f, .2f, .3f};
    const int64_t one[] = {0, 0, 0, 0, 0};
    scores_t *s = calloc(1, sizeof *s);
    score_values(x, y, one, 5, s);
    assert_true(fabs(s->value[METRIC_ccc] - 0.7764449291) < 1e-6); /* 1e-8 epsilon, float input */
    score_values(y, y, one, 5, s);
    assert_true(fabs(s->value[METRIC_ccc] - 1.0) < 1e-6);
    const float constant[] = {1.f, 1.f, 1.f, 1.f, 1.f};
    score_values(constant, y, one, 5, s);
    assert_true(s->value[METRIC_ccc] == 0.0 && s->value[METRIC_r] == 0.0);
    free(s);
}

static void invalid_labels_are_counted_and_not_scored(void **state) {
    (void)state;
    const float x[] = {1.f, 2.f, 100.f, 4.f}, y[] = {1.f, 4.f, NAN, 4.f};
    const int64_t one[] = {0, 0, 0, 0};
    scores_t *s = calloc(1, sizeof *s);
    score_values(x, y, one, 4, s);
    assert_int_equal(s->n, 3);
    assert_int_equal(s->n_invalid, 1);
    assert_true(fabs(s->value[METRIC_mae] - 2.0 / 3.0) < 1e-12);
    assert_true(fabs(s->value[METRIC_rmse] - sqrt(4.0 / 3.0)) < 1e-12);
    assert_true(isnan(s->value[METRIC_accuracy]));
    free(s);
}

static void each_sequence_has_its_own_ccc(void **state) {
    (void)state;
    /* perfect inside each sequence, but for opposite signs: 1 and -1 give 0 */
    const float x[] = {1.f, 2.f, 3.f, 1.f, 2.f, 3.f}, y[] = {1.f, 2.f, 3.f, 3.f, 2.f, 1.f};
    const int64_t sequence[] = {4, 4, 4, 9, 9, 9};
    scores_t *s = calloc(1, sizeof *s);
    score_values(x, y, sequence, 6, s);
    assert_true(fabs(s->value[METRIC_ccc_per_sequence]) < 1e-7);
    /* sequences at levels of their own: 0 inside them still, 2 * 150 / (154 + 154) over all */
    const float far_x[] = {1.f, 2.f, 3.f, 11.f, 12.f, 13.f},
                far_y[] = {1.f, 2.f, 3.f, 13.f, 12.f, 11.f};
    score_values(far_x, far_y, sequence, 6, s);
    assert_true(fabs(s->value[METRIC_ccc_per_sequence]) < 1e-7);
    assert_true(fabs(s->value[METRIC_ccc] - 150.0 / 154.0) < 1e-8);
    free(s);
}

static void classes_by_hand(void **state) {
    (void)state;
    /* true 0 0 0 1 1 2, predicted 0 0 1 1 1 0; a tie takes the lowest class */
    const float x[] = {2, 1, 0, 1, 1, 0, 0, 3, 1, 0, 2, 1, 0, 5, 1, 3, 3, 3, 9, 9, 9};
    const float y[] = {0, 0, 0, 1, 1, 2, NAN};
    scores_t *s = calloc(1, sizeof *s);
    score_classes(x, y, 7, 3, 0.0, s);
    assert_int_equal(s->n, 6);
    assert_int_equal(s->n_invalid, 1);
    assert_int_equal(s->confusion[0][1], 1);
    assert_int_equal(s->confusion[2][0], 1);
    assert_true(fabs(s->value[METRIC_accuracy] - 4.0 / 6.0) < 1e-12);
    assert_true(fabs(s->value[METRIC_uar] - (2.0 / 3.0 + 1.0 + 0.0) / 3.0) < 1e-12);
    double f0 = 2.0 * 2 / (3 + 3), f1 = 2.0 * 2 / (2 + 3), f2 = 0.0;
    assert_true(fabs(s->value[METRIC_f1_macro] - (f0 + f1 + f2) / 3.0) < 1e-12);
    assert_true(fabs(s->value[METRIC_f1_weighted] - (3 * f0 + 2 * f1) / 6.0) < 1e-12);
    free(s);
}

static void nothing_to_score_is_not_zero(void **state) {
    (void)state;
    const float x[] = {1.f}, y[] = {NAN};
    const int64_t one[] = {0};
    scores_t *s = calloc(1, sizeof *s);
    score_values(x, y, one, 1, s);
    assert_true(isnan(s->value[METRIC_ccc]) && s->n == 0);
    free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ccc_of_the_specification),
        cmocka_unit_test(invalid_labels_are_counted_and_not_scored),
        cmocka_unit_test(each_sequence_has_its_own_ccc),
        cmocka_unit_test(classes_by_hand),
        cmocka_unit_test(nothing_to_score_is_not_zero),
    };
    return RUN_TESTS(tests);
}
