/* Tracks of pictures: written step by step, read back from blocks that begin with a picture,
 * checked, and cut out with their person. */
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "data-sharding/dataset_internal.h"
#include "data-sharding/manifest.h"
#include "data-sharding/remove_subject.h"
#include "data-sharding/shard_trailer.h"
#include "data-sharding/verify.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"

/* A picture of 80 x 70 takes 16,800 bytes, more than a block; one of 9 x 5 shares its block. */
enum { LARGE, SMALL, LABEL, TRACKS, PEOPLE = 3, STEPS_MAX = 40 };
static const writer_track_t tracks[TRACKS] = {
    [LARGE] = {"large", false, 16800, TRACK_PIXELS, {80, 70, 3}},
    [SMALL] = {"small", false, 135, TRACK_PIXELS, {9, 5, 3}},
    [LABEL] = {"y", true, 1},
};
static const int lengths[PEOPLE][2] = {{5, 0}, {3, 17}, {7, 40}};

/* Byte i of a step, from where it lies. */
static uint8_t byte_at(int person, int track, int64_t step, int64_t i) {
    return (uint8_t)(31 * person + 7 * track + 13 * step + i + i / 251);
}

static bool valid_at(int person, int64_t step) { return (step + person) % 4 != 1; }

static steps_file_t *pictures_of(steps_store_t *store, int person, int track) {
    int64_t dim = tracks[track].dim, steps = lengths[person][track];
    if (steps == 0) {
        return NULL;
    }
    steps_file_t *file = steps_file_open(store, dim);
    uint8_t *step = alloc_zero(dim, 1);
    for (int64_t t = 0; t < steps; t++) {
        for (int64_t i = 0; i < dim; i++) {
            step[i] = byte_at(person, track, t, i);
        }
        CHECK_OK(steps_file_add(file, valid_at(person, t) ? step : NULL, 1));
    }
    free(step);
    return file;
}

static char *make_data(const char *place, const char *name) {
    static const char *const people[PEOPLE] = {"Ann", "Bob", "Cid"};
    static const float labels[STEPS_MAX] = {1, 2, 3};
    char *path = place_path(place, name);
    writer_config_t config = {path,   "hand", "test", "CC0-1.0", "none", "salt", people,
                              PEOPLE, PEOPLE, 0,      0,         2,      tracks, TRACKS};
    dataset_writer_t *writer = NULL;
    CHECK_OK(dataset_writer_open(&config, &writer));
    for (int p = 0; p < PEOPLE; p++) {
        writer_signal_t signals[TRACKS] = {
            {.rate_hz = 30.0}, {.rate_hz = 15.0}, {labels, NULL, 3, 30.0}};
        for (int t = LARGE; t <= SMALL; t++) {
            signals[t].pictures = pictures_of(dataset_writer_store(writer), p, t);
        }
        writer_recording_t recording = {people[p], "", "", "", p, signals};
        CHECK_OK(dataset_writer_add(writer, &recording));
    }
    CHECK_OK(dataset_writer_publish(writer, NULL));
    dataset_writer_close(writer);
    return path;
}

/* Every byte of one person's pictures; person by the recording's source of bytes. */
static void check_recording(const shard_t *shard, int64_t row, int person) {
    for (int t = LARGE; t <= SMALL; t++) {
        const shard_track_t *track = shard_track(shard, tracks[t].name, false);
        assert_int_equal(track->kind, TRACK_PIXELS);
        assert_int_equal(track->dim, tracks[t].dim);
        assert_memory_equal(track->shape, tracks[t].shape, sizeof track->shape);
        const shard_span_t *span = &track->spans[row];
        assert_int_equal(span->length, lengths[person][t]);
        uint8_t *step = alloc_zero(track->dim, 1), valid = 2;
        for (int64_t s = 0; s < span->length; s++) {
            CHECK_OK(shard_read_values(shard, track, span->offset + s, 1, step));
            CHECK_OK(shard_read_valid(shard, track, span->offset + s, 1, &valid));
            assert_int_equal(valid, valid_at(person, s));
            for (int64_t i = 0; i < track->dim; i++) {
                assert_int_equal(step[i], valid ? byte_at(person, t, s, i) : 0);
            }
        }
        free(step);
    }
}

/* gone: a person who is no longer there; -1: nobody. */
static void check_data(const char *path, int gone) {
    dataset_config_t config = {.path = path, .window = 1};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    int person = 0;
    for (int64_t i = 0; i < dataset->recording_count; i++, person++) {
        person += person == gone;
        const dataset_recording_t *r = &dataset->recordings[i];
        check_recording(dataset->shards[r->shard], r->row, person);
    }
    assert_int_equal(person + (person == gone), PEOPLE);
    dataset_close(dataset);
    verify_report_t report = {0};
    CHECK_OK(shard_verify_dir(path, &report));
    assert_int_equal(report.bad_count, 0);
    verify_report_free(&report);
}

static void pictures_come_back_as_they_were(void **state) {
    (void)state;
    char *place = place_make();
    char *path = make_data(place, "data");
    check_data(path, -1);
    free(path);
    place_remove(place);
}

static void equal_imports_give_equal_bytes(void **state) {
    (void)state;
    char *place = place_make(), first[SHA256_TEXT_BYTES], second[SHA256_TEXT_BYTES];
    char *a = make_data(place, "a"), *b = make_data(place, "b");
    char *one = place_path(a, "dataset.json"), *two = place_path(b, "dataset.json");
    CHECK_OK(sha256_file(one, first));
    CHECK_OK(sha256_file(two, second));
    assert_string_equal(first, second);
    free(one);
    free(two);
    free(a);
    free(b);
    place_remove(place);
}

static void a_person_is_cut_out(void **state) {
    (void)state;
    static const char *const people[PEOPLE] = {"Ann", "Bob", "Cid"};
    for (int gone = 0; gone < PEOPLE; gone++) {
        char *place = place_make();
        char *path = make_data(place, "data"), *key = place_path(place, "data.key");
        CHECK_OK(shard_remove_subject(people[gone], key, path));
        check_data(path, gone);
        free(key);
        free(path);
        place_remove(place);
    }
}

/* A large picture begins a block, small ones share one that begins with a picture: so reading one
 * checks no byte of a picture that was not asked for, or few. */
static void blocks_begin_with_pictures(void **state) {
    (void)state;
    char *place = place_make();
    char *path = make_data(place, "data"), *file = place_path(path, "shard-00000.h5");
    shard_t *shard = NULL;
    CHECK_OK(shard_open(file, &shard));
    int64_t bytes = 0;
    const char *trailer = shard_trailer(shard, &bytes);
    const trailer_range_t *ranges = (const trailer_range_t *)(const void *)(trailer + 32);
    int64_t count = (bytes - 56) / 32;
    for (int t = LARGE; t <= SMALL; t++) {
        const shard_track_t *track = shard_track(shard, tracks[t].name, false);
        int64_t together = max_i64(RANGE_BYTES_MAX / track->dim, 1), begun = 0;
        for (int64_t i = 0; i < count; i++) {
            int64_t at = (int64_t)ranges[i].offset - track->values_at;
            begun += at >= 0 && at < track->steps * track->dim && at % (together * track->dim) == 0;
        }
        assert_int_equal(begun, div_up(track->steps, together));
    }
    shard_close(shard);
    free(file);
    free(path);
    place_remove(place);
}

static void a_changed_byte_is_noticed(void **state) {
    (void)state;
    char *place = place_make();
    char *path = make_data(place, "data"), *file = place_path(path, "shard-00000.h5");
    shard_t *shard = NULL;
    CHECK_OK(shard_open(file, &shard));
    const shard_track_t *track = shard_track(shard, "large", false);
    uint8_t *step = alloc_zero(track->dim, 1);
    FILE *raw = fopen(file, "r+b");
    assert_non_null(raw);
    assert_int_equal(fseek(raw, (long)(track->values_at + track->dim + 16790), SEEK_SET), 0);
    assert_int_equal(fputc(99, raw), 99);
    assert_int_equal(fclose(raw), 0);
    CHECK_OK(shard_read_values(shard, track, 0, 1, step));
    CHECK_FAILS(shard_read_values(shard, track, 1, 1, step), STATUS_FAILED, "damaged in bytes");
    CHECK_OK(shard_read_values(shard, track, 2, 1, step));
    free(step);
    shard_close(shard);
    free(file);
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_come_back_as_they_were),
        cmocka_unit_test(equal_imports_give_equal_bytes),
        cmocka_unit_test(a_person_is_cut_out),
        cmocka_unit_test(blocks_begin_with_pictures),
        cmocka_unit_test(a_changed_byte_is_noticed),
    };
    return RUN_TESTS(tests);
}
