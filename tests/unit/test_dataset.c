/* Windows, masks and labels of a data set, number for number. */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "check.h"
#include "data-sharding/dataset_internal.h"
#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"

/* 21 steps: windows of 8 begin at 0, 8 and 13. 5 steps: one padded window. */
static const hand_recording_t recordings[] = {
    {"long", "p0", "train", 1, 21, 3, 5, 14, 16},
    {"short", "p1", "train", 2, 5, 0, 0, 0, 0},
    {"other", "p2", "test", 3, 8, 0, 0, 0, 0},
};

typedef struct opened {
    char *place, *path;
    dataset_t *dataset;
} opened_t;

static opened_t open_hand(const hand_recording_t *list, int count, int64_t window, int64_t stride) {
    opened_t opened = {.place = place_make()};
    opened.path = hand_data(opened.place, list, count, 2);
    dataset_config_t config = hand_config(opened.path, window, stride);
    CHECK_OK(dataset_open(&config, &opened.dataset));
    return opened;
}

static void close_hand(opened_t *opened) {
    dataset_close(opened->dataset);
    free(opened->path);
    place_remove(opened->place);
}

/* Every number of one sample against what the recording holds there. */
static void check_sample(const dataset_t *dataset, split_t split, int64_t index,
                         const hand_recording_t *r, int64_t first, int64_t scored_from) {
    int64_t window = dataset_window(dataset);
    hand_sample_t sample = hand_sample(window);
    CHECK_OK(dataset_read(dataset, split, index, sample.features, sample.mask, sample.target));
    sample_info_t info = dataset_sample(dataset, split, index);
    assert_string_equal(info.recording, r->name);
    char *alias = hand_alias(recordings, ARRAY_LEN(recordings), r->subject);
    assert_string_equal(info.subject, alias);
    free(alias);
    assert_int_equal(info.first_step, first);
    assert_int_equal(info.steps, min_i64(window, r->steps - first));
    for (int64_t t = 0; t < window; t++) {
        int64_t step = first + t;
        bool inside = step < r->steps;
        bool a_valid = inside && (step < r->gap_begin || step >= r->gap_end);
        bool scored = inside && step >= scored_from &&
                      (step < r->label_gap_begin || step >= r->label_gap_end);
        assert_int_equal(sample.mask[0][t], a_valid);
        assert_int_equal(sample.mask[1][t], inside);
        for (int64_t d = 0; d < 3; d++) {
            float want = a_valid ? hand_feature(r->number, step, d) : 0.0f;
            assert_true(sample.features[0][t * 3 + d] == want);
        }
        for (int64_t d = 0; d < 2; d++) {
            float want = inside ? -hand_feature(r->number, step, d) : 0.0f;
            assert_true(sample.features[1][t * 2 + d] == want);
        }
        float y = sample.target[0][t];
        assert_true(scored ? y == (float)step / 64.0f : isnan(y));
    }
    hand_sample_free(&sample);
}

static void windows_hold_what_the_recordings_hold(void **state) {
    (void)state;
    opened_t opened = open_hand(recordings, ARRAY_LEN(recordings), 8, 0);
    assert_int_equal(dataset_sample_count(opened.dataset, SPLIT_TRAIN), 4);
    assert_int_equal(dataset_sample_count(opened.dataset, SPLIT_VALID), 0);
    assert_int_equal(dataset_sample_count(opened.dataset, SPLIT_TEST), 1);
    assert_int_equal(dataset_recording_count(opened.dataset, SPLIT_TRAIN), 2);
    assert_int_equal(dataset_modality_dim(opened.dataset, 0), 3);
    check_sample(opened.dataset, SPLIT_TRAIN, 0, &recordings[0], 0, 0);
    check_sample(opened.dataset, SPLIT_TRAIN, 1, &recordings[0], 8, 8);
    check_sample(opened.dataset, SPLIT_TRAIN, 2, &recordings[0], 13, 16);
    check_sample(opened.dataset, SPLIT_TRAIN, 3, &recordings[1], 0, 0);
    check_sample(opened.dataset, SPLIT_TEST, 0, &recordings[2], 0, 0);
    close_hand(&opened);
}

/* Over all windows and strides each valid label is scored exactly once. */
static void every_label_is_scored_once(void **state) {
    (void)state;
    char *place = place_make();
    char *path = hand_data(place, recordings, 1, 1);
    for (int64_t window = 1; window <= 23; window++) {
        for (int64_t stride = 1; stride <= window; stride++) {
            int seen[21] = {0};
            dataset_config_t config = hand_config(path, window, stride);
            dataset_t *dataset = NULL;
            CHECK_OK(dataset_open(&config, &dataset));
            hand_sample_t sample = hand_sample(window);
            int64_t count = dataset_sample_count(dataset, SPLIT_TRAIN);
            for (int64_t i = 0; i < count; i++) {
                CHECK_OK(dataset_read(dataset, SPLIT_TRAIN, i, sample.features, sample.mask,
                                      sample.target));
                for (int64_t t = 0; t < window; t++) {
                    if (!isnan(sample.target[0][t])) {
                        seen[dataset_sample(dataset, SPLIT_TRAIN, i).first_step + t]++;
                    }
                }
            }
            for (int step = 0; step < 21; step++) {
                assert_int_equal(seen[step], step < 14 || step >= 16);
            }
            hand_sample_free(&sample);
            dataset_close(dataset);
        }
    }
    free(path);
    place_remove(place);
}

static void sums_and_labels_cover_the_valid_steps(void **state) {
    (void)state;
    opened_t opened = open_hand(recordings, ARRAY_LEN(recordings), 8, 0);
    int64_t count = 0;
    double sum[3], squares[3], want = 0.0, want_squares = 0.0;
    CHECK_OK(dataset_recording_sums(opened.dataset, SPLIT_TRAIN, 0, 0, &count, sum, squares));
    for (int64_t t = 0; t < 21; t++) {
        double x = t < 3 || t >= 5 ? hand_feature(1, t, 2) : 0.0;
        want += x;
        want_squares += x * x;
    }
    assert_int_equal(count, 19);
    assert_true(sum[2] == want && squares[2] == want_squares); /* exact: eighths add in double */
    float *values = NULL;
    CHECK_OK(dataset_target_values(opened.dataset, SPLIT_TRAIN, 0, &values, &count));
    assert_int_equal(count, 19 + 5);
    assert_true(values[13] == 13.0f / 64.0f && values[14] == 16.0f / 64.0f && values[19] == 0.0f);
    free(values);
    close_hand(&opened);
}

static void what_is_missing_is_named_with_what_is_there(void **state) {
    (void)state;
    opened_t opened = open_hand(recordings, ARRAY_LEN(recordings), 8, 0);
    const char *const wanted[] = {"a", "thermal"};
    dataset_config_t config = hand_config(opened.path, 8, 0);
    dataset_t *dataset = NULL;
    config.modalities = wanted;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT,
                "only: a b; take one of these, or set data.missing=mask to have it masked");
    config = hand_config(opened.path, 8, 0);
    config.targets = wanted;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "no target \"a\", only: y; take ");
    assert_null(strstr(status_text(), "data.missing"));
    config = hand_config(opened.path, 8, 9);
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "would be left out");
    config = hand_config(opened.path, 0, 0);
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "data.window 0");
    config = hand_config("/nowhere/at/all", 8, 0);
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "no such data directory");
    config = hand_config(opened.place, 8, 0);
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "has no dataset.json");
    close_hand(&opened);
}

enum { RAW_STEPS = 8 };

typedef struct raw {
    float a[RAW_STEPS * 3], b[RAW_STEPS * 2], y[RAW_STEPS];
    uint8_t valid[RAW_STEPS];
    writer_signal_t signals[3];
    char *place, *path;
    dataset_t *dataset;
} raw_t;

static void raw_begin(raw_t *raw) {
    *raw = (raw_t){.place = place_make()};
    memset(raw->valid, 1, RAW_STEPS);
    raw->signals[0] = (writer_signal_t){raw->a, raw->valid, RAW_STEPS, 2.0};
    raw->signals[1] = (writer_signal_t){raw->b, NULL, RAW_STEPS, 2.0};
    raw->signals[2] = (writer_signal_t){raw->y, NULL, RAW_STEPS, 2.0};
}

static status_t raw_open(raw_t *raw) {
    raw->path = raw_data(raw->place, raw->signals, "train");
    dataset_config_t config = hand_config(raw->path, 4, 0);
    return dataset_open(&config, &raw->dataset);
}

static void raw_end(raw_t *raw) {
    dataset_close(raw->dataset);
    free(raw->path);
    place_remove(raw->place);
}

static void what_is_not_finite_is_named(void **state) {
    (void)state;
    raw_t raw;
    raw_begin(&raw);
    raw.a[6 * 3] = NAN; /* masked: allowed */
    raw.valid[6] = 0;
    raw.b[5 * 2 + 1] = INFINITY;
    CHECK_OK(raw_open(&raw));
    hand_sample_t s = hand_sample(4);
    CHECK_OK(dataset_read(raw.dataset, SPLIT_TRAIN, 0, s.features, s.mask, s.target));
    CHECK_FAILS(dataset_read(raw.dataset, SPLIT_TRAIN, 1, s.features, s.mask, s.target),
                STATUS_INPUT, "recording raw, modality b, step 5: feature 1 is not finite");
    hand_sample_free(&s);
    raw_end(&raw);
    raw_begin(&raw);
    raw.y[3] = NAN;
    CHECK_FAILS(raw_open(&raw), STATUS_INPUT, "recording raw, target y, step 3 is not finite");
    raw_end(&raw);
}

/* A signal that stops early is masked from there on; windows are cut where there are labels. */
static void signals_of_other_lengths_are_padded(void **state) {
    (void)state;
    raw_t raw;
    raw_begin(&raw);
    raw.signals[0].steps = raw.signals[1].steps = 5;
    CHECK_OK(raw_open(&raw));
    hand_sample_t s = hand_sample(4);
    CHECK_OK(dataset_read(raw.dataset, SPLIT_TRAIN, 1, s.features, s.mask, s.target));
    assert_int_equal(s.mask[1][0], 1);
    assert_int_equal(s.mask[1][1], 0);
    assert_int_equal(s.mask[0][3], 0);
    assert_true(s.features[1][7] == 0.0f);
    assert_true(s.target[0][0] == 0.0f && s.target[0][3] == 0.0f);
    hand_sample_free(&s);
    raw_end(&raw);
    raw_begin(&raw);
    raw.signals[2].steps = 5;
    CHECK_OK(raw_open(&raw));
    assert_int_equal(dataset_sample_count(raw.dataset, SPLIT_TRAIN), 2);
    assert_int_equal(dataset_sample(raw.dataset, SPLIT_TRAIN, 1).first_step, 1);
    raw_end(&raw);
    raw_begin(&raw);
    raw.signals[0] = (writer_signal_t){.values = raw.a}; /* not there at all */
    CHECK_OK(raw_open(&raw));
    assert_int_equal(dataset_sample_count(raw.dataset, SPLIT_TRAIN), 2);
    raw_end(&raw);
}

/* What three signals of their own rates and starts show, worked out by hand: the sample at time t
 * is floor((t - start) * rate). Targets "y" 2 Hz from 10 s to 14 s; "a" 4 Hz from 9.5 s, without
 * sample 4; "b" 0.8 Hz from 11 s. -1: nothing there. */
static void every_signal_keeps_its_own_time(void **state) {
    (void)state;
    enum { MOST = 16 };
    static const struct {
        double rate_hz;
        int steps, a[MOST], b[MOST], y[MOST];
    } cases[] = {
        {0.0,
         8,
         {2, -1, 6, -1, -1, -1, -1, -1},
         {-1, -1, 0, 0, 0, 1, 1, 2},
         {0, 1, 2, 3, 4, 5, 6, 7}},
        {1.0, 4, {2, 6, -1, -1}, {-1, 0, 0, 1}, {0, 2, 4, 6}},
        {4.0,
         16,
         {2, 3, -1, 5, 6, 7, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
         {-1, -1, -1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2},
         {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7}},
    };
    raw_t raw;
    raw_begin(&raw);
    for (int i = 0; i < RAW_STEPS; i++) {
        raw.a[i * 3 + 2] = (float)(100 + i);
        raw.b[i * 2 + 1] = (float)(200 + i);
        raw.y[i] = (float)i;
    }
    raw.valid[4] = 0;
    raw.signals[0] = (writer_signal_t){raw.a, raw.valid, RAW_STEPS, 4.0, 9.5};
    raw.signals[1] = (writer_signal_t){raw.b, NULL, RAW_STEPS, 0.8, 11.0};
    raw.signals[2] = (writer_signal_t){raw.y, NULL, RAW_STEPS, 2.0, 10.0};
    raw.path = raw_data(raw.place, raw.signals, "train");
    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        dataset_config_t config = hand_config(raw.path, cases[c].steps, 0);
        config.rate_hz = cases[c].rate_hz;
        CHECK_OK(dataset_open(&config, &raw.dataset));
        assert_int_equal(dataset_sample_count(raw.dataset, SPLIT_TRAIN), 1);
        assert_int_equal(dataset_sample(raw.dataset, SPLIT_TRAIN, 0).steps, cases[c].steps);
        hand_sample_t s = hand_sample(cases[c].steps);
        CHECK_OK(dataset_read(raw.dataset, SPLIT_TRAIN, 0, s.features, s.mask, s.target));
        for (int t = 0; t < cases[c].steps; t++) {
            int a = cases[c].a[t], b = cases[c].b[t];
            assert_int_equal(s.mask[0][t], a >= 0);
            assert_int_equal(s.mask[1][t], b >= 0);
            assert_true(s.features[0][t * 3 + 2] == (a >= 0 ? (float)(100 + a) : 0.0f));
            assert_true(s.features[1][t * 2 + 1] == (b >= 0 ? (float)(200 + b) : 0.0f));
            assert_true(s.target[0][t] == (float)cases[c].y[t]);
        }
        int64_t count = 0;
        double sum[3], squares[3], want = 0.0;
        CHECK_OK(dataset_recording_sums(raw.dataset, SPLIT_TRAIN, 0, 0, &count, sum, squares));
        for (int t = 0; t < cases[c].steps; t++) {
            want += cases[c].a[t] >= 0 ? 100 + cases[c].a[t] : 0;
        }
        assert_true(sum[2] == want);
        hand_sample_free(&s);
        dataset_close(raw.dataset);
        raw.dataset = NULL;
    }
    raw_end(&raw);
}

/* 25 and 30 Hz, 5 Hz as 1 / 0.2: steps that meet a sample exactly show it, also far from 0. */
static void equal_times_meet_in_any_rates(void **state) {
    (void)state;
    static const double rates[] = {0.1, 1.0 / 3.0, 1.0 / 0.2, 25.0, 30.0, 59.94};
    for (int i = 0; i < ARRAY_LEN(rates); i++) {
        for (int factor = 1; factor <= 7; factor++) {
            dataset_recording_t recording = {.start_s = 1644227583.0, .rate_hz = rates[i]};
            shard_span_t span = {0, INT32_MAX, rates[i] * factor, 1644227583.0};
            signal_line_t line = signal_line(&recording, &span);
            for (int64_t step = 0; step < 100000; step += 7) {
                assert_int_equal(signal_sample(&line, step), step * factor);
            }
            span.rate_hz = rates[i] / factor;
            line = signal_line(&recording, &span);
            for (int64_t step = 0; step < 100000; step += 7) {
                assert_int_equal(signal_sample(&line, step), step / factor);
            }
        }
    }
}

/* Far more samples than fit the reader's buffer, from before the labels begin. */
static void a_fast_signal_is_picked_from(void **state) {
    (void)state;
    enum { SAMPLES = 6000 };
    raw_t raw;
    raw_begin(&raw);
    float *fast = alloc_zero((int64_t)SAMPLES * 3, sizeof *fast);
    for (int i = 0; i < SAMPLES * 3; i++) {
        fast[i] = (float)i;
    }
    raw.signals[0] = (writer_signal_t){fast, NULL, SAMPLES, 1000.0, -1.0};
    CHECK_OK(raw_open(&raw));
    for (int64_t i = 0; i < 2; i++) {
        hand_sample_t s = hand_sample(4);
        CHECK_OK(dataset_read(raw.dataset, SPLIT_TRAIN, i, s.features, s.mask, s.target));
        for (int64_t t = 0; t < 4; t++) {
            assert_int_equal(s.mask[0][t], 1);
            for (int64_t d = 0; d < 3; d++) {
                assert_true(s.features[0][t * 3 + d] ==
                            (float)((1000 + 500 * (4 * i + t)) * 3 + d));
            }
        }
        hand_sample_free(&s);
    }
    free(fast);
    raw_end(&raw);
}

static void unclear_clocks_are_refused(void **state) {
    (void)state;
    raw_t raw;
    raw_begin(&raw);
    raw.signals[1].rate_hz = 1.0;
    raw.path = raw_data(raw.place, raw.signals, "train");
    dataset_config_t config = hand_config(raw.path, 4, 0);
    config.target_count = 0; /* nothing says which of the two rates */
    CHECK_FAILS(dataset_open(&config, &raw.dataset), STATUS_INPUT,
                "recording raw has a at 2 Hz and b at 1 Hz; set data.rate_hz");
    config.rate_hz = 1e300;
    CHECK_FAILS(dataset_open(&config, &raw.dataset), STATUS_INPUT, "too long at 1e+300 Hz");
    config.rate_hz = -1.0;
    CHECK_FAILS(dataset_open(&config, &raw.dataset), STATUS_INPUT, "data.rate_hz -1 is no rate");
    config.rate_hz = 1.0;
    CHECK_OK(dataset_open(&config, &raw.dataset));
    assert_int_equal(dataset_sample(raw.dataset, SPLIT_TRAIN, 1).steps, 4); /* b: 8 s */
    raw_end(&raw);
}

/* Its windows are left out anyway, so that its two rates decide nothing. */
static void unlabelled_recordings_need_no_common_rate(void **state) {
    (void)state;
    raw_t raw;
    raw_begin(&raw);
    raw.signals[1].rate_hz = 1.0;
    raw.signals[2] = (writer_signal_t){0};
    raw.path = raw_data(raw.place, raw.signals, "train");
    dataset_config_t config = hand_config(raw.path, 4, 0);
    CHECK_OK(dataset_open(&config, &raw.dataset));
    assert_int_equal(dataset_sample_count(raw.dataset, SPLIT_TRAIN), 0);
    assert_true(dataset_unlabelled_count(raw.dataset, SPLIT_TRAIN) > 0);
    raw_end(&raw);
}

static void a_modality_missing_altogether_is_masked_if_wanted(void **state) {
    (void)state;
    raw_t raw;
    raw_begin(&raw);
    raw.path = raw_data(raw.place, raw.signals, "train");
    static const char *const names[] = {"a", "none"};
    int64_t dims[] = {3, 2};
    dataset_config_t config = hand_config(raw.path, 4, 0);
    config.modalities = names;
    config.dims = dims;
    CHECK_FAILS(dataset_open(&config, &raw.dataset), STATUS_INPUT, "\"none\", only: a b; ");
    config.mask_missing = true;
    CHECK_OK(dataset_open(&config, &raw.dataset));
    assert_int_equal(dataset_modality_dim(raw.dataset, 1), 2);
    hand_sample_t s = hand_sample(4);
    CHECK_OK(dataset_read(raw.dataset, SPLIT_TRAIN, 0, s.features, s.mask, s.target));
    assert_true(s.mask[0][0] == 1 && s.mask[1][0] == 0 && s.mask[1][3] == 0);
    assert_true(s.features[1][0] == 0.0f && s.features[1][7] == 0.0f);
    hand_sample_free(&s);
    dataset_close(raw.dataset);
    raw.dataset = NULL;
    dims[1] = 0;
    CHECK_FAILS(dataset_open(&config, &raw.dataset), STATUS_INPUT, "set modalities.none.dim");
    config.modalities = names + 1;
    config.modality_count = 1;
    config.dims = (const int64_t[]){2};
    CHECK_FAILS(dataset_open(&config, &raw.dataset), STATUS_INPUT, "modalities is there; name");
    raw_end(&raw);
}

static void windows_without_a_label_are_left_out_and_counted(void **state) {
    (void)state;
    raw_t raw;
    raw_begin(&raw);
    raw.valid[4] = raw.valid[5] = raw.valid[6] = raw.valid[7] = 0;
    raw.signals[2].valid = raw.valid;
    CHECK_OK(raw_open(&raw));
    assert_int_equal(dataset_sample_count(raw.dataset, SPLIT_TRAIN), 1);
    assert_int_equal(dataset_unlabelled_count(raw.dataset, SPLIT_TRAIN), 1);
    dataset_close(raw.dataset);
    dataset_config_t config = hand_config(raw.path, 4, 0);
    config.target_count = 0; /* all are wanted where no labels are */
    CHECK_OK(dataset_open(&config, &raw.dataset));
    assert_int_equal(dataset_sample_count(raw.dataset, SPLIT_TRAIN), 2);
    assert_int_equal(dataset_unlabelled_count(raw.dataset, SPLIT_TRAIN), 0);
    raw_end(&raw);
}

/* Two recordings of p0 and one of p1: over all its valid samples, whatever the split or the labels,
 * each person's feature has mean 0 and deviation 1, a constant one is 0, masked steps stay 0. */
static void people_are_standardized_by_their_own_samples(void **state) {
    (void)state;
    static const hand_recording_t list[] = {{"one", "p0", "train", 1, 8, 2, 4, 0, 8},
                                            {"two", "p0", "train", 9, 6, 0, 0, 0, 0},
                                            {"other", "p1", "test", 3, 5, 0, 0, 0, 0},
                                            {"still", "p2", "train", 4, 1, 0, 0, 0, 0}};
    char *place = place_make(), *path = hand_data(place, list, ARRAY_LEN(list), 2);
    dataset_config_t config = hand_config(path, 8, 0);
    config.standardize_person = true;
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    double sum = 0.0, squares = 0.0;
    int count = 0;
    for (int i = 0; i < 2; i++) {
        for (int64_t t = 0; t < list[i].steps; t++) {
            bool valid = t < list[i].gap_begin || t >= list[i].gap_end;
            double x = hand_feature(list[i].number, t, 1);
            sum += valid ? x : 0.0;
            squares += valid ? x * x : 0.0;
            count += valid;
        }
    }
    assert_int_equal(count, 12);
    double mean = sum / count, deviation = sqrt(squares / count - mean * mean);
    hand_sample_t s = hand_sample(8);
    /* "one" has no label: the first training window is that of "two" */
    CHECK_OK(dataset_read(dataset, SPLIT_TRAIN, 0, s.features, s.mask, s.target));
    for (int64_t t = 0; t < 8; t++) {
        double want = t < 6 ? (hand_feature(9, t, 1) - mean) / deviation : 0.0;
        assert_true(fabs(s.features[0][t * 3 + 1] - want) < 1e-6);
    }
    CHECK_OK(dataset_read(dataset, SPLIT_TRAIN, 1, s.features, s.mask, s.target));
    assert_true(s.mask[0][0] == 1 && s.features[0][0] == 0.0f); /* one sample: constant */
    CHECK_OK(dataset_read(dataset, SPLIT_TEST, 0, s.features, s.mask, s.target));
    for (int64_t t = 0; t < 5; t++) { /* 0..4: mean 2, deviation sqrt(2) */
        assert_true(fabs(s.features[0][t * 3 + 1] - (double)(t - 2) / sqrt(2.0)) < 1e-6);
        assert_true(fabs(s.features[1][t * 2] + (double)(t - 2) / sqrt(2.0)) < 1e-6);
    }
    hand_sample_free(&s);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

static void the_identity_is_that_of_the_content(void **state) {
    (void)state;
    char identities[3][SHA256_TEXT_BYTES];
    for (int i = 0; i < 3; i++) {
        hand_recording_t one = recordings[0];
        one.label_gap_end += i == 2; /* one step's validity */
        opened_t opened = open_hand(&one, 1, 8, 0);
        memcpy(identities[i], dataset_identity(opened.dataset), SHA256_TEXT_BYTES);
        assert_int_equal(strlen(identities[i]), 64);
        close_hand(&opened);
    }
    assert_string_equal(identities[0], identities[1]);
    assert_string_not_equal(identities[0], identities[2]);
}

/* A recording of many blocks, and a window that lies across two of them. */
static void long_recordings_are_read_across_blocks(void **state) {
    (void)state;
    enum { STEPS = 20000, READS = 2000 }; /* 240,000 bytes of "a" */
    const hand_recording_t one = {"long", "p0", "train", 7, STEPS, 0, 0, 0, 0};
    opened_t opened = open_hand(&one, 1, 16, 0);
    int64_t count = dataset_sample_count(opened.dataset, SPLIT_TRAIN);
    assert_int_equal(count, STEPS / 16);
    hand_sample_t s = hand_sample(16);
    double begin = clock_s();
    for (int64_t i = 0; i < READS; i++) {
        int64_t sample = i % count;
        CHECK_OK(dataset_read(opened.dataset, SPLIT_TRAIN, sample, s.features, s.mask, s.target));
        for (int64_t t = 0; t < 16; t++) {
            assert_true(s.features[0][t * 3 + 2] == hand_feature(7, sample * 16 + t, 2));
            assert_true(s.features[1][t * 2 + 1] == -hand_feature(7, sample * 16 + t, 1));
        }
    }
    print_message("# %.1f us a sample of two modalities\n", (clock_s() - begin) * 1e6 / READS);
    hand_sample_free(&s);
    close_hand(&opened);
}

/* Many threads, each over all samples, read what one reads. */
enum { THREADS = 4, WINDOW = 8, FLOATS = WINDOW * 3 };

typedef struct reader {
    const dataset_t *dataset;
    const float *want; /* [samples, FLOATS] of modality "a" */
    int64_t samples;
    bool equal;
} reader_t;

static void *read_and_compare(void *argument) {
    reader_t *reader = argument;
    hand_sample_t s = hand_sample(WINDOW);
    reader->equal = true;
    for (int turn = 0; turn < 20; turn++) {
        for (int64_t i = 0; i < reader->samples; i++) {
            status_t status =
                dataset_read(reader->dataset, SPLIT_TRAIN, i, s.features, s.mask, s.target);
            reader->equal =
                reader->equal && status == STATUS_OK &&
                memcmp(s.features[0], reader->want + i * FLOATS, FLOATS * sizeof(float)) == 0;
        }
    }
    hand_sample_free(&s);
    return NULL;
}

static void threads_read_what_one_reads(void **state) {
    (void)state;
    opened_t opened = open_hand(recordings, ARRAY_LEN(recordings), WINDOW, 3);
    int64_t samples = dataset_sample_count(opened.dataset, SPLIT_TRAIN);
    float *want = alloc_zero(samples * FLOATS, sizeof *want);
    hand_sample_t s = hand_sample(WINDOW);
    for (int64_t i = 0; i < samples; i++) {
        CHECK_OK(dataset_read(opened.dataset, SPLIT_TRAIN, i, s.features, s.mask, s.target));
        memcpy(want + i * FLOATS, s.features[0], FLOATS * sizeof *want);
    }
    hand_sample_free(&s);
    pthread_t threads[THREADS];
    reader_t readers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        readers[i] = (reader_t){opened.dataset, want, samples, false};
        assert_int_equal(pthread_create(&threads[i], NULL, read_and_compare, &readers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(readers[i].equal);
    }
    free(want);
    close_hand(&opened);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_hold_what_the_recordings_hold),
        cmocka_unit_test(every_label_is_scored_once),
        cmocka_unit_test(sums_and_labels_cover_the_valid_steps),
        cmocka_unit_test(what_is_missing_is_named_with_what_is_there),
        cmocka_unit_test(what_is_not_finite_is_named),
        cmocka_unit_test(signals_of_other_lengths_are_padded),
        cmocka_unit_test(every_signal_keeps_its_own_time),
        cmocka_unit_test(equal_times_meet_in_any_rates),
        cmocka_unit_test(a_fast_signal_is_picked_from),
        cmocka_unit_test(unclear_clocks_are_refused),
        cmocka_unit_test(unlabelled_recordings_need_no_common_rate),
        cmocka_unit_test(a_modality_missing_altogether_is_masked_if_wanted),
        cmocka_unit_test(windows_without_a_label_are_left_out_and_counted),
        cmocka_unit_test(long_recordings_are_read_across_blocks),
        cmocka_unit_test(threads_read_what_one_reads),
        cmocka_unit_test(people_are_standardized_by_their_own_samples),
        cmocka_unit_test(the_identity_is_that_of_the_content),
    };
    return RUN_TESTS(tests);
}
