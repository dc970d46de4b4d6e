#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "trainer/corruption.h"

enum { STEPS = 500, DIM = 8 };

static float clean_[STEPS * DIM], dirty_[STEPS * DIM];
static uint8_t mask_[STEPS];

/* Every seventh step is masked; the rest has a power of about 4.5. */
static void fill(void) {
    for (int t = 0; t < STEPS; t++) {
        mask_[t] = t % 7 != 0;
        for (int d = 0; d < DIM; d++) {
            clean_[t * DIM + d] = mask_[t] != 0 ? 3.0f * sinf(0.37f * (float)(t * DIM + d)) : 0.0f;
        }
    }
    memcpy(dirty_, clean_, sizeof clean_);
}

static void apply(corruption_kind_t kind, double level, int64_t sample, uint64_t seed) {
    corruption_t corruption = {.kind = kind, .modality = 1, .level = level, .seed = seed};
    fill();
    corrupt(&corruption, 0, sample, STEPS, DIM, dirty_, mask_);
}

static void noise_has_the_power_asked_for(void **state) {
    (void)state;
    const double levels[] = {20.0, 0.0, -10.0};
    for (int l = 0; l < ARRAY_LEN(levels); l++) {
        double signal = 0.0, noise = 0.0, mean = 0.0, count = 0.0;
        apply(CORRUPTION_NOISE, levels[l], 5, 1);
        for (int i = 0; i < STEPS * DIM; i++) {
            double d = (double)dirty_[i] - (double)clean_[i];
            signal += (double)clean_[i] * (double)clean_[i];
            noise += d * d;
            mean += d;
            count += mask_[i / DIM] != 0 ? 1.0 : 0.0;
            assert_true(mask_[i / DIM] == (i / DIM % 7 != 0));
            assert_true(mask_[i / DIM] != 0 || dirty_[i] == 0.0f);
        }
        /* some 3400 draws: their variance is within 5 sqrt(2 / n) = 12 %, 0.54 dB, their mean
         * within 5 / sqrt(n) deviations */
        assert_true(fabs(10.0 * log10(signal / noise) - levels[l]) < 0.54);
        assert_true(fabs(mean / count) < 5.0 / sqrt(count) * sqrt(noise / count));
    }
}

static int64_t valid_steps(void) {
    int64_t count = 0;
    for (int t = 0; t < STEPS; t++) {
        count += mask_[t];
        for (int d = 0; d < DIM; d++) {
            float want = mask_[t] != 0 ? clean_[t * DIM + d] : 0.0f;
            assert_true(dirty_[t * DIM + d] == want);
        }
    }
    return count;
}

static void steps_are_dropped_at_the_rate(void **state) {
    (void)state;
    apply(CORRUPTION_DROP, 0.0, 0, 0);
    int64_t all = valid_steps();
    apply(CORRUPTION_DROP, 0.3, 0, 0);
    double kept = (double)valid_steps() / (double)all;
    assert_true(fabs(kept - 0.7) < 5.0 * sqrt(0.21 / (double)all));
    apply(CORRUPTION_DROP, 1.0, 0, 0);
    assert_int_equal(valid_steps(), 0);
}

static void samples_lose_the_modality_at_the_rate(void **state) {
    (void)state;
    int lost = 0;
    for (int sample = 0; sample < 400; sample++) {
        apply(CORRUPTION_MISSING, 0.25, sample, 0);
        lost += valid_steps() == 0;
    }
    assert_true(fabs(lost / 400.0 - 0.25) < 5.0 * sqrt(0.1875 / 400.0));
    apply(CORRUPTION_MISSING, 1.0, 0, 0);
    assert_int_equal(valid_steps(), 0);
    apply(CORRUPTION_MISSING, 0.0, 0, 0);
    assert_true(valid_steps() > 0);
}

/* Which samples: what they become is dataset_silence's, so that here nothing is changed. */
static void samples_are_muted_at_the_rate(void **state) {
    (void)state;
    const double levels[] = {0.0, 0.25, 1.0};
    for (int l = 0; l < ARRAY_LEN(levels); l++) {
        corruption_t c = {CORRUPTION_MUTED, 1, levels[l], 3}, other = c;
        other.modality = 0;
        int muted = 0, alike = 0;
        for (int sample = 0; sample < 400; sample++) {
            bool is = corruption_mutes(&c, 0, sample);
            muted += is;
            alike += is == corruption_mutes(&other, 0, sample);
            apply(CORRUPTION_MUTED, levels[l], sample, 3);
            assert_memory_equal(clean_, dirty_, sizeof clean_);
        }
        assert_true(fabs(muted / 400.0 - levels[l]) <=
                    5.0 * sqrt(levels[l] * (1.0 - levels[l]) / 400.0));
        assert_true((alike == 400) == (l != 1));
    }
    corruption_t drop = {CORRUPTION_DROP, 1, 1.0, 3};
    assert_false(corruption_mutes(&drop, 0, 0));
}

static void shifted_by_whole_steps(void **state) {
    (void)state;
    const int by[] = {0, 1, 3, -2, 499, 500, -800};
    for (int b = 0; b < ARRAY_LEN(by); b++) {
        apply(CORRUPTION_SHIFT, by[b], 0, 0);
        for (int t = 0; t < STEPS; t++) {
            int from = t - by[b];
            bool there = from >= 0 && from < STEPS && from % 7 != 0;
            assert_int_equal(mask_[t], there);
            for (int d = 0; d < DIM; d++) {
                assert_true(dirty_[t * DIM + d] == (there ? clean_[from * DIM + d] : 0.0f));
            }
        }
    }
}

static void drawn_by_seed_modality_step_and_sample(void **state) {
    (void)state;
    float first[STEPS * DIM];
    apply(CORRUPTION_NOISE, 0.0, 5, 1);
    memcpy(first, dirty_, sizeof first);
    apply(CORRUPTION_NOISE, 0.0, 5, 1);
    assert_memory_equal(first, dirty_, sizeof first);
    apply(CORRUPTION_NOISE, 0.0, 6, 1);
    assert_memory_not_equal(first, dirty_, sizeof first);
    apply(CORRUPTION_NOISE, 0.0, 5, 2);
    assert_memory_not_equal(first, dirty_, sizeof first);
    fill();
    corruption_t other = {.kind = CORRUPTION_NOISE, .modality = 0, .level = 0.0, .seed = 1};
    corrupt(&other, 0, 5, STEPS, DIM, dirty_, mask_);
    assert_memory_not_equal(first, dirty_, sizeof first);
    fill();
    other.modality = 1;
    corrupt(&other, 3, 5, STEPS, DIM, dirty_, mask_); /* another epoch */
    assert_memory_not_equal(first, dirty_, sizeof first);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_has_the_power_asked_for),
        cmocka_unit_test(steps_are_dropped_at_the_rate),
        cmocka_unit_test(samples_lose_the_modality_at_the_rate),
        cmocka_unit_test(samples_are_muted_at_the_rate),
        cmocka_unit_test(shifted_by_whole_steps),
        cmocka_unit_test(drawn_by_seed_modality_step_and_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
