/* Features scaled by what a person has in the first minutes of recordings. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "unit/data_case.h"

/* At 2 Hz, 3 s are 6 steps of each recording: the person's scales are those of these steps alone,
 * whatever follows, and a feature that stands still in them is only shifted. */
static void people_are_scaled_by_their_baseline(void **state) {
    (void)state;
    char *place = place_make();
    const hand_recording_t list[] = {
        {"r0", "p0", "", .number = 0, .steps = 20, .gap_begin = 2, .gap_end = 4},
        {"r1", "p1", "", .number = 5, .steps = 30},
        {"r2", "p0", "", .number = 3, .steps = 10},
    };
    char *path = hand_data(place, list, 3, 1);
    dataset_config_t config = hand_config(path, 10, 0);
    config.baseline_s = 3.0;
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    hand_sample_t sample = hand_sample(10);
    CHECK_OK(dataset_read(dataset, SPLIT_TRAIN, 1, sample.features, sample.mask, sample.target));
    assert_string_equal(dataset_sample(dataset, SPLIT_TRAIN, 1).recording, "r0");
    double values[10], mean = 0.0, variance = 0.0;
    int count = 0;
    for (int t = 0; t < 6; t++) { /* r0 without its gap, and r2 */
        if (t < 2 || t >= 4) {
            values[count++] = (double)hand_feature(0, t, 1);
        }
        values[count++] = (double)hand_feature(3, t, 1);
    }
    for (int i = 0; i < count; i++) {
        mean += values[i] / count;
    }
    for (int i = 0; i < count; i++) {
        variance += (values[i] - mean) * (values[i] - mean) / count;
    }
    for (int t = 0; t < 10; t++) {
        double want = ((double)hand_feature(0, 10 + t, 1) - mean) / sqrt(variance);
        assert_float_equal(sample.features[0][3 * t + 1], want, 1e-6 * (1.0 + fabs(want)));
    }
    dataset_close(dataset);
    config.baseline_s = 0.5; /* one step of each: p0 has two recordings, p1 one */
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "has a single valid sample");
    hand_sample_free(&sample);
    free(path);
    place_remove(place);
    place = place_make();
    const hand_recording_t late = {"r0", "p0", "", .steps = 20, .gap_begin = 0, .gap_end = 8};
    path = hand_data(place, &late, 1, 1);
    config = hand_config(path, 10, 0);
    config.baseline_s = 3.0;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "has no valid sample");
    config.baseline_s = 4.5; /* the first of them */
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "has a single valid sample");
    config.baseline_s = 5.0;
    CHECK_OK(dataset_open(&config, &dataset));
    assert_false(dataset_baseline_is_all(dataset));
    dataset_close(dataset);
    config.baseline_s = 10.0;
    CHECK_OK(dataset_open(&config, &dataset));
    assert_true(dataset_baseline_is_all(dataset));
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

/* What stands still in the baseline is only shifted, whatever it does later. */
static void a_still_feature_is_shifted(void **state) {
    (void)state;
    enum { STEPS = 20 };
    float a[3 * STEPS], b[2 * STEPS], y[STEPS];
    for (int t = 0; t < STEPS; t++) {
        for (int d = 0; d < 3; d++) {
            a[3 * t + d] = d == 0 ? (float)(7 + (t > 6 ? t : 0)) : (float)(t * t);
        }
        b[2 * t] = b[2 * t + 1] = y[t] = (float)t;
    }
    const writer_signal_t signals[3] = {
        {a, NULL, STEPS, 2.0, 0.0}, {b, NULL, STEPS, 2.0, 0.0}, {y, NULL, STEPS, 2.0, 0.0}};
    char *place = place_make(), *path = raw_data(place, signals, "");
    dataset_config_t config = hand_config(path, 10, 0);
    config.baseline_s = 3.0;
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    hand_sample_t sample = hand_sample(10);
    CHECK_OK(dataset_read(dataset, SPLIT_TRAIN, 1, sample.features, sample.mask, sample.target));
    for (int t = 0; t < 10; t++) {
        assert_true(sample.features[0][3 * t] == (float)(10 + t));
    }
    dataset_close(dataset);
    hand_sample_free(&sample);
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_are_scaled_by_their_baseline),
        cmocka_unit_test(a_still_feature_is_shifted),
    };
    return RUN_TESTS(tests);
}
