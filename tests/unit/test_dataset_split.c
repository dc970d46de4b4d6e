/* Who is in which split: whole people, by the seed, by the importer's marks; a leak has a name. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "unit/data_case.h"

enum { PEOPLE = 10, SETS = 2 * PEOPLE };

/* Recording ri is of person p(i mod 10). marks NULL: none. */
typedef struct crowd {
    hand_recording_t list[SETS];
    char names[SETS][8], people[PEOPLE][8];
} crowd_t;

static char *crowd_data(const char *place, crowd_t *crowd, const char *const *marks) {
    for (int i = 0; i < SETS; i++) {
        snprintf(crowd->names[i], sizeof crowd->names[i], "r%d", i);
        snprintf(crowd->people[i % PEOPLE], sizeof crowd->people[0], "p%d", i % PEOPLE);
        crowd->list[i] = (hand_recording_t){.name = crowd->names[i],
                                            .subject = crowd->people[i % PEOPLE],
                                            .split = marks != NULL ? marks[i] : "",
                                            .number = i,
                                            .steps = 8};
    }
    return hand_data(place, crowd->list, SETS, 3);
}

/* Bit s of person i: has a sample in split s. */
static void people_of(const dataset_t *dataset, int membership[PEOPLE]) {
    memset(membership, 0, PEOPLE * sizeof *membership);
    for (int split = 0; split < SPLIT_COUNT; split++) {
        for (int64_t i = 0; i < dataset_sample_count(dataset, (split_t)split); i++) {
            const char *name = dataset_sample(dataset, (split_t)split, i).recording;
            membership[strtol(name + 1, NULL, 10) % PEOPLE] |= 1 << split;
        }
    }
}

static void people_are_dealt_whole_and_by_the_seed(void **state) {
    (void)state;
    char *place = place_make();
    crowd_t crowd;
    char *path = crowd_data(place, &crowd, NULL);
    dataset_config_t config = hand_config(path, 8, 0);
    config.valid_fraction = 0.25;
    config.test_fraction = 0.2;
    int first[PEOPLE], again[PEOPLE], ever[PEOPLE] = {0};
    for (int64_t seed = 1; seed <= 20; seed++) {
        config.split_seed = seed;
        for (int turn = 0; turn < 2; turn++) {
            dataset_t *dataset = NULL;
            CHECK_OK(dataset_open(&config, &dataset));
            assert_int_equal(dataset_subject_count(dataset, SPLIT_TEST), 2);
            assert_int_equal(dataset_subject_count(dataset, SPLIT_VALID), 2);
            assert_int_equal(dataset_subject_count(dataset, SPLIT_TRAIN), 6);
            assert_int_equal(dataset_recording_count(dataset, SPLIT_TEST), 4);
            people_of(dataset, turn == 0 ? first : again);
            dataset_close(dataset);
        }
        assert_memory_equal(first, again, sizeof first);
        for (int i = 0; i < PEOPLE; i++) {
            assert_true(first[i] == 1 || first[i] == 2 || first[i] == 4);
            ever[i] |= first[i];
        }
    }
    for (int i = 0; i < PEOPLE; i++) { /* stays or goes every time: chance 10 x 0.6^20 < 0.0004 */
        assert_true((ever[i] & 1) != 0 && ever[i] != 1);
    }
    free(path);
    place_remove(place);
}

static void a_fraction_takes_at_least_one_and_leaves_one(void **state) {
    (void)state;
    char *place = place_make();
    crowd_t crowd;
    char *path = crowd_data(place, &crowd, NULL);
    dataset_config_t config = hand_config(path, 8, 0);
    config.valid_fraction = config.test_fraction = 0.001;
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    assert_int_equal(dataset_subject_count(dataset, SPLIT_TEST), 1);
    assert_int_equal(dataset_subject_count(dataset, SPLIT_VALID), 1);
    dataset_close(dataset);
    config.test_fraction = 0.99;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "none to spare for valid");
    free(path);
    place_remove(place);
}

static void a_person_in_two_splits_is_refused_by_name(void **state) {
    (void)state;
    const char *marks[SETS];
    for (int i = 0; i < SETS; i++) {
        marks[i] = i % PEOPLE < 7 ? "train" : "test";
    }
    marks[PEOPLE + 3] = "test"; /* p3 trains with r3 */
    char *place = place_make();
    crowd_t crowd;
    char *path = crowd_data(place, &crowd, marks);
    dataset_config_t config = hand_config(path, 8, 0);
    config.valid_fraction = 0.3;
    dataset_t *dataset = NULL;
    char *alias = hand_alias(crowd.list, SETS, "p3");
    char *leak = text_format("subject %s is in both", alias);
    config.valid_fraction = 0.0;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, leak);
    config.valid_fraction = 0.3;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, leak);
    free(leak);
    free(alias);
    config.allow_subject_overlap = true;
    int validated = 0;
    for (config.split_seed = 1; config.split_seed <= 20; config.split_seed++) {
        CHECK_OK(dataset_open(&config, &dataset));
        int membership[PEOPLE];
        people_of(dataset, membership);
        assert_true(membership[3] == 5 || membership[3] == 6); /* test, and train or valid */
        validated += membership[3] == 6;
        assert_int_equal(dataset_recording_count(dataset, SPLIT_TEST), 7);
        assert_int_equal(dataset_subject_count(dataset, SPLIT_VALID), 2);
        dataset_close(dataset);
    }
    assert_true(validated > 0 && validated < 20);
    free(path);
    place_remove(place);
}

/* What the importer marked test stays test; valid is carved from people who are trained on. */
static void marks_are_kept(void **state) {
    (void)state;
    const char *marks[SETS];
    for (int i = 0; i < SETS; i++) {
        marks[i] = i % PEOPLE < 5 ? "train" : "test";
    }
    char *place = place_make();
    crowd_t crowd;
    char *path = crowd_data(place, &crowd, marks);
    dataset_config_t config = hand_config(path, 8, 0);
    config.valid_fraction = config.test_fraction = 0.4;
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    int membership[PEOPLE], valid = 0;
    people_of(dataset, membership);
    for (int i = 0; i < PEOPLE; i++) {
        assert_true(i < 5 ? membership[i] == 1 || membership[i] == 2 : membership[i] == 4);
        valid += membership[i] == 2;
    }
    assert_int_equal(valid, 2);
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

static void odd_marks_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *mark, *error;
    } cases[] = {{"", "recording r4 has no split mark"},
                 {"tset", "recording r4 is marked \"tset\""}};
    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        const char *marks[SETS];
        for (int i = 0; i < SETS; i++) {
            marks[i] = i == 4 ? cases[c].mark : "train";
        }
        char *place = place_make();
        crowd_t crowd;
        char *path = crowd_data(place, &crowd, marks);
        dataset_config_t config = hand_config(path, 8, 0);
        dataset_t *dataset = NULL;
        CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, cases[c].error);
        free(path);
        place_remove(place);
    }
}

/* Folds partition the people whatever the marks say: each is tested in exactly one, is otherwise
 * trained on or validated, and never both; sizes differ by at most one. */
static void every_person_is_tested_in_one_fold(void **state) {
    (void)state;
    const char *marks[SETS];
    for (int i = 0; i < SETS; i++) {
        marks[i] = i % 3 == 0 ? "test" : "train"; /* would leak, were they read */
    }
    char *place = place_make();
    crowd_t crowd;
    char *path = crowd_data(place, &crowd, marks);
    dataset_config_t config = hand_config(path, 8, 0);
    config.valid_fraction = 0.25;
    config.test_fraction = 0.9;
    config.split_seed = 3;
    const int64_t counts[] = {2, 3, 7, PEOPLE, -1};
    for (int c = 0; c < ARRAY_LEN(counts); c++) {
        int64_t folds = counts[c] < 0 ? PEOPLE : counts[c];
        int tested[PEOPLE] = {0};
        config.folds = counts[c];
        for (config.fold = 0; config.fold < folds; config.fold++) {
            dataset_t *dataset = NULL;
            CHECK_OK(dataset_open(&config, &dataset));
            assert_int_equal(dataset_fold_count(dataset), folds);
            int64_t test = dataset_subject_count(dataset, SPLIT_TEST);
            int64_t valid = dataset_subject_count(dataset, SPLIT_VALID);
            assert_true(test == PEOPLE / folds || test == (PEOPLE + folds - 1) / folds);
            assert_int_equal(valid, (PEOPLE - test + 2) / 4); /* the nearest to a quarter */
            assert_int_equal(dataset_subject_count(dataset, SPLIT_TRAIN), PEOPLE - test - valid);
            int membership[PEOPLE];
            people_of(dataset, membership);
            for (int i = 0; i < PEOPLE; i++) {
                assert_true(membership[i] == 1 || membership[i] == 2 || membership[i] == 4);
                tested[i] += membership[i] == 4;
            }
            assert_int_equal(dataset_recording_count(dataset, SPLIT_TEST), 2 * test);
            dataset_close(dataset);
        }
        for (int i = 0; i < PEOPLE; i++) {
            assert_int_equal(tested[i], 1);
        }
    }
    free(path);
    place_remove(place);
}

/* Who is tested with whom depends on split.seed alone. */
static void folds_follow_the_split_seed(void **state) {
    (void)state;
    char *place = place_make();
    crowd_t crowd;
    char *path = crowd_data(place, &crowd, NULL);
    dataset_config_t config = hand_config(path, 8, 0);
    config.folds = 2;
    int last[PEOPLE] = {0}, differing = 0;
    for (config.split_seed = 1; config.split_seed <= 20; config.split_seed++) {
        int now[PEOPLE], again[PEOPLE];
        dataset_t *dataset = NULL;
        CHECK_OK(dataset_open(&config, &dataset));
        people_of(dataset, now);
        dataset_close(dataset);
        CHECK_OK(dataset_open(&config, &dataset));
        people_of(dataset, again);
        dataset_close(dataset);
        assert_memory_equal(now, again, sizeof now);
        differing += memcmp(last, now, sizeof now) != 0; /* equal by chance: 1 in 252 */
        memcpy(last, now, sizeof now);
    }
    assert_true(differing >= 17);
    config.folds = 11;
    dataset_t *dataset = NULL;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "11 fold(s) of 10 subject(s)");
    config.folds = 1;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "1 fold(s) of 10 subject(s)");
    config.folds = -1;
    config.fold = PEOPLE;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "split.fold 10, but there are 10");
    free(path);
    place_remove(place);
}

/* Recording i is of person i mod 10 and, by group i / 2 mod 5, of both parities of people. */
static void folds_by_group_and_by_both(void **state) {
    (void)state;
    static const char *const groups[] = {"g0", "g1", "g2", "g3", "g4"};
    char *place = place_make();
    crowd_t crowd;
    free(crowd_data(place, &crowd, NULL));
    place_remove(place);
    place = place_make();
    for (int i = 0; i < SETS; i++) {
        crowd.list[i].group = groups[(i % PEOPLE + i / PEOPLE) % 5];
    }
    char *path = hand_data(place, crowd.list, SETS, 3);
    dataset_config_t config = hand_config(path, 8, 0);
    config.folds = 5;
    for (int by = FOLDS_GROUP; by <= FOLDS_BOTH; by++) {
        int tested[SETS] = {0}, tests = 0;
        for (config.fold = 0; config.fold < 5; config.fold++) {
            config.folds_by = by;
            config.allow_subject_overlap = by == FOLDS_GROUP;
            dataset_t *dataset = NULL;
            CHECK_OK(dataset_open(&config, &dataset));
            bool people[2][PEOPLE] = {{0}}, seen[2][5] = {{0}};
            for (int side = 0; side < 2; side++) {
                split_t split = side == 0 ? SPLIT_TRAIN : SPLIT_TEST;
                for (int64_t s = 0; s < dataset_sample_count(dataset, split); s++) {
                    int i = (int)strtol(dataset_sample(dataset, split, s).recording + 1, NULL, 10);
                    people[side][i % PEOPLE] = true;
                    seen[side][(i % PEOPLE + i / PEOPLE) % 5] = true;
                    tested[i] += side;
                    tests += side;
                }
            }
            int64_t train = dataset_sample_count(dataset, SPLIT_TRAIN);
            int64_t test = dataset_sample_count(dataset, SPLIT_TEST);
            for (int i = 0; i < 5; i++) {
                assert_false(seen[0][i] && seen[1][i]);
            }
            for (int i = 0; i < PEOPLE && by == FOLDS_BOTH; i++) {
                assert_false(people[0][i] && people[1][i]);
            }
            assert_true(by == FOLDS_GROUP ? train + test == SETS : train + test < SETS);
            dataset_close(dataset);
        }
        for (int i = 0; i < SETS && by == FOLDS_GROUP; i++) {
            assert_int_equal(tested[i], 1);
        }
        assert_true(by == FOLDS_GROUP || tests > 0);
    }
    dataset_t *dataset = NULL;
    config.fold = 0;
    config.folds = -1;
    config.folds_by = FOLDS_GROUP;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "is in both");
    config.allow_subject_overlap = true;
    CHECK_OK(dataset_open(&config, &dataset));
    assert_int_equal(dataset_fold_count(dataset), 5);
    dataset_close(dataset);
    config.folds = 6;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "6 fold(s) of 5 group(s)");
    config.folds_by = FOLDS_SUBJECT;
    config.allow_subject_overlap = false;
    config.folds = 5;
    CHECK_OK(dataset_open(&config, &dataset));
    dataset_close(dataset);
    free(path);
    place_remove(place);
}

/* Recordings are dealt whoever they are of, and what is tested also chooses. */
static void leaky_folds_leak_as_published(void **state) {
    (void)state;
    char *place = place_make();
    crowd_t crowd;
    char *path = crowd_data(place, &crowd, NULL);
    dataset_config_t config = hand_config(path, 8, 0);
    config.folds = 5;
    config.folds_by = FOLDS_LEAKY;
    dataset_t *dataset = NULL;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "is in both");
    config.allow_subject_overlap = true;
    int tested[SETS] = {0}, both_sides = 0;
    for (config.fold = 0; config.fold < 5; config.fold++) {
        for (int chosen = 0; chosen < 2; chosen++) {
            bool trained[PEOPLE] = {false};
            config.valid_fraction = chosen ? 0.2 : 0.0;
            CHECK_OK(dataset_open(&config, &dataset));
            int64_t test = dataset_sample_count(dataset, SPLIT_TEST);
            assert_int_equal(test, SETS / 5);
            assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN), SETS - test);
            assert_int_equal(dataset_sample_count(dataset, SPLIT_VALID), chosen ? test : 0);
            for (int64_t s = 0; s < SETS - test; s++) {
                const char *name = dataset_sample(dataset, SPLIT_TRAIN, s).recording;
                trained[strtol(name + 1, NULL, 10) % PEOPLE] = true;
            }
            for (int64_t s = 0; s < test; s++) {
                const char *name = dataset_sample(dataset, SPLIT_TEST, s).recording;
                long i = strtol(name + 1, NULL, 10);
                tested[i]++;
                both_sides += trained[i % PEOPLE];
                assert_true(!chosen ||
                            strcmp(dataset_sample(dataset, SPLIT_VALID, s).recording, name) == 0);
            }
            dataset_close(dataset);
        }
    }
    for (int i = 0; i < SETS; i++) {
        assert_int_equal(tested[i], 2);
    }
    assert_true(both_sides > SETS);
    config.folds = SETS + 1;
    CHECK_FAILS(dataset_open(&config, &dataset), STATUS_INPUT, "recording(s)");
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaky_folds_leak_as_published),
        cmocka_unit_test(folds_by_group_and_by_both),
        cmocka_unit_test(people_are_dealt_whole_and_by_the_seed),
        cmocka_unit_test(a_fraction_takes_at_least_one_and_leaves_one),
        cmocka_unit_test(a_person_in_two_splits_is_refused_by_name),
        cmocka_unit_test(marks_are_kept),
        cmocka_unit_test(odd_marks_are_refused),
        cmocka_unit_test(every_person_is_tested_in_one_fold),
        cmocka_unit_test(folds_follow_the_split_seed),
    };
    return RUN_TESTS(tests);
}
