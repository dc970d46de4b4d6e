/* Importing: what is refused, where names stay, how a person is taken out, what inspect says. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "data-sharding/alias.h"
#include "data-sharding/import.h"
#include "data-sharding/inspect.h"
#include "data-sharding/manifest.h"
#include "data-sharding/remove_subject.h"
#include "data-sharding/shard.h"
#include "data-sharding/verify.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"

static const char *const small[] = {"recordings=9",    "subjects=3", "test_recordings=3",
                                    "test_subjects=1", "shards=4",   "max_steps=20"};
enum { SMALL = ARRAY_LEN(small) };

static void refused(const char *out, const char *set, const char *error) {
    CHECK_FAILS(import_run("synthetic", NULL, out, &set, 1), STATUS_INPUT, error);
}

static void wrong_requests_are_refused(void **state) {
    (void)state;
    char *place = place_make();
    char *out = place_path(place, "data"), *aside = place_path(place, "data.tmp");
    CHECK_FAILS(import_run("magic", NULL, out, NULL, 0), STATUS_INPUT,
                "use one of: synthetic mosi");
    CHECK_FAILS(import_run("mosi", NULL, out, NULL, 0), STATUS_INPUT, "give --source");
    CHECK_FAILS(import_run("mosi", "/nowhere/at/all", out, NULL, 0), STATUS_INPUT,
                "no such directory");
    CHECK_FAILS(import_run("mosi", place, out, NULL, 0), STATUS_INPUT, "transcripts.csv");
    CHECK_FAILS(import_run("synthetic", place, out, NULL, 0), STATUS_INPUT, "leave out --source");
    refused(out, "subjects=0", "option subjects: 0 is not a whole number from 1");
    refused(out, "subjects=3.5", "whole number");
    refused(out, "subjects=", "whole number");
    refused(out, "subjects=4x", "whole number");
    refused(out, "noise=nan", "option noise: nan is not a number");
    refused(out, "people=4", "no option \"people\"; it has: shards salt recordings");
    refused(out, "subject=4", "no option \"subject\"");
    refused(out, "subjects", "write KEY=VALUE");
    refused(out, "min_steps=100", "above max_steps");
    refused(out, "subjects=121", "more people than recordings");
    assert_false(dir_exists(out)); /* nothing half-made stays */
    assert_false(dir_exists(aside));
    assert_null(import_recognise(place));
    CHECK_OK(import_run("synthetic", NULL, out, small, SMALL));
    assert_false(dir_exists(aside));
    CHECK_FAILS(import_run("synthetic", NULL, out, small, SMALL), STATUS_INPUT, "is not empty");
    free(aside);
    free(out);
    place_remove(place);
}

static void expect_no_trace(const char *dir, const char *text) {
    char **names;
    int count;
    CHECK_OK(dir_list(dir, &names, &count));
    for (int i = 0; i < count; i++) {
        char *path = place_path(dir, names[i]), *data = NULL;
        size_t bytes = 0;
        CHECK_OK(file_read(path, &data, &bytes));
        for (size_t at = 0; at + strlen(text) <= bytes; at++) {
            if (memcmp(data + at, text, strlen(text)) == 0) {
                fail_msg("%s holds \"%s\" at byte %zu", path, text, at);
            }
        }
        free(data);
        free(path);
    }
    names_free(names, count);
}

static void names_stay_in_the_key_file(void **state) {
    (void)state;
    char *place = place_make();
    char *out = place_path(place, "data/"), *key = place_path(place, "data.key");
    CHECK_OK(import_run("synthetic", NULL, out, small, SMALL));
    struct stat info;
    assert_int_equal(stat(key, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    char *text = NULL;
    size_t bytes = 0;
    CHECK_OK(file_read(key, &text, &bytes));
    assert_non_null(strstr(text, "\"person-0003\""));
    expect_no_trace(out, "person-0");
    /* The same again: the key says the same. Other people: it is not overwritten. */
    CHECK_OK(dir_remove(out));
    CHECK_OK(import_run("synthetic", NULL, out, small, SMALL));
    CHECK_OK(dir_remove(out));
    const char *const fewer[] = {"recordings=9", "subjects=2"};
    CHECK_FAILS(import_run("synthetic", NULL, out, fewer, 2), STATUS_INPUT, "holds other names");
    assert_false(dir_exists(out));
    free(text);
    free(key);
    free(out);
    place_remove(place);
}

static void aliases_hang_on_the_salt(void **state) {
    (void)state;
    enum { COUNT = 20 };
    char **one = alias_deal("one", COUNT), **again = alias_deal("one", COUNT);
    char **two = alias_deal("two", COUNT);
    int moved = 0, seen[COUNT + 1] = {0};
    for (int i = 0; i < COUNT; i++) {
        assert_string_equal(one[i], again[i]);
        moved += strcmp(one[i], two[i]) != 0;
        assert_true(one[i][0] == 's' && strlen(one[i]) == 5);
        long number = strtol(one[i] + 1, NULL, 10);
        assert_in_range(number, 1, COUNT);
        seen[number]++;
        assert_int_equal(seen[number], 1);
        free(one[i]);
        free(again[i]);
        free(two[i]);
    }
    assert_true(moved > COUNT / 2);
    free(one);
    free(again);
    free(two);
    static const char *const cases[][2] = {{"anna", "s1"},
                                           {"anna_3", "s1_3"},
                                           {"3-anna", "3-s1"},
                                           {"joanna", "joanna"},
                                           {"annas", "annas"},
                                           {"anna anna", "s1 s1"},
                                           {"", ""}};
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = alias_replace(cases[i][0], "anna", "s1");
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
}

/* ---- taking a person out ---- */

typedef struct shard_texts {
    int64_t recordings, of_alias, steps;
} shard_texts_t;

static shard_texts_t count_all(const char *dir, const char *alias) {
    manifest_t manifest;
    shard_texts_t texts = {0};
    CHECK_OK(manifest_read(dir, &manifest));
    for (int i = 0; i < manifest.file_count; i++) {
        char *path = place_path(dir, manifest.files[i].name);
        shard_t *shard = NULL;
        CHECK_OK(shard_open(path, &shard));
        const shard_content_t *content = shard_content(shard);
        texts.recordings += content->recording_count;
        texts.steps += content->tracks[0].steps;
        for (int64_t r = 0; r < content->recording_count; r++) {
            texts.of_alias += strcmp(content->recordings[r].subject, alias) == 0;
        }
        shard_close(shard);
        free(path);
    }
    assert_int_equal(manifest.recordings, texts.recordings);
    manifest_free(&manifest);
    return texts;
}

static int64_t bad_count(const char *path) {
    verify_report_t report;
    CHECK_OK(shard_verify_dir(path, &report));
    int64_t bad = report.bad_count;
    verify_report_free(&report);
    return bad;
}

/* Recordings of p1 lie between, beside and without others; all numbers of the others stay. */
static const hand_recording_t household[] = {
    {"r0", "p0", "train", 0, 9, 2, 3, 0, 0},  {"r1", "p1", "train", 1, 7, 0, 0, 0, 0},
    {"r2", "p2", "train", 2, 12, 0, 0, 1, 4}, {"r3", "p1", "train", 3, 4, 0, 0, 0, 0},
    {"r4", "p1", "train", 4, 5, 0, 0, 0, 0},  {"r5", "p2", "test", 5, 6, 0, 0, 0, 0},
};

static void check_others(const char *path) {
    dataset_config_t config = hand_config(path, 12, 0);
    config.allow_subject_overlap = true;
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    static const int64_t left[] = {0, 2};
    assert_int_equal(dataset_sample_count(dataset, SPLIT_TRAIN), ARRAY_LEN(left));
    hand_sample_t s = hand_sample(12);
    for (int i = 0; i < ARRAY_LEN(left); i++) {
        const hand_recording_t *r = &household[left[i]];
        assert_string_equal(dataset_sample(dataset, SPLIT_TRAIN, i).recording, r->name);
        CHECK_OK(dataset_read(dataset, SPLIT_TRAIN, i, s.features, s.mask, s.target));
        for (int64_t t = 0; t < r->steps; t++) {
            bool valid = t < r->gap_begin || t >= r->gap_end;
            assert_int_equal(s.mask[0][t], valid);
            assert_true(s.features[0][t * 3 + 1] == (valid ? hand_feature(r->number, t, 1) : 0));
            assert_true(s.features[1][t * 2] == -hand_feature(r->number, t, 0));
        }
    }
    hand_sample_free(&s);
    dataset_close(dataset);
}

static void a_removed_person_is_gone_and_the_others_stay(void **state) {
    (void)state;
    char *place = place_make();
    char *path = hand_data(place, household, ARRAY_LEN(household), 3);
    char *key = place_path(place, "data.key"), *alias = hand_alias(household, 6, "p1");
    assert_int_equal(count_all(path, alias).of_alias, 3);
    CHECK_FAILS(shard_remove_subject("p9", key, path), STATUS_INPUT, "no subject named \"p9\"");
    CHECK_FAILS(shard_remove_subject("p1", "/nowhere/key", path), STATUS_INPUT, "/nowhere/key");
    char *old = place_path(place, "data.old"), *aside = place_path(place, "data.tmp");
    assert_int_equal(rename(path, old), 0); /* killed between two renames */
    CHECK_OK(dir_make(aside));
    CHECK_OK(shard_remove_subject("p1", key, path));
    assert_false(dir_exists(old));
    assert_false(dir_exists(aside));
    shard_texts_t left = count_all(path, alias);
    assert_int_equal(left.recordings, 3);
    assert_int_equal(left.of_alias, 0);
    assert_int_equal(left.steps, 9 + 12 + 6);
    assert_int_equal(bad_count(path), 0);
    expect_no_trace(path, alias);
    expect_no_trace(path, "of everyone"); /* facts were found with the person */
    check_others(path);
    char *text = NULL;
    size_t bytes;
    CHECK_OK(file_read(key, &text, &bytes));
    assert_null(strstr(text, "p1"));
    assert_non_null(strstr(text, "p2"));
    struct stat info;
    assert_int_equal(stat(key, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    CHECK_FAILS(shard_remove_subject("p1", key, path), STATUS_INPUT, "no subject named");
    CHECK_OK(shard_remove_subject("p0", key, path));
    CHECK_FAILS(shard_remove_subject("p2", key, path), STATUS_INPUT, "holds only this person");
    assert_false(dir_exists(aside));
    assert_int_equal(bad_count(path), 0);
    free(text);
    free(aside);
    free(old);
    free(alias);
    free(key);
    free(path);
    place_remove(place);
}

/* Aliases of different data look alike: the wrong key must not strike a stranger. */
static void the_key_of_other_data_strikes_nobody(void **state) {
    (void)state;
    char *place = place_make(), *other = place_make();
    char *path = hand_data(place, household, ARRAY_LEN(household), 2);
    free(hand_data(other, household, 2, 1));
    char *key = place_path(other, "data.key");
    CHECK_FAILS(shard_remove_subject("p1", key, path), STATUS_INPUT, "the key file of other data");
    char *alias = NULL;
    manifest_t manifest;
    char *other_path = place_path(other, "data");
    CHECK_OK(manifest_read(other_path, &manifest));
    CHECK_OK(key_find(key, manifest.key_id, "p1", &alias));
    manifest_free(&manifest);
    free(alias);
    free(other_path);
    free(key);
    free(path);
    place_remove(other);
    place_remove(place);
}

/* ---- inspect ---- */

static int64_t fact(const json_t *json, const char *path) {
    char *copy = text_copy(path), *rest = copy;
    for (char *name = strsep(&rest, "/"); name != NULL; name = strsep(&rest, "/")) {
        json = json_object_get(json, name);
    }
    free(copy);
    if (!json_is_number(json)) {
        fail_msg("no number %s", path);
    }
    return (int64_t)json_number_value(json);
}

static void facts_are_those_of_the_data(void **state) {
    (void)state;
    static const hand_recording_t list[] = {{"r0", "p0", "train", 0, 20, 5, 10, 0, 0},
                                            {"r1", "p0", "train", 1, 20, 0, 0, 0, 0},
                                            {"r2", "p1", "test", 2, 10, 0, 0, 0, 5},
                                            {"r3", "p2", "train", 3, 8, 0, 0, 0, 0},
                                            {"r4", "p3", "train", 4, 8, 0, 0, 0, 0}};
    static const struct {
        const char *path;
        int64_t of_one, of_all;
    } want[] = {
        {"format_version", 3, 3},
        {"recordings", 1, 5},
        {"subjects", 1, 4},
        {"windows", 3, 10},
        {"window", 8, 8},
        {"modalities/a/dim", 3, 3},
        {"modalities/b/dim", 2, 2},
        {"modalities/a/rate_hz", 2, 2},
        {"modalities/a/steps", 20, 66},
        {"modalities/a/valid", 15, 61},
        {"modalities/b/valid", 20, 66},
        {"targets/y/valid", 20, 61},
        {"splits/test/recordings", 0, 1},
        {"splits/test/subjects", 0, 1},
        {"splits/test/windows", 0, 2},
        {"splits/valid/subjects", 0, 1},
    };
    for (int all = 0; all < 2; all++) {
        char *place = place_make(), *text = NULL;
        char *path = hand_data(place, list, all ? ARRAY_LEN(list) : 1, 2);
        dataset_config_t config = inspect_defaults(path);
        config.window = 8;
        CHECK_OK(inspect_dataset(&config, &text));
        json_t *json = json_loads(text, 0, NULL);
        assert_non_null(json);
        for (int i = 0; i < ARRAY_LEN(want); i++) {
            int64_t expected = all ? want[i].of_all : want[i].of_one;
            assert_non_null(strstr(text, "of everyone"));
            if (fact(json, want[i].path) != expected) {
                fail_msg("%s is %lld, not %lld", want[i].path, (long long)fact(json, want[i].path),
                         (long long)expected);
            }
        }
        assert_int_equal(fact(json, "splits/train/subjects") + fact(json, "splits/valid/subjects"),
                         all ? 3 : 1);
        json_decref(json);
        free(text);
        free(path);
        place_remove(place);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(names_stay_in_the_key_file),
        cmocka_unit_test(aliases_hang_on_the_salt),
        cmocka_unit_test(a_removed_person_is_gone_and_the_others_stay),
        cmocka_unit_test(the_key_of_other_data_strikes_nobody),
        cmocka_unit_test(facts_are_those_of_the_data),
    };
    return RUN_TESTS(tests);
}
