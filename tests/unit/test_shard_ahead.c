/* Pictures that go to their place in the shard while the import goes on: what HDF5 made later goes
 * around them, checksums match also of blocks that span two recordings, nothing is left over. */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "check.h"
#include "data-sharding/dataset_writer.h"
#include "data-sharding/shard.h"
#include "data-sharding/verify.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"

/* Of 40 x 40 three share a block; those of 90 x 70 take two, and are the second track of pictures,
 * which waits; floats are enough for HDF5 to align them as well. */
enum { FACES, SOUND, SCENES, LABEL, TRACKS, RECORDINGS = 5, SOUND_DIM = 600, SOUND_STEPS = 301 };
static const writer_track_t tracks[TRACKS] = {
    [FACES] = {"faces", false, 4800, TRACK_PIXELS, {40, 40, 3}},
    [SOUND] = {"sound", false, SOUND_DIM},
    [SCENES] = {"scenes", false, 18900, TRACK_PIXELS, {90, 70, 3}},
    [LABEL] = {"y", true, 1},
};
/* The shards: few faces; a megabyte and a half of them, of two recordings; few. */
static const int faces[RECORDINGS] = {10, 200, 121, 7, 0}, scenes[RECORDINGS] = {3, 0, 70, 0, 2};
enum { SHARDS = 3 };
static const int shard_of[RECORDINGS] = {0, 1, 1, 2, 2};

static int picture_count(int recording, int track) {
    return track == FACES ? faces[recording] : scenes[recording];
}

static uint8_t byte_at(int recording, int track, int64_t step, int64_t i) {
    return (uint8_t)(17 * recording + 5 * track + 11 * step + i + i / 253);
}

static float sound_at(int recording, int64_t i) { return (float)(recording * 1000) + (float)i; }

static steps_file_t *pictures_of(steps_store_t *store, int recording, int track) {
    int64_t dim = tracks[track].dim;
    int count = picture_count(recording, track);
    if (count == 0) {
        return NULL;
    }
    steps_file_t *file = steps_file_open(store, dim);
    uint8_t *step = alloc_zero(dim, 1);
    for (int64_t t = 0; t < count; t++) {
        for (int64_t i = 0; i < dim; i++) {
            step[i] = byte_at(recording, track, t, i);
        }
        CHECK_OK(steps_file_add(file, step, 1));
    }
    free(step);
    return file;
}

static void add_recording(dataset_writer_t *writer, int r, const char *name) {
    static const float labels[2] = {1, 2};
    float *sound = alloc_zero(SOUND_STEPS * SOUND_DIM, sizeof *sound);
    for (int64_t i = 0; i < SOUND_STEPS * SOUND_DIM; i++) {
        sound[i] = sound_at(r, i);
    }
    writer_signal_t signals[TRACKS] = {
        [FACES] = {.rate_hz = 30.0},
        [SOUND] = {sound, NULL, SOUND_STEPS, 100.0},
        [SCENES] = {.rate_hz = 10.0},
        [LABEL] = {labels, NULL, 2, 30.0},
    };
    signals[FACES].pictures = pictures_of(dataset_writer_store(writer), r, FACES);
    signals[SCENES].pictures = pictures_of(dataset_writer_store(writer), r, SCENES);
    writer_recording_t recording = {name, "", "", "", r, signals};
    CHECK_OK(dataset_writer_add(writer, &recording));
    free(sound);
}

static char *make_data(const char *place) {
    static const char *const people[RECORDINGS] = {"Ann", "Bob", "Cid", "Dan", "Eve"};
    char *path = place_path(place, "data");
    writer_config_t config = {path,       "hand",     "test", "CC0-1.0", "none", "salt", people,
                              RECORDINGS, RECORDINGS, 0,      0,         SHARDS, tracks, TRACKS};
    dataset_writer_t *writer = NULL;
    CHECK_OK(dataset_writer_open(&config, &writer));
    for (int r = 0; r < RECORDINGS; r++) {
        add_recording(writer, r, people[r]);
    }
    CHECK_OK(dataset_writer_publish(writer, NULL));
    dataset_writer_close(writer);
    return path;
}

static void check_pictures(const shard_t *shard, int64_t row, int recording, int track_index) {
    const shard_track_t *track = shard_track(shard, tracks[track_index].name, false);
    const shard_span_t *span = &track->spans[row];
    assert_int_equal(span->length, picture_count(recording, track_index));
    uint8_t *step = alloc_zero(track->dim, 1);
    for (int64_t s = 0; s < span->length; s++) {
        CHECK_OK(shard_read_values(shard, track, span->offset + s, 1, step));
        for (int64_t i = 0; i < track->dim; i++) {
            assert_int_equal(step[i], byte_at(recording, track_index, s, i));
        }
    }
    free(step);
}

static void check_sound(const shard_t *shard, int64_t row, int recording) {
    const shard_track_t *track = shard_track(shard, "sound", false);
    float *sound = alloc_zero(SOUND_STEPS * SOUND_DIM, sizeof *sound);
    CHECK_OK(shard_read_values(shard, track, track->spans[row].offset, SOUND_STEPS, sound));
    for (int64_t i = 0; i < SOUND_STEPS * SOUND_DIM; i++) {
        assert_true(sound[i] == sound_at(recording, i));
    }
    free(sound);
}

static void pictures_are_where_they_were_put(void **state) {
    (void)state;
    char *place = place_make(), *path = make_data(place);
    int recording = 0;
    for (int f = 0; f < SHARDS; f++) {
        char *name = text_format("%s/shard-%05d.h5", path, f);
        shard_t *shard = NULL;
        CHECK_OK(shard_open(name, &shard));
        bool many = f == 1;
        assert_int_equal(shard_track(shard, "faces", false)->values_at == SHARD_AHEAD_AT, many);
        for (int64_t row = 0; row < shard_content(shard)->recording_count; row++, recording++) {
            assert_int_equal(shard_of[recording], f);
            check_pictures(shard, row, recording, FACES);
            check_pictures(shard, row, recording, SCENES);
            check_sound(shard, row, recording);
        }
        shard_close(shard);
        free(name);
    }
    assert_int_equal(recording, RECORDINGS);
    verify_report_t report = {0};
    CHECK_OK(shard_verify_dir(path, &report));
    assert_int_equal(report.bad_count, 0);
    verify_report_free(&report);
    char **names;
    int count;
    CHECK_OK(dir_list(path, &names, &count));
    assert_int_equal(count, SHARDS + 2); /* dataset.json and its checksum */
    names_free(names, count);
    free(path);
    place_remove(place);
}

static void a_folder_that_is_gone_is_told(void **state) {
    (void)state;
    shard_ahead_t *ahead = NULL;
    CHECK_FAILS(shard_ahead_open("/no/such/shard-00000.ahead", 12, &ahead), STATUS_FAILED,
                "shard /no/such/shard-00000.ahead: cannot create it");
}

/* As on a disk that is full. */
static void a_write_that_fails_is_told(void **state) {
    (void)state;
    char *place = place_make(), *path = place_path(place, "shard-00000.ahead");
    char *expected = text_format("cannot write %s: File too large", path);
    steps_store_t *store = steps_store_open(place, STEPS_MEMORY_BYTES);
    steps_file_t *steps = steps_file_open(store, 4800);
    CHECK_OK(steps_file_add(steps, NULL, 100));
    shard_ahead_t *ahead = NULL;
    CHECK_OK(shard_ahead_open(path, 4800, &ahead));
    struct rlimit limit, less;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    less = limit;
    less.rlim_cur = SHARD_AHEAD_AT + 50 * 4800;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
    status_t status = shard_ahead_add(ahead, steps);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, handler);
    CHECK_FAILS(status, STATUS_FAILED, expected);
    shard_ahead_close(ahead);
    assert_false(file_exists(path));
    steps_file_close(steps);
    steps_store_close(store);
    free(expected);
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_where_they_were_put),
        cmocka_unit_test(a_folder_that_is_gone_is_told),
        cmocka_unit_test(a_write_that_fails_is_told),
    };
    return RUN_TESTS(tests);
}
