/* Who was trained on, whether data at hand holds the same people, and what a table says of it. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "configs/config.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/run_directory.h"
#include "trainer/trained_on.h"
#include "unit/data_case.h"

enum { PEOPLE = 8 };

/* A recording each, of their own numbers, on two videos; the first `count` people from `first`. */
static char *crowd(const char *place, int first, int count) {
    static const char *const names[] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"};
    static const char *const people[] = {"p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"};
    hand_recording_t list[PEOPLE];
    for (int i = 0; i < count; i++) {
        list[i] = (hand_recording_t){
            names[first + i],    people[first + i], "",
            .number = first + i, .steps = 16,       .group = (first + i) % 2 == 0 ? "v0" : "v1"};
    }
    return hand_data(place, list, count, 2);
}

static dataset_t *opened(const char *path, int64_t seed, double valid, double test) {
    dataset_config_t config = hand_config(path, 8, 0);
    dataset_t *dataset = NULL;
    config.split_seed = seed;
    config.valid_fraction = valid;
    config.test_fraction = test;
    CHECK_OK(dataset_open(&config, &dataset));
    return dataset;
}

static void own_split_is_held_out(void **state) {
    (void)state;
    char *place = place_make(), *path = crowd(place, 0, PEOPLE);
    dataset_t *dataset = opened(path, 1, 0.25, 0.25);
    char *text = trained_on_text(dataset);
    json_t *root = json_loads(text, 0, NULL);
    assert_int_equal(json_object_size(json_object_get(root, "people")), 6);
    assert_int_equal(json_object_size(json_object_get(root, "recordings")), 6);
    assert_true(strlen(json_string_value(json_object_get(root, "key"))) == 64);
    json_decref(root);
    for (int split = 0; split < SPLIT_COUNT; split++) {
        CHECK_OK(trained_on_check(text, dataset, (split_t)split, false));
    }
    assert_int_equal(trained_on_people(text, dataset, SPLIT_TEST), SEEN_NONE);
    assert_int_equal(trained_on_people(text, dataset, SPLIT_TRAIN), SEEN_ALL);
    dataset_close(dataset);
    free(text);
    free(path);
    place_remove(place);
}

/* Dealt anew, by another seed or because somebody left: whoever was trained on is named. */
static void people_dealt_anew_are_recognised(void **state) {
    (void)state;
    char *place = place_make(), *path = crowd(place, 0, PEOPLE);
    dataset_t *dataset = opened(path, 1, 0.25, 0.25);
    char *text = trained_on_text(dataset);
    dataset_close(dataset);
    int refused = 0;
    for (int64_t seed = 2; seed < 12; seed++) {
        dataset = opened(path, seed, 0.25, 0.25);
        if (trained_on_people(text, dataset, SPLIT_TEST) != SEEN_NONE) {
            CHECK_FAILS(trained_on_check(text, dataset, SPLIT_TEST, false), STATUS_INPUT,
                        " was trained on (part ");
            CHECK_FAILS(trained_on_check(text, dataset, SPLIT_TEST, true), STATUS_INPUT,
                        "recording r");
            refused++;
        } else {
            CHECK_OK(trained_on_check(text, dataset, SPLIT_TEST, false));
        }
        CHECK_OK(trained_on_check(text, dataset, SPLIT_TRAIN, false));
        dataset_close(dataset);
    }
    assert_true(refused > 5);
    free(path);
    place_remove(place);
    /* Another import of the first half: other aliases and another key, the same recordings. */
    place = place_make();
    path = crowd(place, 0, 4);
    dataset = opened(path, 1, 0.0, 0.9);
    assert_int_not_equal(trained_on_people(text, dataset, SPLIT_TEST), SEEN_NONE);
    CHECK_FAILS(trained_on_check(text, dataset, SPLIT_TEST, false), STATUS_INPUT, "person s0");
    dataset_close(dataset);
    free(path);
    place_remove(place);
    free(text);
}

/* Other people have the same aliases, and are other people. */
static void strangers_are_no_acquaintances(void **state) {
    (void)state;
    char *place = place_make(), *path = crowd(place, 0, 4);
    dataset_t *dataset = opened(path, 1, 0.0, 0.0);
    char *text = trained_on_text(dataset);
    dataset_close(dataset);
    free(path);
    place_remove(place);
    place = place_make();
    path = crowd(place, 4, 4);
    dataset = opened(path, 1, 0.0, 0.9);
    assert_int_equal(trained_on_people(text, dataset, SPLIT_TEST), SEEN_NONE);
    assert_int_equal(trained_on_groups(text, dataset, SPLIT_TEST), SEEN_ALL);
    CHECK_OK(trained_on_check(text, dataset, SPLIT_TEST, false));
    dataset_close(dataset);
    free(path);
    place_remove(place);
    free(text);
}

/* What weights were trained on before they came here counts like the training itself, whatever the
 * import, and through any number of steps. */
static void trainings_before_count_too(void **state) {
    (void)state;
    char *place[2], *path[2], *text[2];
    for (int i = 0; i < 2; i++) { /* two halves of the crowd, each an import with its own key */
        place[i] = place_make();
        path[i] = crowd(place[i], 4 * i, 4);
        dataset_t *dataset = opened(path[i], 1, 0.25, 0.0);
        text[i] = trained_on_text(dataset);
        dataset_close(dataset);
    }
    char *joined = trained_on_join(text[0], text[1]), *again = trained_on_join(joined, text[1]);
    assert_string_equal(joined, again);
    char *third = trained_on_join("{\"key\":\"\",\"people\":{}}", joined);
    char *before = trained_on_before(joined), *none = trained_on_before(text[0]);
    assert_string_equal(before, text[1]);
    assert_string_equal(none, "");
    const char *const all[] = {joined, third};
    for (int i = 0; i < 2; i++) {
        dataset_t *dataset = opened(path[i], 1, 0.0, 0.9);
        int64_t seen = 0, count = 0;
        for (int k = 0; k < ARRAY_LEN(all); k++) {
            CHECK_FAILS(trained_on_check(all[k], dataset, SPLIT_TEST, false), STATUS_INPUT,
                        " was trained on (part ");
            assert_int_equal(trained_on_people(all[k], dataset, SPLIT_TEST), SEEN_ALL);
            assert_int_equal(trained_on_groups(all[k], dataset, SPLIT_TEST), SEEN_ALL);
            trained_on_count(all[k], dataset, SPLIT_TEST, false, &seen, &count);
            assert_true(seen == count && count == dataset_subject_count(dataset, SPLIT_TEST));
        }
        trained_on_count(text[1 - i], dataset, SPLIT_TEST, false, &seen, &count);
        assert_true(seen == 0 && count > 0);
        dataset_close(dataset);
    }
    char *const texts[] = {joined, again, third, before, none, text[0], text[1], path[0], path[1]};
    for (int i = 0; i < ARRAY_LEN(texts); i++) {
        free(texts[i]);
    }
    place_remove(place[0]);
    place_remove(place[1]);
}

/* A recording without content of its own says nothing about who made it; the same person's other
 * recording does. */
static void recordings_stand_for_their_person(void **state) {
    (void)state;
    char *place = place_make();
    const hand_recording_t list[] = {
        {"r0", "p0", "train", .number = 1, .steps = 16},
        {"r1", "p1", "test", .number = 1, .steps = 16}, /* the bytes of r0 */
        {"r2", "p2", "train", .number = 2, .steps = 16},
        {"r3", "p2", "test", .number = 3, .steps = 16},
    };
    char *path = hand_data(place, list, 2, 1);
    dataset_t *dataset = opened(path, 1, 0.0, 0.0);
    char *text = trained_on_text(dataset);
    CHECK_OK(trained_on_check(text, dataset, SPLIT_TEST, false));
    dataset_close(dataset);
    free(text);
    free(path);
    place_remove(place);
    place = place_make();
    path = hand_data(place, list + 2, 1, 1);
    dataset = opened(path, 1, 0.0, 0.0);
    text = trained_on_text(dataset);
    dataset_close(dataset);
    free(path);
    place_remove(place);
    place = place_make();
    path = hand_data(place, list + 2, 2, 1);
    dataset_config_t config = hand_config(path, 8, 0);
    config.allow_subject_overlap = true;
    CHECK_OK(dataset_open(&config, &dataset));
    CHECK_FAILS(trained_on_check(text, dataset, SPLIT_TEST, false), STATUS_INPUT, "person s0001");
    CHECK_OK(trained_on_check(text, dataset, SPLIT_TEST, true));
    dataset_close(dataset);
    free(text);
    free(path);
    place_remove(place);
}

/* Who chose the checkpoint is no test person either, but stays a validation person. */
static void validation_people_are_no_test_people(void **state) {
    (void)state;
    char *place = place_make();
    hand_recording_t list[] = {{"r0", "p0", "train", .number = 1, .steps = 16},
                               {"r1", "p1", "train", .number = 2, .steps = 16}};
    char *path = hand_data(place, list, 2, 1);
    dataset_t *dataset = opened(path, 1, 0.5, 0.0);
    int valid = dataset_recording(dataset, 0).split == SPLIT_VALID ? 0 : 1;
    assert_int_equal(dataset_recording(dataset, valid).split, SPLIT_VALID);
    char *text = trained_on_text(dataset);
    CHECK_OK(trained_on_check(text, dataset, SPLIT_VALID, false));
    dataset_close(dataset);
    free(path);
    place_remove(place);
    place = place_make();
    list[valid].split = "test";
    path = hand_data(place, &list[valid], 1, 1);
    dataset = opened(path, 1, 0.0, 0.0);
    CHECK_FAILS(trained_on_check(text, dataset, SPLIT_TEST, false), STATUS_INPUT,
                "was trained on (part valid) and would be scored as test");
    dataset_close(dataset);
    free(text);
    free(path);
    place_remove(place);
}

static void expect_marks(const char *path, const char *const *sets, int count, split_t split,
                         const char *want) {
    config_t *config = NULL;
    CHECK_OK(config_parse("modalities: {a: {}, b: {}}\ntargets: {y: {}}\n", "test", sets, count,
                          &config));
    dataset_config_t data = hand_config(path, 8, 0);
    data.folds = strcmp(config->split.by, "leaky_published") == 0 ? 4 : 2;
    data.folds_by = strcmp(config->split.by, "group") == 0             ? FOLDS_GROUP
                    : strcmp(config->split.by, "leaky_published") == 0 ? FOLDS_LEAKY
                                                                       : FOLDS_SUBJECT;
    data.allow_subject_overlap = config->split.allow_subject_overlap;
    data.baseline_s = 60.0 * config->baseline_minutes;
    data.standardize_person = strcmp(config->data.standardize, "person") == 0;
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&data, &dataset));
    char *text = trained_on_text(dataset), *marks = run_marks(config, dataset, split, text);
    assert_string_equal(marks, want);
    free(text);
    free(marks);
    dataset_close(dataset);
    config_free(config);
}

static void marks_say_what_is_known(void **state) {
    (void)state;
    char *place = place_make();
    hand_recording_t list[PEOPLE];
    static const char *const names[] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"};
    static const char *const people[] = {"p0", "p0", "p1", "p1", "p2", "p2", "p3", "p3"};
    for (int i = 0; i < PEOPLE; i++) { /* each person on both videos */
        list[i] = (hand_recording_t){names[i],    people[i],   "",
                                     .number = i, .steps = 16, .group = i % 2 == 0 ? "v0" : "v1"};
    }
    char *path = hand_data(place, list, PEOPLE, 1);
    const char *group[] = {"split.by=group", "split.folds=2", "split.allow_subject_overlap=true"};
    expect_marks(path, NULL, 0, SPLIT_TEST, "seen stimuli");
    expect_marks(path, group, 3, SPLIT_TEST, "seen people; unseen stimuli");
    expect_marks(path, NULL, 0, SPLIT_TRAIN, "SCORED ON TRAINING PEOPLE; seen stimuli");
    const char *leaky[] = {"split.by=leaky_published", "split.folds=2",
                           "split.allow_subject_overlap=true", "split.valid_fraction=0"};
    expect_marks(path, leaky, 4, SPLIT_TEST,
                 "LEAKY: TEST PEOPLE WERE TRAINED ON; seen people; seen stimuli");
    expect_marks(path, leaky, 3, SPLIT_TEST,
                 "LEAKY: TEST PEOPLE WERE TRAINED ON; LEAKY: CHOSEN ON THE TEST; seen people; "
                 "seen stimuli");
    const char *person[] = {"data.standardize=person"};
    expect_marks(path, person, 1, SPLIT_TEST, "transductive; seen stimuli");
    const char *within[] = {"baseline_minutes=0.05"}; /* 3 of 8 s */
    expect_marks(path, within, 1, SPLIT_TEST, "baseline 0.05 min; seen stimuli");
    const char *beyond[] = {"baseline_minutes=1"};
    expect_marks(path, beyond, 1, SPLIT_TEST, "transductive; baseline 1 min; seen stimuli");
    free(path);
    place_remove(place);
}

/* "{}": nobody. So "unseen stimuli" is not to be said of it. */
static void nobody_was_trained_on(void **state) {
    (void)state;
    char *place = place_make(), *path = crowd(place, 0, 4);
    dataset_t *dataset = opened(path, 1, 0.0, 0.5);
    config_t *config = NULL;
    CHECK_OK(
        config_parse("modalities: {a: {}, b: {}}\ntargets: {y: {}}\n", "test", NULL, 0, &config));
    const char *const texts[] = {"{}", ""};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(trained_on_people(texts[i], dataset, SPLIT_TEST), SEEN_NOTHING);
        assert_int_equal(trained_on_groups(texts[i], dataset, SPLIT_TEST), SEEN_NOTHING);
        CHECK_OK(trained_on_check(texts[i], dataset, SPLIT_TEST, false));
        char *marks = run_marks(config, dataset, SPLIT_TEST, texts[i]);
        assert_string_equal(marks, "");
        free(marks);
    }
    config_free(config);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_split_is_held_out),
        cmocka_unit_test(people_dealt_anew_are_recognised),
        cmocka_unit_test(strangers_are_no_acquaintances),
        cmocka_unit_test(trainings_before_count_too),
        cmocka_unit_test(recordings_stand_for_their_person),
        cmocka_unit_test(validation_people_are_no_test_people),
        cmocka_unit_test(marks_say_what_is_known),
        cmocka_unit_test(nobody_was_trained_on),
    };
    return RUN_TESTS(tests);
}
