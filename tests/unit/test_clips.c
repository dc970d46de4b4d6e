/* Clips: which steps of a modality a step of the window shows, against a slow statement of the
 * rules, for every pattern of missing steps, and for clocks that do not agree. */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "data-sharding/dataset.h"
#include "data-sharding/dataset_writer.h"
#include "kernels/base/bytes.h"
#include "unit/data_case.h"

enum { STEPS = 9, PATTERNS = 1 << STEPS, TRACKS = 6, BANDS = 64, DIM_MAX = 64 };
enum { PIXELS, SIGNAL, SOUND, FEATURES, VGGISH, LABEL };
static const writer_track_t tracks[TRACKS] = {
    [PIXELS] = {"pixels", false, 6, TRACK_PIXELS, {2, 1, 3}},
    [SIGNAL] = {"signal", false, 2, TRACK_SIGNAL},
    [SOUND] = {"sound", false, BANDS, TRACK_LOG_MEL},
    [FEATURES] = {"features", false, 3},
    [VGGISH] = {"vggish", false, BANDS, TRACK_VGGISH_MEL},
    [LABEL] = {"y", true, 1},
};

/* Of a recording whose clock of labels runs at 2 Hz from 0 s. */
typedef struct timing {
    double rate_hz, start_s; /* of all modalities */
    int64_t labels;
} timing_t;

static double value_at(int track, int64_t pattern, int64_t step, int64_t d) {
    if (track == PIXELS) {
        return (double)((pattern * 7 + step * 19 + d * 3) % 256);
    }
    if (track == SOUND) { /* wide enough for the floor, 80 below the top, to cut */
        return (double)((pattern * 13 + step * 29 + d * 17) % 140) - 100.0;
    }
    return (double)(pattern % 100) * 8.0 + (double)step + (double)d / 8.0;
}

static void add_pattern(dataset_writer_t *writer, int64_t pattern, const timing_t *timing) {
    static float values[TRACKS][STEPS * DIM_MAX];
    uint8_t valid[STEPS];
    float labels[2 * STEPS] = {0};
    writer_signal_t signals[TRACKS];
    steps_file_t *pictures = steps_file_open(dataset_writer_store(writer), tracks[PIXELS].dim);
    for (int64_t t = 0; t < STEPS; t++) {
        uint8_t picture[6];
        valid[t] = (pattern >> t & 1) != 0;
        for (int k = 0; k < LABEL; k++) {
            for (int64_t d = 0; d < tracks[k].dim; d++) {
                double value = value_at(k, pattern, t, d);
                values[k][t * tracks[k].dim + d] = valid[t] ? (float)value : NAN;
                if (k == PIXELS) {
                    picture[d] = (uint8_t)value;
                }
            }
        }
        CHECK_OK(steps_file_add(pictures, valid[t] ? picture : NULL, 1));
    }
    for (int k = 0; k < LABEL; k++) {
        signals[k] = (writer_signal_t){values[k], valid, STEPS, timing->rate_hz, timing->start_s};
    }
    signals[PIXELS] = (writer_signal_t){
        .rate_hz = timing->rate_hz, .start_s = timing->start_s, .pictures = pictures};
    signals[LABEL] = (writer_signal_t){labels, NULL, timing->labels, 2.0, 0.0};
    char *name = text_format("r%03d", (int)pattern);
    writer_recording_t recording = {name, "", "", "train", 0, signals};
    CHECK_OK(dataset_writer_add(writer, &recording));
    free(name);
}

static char *make_data(const char *place, int64_t first, int64_t count, const timing_t *timing) {
    static const char *const people[] = {"p"};
    char *path = place_path(place, "data");
    writer_config_t config = {path, "hand", "test", "CC0-1.0", "none", "salt", people,
                              1,    count,  0,      0.0,       2,      tracks, TRACKS};
    dataset_writer_t *writer = NULL;
    CHECK_OK(dataset_writer_open(&config, &writer));
    for (int64_t i = 0; i < count; i++) {
        add_pattern(writer, first + i, timing);
    }
    CHECK_OK(dataset_writer_publish(writer, NULL));
    dataset_writer_close(writer);
    return path;
}

static status_t open_clips(const char *path, int64_t window, int64_t clip, int64_t dilation,
                           bool person, dataset_t **dataset_out) {
    static const char *const names[] = {"pixels", "signal", "sound", "features", "vggish"};
    static const char *const targets[] = {"y"};
    const clip_config_t one = {clip, dilation}, clips[LABEL] = {one, one, one, one, one};
    dataset_config_t config = {.path = path,
                               .window = window,
                               .split_seed = 1,
                               .standardize_person = person,
                               .modalities = names,
                               .modality_count = LABEL,
                               .clips = clips,
                               .targets = targets,
                               .target_count = 1};
    return dataset_open(&config, dataset_out);
}

/* --- the rules, slowly ---------------------------------------------------------------------- */

static bool there(int64_t pattern, int64_t step) {
    return step >= 0 && step < STEPS && (pattern >> step & 1) != 0;
}

/* shown[i]: the step, or -1. */
static bool by_the_rules(int track, int64_t pattern, int64_t last, int64_t clip, int64_t dilation,
                         int64_t *shown) {
    int64_t all[64], found = 0, on_grid = 0;
    for (int64_t i = 0; i < clip; i++) {
        int64_t step = last - (clip - 1 - i) * dilation;
        shown[i] = there(pattern, step) ? step : -1;
        on_grid += shown[i] >= 0;
    }
    for (int64_t step = last - (clip - 1) * dilation; step <= last; step++) {
        if (there(pattern, step)) {
            all[found++] = step;
        }
    }
    if (on_grid == clip || track == SOUND || track == VGGISH) {
        return on_grid > 0;
    }
    if (track == SIGNAL) {
        int64_t first = 0;
        while (first < clip && shown[first] < 0) {
            first++;
        }
        for (int64_t i = 0; i < clip && first < clip; i++) {
            shown[i] = i < first ? shown[first] : shown[i] < 0 ? shown[i - 1] : shown[i];
        }
        return first < clip;
    }
    int64_t every = found >= 4 * clip ? 4 : found >= 3 * clip ? 3 : found >= 2 * clip ? 2 : 1;
    for (int64_t i = 0; i < clip; i++) {
        if (found >= clip) {
            shown[clip - 1 - i] = all[found - 1 - i * every];
        } else if (found > 0) {
            shown[i] = all[i < found ? i : found - 1];
        }
    }
    return found > 0;
}

static double expected(int track, int64_t pattern, int64_t step, int64_t d, double top) {
    if (track == SOUND) {
        double value = step < 0 ? -100.0 : (double)(float)value_at(track, pattern, step, d);
        return (fmax(value, top - 80.0) + 14.8) / 19.895;
    }
    return step < 0 ? (double)(float)log(0.01) : value_at(track, pattern, step, d);
}

/* --- one sample of all five modalities ------------------------------------------------------- */

typedef struct sample {
    void *tokens[LABEL];
    uint8_t *mask[LABEL];
    float *target[1];
    dataset_scratch_t *scratch;
} sample_t;

static sample_t sample_make(const dataset_t *dataset, int64_t clip) {
    sample_t s = {.scratch = dataset_scratch_open(dataset)};
    int64_t window = dataset_window(dataset);
    for (int k = 0; k < LABEL; k++) {
        size_t bytes = (size_t)(window * clip * tracks[k].dim) * sizeof(float);
        s.tokens[k] = alloc_aligned(bytes);
        s.mask[k] = alloc_aligned((size_t)window);
        memset(s.tokens[k], 0x5a, bytes);
        memset(s.mask[k], 0x5a, (size_t)window);
    }
    s.target[0] = alloc_zero(window, sizeof(float));
    return s;
}

static void sample_free(sample_t *s) {
    for (int k = 0; k < LABEL; k++) {
        free(s->tokens[k]);
        free(s->mask[k]);
    }
    free(s->target[0]);
    dataset_scratch_close(s->scratch);
}

static void read_sample(const dataset_t *dataset, int64_t number, sample_t *s) {
    CHECK_OK(dataset_read_tokens(dataset, SPLIT_TRAIN, number, s->scratch, s->tokens, s->mask,
                                 s->target));
}

static double token_at(const sample_t *s, int track, int64_t at) {
    return track == PIXELS ? ((const uint8_t *)s->tokens[track])[at]
                           : (double)((const float *)s->tokens[track])[at];
}

static void check_token(const sample_t *s, int track, int64_t pattern, int64_t t, int64_t last,
                        int64_t clip, int64_t dilation) {
    int64_t shown[64], dim = tracks[track].dim;
    bool any = by_the_rules(track, pattern, last, clip, dilation, shown);
    double top = -INFINITY;
    for (int64_t i = 0; i < clip * dim && track == SOUND; i++) {
        if (shown[i / dim] >= 0) {
            top = fmax(top, value_at(track, pattern, shown[i / dim], i % dim));
        }
    }
    assert_int_equal(s->mask[track][t], any);
    for (int64_t i = 0; i < clip * dim; i++) {
        double got = token_at(s, track, t * clip * dim + i);
        double want = any ? expected(track, pattern, shown[i / dim], i % dim, top) : 0.0;
        double slack = track == SOUND ? 1e-6 * fmax(1.0, fabs(want)) : 0.0; /* of a float */
        if (!(fabs(got - want) <= slack)) {
            fail_msg("%s, pattern %lld, clip %lld every %lld, step %lld, element %lld: %.9g, not "
                     "%.9g",
                     tracks[track].name, (long long)pattern, (long long)clip, (long long)dilation,
                     (long long)t, (long long)i, got, want);
        }
    }
}

static void every_pattern_of_gaps(void **state) {
    (void)state;
    const timing_t timing = {2.0, 0.0, STEPS};
    char *place = place_make();
    char *path = make_data(place, 0, PATTERNS, &timing);
    for (int64_t clip = 2; clip <= 4; clip++) {
        for (int64_t dilation = 1; dilation <= 4; dilation++) {
            dataset_t *dataset = NULL;
            CHECK_OK(open_clips(path, STEPS, clip, dilation, false, &dataset));
            assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN), PATTERNS);
            sample_t s = sample_make(dataset, clip);
            for (int64_t pattern = 0; pattern < PATTERNS; pattern++) {
                read_sample(dataset, pattern, &s);
                for (int64_t t = 0; t < STEPS; t++) {
                    for (int k = 0; k < LABEL; k++) {
                        check_token(&s, k, pattern, t, t, clip, dilation);
                    }
                }
            }
            sample_free(&s);
            dataset_close(dataset);
        }
    }
    free(path);
    place_remove(place);
}

/* A modality of 7 Hz that begins a second early, and one of 0.5 Hz that begins late: the clip ends
 * with the step floor((t - start) * rate). Windows of 4 of the 6 labels, so the last overlaps. */
static void clocks_that_do_not_agree(void **state) {
    (void)state;
    static const timing_t timings[] = {{7.0, -1.0, 6}, {0.5, 0.75, 12}, {2.0, 20.0, 6}};
    static const int64_t patterns[] = {0x1ff, 0x0b7, 0x140, 0};
    for (int i = 0; i < ARRAY_LEN(timings); i++) {
        for (int p = 0; p < ARRAY_LEN(patterns); p++) {
            char *place = place_make();
            char *path = make_data(place, patterns[p], 1, &timings[i]);
            dataset_t *dataset = NULL;
            CHECK_OK(open_clips(path, 4, 3, 2, false, &dataset));
            sample_t s = sample_make(dataset, 3);
            for (int64_t n = 0; n < dataset_sample_count(dataset, SPLIT_TRAIN); n++) {
                read_sample(dataset, n, &s);
                for (int64_t t = 0; t < 4; t++) {
                    double time = (double)(dataset_sample(dataset, SPLIT_TRAIN, n).first_step + t);
                    double last = floor((time / 2.0 - timings[i].start_s) * timings[i].rate_hz);
                    for (int k = 0; k < LABEL; k++) {
                        check_token(&s, k, patterns[p], t, (int64_t)last, 3, 2);
                    }
                }
            }
            sample_free(&s);
            dataset_close(dataset);
            free(path);
            place_remove(place);
        }
    }
}

/* Padding behind a recording that is shorter than the window, a clip of one picture, and what a
 * trainer is told. */
static void single_pictures_and_padding(void **state) {
    (void)state;
    const timing_t timing = {2.0, 0.0, 5};
    char *place = place_make();
    char *path = make_data(place, 0x1f5, 1, &timing);
    dataset_t *dataset = NULL;
    CHECK_OK(open_clips(path, 8, 1, 1, false, &dataset));
    modality_info_t info = dataset_modality(dataset, PIXELS);
    assert_int_equal(info.kind, TRACK_PIXELS);
    assert_int_equal(info.dim, 6);
    assert_int_equal(info.clip, 1);
    assert_int_equal(info.shape[0] * 100 + info.shape[1] * 10 + info.shape[2], 213);
    assert_false(info.scaled);
    assert_true(dataset_modality(dataset, SIGNAL).scaled);
    assert_true(dataset_modality(dataset, SOUND).scaled); /* single frames are features */
    sample_t s = sample_make(dataset, 1);
    read_sample(dataset, 0, &s);
    for (int64_t t = 0; t < 8; t++) {
        bool valid = t < 5 && there(0x1f5, t);
        assert_int_equal(s.mask[PIXELS][t], valid);
        for (int64_t d = 0; d < 6; d++) {
            double want = valid ? value_at(PIXELS, 0x1f5, t, d) : 0.0;
            assert_true(token_at(&s, PIXELS, t * 6 + d) == want);
        }
        assert_true(isnan(s.target[0][t]) == (t >= 5));
    }
    sample_free(&s);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

/* Steps of features and signals are scaled as single steps are; sound and pictures never. */
static void people_scale_their_own_steps(void **state) {
    (void)state;
    const timing_t timing = {2.0, 0.0, STEPS};
    char *place = place_make();
    char *path = make_data(place, 0x1ff, 1, &timing);
    dataset_t *dataset = NULL;
    CHECK_OK(open_clips(path, STEPS, 2, 3, true, &dataset));
    assert_false(dataset_modality(dataset, SOUND).scaled);
    assert_false(dataset_modality(dataset, VGGISH).scaled);
    sample_t s = sample_make(dataset, 2);
    read_sample(dataset, 0, &s);
    /* Of 0..8 the mean is 4 and the deviation sqrt(60 / 9). */
    for (int k = SIGNAL; k <= FEATURES; k += FEATURES - SIGNAL) {
        double got = token_at(&s, k, (7 * 2 + 0) * tracks[k].dim);
        assert_float_equal(got, (4.0 - 4.0) / sqrt(60.0 / 9.0), 1e-6);
        got = token_at(&s, k, (7 * 2 + 1) * tracks[k].dim + 1);
        assert_float_equal(got, (7.0 - 4.0) / sqrt(60.0 / 9.0), 1e-6);
    }
    check_token(&s, PIXELS, 0x1ff, 8, 8, 2, 3);
    check_token(&s, SOUND, 0x1ff, 8, 8, 2, 3);
    sample_free(&s);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

static void what_has_no_clips_is_refused(void **state) {
    (void)state;
    const timing_t timing = {2.0, 0.0, STEPS};
    static const char *const names[] = {"clock"};
    const clip_config_t clip = {2, 1};
    char *place = place_make();
    char *path = make_data(place, 0x1ff, 1, &timing);
    dataset_config_t config = {
        .path = path, .window = 4, .modalities = names, .modality_count = 1, .clips = &clip};
    dataset_t *dataset = NULL;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT,
                "clock is not stored in it, so it has no clips; set modalities.clock.clip to 1");
    free(path);
    place_remove(place);
}

/* --- threads --------------------------------------------------------------------------------- */

enum { READERS = 3, MANY = 64, CLIP = 3 };

typedef struct reader {
    const dataset_t *dataset;
    const sample_t *expected; /* [MANY] */
    int64_t first;
    bool same;
} reader_t;

static bool same_sample(const sample_t *a, const sample_t *b) {
    bool same = true;
    for (int k = 0; k < LABEL; k++) {
        size_t element = k == PIXELS ? 1 : sizeof(float);
        size_t bytes = (size_t)(STEPS * CLIP * tracks[k].dim) * element;
        same &= memcmp(a->tokens[k], b->tokens[k], bytes) == 0;
        same &= memcmp(a->mask[k], b->mask[k], STEPS) == 0;
    }
    return same;
}

static void *read_again_and_again(void *context) {
    reader_t *reader = context;
    sample_t s = sample_make(reader->dataset, CLIP);
    reader->same = true;
    for (int64_t i = 0; i < 10 * MANY; i++) {
        int64_t at = (reader->first + 7 * i) % MANY;
        reader->same &= dataset_read_tokens(reader->dataset, SPLIT_TRAIN, at, s.scratch, s.tokens,
                                            s.mask, s.target) == STATUS_OK;
        reader->same &= same_sample(&s, &reader->expected[at]);
    }
    sample_free(&s);
    return NULL;
}

/* Each in memory of its own. */
static void threads_read_the_same_clips(void **state) {
    (void)state;
    const timing_t timing = {2.0, 0.0, STEPS};
    char *place = place_make();
    char *path = make_data(place, 100, MANY, &timing);
    dataset_t *dataset = NULL;
    CHECK_OK(open_clips(path, STEPS, CLIP, 2, false, &dataset));
    sample_t expected[MANY];
    for (int64_t i = 0; i < MANY; i++) {
        expected[i] = sample_make(dataset, CLIP);
        read_sample(dataset, i, &expected[i]);
    }
    pthread_t threads[READERS];
    reader_t readers[READERS];
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader_t){dataset, expected, i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, read_again_and_again, &readers[i]), 0);
    }
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(readers[i].same);
    }
    for (int64_t i = 0; i < MANY; i++) {
        sample_free(&expected[i]);
    }
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_of_gaps),
        cmocka_unit_test(clocks_that_do_not_agree),
        cmocka_unit_test(single_pictures_and_padding),
        cmocka_unit_test(people_scale_their_own_steps),
        cmocka_unit_test(threads_read_the_same_clips),
        cmocka_unit_test(what_has_no_clips_is_refused),
    };
    return RUN_TESTS(tests);
}
