/* The cognitive load challenge as it is, and small files of its layout. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "data-sharding/import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"
#include "unit/real_case.h"

enum { WINDOW = 30 };

typedef struct sample {
    float values[4][WINDOW], load[WINDOW];
    uint8_t masks[4][WINDOW];
} sample_t;

static dataset_t *open_data(const char *path) {
    static const char *const senses[] = {"gsr", "hr", "rr", "temp"}, *const target[] = {"load"};
    dataset_config_t config = {.path = path,
                               .window = WINDOW,
                               .modalities = senses,
                               .modality_count = 4,
                               .targets = target,
                               .target_count = 1};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    return dataset;
}

static void read_sample(const dataset_t *dataset, int64_t index, sample_t *s) {
    float *const features[] = {s->values[0], s->values[1], s->values[2], s->values[3]};
    uint8_t *const mask[] = {s->masks[0], s->masks[1], s->masks[2], s->masks[3]};
    float *const target[] = {s->load};
    CHECK_OK(dataset_read(dataset, SPLIT_TRAIN, index, features, mask, target));
}

static void the_challenge_has_its_numbers(void **state) {
    (void)state;
    static const char source[] = SHARED_DATA "/cogload_ubicomp2020";
    skip_without(source);
    assert_string_equal(import_recognise(source), "cogload");
    char *place = place_make(), *path = place_path(place, "data");
    CHECK_OK(import_run("cogload", source, path, NULL, 0));
    static const want_t want[] = {
        {"windows", 632},
        {"window", WINDOW},
        {"subjects", 18},
        {"recordings", 632},
        {"modalities/gsr/rate_hz", 1},
        {"modalities/gsr/valid", 632 * WINDOW},
        {"modalities/hr/valid", 632 * WINDOW},
        {"modalities/rr/valid", 632 * WINDOW},
        {"modalities/temp/valid", 632 * WINDOW},
        {"targets/load/valid", 632 * WINDOW},
    };
    check_facts(path, want, ARRAY_LEN(want));
    dataset_t *dataset = open_data(path);
    sample_t s;
    int loaded = 0;
    for (int64_t i = 0; i < 632; i++) {
        read_sample(dataset, i, &s);
        loaded += s.load[0] == 1.0f;
        for (int t = 0; t < WINDOW; t++) {
            assert_true(s.load[t] == s.load[0]);
        }
    }
    assert_int_equal(loaded, 315);
    read_sample(dataset, 0, &s);
    assert_true(s.values[0][0] == 1.5949153032330248f && s.load[0] == 1.0f);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

/* Window w of sense s is 100 s + 10 w + t / 8; three windows of two people. */
static void write_small(const char *place) {
    static const char *const names[] = {"gsr", "hr", "rr", "temp"};
    for (int s = 0; s < 4; s++) {
        char *text = text_copy("");
        for (int i = 0; i < 3 * WINDOW; i++) {
            double value = 100 * s + 10.0 * (i / WINDOW) + (i % WINDOW) / 8.0;
            char *longer =
                text_format("%s%.3f%s", text, value, i % WINDOW == WINDOW - 1 ? "\r\n" : ",");
            free(text);
            text = longer;
        }
        char *name = text_format("%s_train.csv", names[s]);
        place_text(place, name, text);
        free(name);
        free(text);
    }
    place_text(place, "labels_train.csv", "0,ab1\r\n1,xy2\r\n1,ab1\r\n");
}

static void a_row_is_a_window_of_its_person(void **state) {
    (void)state;
    char *place = place_make(), *path = place_path(place, "data");
    write_small(place);
    assert_string_equal(import_recognise(place), "cogload");
    CHECK_OK(import_run("cogload", place, path, NULL, 0));
    static const want_t want[] = {{"subjects", 2}, {"recordings", 3}, {"windows", 3}};
    check_facts(path, want, ARRAY_LEN(want));
    dataset_t *dataset = open_data(path);
    for (int w = 0; w < 3; w++) {
        sample_t s;
        read_sample(dataset, w, &s);
        for (int t = 0; t < WINDOW; t++) {
            assert_true(s.load[t] == (w == 0 ? 1.0f : 0.0f)); /* 0 of the file is load */
            for (int m = 0; m < 4; m++) {
                assert_true(s.masks[m][t] == 1);
                assert_true(s.values[m][t] == 100.0 * m + 10.0 * w + t / 8.0);
            }
        }
    }
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

static void broken_files_are_named(void **state) {
    (void)state;
    static const struct {
        const char *file, *text, *error;
    } cases[] = {
        {"labels_train.csv", "0,a\n1,b\n", "gsr_train.csv: 3 rows, but "},
        {"labels_train.csv", "0,a\n2,b\n1,a\n", "labels_train.csv:2: label 2 is neither 0 nor 1"},
        {"labels_train.csv", "0,a\n1,\n1,a\n", "labels_train.csv:2: names no user"},
        {"labels_train.csv", "0,a\n1\n1,a\n", "labels_train.csv:2: 1 fields, expected 2"},
        {"rr_train.csv", "1,2\n", "rr_train.csv:1: 2 fields, expected 30"},
    };
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *place = place_make();
        write_small(place);
        place_text(place, cases[i].file, cases[i].text);
        import_refused("cogload", place, cases[i].error);
        place_remove(place);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_challenge_has_its_numbers),
        cmocka_unit_test(a_row_is_a_window_of_its_person),
        cmocka_unit_test(broken_files_are_named),
    };
    return RUN_TESTS(tests);
}
