/* ICT-MMMO as it is, and small files of its layout (tests/reference/write_mmmo.py). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "data-sharding/import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"
#include "unit/real_case.h"

#define SMALL_DIR SOURCE_DIR "/tests/unit/mmmo/"
enum { AUDIO = 74, VIDEO = 36, STEPS_MAX = 20, SLOPE = 7 };

typedef struct sample {
    float audio[STEPS_MAX * AUDIO], video[STEPS_MAX * VIDEO], sentiment[STEPS_MAX];
    uint8_t masks[2][STEPS_MAX];
} sample_t;

static dataset_t *open_data(const char *path, int64_t window) {
    static const char *const senses[] = {"audio", "video"}, *const target[] = {"sentiment"};
    dataset_config_t config = {.path = path,
                               .window = window,
                               .modalities = senses,
                               .modality_count = 2,
                               .targets = target,
                               .target_count = 1};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    return dataset;
}

static void read_sample(const dataset_t *dataset, split_t split, int64_t index, sample_t *s) {
    float *const features[] = {s->audio, s->video};
    uint8_t *const mask[] = {s->masks[0], s->masks[1]};
    float *const target[] = {s->sentiment};
    CHECK_OK(dataset_read(dataset, split, index, features, mask, target));
}

static void mmmo_has_its_numbers(void **state) {
    (void)state;
    static const char source[] = SHARED_DATA "/mmmo";
    skip_without(source);
    assert_string_equal(import_recognise(source), "mmmo");
    char *place = place_make(), *path = place_path(place, "data");
    CHECK_OK(import_run("mmmo", source, path, NULL, 0));
    /* 340 videos of 20 steps, 275 of padding; further steps are all zero in 166 of audio and 921
     * of video */
    static const want_t want[] = {
        {"subjects", 340},
        {"recordings", 340},
        {"window", STEPS_MAX},
        {"modalities/audio/steps", 340 * STEPS_MAX - 275},
        {"modalities/audio/valid", 340 * STEPS_MAX - 275 - 166},
        {"modalities/video/valid", 340 * STEPS_MAX - 275 - 921},
        {"targets/sentiment/valid", 340 * STEPS_MAX - 275},
        {"facts/clipped", 16},
    };
    check_facts(path, want, ARRAY_LEN(want));
    dataset_t *dataset = open_data(path, STEPS_MAX);
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN), 220 + 40);
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TEST), 80);
    sample_t s;
    read_sample(dataset, SPLIT_TRAIN, 0, &s);
    assert_true(s.sentiment[0] == -1.5f);
    read_sample(dataset, SPLIT_TEST, 1, &s);
    assert_true(s.sentiment[0] == 2.0f);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

static const char *const kinds[] = {"audio", "video", "y"};
static const char *const splits[] = {"train", "valid", "test"};

static void copy_small(const char *place, const char *from, const char *to) {
    char *path = text_format("%s%s.h5", SMALL_DIR, from), *data = NULL;
    size_t bytes = 0;
    CHECK_OK(file_read(path, &data, &bytes));
    place_write(place, to, data, bytes);
    free(data);
    free(path);
}

static void write_small(const char *place) {
    for (int i = 0; i < 9; i++) {
        char *name = text_format("%s_%s.h5", kinds[i % 3], splits[i / 3]);
        copy_small(place, kinds[i % 3], name);
        free(name);
    }
}

static void check_small(const sample_t *s, int video) {
    static const uint8_t want[2][2][4] = {{{1, 0, 1, 1}, {1, 1, 1, 0}},
                                          {{1, 1, 0, 0}, {1, 1, 0, 0}}}; /* two words */
    assert_memory_equal(s->masks[0], want[video][0], 4);
    assert_memory_equal(s->masks[1], want[video][1], 4);
    for (int t = 0; t < (video == 0 ? 4 : 2); t++) {
        int step = t + 2 * video;
        assert_true(s->sentiment[t] == (video == 0 ? -1.5f : 2.0f));
        for (int d = 0; d < AUDIO && s->masks[0][t]; d++) {
            double slope = step == 2 && video == 0 ? -1 : step == 3 && video == 1 ? 1 : -0.25;
            double value = d == SLOPE ? slope : 100.0 * video + 10.0 * step + d / 128.0 + 1.0;
            assert_true(s->audio[t * AUDIO + d] == value);
        }
        for (int d = 0; d < VIDEO && s->masks[1][t]; d++) {
            assert_true(s->video[t * VIDEO + d] == 100.0 * video + 10.0 * step + d / 128.0 + 1.0);
        }
    }
}

static void small_files_are_read_by_the_rule(void **state) {
    (void)state;
    char *place = place_make(), *path = place_path(place, "data");
    write_small(place);
    assert_string_equal(import_recognise(place), "mmmo");
    CHECK_OK(import_run("mmmo", place, path, NULL, 0));
    static const want_t want[] = {{"subjects", 6}, {"window", 4}, {"facts/clipped", 6}};
    check_facts(path, want, ARRAY_LEN(want));
    dataset_t *dataset = open_data(path, 4);
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN), 4); /* with the valid part */
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TEST), 2);
    for (int i = 0; i < 6; i++) {
        sample_t s;
        read_sample(dataset, i < 4 ? SPLIT_TRAIN : SPLIT_TEST, i < 4 ? i : i - 4, &s);
        check_small(&s, i % 2);
    }
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

static void broken_files_are_named(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *error;
    } cases[] = {
        {"video", "audio_test.h5", "audio_test.h5: d1 is 2 x 4 x 36, expected 2 x 4 x 74"},
        {"y_three", "y_valid.h5", "y_valid.h5: d1 is 3 x 1 x 1, expected 2 x 1 x 1"},
        {"y_wrong", "y_train.h5", "y_train.h5: video 1 of d1 has 5.5, no sentiment from 1 to 5"},
        {"y_nan", "y_train.h5", "y_train.h5: video 0 of d1 has nan, no sentiment from 1 to 5"},
        {"audio_silent", "audio_valid.h5", "audio_valid.h5: video 0 of d1 is all zero"},
        {NULL, "video_train.h5", "video_train.h5: no such file"},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *place = place_make();
        write_small(place);
        if (cases[i].from != NULL) {
            copy_small(place, cases[i].from, cases[i].to);
        } else {
            char *gone = place_path(place, cases[i].to);
            assert_int_equal(remove(gone), 0);
            free(gone);
        }
        import_refused("mmmo", place, cases[i].error);
        place_remove(place);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mmmo_has_its_numbers),
        cmocka_unit_test(small_files_are_read_by_the_rule),
        cmocka_unit_test(broken_files_are_named),
    };
    return RUN_TESTS(tests);
}
