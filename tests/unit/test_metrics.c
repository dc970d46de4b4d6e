#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/rng.h"
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
    assert_true(isnan(s->value[METRIC_f1_positive]));
    /* of one logit: two found, one too many, two missed */
    const float logits[] = {1, 2, 3, -1, -2, -3, 9}, yes[] = {1, 1, 0, 1, 1, 0, NAN};
    score_classes(logits, yes, 7, 1, 0.0, s);
    assert_true(fabs(s->value[METRIC_f1_positive] - 4.0 / 7.0) < 1e-12);
    score_classes(logits + 3, yes + 5, 1, 1, 0.0, s);
    assert_true(s->value[METRIC_f1_positive] == 0.0);
    free(s);
}

static double uar_at(const float *x, const float *y, int64_t count, int64_t columns, double cut) {
    scores_t *s = calloc(1, sizeof *s);
    score_classes(x, y, count, columns, cut, s);
    double uar = s->value[METRIC_uar];
    free(s);
    return uar;
}

static void cuts_by_hand(void **state) {
    (void)state;
    /* sorted: -3 no, -2 yes, -1 no, -1 yes, 0.5 yes | 0 leaves (2/2 + 1/3)/2, -2.5 (1/2 + 3/3)/2 */
    const float x[] = {-1.f, 9.f, -2.f, 0.5f, -3.f, -1.f}, y[] = {0, NAN, 1, 1, 0, 1};
    assert_true(fabs(uar_at(x, y, 6, 1, 0.0) - (1.0 + 1.0 / 3.0) / 2.0) < 1e-12);
    assert_true(fitted_cut(x, y, 6, 1) == -2.5);
    const float pairs[] = {5, 4, 0, 9, 3, 1, 1, 1.5f, 4, 1, 2, 1};
    assert_true(fitted_cut(pairs, y, 6, 2) == -2.5);
    assert_true(fabs(uar_at(x, y, 6, 1, -2.5) - 0.75) < 1e-12);
    assert_true(fabs(uar_at(pairs, y, 6, 2, -2.5) - 0.75) < 1e-12);
    const float good[] = {-1.f, 1.f}, bad[] = {1.f, -1.f}, far[] = {3.f, 7.f}, no_yes[] = {0, 1};
    assert_true(fitted_cut(good, no_yes, 2, 1) == 0.0); /* as good as any: stays */
    assert_true(fitted_cut(bad, no_yes, 2, 1) == 0.0);
    assert_true(fitted_cut(far, no_yes, 2, 1) == 5.0);
    const float one[] = {1, 1};
    assert_true(fitted_cut(far, one, 2, 1) == 0.0);
    const float close[] = {1.f, 1.f + 0x1p-23f}; /* neighbours: still apart */
    assert_true(uar_at(close, no_yes, 2, 1, fitted_cut(close, no_yes, 2, 1)) == 1.0);
}

static bool some_between(const float *x, int count, double a, double b) {
    for (int i = 0; i < count; i++) {
        if ((double)x[i] > fmin(a, b) && (double)x[i] <= fmax(a, b)) {
            return true;
        }
    }
    return false;
}

/* No cut on a fine grid is better, and none as good that decides otherwise is nearer to 0. */
static void cuts_against_a_grid(void **state) {
    (void)state;
    enum { COUNT = 60 };
    for (uint64_t turn = 0; turn < 40; turn++) {
        const rng_key_t key = {turn, rng_name("cuts"), 0};
        float x[COUNT], y[COUNT];
        for (uint64_t i = 0; i < COUNT; i++) { /* multiples of 1/8, so that there are ties */
            y[i] = rng_uniform(key, 2 * i) < 0.2f ? 1.f : 0.f;
            x[i] = roundf(16.f * rng_uniform(key, 2 * i + 1) - 12.f + 4.f * y[i]) / 8.f;
        }
        double cut = fitted_cut(x, y, COUNT, 1), best = uar_at(x, y, COUNT, 1, cut);
        for (int step = -320; step <= 320; step++) {
            double other = (double)step / 160.0, uar = uar_at(x, y, COUNT, 1, other);
            assert_true(uar <= best);
            assert_true(uar < best || fabs(other) >= fabs(cut) ||
                        !some_between(x, COUNT, other, cut));
        }
    }
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
        cmocka_unit_test(cuts_by_hand),
        cmocka_unit_test(cuts_against_a_grid),
        cmocka_unit_test(nothing_to_score_is_not_zero),
    };
    return RUN_TESTS(tests);
}
