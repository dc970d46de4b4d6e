/* Steps of many tracks at once: in memory while it lasts, then on disk, in one file, whose room is
 * used again; the same steps either way. */
#include <dirent.h>
#include <string.h>

#include "check.h"
#include "data-sharding/steps_file.h"
#include "kernels/base/bytes.h"
#include "unit/data_case.h"

enum { FILES = 40, STEPS = 50, BYTES = 3000 };

static int descriptors(void) {
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count;
}

static void fill(int file, int64_t step, int64_t bytes, uint8_t *out) {
    for (int64_t i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(file * 31 + step * 7 + i % 251);
    }
}

/* Every third step is not valid. */
static void add(steps_file_t *file, int number, int64_t step, int64_t bytes) {
    uint8_t *data = alloc_zero(bytes, 1);
    fill(number, step, bytes, data);
    CHECK_OK(steps_file_add(file, step % 3 == 2 ? NULL : data, 1));
    free(data);
}

static void check_steps(steps_file_t *file, int number, int64_t steps, int64_t bytes) {
    uint8_t *got = alloc_zero(steps * bytes, 1), *want = alloc_zero(steps * bytes, 1);
    char digest[SHA256_TEXT_BYTES], expected[SHA256_TEXT_BYTES];
    assert_int_equal(steps_file_count(file), steps);
    for (int64_t s = 0; s < steps; s++) {
        assert_int_equal(steps_file_valid(file)[s], s % 3 != 2);
        if (s % 3 != 2) {
            fill(number, s, bytes, want + s * bytes);
        }
    }
    CHECK_OK(steps_file_read(file, 0, steps, got));
    assert_memory_equal(got, want, (size_t)(steps * bytes));
    CHECK_OK(steps_file_read(file, steps / 2, 1, got));
    assert_memory_equal(got, want + steps / 2 * bytes, (size_t)bytes);
    sha256_memory(want, (size_t)(steps * bytes), expected);
    steps_file_hash(file, digest);
    assert_string_equal(digest, expected);
    free(got);
    free(want);
}

/* 40 files of 150,000 bytes, grown side by side, in memory for all, some and none of them. */
static void many_files_at_once(void **state) {
    (void)state;
    static const int64_t memory[] = {64 << 20, 2 << 20, 0};
    char *place = place_make();
    for (int m = 0; m < ARRAY_LEN(memory); m++) {
        int before = descriptors();
        steps_store_t *store = steps_store_open(place, memory[m]);
        steps_file_t *files[FILES];
        for (int f = 0; f < FILES; f++) {
            files[f] = steps_file_open(store, BYTES);
        }
        for (int64_t s = 0; s < STEPS; s++) {
            for (int f = 0; f < FILES; f++) {
                add(files[f], f, s, BYTES);
            }
        }
        assert_int_equal(descriptors() - before, m == 0 ? 0 : 1);
        for (int f = 0; f < FILES; f++) {
            check_steps(files[f], f, STEPS, BYTES);
            steps_file_close(files[f]);
        }
        steps_store_close(store);
        assert_int_equal(descriptors(), before);
    }
    place_remove(place);
}

/* Longer than an extent, with steps across its end; what is closed makes room for others, so that
 * the second file lies where the first one was, and memory that was given back is taken again. */
static void room_is_used_again(void **state) {
    (void)state;
    enum { LARGE = 3000001, COUNT = 5 };
    char *place = place_make();
    steps_store_t *store = steps_store_open(place, LARGE + LARGE / 2);
    for (int f = 0; f < 3; f++) {
        steps_file_t *file = steps_file_open(store, LARGE), *small = steps_file_open(store, 10);
        for (int64_t s = 0; s < COUNT; s++) {
            add(file, f, s, LARGE);
            add(small, f + 9, s, 10);
        }
        check_steps(file, f, COUNT, LARGE);
        check_steps(small, f + 9, COUNT, 10);
        steps_file_close(file);
        steps_file_close(small);
    }
    steps_store_close(store);
    place_remove(place);
}

/* A small file that took the memory of a large one keeps what it uses. */
static void what_is_not_used_is_given_back(void **state) {
    (void)state;
    enum { LARGE = 3000000, SMALL = 10 };
    for (int trimmed = 0; trimmed < 2; trimmed++) {
        int before = descriptors();
        char *place = place_make();
        steps_store_t *store = steps_store_open(place, 4 << 20);
        steps_file_t *first = steps_file_open(store, LARGE);
        add(first, 0, 0, LARGE);
        steps_file_close(first);
        steps_file_t *small = steps_file_open(store, SMALL), *next = steps_file_open(store, LARGE);
        add(small, 1, 0, SMALL);
        if (trimmed) {
            steps_file_trim(small);
        }
        add(next, 2, 0, LARGE);
        assert_int_equal(descriptors() - before, trimmed ? 0 : 1); /* the disk's */
        check_steps(small, 1, 1, SMALL);
        check_steps(next, 2, 1, LARGE);
        steps_file_close(small);
        steps_file_close(next);
        steps_store_close(store);
        place_remove(place);
    }
}

static void a_place_that_is_not_there_is_told(void **state) {
    (void)state;
    steps_store_t *store = steps_store_open("/no/such/place", 0);
    steps_file_t *file = steps_file_open(store, 4);
    CHECK_FAILS(steps_file_add(file, "abc", 1), STATUS_FAILED, "cannot make a file in /no/such");
    steps_file_close(file);
    steps_store_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_files_at_once),
        cmocka_unit_test(room_is_used_again),
        cmocka_unit_test(what_is_not_used_is_given_back),
        cmocka_unit_test(a_place_that_is_not_there_is_told),
    };
    return RUN_TESTS(tests);
}
