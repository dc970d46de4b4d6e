/* What generated raw media show and let hear, and that nobody can tell more of it than is said. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "data-sharding/raw_world.h"
#include "kernels/base/bytes.h"

/* Over many people the best prediction from one sense leaves nothing that this sense could tell. */
static void the_best_is_best(void **state) {
    (void)state;
    enum { PEOPLE = 4000 };
    double sums[WORLD_SETS][SYNTHETIC_TARGETS][2] = {{{0}}}, squares[WORLD_SETS] = {0};
    for (int64_t person = 0; person < PEOPLE; person++) {
        double s = world_mood(1, "raw.face", person, 3.0);
        double h = world_mood(1, "raw.voice", person, 3.0), truth[SYNTHETIC_TARGETS];
        assert_true(fabs(s) <= 1.0 && fabs(h) <= 1.0);
        world_best(WORLD_BOTH, s, h, truth);
        for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
            double noise = world_label_noise(1, person, 0, k, 0.1);
            assert_true(fabs(noise) <= 0.1);
            truth[k] += noise;
            assert_true(fabs(truth[k]) <= 1.0);
        }
        for (int set = 0; set < WORLD_SETS; set++) {
            double best[SYNTHETIC_TARGETS];
            world_best(set, s, h, best);
            for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
                double rest = truth[k] - best[k];
                sums[set][k][0] += set == WORLD_OTHER ? 0.0 : rest * s;
                sums[set][k][1] += set == WORLD_FACE ? 0.0 : rest * h;
                squares[set] += rest * rest / PEOPLE;
            }
        }
    }
    for (int set = 0; set < WORLD_SETS; set++) {
        for (int k = 0; k < SYNTHETIC_TARGETS; k++) {
            for (int i = 0; i < 2; i++) { /* a mean of PEOPLE products below 1 */
                assert_true(fabs(sums[set][k][i] / PEOPLE) < 4.0 * 0.35 / sqrt(PEOPLE));
            }
        }
    }
    assert_true(squares[WORLD_BOTH] < squares[WORLD_FACE] / 10.0);
    assert_true(squares[WORLD_BOTH] < squares[WORLD_OTHER] / 10.0);
}

/* The deciding rule reaches what the formula says, and both numbers more than each. */
static void pain_is_told_as_well_as_said(void **state) {
    (void)state;
    enum { SAMPLES = 20000 };
    const double separations[2] = {1.7, 2.5};
    for (int apart = 1; apart < WORLD_PAIN_CLASSES; apart++) {
        double right[WORLD_SETS] = {0};
        for (int64_t n = 0; n < SAMPLES; n++) {
            int pain = n % 2 == 0 ? 0 : apart;
            double numbers[2] = {world_pain(1, "raw.face", 0, n, pain, separations[0]),
                                 world_pain(1, "raw.skin", 0, n, pain, separations[1])};
            for (int set = 0; set < WORLD_SETS; set++) {
                int said = world_pain_best(set, numbers, separations, apart);
                assert_true(said == 0 || said == apart);
                right[set] += said == pain;
            }
        }
        for (int set = 0; set < WORLD_SETS; set++) {
            double expected = world_pain_accuracy(set, separations, apart);
            assert_true(fabs(right[set] / SAMPLES - expected) < 4.0 * 0.5 / sqrt(SAMPLES));
            assert_true(expected <= world_pain_accuracy(WORLD_BOTH, separations, apart));
        }
    }
    /* 1.7 / 2 deviations on either side of the middle */
    assert_true(fabs(world_pain_accuracy(WORLD_FACE, separations, 4) - 0.802337) < 1e-6);
    const double far[2] = {0.0, 100.0}, numbers[2] = {0.0, 51.0};
    assert_int_equal(world_pain_best(WORLD_BOTH, numbers, far, 0), 2);
    assert_int_equal(world_pain_best(WORLD_BOTH, numbers, far, 4), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_is_best),
        cmocka_unit_test(pain_is_told_as_well_as_said),
    };
    return RUN_TESTS(tests);
}
