/* Stretches of any recording's clock; a data directory in which embeddings stand for a modality. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "data-sharding/dataset_internal.h"
#include "data-sharding/extract_data.h"
#include "data-sharding/manifest.h"
#include "data-sharding/verify.h"
#include "kernels/base/bytes.h"
#include "unit/data_case.h"

enum { DIM = 5, WINDOW = 4 };

static const hand_recording_t recordings[] = {
    {"long", "p0", "train", 1, 21, 3, 5, 14, 16, "film"},
    {"short", "p1", "train", 2, 5, 0, 0, 0, 0, NULL},
    {"other", "p2", "test", 3, 8, 7, 8, 0, 0, NULL},
};
enum { COUNT = ARRAY_LEN(recordings) };

typedef struct opened {
    char *place, *path, *out;
    dataset_t *dataset;
} opened_t;

static opened_t open_hand(void) {
    opened_t opened = {.place = place_make()};
    opened.path = hand_data(opened.place, recordings, COUNT, 2);
    opened.out = place_path(opened.place, "out");
    dataset_config_t config = hand_config(opened.path, WINDOW, 0);
    CHECK_OK(dataset_open(&config, &opened.dataset));
    return opened;
}

static void close_hand(opened_t *opened) {
    dataset_close(opened->dataset);
    free(opened->out);
    free(opened->path);
    place_remove(opened->place);
}

static void any_stretch_of_any_recording_is_read(void **state) {
    (void)state;
    opened_t opened = open_hand();
    for (int64_t r = 0; r < COUNT; r++) {
        recording_info_t info = dataset_recording(opened.dataset, r);
        assert_int_equal(info.steps, recordings[r].steps);
        for (int64_t first = 0; first < info.steps; first++) {
            float x[32 * 3];
            uint8_t mask[32];
            int64_t steps = min_i64(WINDOW, info.steps - first);
            CHECK_OK(dataset_read_stretch(opened.dataset, r, 0, first, steps, NULL, x, mask));
            for (int64_t t = 0; t < steps; t++) {
                int64_t step = first + t;
                bool valid = step < recordings[r].gap_begin || step >= recordings[r].gap_end;
                assert_int_equal(mask[t], valid);
                for (int64_t d = 0; d < 3; d++) {
                    float there = hand_feature(recordings[r].number, step, d);
                    assert_true(x[t * 3 + d] == (valid ? there : 0.0f));
                }
            }
        }
    }
    close_hand(&opened);
}

static float made(int64_t recording, int64_t step, int64_t d) {
    return (float)(1000 * (recording + 1) + step) + (float)d / 16.0f;
}
static bool is_there(int64_t recording, int64_t step) { return (recording + step) % 3 != 0; }

static void add_shard(const opened_t *opened, extract_data_t *data, int file) {
    float values[64 * DIM];
    uint8_t valid[64];
    int64_t at = 0;
    for (int64_t r = 0; r < COUNT; r++) {
        recording_info_t info = dataset_recording(opened->dataset, r);
        for (int64_t t = 0; info.file == file && t < info.steps; t++, at++) {
            valid[at] = is_there(r, t);
            for (int64_t d = 0; d < DIM; d++) {
                values[at * DIM + d] = made(r, t, d);
            }
        }
    }
    embedding_t embedding = {"a", "a", DIM, values, valid};
    CHECK_OK(extract_data_add(data, &embedding, 1));
}

static void write_embeddings(const opened_t *opened) {
    extract_data_t *data = NULL;
    CHECK_OK(extract_data_open(opened->dataset, opened->path, opened->out, &data));
    for (int file = 0; file < dataset_file_count(opened->dataset); file++) {
        add_shard(opened, data, file);
    }
    CHECK_OK(extract_data_publish(data, "{\"a\": 1}", "{\"people\":{}}"));
    extract_data_close(data);
}

static void check_values(const dataset_t *old, const dataset_t *dataset, int64_t r) {
    recording_info_t info = dataset_recording(dataset, r), before = dataset_recording(old, r);
    assert_string_equal(info.name, before.name);
    assert_string_equal(info.subject, before.subject);
    assert_string_equal(info.group, before.group);
    assert_string_equal(info.content, before.content);
    assert_int_equal(info.split, before.split);
    assert_int_equal(info.steps, before.steps);
    float x[32 * DIM], b[32 * 2], old_b[32 * 2];
    uint8_t mask[32], old_mask[32];
    CHECK_OK(dataset_read_stretch(dataset, r, 0, 0, info.steps, NULL, x, mask));
    for (int64_t i = 0; i < info.steps * DIM; i++) {
        bool valid = is_there(r, i / DIM);
        assert_int_equal(mask[i / DIM], valid);
        assert_true(x[i] == (valid ? made(r, i / DIM, i % DIM) : 0.0f));
    }
    CHECK_OK(dataset_read_stretch(dataset, r, 1, 0, info.steps, NULL, b, mask));
    CHECK_OK(dataset_read_stretch(old, r, 1, 0, info.steps, NULL, old_b, old_mask));
    assert_memory_equal(mask, old_mask, (size_t)info.steps);
    assert_memory_equal(b, old_b, (size_t)info.steps * 2 * sizeof *b);
    for (int64_t t = 0; t < info.steps; t++) {
        float y = dataset_label(dataset, &dataset->recordings[r], 0, t);
        float old_y = dataset_label(old, &old->recordings[r], 0, t);
        assert_true(y == old_y || (isnan(y) && isnan(old_y)));
    }
}

static void embeddings_replace_a_modality_and_all_else_stays(void **state) {
    (void)state;
    opened_t opened = open_hand();
    write_embeddings(&opened);
    dataset_t *dataset = NULL;
    dataset_config_t config = hand_config(opened.out, WINDOW, 0);
    CHECK_OK(dataset_open(&config, &dataset));
    assert_int_equal(dataset_modality(dataset, 0).kind, TRACK_EMBEDDING);
    assert_int_equal(dataset_modality(dataset, 1).kind, TRACK_FEATURES);
    assert_string_equal(dataset_key_id(dataset), dataset_key_id(opened.dataset));
    assert_string_equal(dataset_trained_on(dataset), "{\"people\":{}}");
    assert_string_equal(dataset_trained_on(opened.dataset), "");
    assert_int_equal(dataset_recordings(dataset), COUNT);
    for (int64_t r = 0; r < COUNT; r++) {
        check_values(opened.dataset, dataset, r);
    }
    dataset_close(dataset);
    manifest_t manifest;
    CHECK_OK(manifest_read(opened.out, &manifest));
    assert_non_null(strstr(manifest.facts, "of everyone"));
    assert_non_null(strstr(manifest.facts, "\"extracted\": {\"a\": 1}"));
    manifest_free(&manifest);
    verify_report_t report;
    CHECK_OK(shard_verify_dir(opened.out, &report));
    assert_int_equal(report.bad_count, 0);
    verify_report_free(&report);
    close_hand(&opened);
}

/* No statistic of people touches what a backbone made. */
static void no_statistic_touches_an_embedding(void **state) {
    (void)state;
    opened_t opened = open_hand();
    write_embeddings(&opened);
    dataset_t *dataset = NULL;
    dataset_config_t config = hand_config(opened.out, WINDOW, 0);
    config.standardize_person = true;
    CHECK_OK(dataset_open(&config, &dataset));
    assert_false(dataset_modality(dataset, 0).scaled);
    assert_true(dataset_modality(dataset, 1).scaled);
    float x[DIM], b[2];
    uint8_t mask;
    CHECK_OK(dataset_read_stretch(dataset, 0, 0, 1, 1, NULL, x, &mask));
    assert_true(x[2] == made(0, 1, 2));
    CHECK_OK(dataset_read_stretch(dataset, 0, 1, 1, 1, NULL, b, &mask));
    assert_true(b[0] != -hand_feature(1, 1, 0));
    dataset_close(dataset);
    close_hand(&opened);
}

static void nothing_is_overwritten_and_nothing_half_done_is_left(void **state) {
    (void)state;
    opened_t opened = open_hand();
    extract_data_t *data = NULL;
    CHECK_FAILS(extract_data_open(opened.dataset, opened.path, opened.path, &data), STATUS_INPUT,
                "is not empty");
    CHECK_OK(extract_data_open(opened.dataset, opened.path, opened.out, &data));
    add_shard(&opened, data, 0);
    extract_data_close(data); /* stopped */
    char *aside = text_format("%s.tmp", opened.out);
    assert_false(dir_exists(aside));
    assert_false(dir_exists(opened.out));
    free(aside);
    close_hand(&opened);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_stretch_of_any_recording_is_read),
        cmocka_unit_test(embeddings_replace_a_modality_and_all_else_stays),
        cmocka_unit_test(no_statistic_touches_an_embedding),
        cmocka_unit_test(nothing_is_overwritten_and_nothing_half_done_is_left),
    };
    return RUN_TESTS(tests);
}
