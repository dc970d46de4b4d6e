/* What of a data set counts: one label of each window; for training less, as published. */
#include <math.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "unit/data_case.h"

/* 21 steps: windows of 8 begin at 0, 8 and 13. 5 steps: one padded window. */
static const hand_recording_t recordings[] = {
    {"long", "p0", "train", 1, 21, 3, 5, 14, 16},
    {"short", "p1", "train", 2, 5, 0, 0, 0, 0},
    {"other", "p2", "test", 3, 8, 0, 0, 0, 0},
};

/* Steps 14 and 15 of "long" have no label, and its last window begins at 13: 7, 13 and 20 count. */
static void a_window_may_have_one_label(void **state) {
    (void)state;
    char *place = place_make();
    char *path = hand_data(place, recordings, ARRAY_LEN(recordings), 2);
    static const bool last_only[] = {true};
    dataset_config_t config = hand_config(path, 8, 0);
    config.last_only = last_only;
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    static const int counting[] = {7, 13, 20, 4}; /* of the window's recording */
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN), ARRAY_LEN(counting));
    hand_sample_t sample = hand_sample(8);
    for (int64_t i = 0; i < ARRAY_LEN(counting); i++) {
        int64_t first = dataset_sample(dataset, SPLIT_TRAIN, i).first_step;
        CHECK_OK(
            dataset_read(dataset, SPLIT_TRAIN, i, sample.features, sample.mask, sample.target));
        for (int64_t t = 0; t < 8; t++) {
            float y = sample.target[0][t];
            assert_true(first + t == counting[i] ? y == (float)counting[i] / 64.0f : isnan(y));
        }
    }
    float *values = NULL;
    int64_t count = 0;
    CHECK_OK(dataset_target_values(dataset, SPLIT_TRAIN, 0, &values, &count));
    assert_int_equal(count, ARRAY_LEN(counting));
    assert_true(values[1] == 13.0f / 64.0f && values[3] == 4.0f / 64.0f);
    free(values);
    hand_sample_free(&sample);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

static int64_t training_samples(dataset_config_t config, const char *skip, bool whole) {
    dataset_t *dataset = NULL;
    config.skip = skip;
    config.whole_windows = whole;
    CHECK_OK(dataset_open(&config, &dataset));
    int64_t count = dataset_sample_count(dataset, SPLIT_TRAIN);
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TEST), 1); /* whatever is said of train */
    dataset_close(dataset);
    return count;
}

/* "long" has two whole windows and a rest, "short" none. */
static void training_may_leave_out_as_published_code_does(void **state) {
    (void)state;
    char *place = place_make();
    char *path = hand_data(place, recordings, ARRAY_LEN(recordings), 2);
    dataset_config_t config = hand_config(path, 8, 0);
    assert_int_equal(training_samples(config, NULL, false), 4);
    assert_int_equal(training_samples(config, "other sho short", false), 3);
    assert_int_equal(training_samples(config, "long", false), 1);
    assert_int_equal(training_samples(config, "shortlong lon", false), 4);
    assert_int_equal(training_samples(config, "", true), 2);
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_may_have_one_label),
        cmocka_unit_test(training_may_leave_out_as_published_code_does),
    };
    return RUN_TESTS(tests);
}
