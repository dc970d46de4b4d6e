/* Every bit of a data directory counts: whatever single bit flips, wherever a file is cut short,
 * both verification and a reader that reads everything notice. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "data-sharding/shard.h"
#include "data-sharding/shard_trailer.h"
#include "data-sharding/verify.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "kernels/base/rng.h"
#include "unit/data_case.h"

static const hand_recording_t recordings[] = {
    {"r0", "p0", "train", 0, 21, 3, 5, 0, 1},
    {"r1", "p0", "train", 1, 8, 0, 0, 0, 0},
    {"r2", "p1", "test", 2, 40, 0, 7, 9, 12},
    {"r3", "p2", "train", 3, 3, 0, 0, 0, 0},
};

typedef struct files {
    char *place, *path;
    char **names; /* dataset.json dataset.sha256 shard-00000.h5 shard-00001.h5 */
    int count;
} files_t;
enum { FIRST_SHARD = 2, FILES = 4 };

static files_t make_files(void) {
    files_t files = {.place = place_make()};
    files.path = hand_data(files.place, recordings, ARRAY_LEN(recordings), 2);
    CHECK_OK(dir_list(files.path, &files.names, &files.count));
    assert_int_equal(files.count, FILES);
    return files;
}

static void free_files(files_t *files) {
    names_free(files->names, files->count);
    free(files->path);
    place_remove(files->place);
}

static int64_t bad_count(const char *path) {
    verify_report_t report;
    CHECK_OK(shard_verify_dir(path, &report));
    int64_t bad = report.bad_count;
    verify_report_free(&report);
    return bad;
}

static void expect_noticed(const char *path, const char *what, int64_t where) {
    if (bad_count(path) == 0) {
        fail_msg("verification accepts %s at %lld", what, (long long)where);
    }
    status_t status = read_everything(path);
    if (status != STATUS_INPUT && status != STATUS_FAILED) {
        fail_msg("a reader accepts %s at %lld", what, (long long)where);
    }
}

static void expect_intact(const char *path) {
    assert_int_equal(bad_count(path), 0);
    CHECK_OK(read_everything(path));
}

static void flip(int fd, int64_t bit) {
    unsigned char byte = 0;
    assert_int_equal(pread(fd, &byte, 1, bit / 8), 1);
    byte ^= (unsigned char)(1 << (bit % 8));
    assert_int_equal(pwrite(fd, &byte, 1, bit / 8), 1);
}

static int open_file(const files_t *files, int number, int64_t *bytes_out) {
    char *file = place_path(files->path, files->names[number]);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    *bytes_out = lseek(fd, 0, SEEK_END);
    free(file);
    return fd;
}

static void intact_is_accepted(void **state) {
    (void)state;
    files_t files = make_files();
    expect_intact(files.path);
    verify_report_t report;
    CHECK_OK(shard_verify_dir(files.path, &report));
    assert_int_equal(report.files, FILES);
    assert_true(report.blocks > FILES);
    verify_report_free(&report);
    CHECK_FAILS(shard_verify_dir("/nowhere/at/all", &report), STATUS_INPUT,
                "no such data directory");
    free_files(&files);
}

static void a_flipped_bit_is_noticed(void **state) {
    (void)state;
    enum { FLIPS = 200 };
    files_t files = make_files();
    rng_key_t key = {11, rng_name("flips"), 0};
    for (int i = 0; i < FLIPS; i++) {
        int64_t bytes = 0;
        int fd = open_file(&files, i % files.count, &bytes);
        int64_t bit = (int64_t)rng_below(key, (uint64_t)i, (uint64_t)bytes * 8);
        flip(fd, bit);
        expect_noticed(files.path, files.names[i % files.count], bit);
        flip(fd, bit);
        close(fd);
    }
    expect_intact(files.path);
    free_files(&files);
}

/* Chance may miss one of them: every bit of the trailer, to its last. */
static void every_bit_of_a_trailer_is_noticed(void **state) {
    (void)state;
    files_t files = make_files();
    int64_t bytes = 0;
    int fd = open_file(&files, FIRST_SHARD, &bytes);
    trailer_t trailer;
    CHECK_OK(trailer_read(fd, "it", &trailer));
    int64_t begin = bytes - trailer.bytes;
    trailer_free(&trailer);
    for (int64_t bit = begin * 8; bit < bytes * 8; bit++) {
        flip(fd, bit);
        if (trailer_read(fd, "it", &trailer) == STATUS_OK) {
            fail_msg("the trailer is accepted with bit %lld flipped", (long long)bit);
        }
        flip(fd, bit);
    }
    close(fd);
    expect_intact(files.path);
    free_files(&files);
}

/* The ranges cover the file from its first byte to the trailer, in blocks of both kinds. */
static void ranges_tile_the_file(void **state) {
    (void)state;
    files_t files = make_files();
    int64_t bytes = 0, kinds[2] = {0};
    int fd = open_file(&files, FIRST_SHARD, &bytes);
    trailer_t trailer;
    CHECK_OK(trailer_read(fd, "it", &trailer));
    uint64_t at = 0;
    for (int64_t i = 0; i < trailer.range_count; i++) {
        assert_int_equal(trailer.ranges[i].offset, at);
        at += trailer.ranges[i].bytes;
        kinds[trailer.ranges[i].kind]++;
    }
    assert_int_equal(at, bytes - trailer.bytes);
    assert_true(kinds[RANGE_STRUCTURE] > 0 && kinds[RANGE_BULK] >= 6);
    char byte;
    CHECK_OK(trailer_pread(&trailer, fd, "it", (int64_t)at - 1, 1, &byte));
    CHECK_FAILS(trailer_pread(&trailer, fd, "it", (int64_t)at, 1, &byte), STATUS_INPUT, "behind");
    trailer_free(&trailer);
    close(fd);
    free_files(&files);
}

static void a_file_of_another_length_is_noticed(void **state) {
    (void)state;
    files_t files = make_files();
    for (int f = 0; f < files.count; f++) {
        char *file = place_path(files.path, files.names[f]), *data = NULL;
        size_t bytes = 0;
        CHECK_OK(file_read(file, &data, &bytes));
        size_t coarse = max_i64((int64_t)bytes / 16, 7);
        for (size_t length = 0; length<bytes; length += bytes - length> 64 ? coarse : 9) {
            place_write(files.path, files.names[f], data, length);
            expect_noticed(files.path, "a cut", (int64_t)length);
        }
        place_write(files.path, files.names[f], data, bytes - 1);
        expect_noticed(files.path, "a missing last byte", f);
        char *longer = alloc_zero((int64_t)bytes + 1, 1);
        memcpy(longer, data, bytes);
        place_write(files.path, files.names[f], longer, bytes + 1);
        expect_noticed(files.path, "a byte too many", f);
        place_write(files.path, files.names[f], data, bytes);
        free(longer);
        free(data);
        free(file);
    }
    expect_intact(files.path);
    free_files(&files);
}

static void a_missing_swapped_or_added_file_is_noticed(void **state) {
    (void)state;
    files_t files = make_files();
    char *aside = place_path(files.place, "aside");
    char *paths[FILES];
    for (int f = 0; f < FILES; f++) {
        paths[f] = place_path(files.path, files.names[f]);
        assert_int_equal(rename(paths[f], aside), 0);
        expect_noticed(files.path, "a missing file", f);
        assert_int_equal(rename(aside, paths[f]), 0);
    }
    /* Each reads well on its own, and does not pass for the other. */
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(rename(paths[FIRST_SHARD], aside), 0);
        assert_int_equal(rename(paths[FIRST_SHARD + 1], paths[FIRST_SHARD]), 0);
        assert_int_equal(rename(aside, paths[FIRST_SHARD + 1]), 0);
        if (turn == 0) {
            expect_noticed(files.path, "swapped shards", 0);
        }
    }
    expect_intact(files.path);
    place_write(files.path, "shard-00002.h5", "x", 1);
    assert_int_equal(bad_count(files.path), 1);
    for (int f = 0; f < FILES; f++) {
        free(paths[f]);
    }
    free(aside);
    free_files(&files);
}

/* Two recordings of one modality, written and read as they are, with an index that fits or not. */
static void an_index_that_does_not_fit_is_refused(void **state) {
    (void)state;
    static const struct {
        shard_span_t spans[2];
        const char *error; /* NULL: fits */
    } cases[] = {
        {{{0, 3, 1.0}, {3, 2, 2.0}}, NULL},
        {{{0, 5, 1.0}, {5, 0, 0.0}}, NULL},
        {{{0, 3, 1.0}, {2, 3, 1.0}}, "index of m does not fit its values at row 1"},
        {{{0, 2, 1.0}, {3, 2, 1.0}}, "row 1"},
        {{{0, 3, 1.0}, {3, 1, 1.0}}, "row 2"},
        {{{1, 2, 1.0}, {3, 2, 1.0}}, "row 0"},
        {{{0, 3, 0.0}, {3, 2, 1.0}}, "row 0"},
        {{{0, 3, 1.0}, {3, 2, INFINITY}}, "row 1"},
    };
    char *place = place_make(), *path = place_path(place, "shard-00000.h5"), none[] = "";
    float values[5] = {1, 2, 3, 4, 5};
    uint8_t valid[5] = {1, 0, 1, 1, 1};
    shard_recording_t both[2] = {{none, none, none, none, none, none},
                                 {none, none, none, none, none, none}};
    char name[] = "m";
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        shard_span_t spans[2] = {cases[i].spans[0], cases[i].spans[1]};
        shard_track_t track = {.name = name, .dim = 1, .steps = 5, .spans = spans};
        track.values = values;
        track.valid = valid;
        shard_content_t content = {none, none, none, none, 2, both, 1, &track};
        CHECK_OK(shard_write(path, &content, NULL));
        shard_t *shard = NULL;
        if (cases[i].error != NULL) {
            CHECK_FAILS(shard_open(path, &shard), STATUS_INPUT, cases[i].error);
            continue;
        }
        float got[5];
        uint8_t got_valid[5];
        CHECK_OK(shard_open(path, &shard));
        const shard_track_t *there = shard_track(shard, name, false);
        CHECK_OK(shard_read_values(shard, there, 0, 5, got));
        CHECK_OK(shard_read_valid(shard, there, 0, 5, got_valid));
        assert_memory_equal(got, values, sizeof values);
        assert_memory_equal(got_valid, valid, sizeof valid);
        assert_memory_equal(there->spans, spans, sizeof spans);
        shard_close(shard);
    }
    free(path);
    place_remove(place);
}

static status_t counted(void *context, int track, int64_t first, int64_t steps, void *out) {
    (void)track;
    int64_t dim = *(const int64_t *)context;
    for (int64_t i = 0; i < steps * dim; i++) {
        ((uint8_t *)out)[i] = (uint8_t)((first * dim + i) % 251);
    }
    return STATUS_OK;
}

/* Several small pictures share a block, a large one is several; of both, many pieces. */
static void pictures_are_hashed_as_they_are_poured(void **state) {
    (void)state;
    static const struct { int64_t side, steps; } cases[] = {{8, 3000}, {112, 20}, {400, 3}};
    char *place = place_make(), *path = place_path(place, "shard-00000.h5"), none[] = "";
    char name[] = "m";
    shard_recording_t one = {none, none, none, none, none, none};
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t side = cases[i].side, steps = cases[i].steps, dim = side * side * 3;
        shard_span_t span = {0, steps, 1.0, 0.0};
        shard_track_t track = {.name = name, .dim = dim, .steps = steps, .spans = &span};
        track.kind = TRACK_PIXELS;
        track.shape[0] = track.shape[1] = side;
        track.shape[2] = 3;
        track.valid = alloc_zero(steps, 1);
        shard_content_t content = {none, none, none, none, 1, &one, 1, &track};
        const shard_source_t source = {counted, &dim};
        shard_t *shard = NULL;
        uint8_t *got = alloc_zero(steps, (size_t)dim), *want = alloc_zero(steps, (size_t)dim);
        CHECK_OK(shard_write(path, &content, &source));
        CHECK_OK(shard_open(path, &shard));
        CHECK_OK(shard_read_values(shard, shard_track(shard, name, false), 0, steps, got));
        CHECK_OK(counted(&dim, 0, 0, steps, want));
        assert_memory_equal(got, want, (size_t)(steps * dim));
        shard_close(shard);
        free(got);
        free(want);
        free(track.valid);
    }
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intact_is_accepted),
        cmocka_unit_test(a_flipped_bit_is_noticed),
        cmocka_unit_test(every_bit_of_a_trailer_is_noticed),
        cmocka_unit_test(ranges_tile_the_file),
        cmocka_unit_test(a_file_of_another_length_is_noticed),
        cmocka_unit_test(a_missing_swapped_or_added_file_is_noticed),
        cmocka_unit_test(an_index_that_does_not_fit_is_refused),
        cmocka_unit_test(pictures_are_hashed_as_they_are_poured),
    };
    return RUN_TESTS(tests);
}
