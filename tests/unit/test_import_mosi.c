/* CMU-MOSI as it is: the numbers of its description; and what happens when a file contradicts
 * another, on a small set of its layout. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "data-sharding/import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"

static const char source[] = MOSI_DIR;
static const char *const modalities[] = {"text", "audio", "video"};
static const char *const targets[] = {"score", "binary"};

static dataset_t *open_imported(const char *path, int64_t window) {
    dataset_config_t config = {.path = path,
                               .window = window,
                               .modalities = modalities,
                               .modality_count = 3,
                               .targets = targets,
                               .target_count = 2};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    return dataset;
}

static void the_real_set_has_its_numbers(void **state) {
    (void)state;
    if (!dir_exists(source)) {
        print_message("# skipped: the data set is not at %s\n", source);
        skip();
    }
    assert_string_equal(import_recognise(source), "mosi");
    char *place = place_make(), *path = place_path(place, "data");
    CHECK_OK(import_run("mosi", source, path, NULL, 0));
    dataset_t *dataset = open_imported(path, 63); /* the longest video */
    static const int64_t videos[SPLIT_COUNT] = {62, 0, 31}, steps[SPLIT_COUNT] = {1447, 0, 752};
    int64_t longest = 0, shortest = 63;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        split_t split = (split_t)s;
        assert_int_equal(dataset_recording_count(dataset, split), videos[s]);
        assert_int_equal(dataset_subject_count(dataset, split), videos[s]);
        assert_int_equal(dataset_sample_count(dataset, split), videos[s]);
        for (int64_t i = 0; i < videos[s]; i++) {
            longest = max_i64(longest, dataset_sample(dataset, split, i).steps);
            shortest = min_i64(shortest, dataset_sample(dataset, split, i).steps);
        }
        float *binary = NULL, *score = NULL;
        int64_t count = 0, scores = 0;
        CHECK_OK(dataset_target_values(dataset, split, 0, &score, &scores));
        CHECK_OK(dataset_target_values(dataset, split, 1, &binary, &count));
        assert_int_equal(count, steps[s]);
        assert_int_equal(scores, steps[s]);
        for (int64_t i = 0; i < count; i++) {
            assert_true(score[i] >= -3.0f && score[i] <= 3.0f);
            assert_true(binary[i] == (score[i] >= 0.0f ? 1.0f : 0.0f));
        }
        free(score);
        free(binary);
    }
    assert_int_equal(longest, 63);
    assert_int_equal(shortest, 9);
    static const int64_t dims[3] = {100, 73, 100};
    for (int m = 0; m < 3; m++) {
        assert_int_equal(dataset_modality_dim(dataset, m), dims[m]);
    }
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

/* ---- a set of the same layout: two videos, one of them with an underscore at its name's end
 * ---- */

static void append(char **text, const char *more) {
    char *longer = text_format("%s%s", *text, more);
    free(*text);
    *text = longer;
}

static void write_rows(const char *place, const char *name, int rows, int columns,
                       const char *const *labels, int scale) {
    char *text = text_copy("");
    for (int r = 0; r < rows; r++) {
        for (int c = 0; c < columns; c++) {
            char *cell = text_format("\"%d\",", scale * (1000 * r + c));
            append(&text, cell);
            free(cell);
        }
        char *label = text_format("\"%s\"\r\n", labels[r]);
        append(&text, label);
        free(label);
    }
    place_text(place, name, text);
    free(text);
}

/* train: v__ clips 10 and 2 (in this order in the files), test: w clip 1. */
static void write_small_set(const char *place) {
    static const char *const train[] = {"1", "0"}, *const test[] = {"1"};
    place_text(place, "transcripts.csv",
               "\"v__10\",\"A\",\"9\",\"1\"\n\"w_1\",\"B\",\"9\",\"1\"\n"
               "\"v__2\",\"C, D\",\"9\",\"0\"\n");
    place_text(place, "OpinionLevelSentiment.csv",
               "0,1,v_,10,0\n0,1,w,1,3\n0,1,v_,2,-0.5\n0,1,unused,1,2\n");
    place_text(place, "text_train.csv", "\"0\",\"x\"\n\"2\",\"x\"\n");
    place_text(place, "text_test.csv", "\"1\",\"x\"\n");
    write_rows(place, "text_train0.csv", 2, 100, train, 1);
    write_rows(place, "audio_train0.csv", 2, 73, train, 2);
    write_rows(place, "video_train0.csv", 2, 100, train, 3);
    write_rows(place, "text_test0.csv", 1, 100, test, 1);
    write_rows(place, "audio_test0.csv", 1, 73, test, 2);
    write_rows(place, "video_test0.csv", 1, 100, test, 3);
}

static void clips_are_sorted_and_joined(void **state) {
    (void)state;
    enum { WINDOW = 3, WIDEST = 100 };
    char *place = place_make(), *path = place_path(place, "data");
    write_small_set(place);
    CHECK_OK(import_run("mosi", place, path, NULL, 0));
    dataset_t *dataset = open_imported(path, WINDOW);
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN), 1);
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TEST), 1);
    sample_info_t info = dataset_sample(dataset, SPLIT_TRAIN, 0);
    assert_string_equal(info.recording, info.subject); /* the video stands for its speaker */
    assert_int_equal(info.steps, 2);
    float values[3][WINDOW * WIDEST], scores[2][WINDOW];
    uint8_t masks[3][WINDOW];
    float *const features[] = {values[0], values[1], values[2]};
    uint8_t *const mask[] = {masks[0], masks[1], masks[2]};
    float *const target[] = {scores[0], scores[1]};
    CHECK_OK(dataset_read(dataset, SPLIT_TRAIN, 0, features, mask, target));
    assert_true(scores[0][0] == -0.5f && scores[0][1] == 0.0f); /* clip 2, then clip 10 */
    assert_true(scores[1][0] == 0.0f && scores[1][1] == 1.0f);  /* zero counts as positive */
    assert_true(values[0][0] == 1000.0f && values[0][100 + 99] == 99.0f);
    assert_true(values[1][0] == 2000.0f && values[1][73 + 5] == 10.0f);
    assert_true(values[2][7] == 3021.0f && masks[2][1] == 1 && masks[2][2] == 0);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

static void contradictions_are_named_by_file_and_line(void **state) {
    (void)state;
    static const struct {
        const char *file, *text, *error;
    } cases[] = {
        {"transcripts.csv",
         "\"v__10\",\"A\",\"9\",\"0\"\n\"w_1\",\"B\",\"9\",\"1\"\n\"v__2\",\"C\",\"9\",\"0\"\n",
         "transcripts.csv:1: binary label 0 contradicts the score 0"},
        {"transcripts.csv",
         "\"v10\",\"A\",\"9\",\"1\"\n\"w_1\",\"B\",\"9\",\"1\"\n\"v__2\",\"C\",\"9\",\"0\"\n",
         "transcripts.csv:1: id \"v10\" is not VIDEO_CLIP"},
        {"text_train.csv", "\"0\",\"x\"\n\"3\",\"x\"\n", "text_train.csv:2: row 3"},
        {"text_train.csv", "\"0\",\"x\"\n\"0\",\"x\"\n", "is taken already"},
        {"text_train.csv", "\"0\",\"x\"\n", "text_train0.csv: 2 rows, but"},
        {"text_train.csv", "\"2\",\"x\"\n\"0\",\"x\"\n", "text_train0.csv:1: binary label 1"},
        {"OpinionLevelSentiment.csv", "0,1,v_,10,0\n0,1,w,1,3\n", "transcripts.csv:3: no score"},
        {"OpinionLevelSentiment.csv", "0,1,v_,10,0\n0,1,w,1,3.1\n0,1,v_,2,-1\n",
         "OpinionLevelSentiment.csv:2: score 3.1 is outside"},
        {"OpinionLevelSentiment.csv", "0,1,v_,10,0\n0,1,v_,10,0\n0,1,w,1,3\n0,1,v_,2,-1\n",
         "OpinionLevelSentiment.csv:2: a second score for v__10"},
        {"video_test0.csv", "\"1\",\"1\"\n", "video_test0.csv:1: 2 fields"},
        {"audio_test0.csv", "", "audio_test0.csv: 0 rows"},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *place = place_make();
        write_small_set(place);
        place_text(place, cases[i].file, cases[i].text);
        import_refused("mosi", place, cases[i].error);
        place_remove(place);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_real_set_has_its_numbers),
        cmocka_unit_test(clips_are_sorted_and_joined),
        cmocka_unit_test(contradictions_are_named_by_file_and_line),
    };
    return RUN_TESTS(tests);
}
