/* test_prefetch_shards.c - samples made ahead, while other threads read the same shards. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "data-sharding/prefetch.h"
#include "kernels/base/bytes.h"
#include "unit/data_case.h"

enum { WINDOW = 16, STEPS = 20000, PLACES_MAX = 4, READERS = 3 };

static const hand_recording_t recordings[] = {
    {"long", "p0", "train", 7, STEPS, 30, 40, 50, 60},
    {"short", "p1", "train", 8, 100, 0, 0, 0, 0},
};

typedef struct shards_case {
    char *place, *path;
    dataset_t *dataset;
    int64_t samples;
    hand_sample_t ring[PLACES_MAX];
    prefetch_t *prefetch;
} shards_case_t;

static status_t fill(void *context, int place, int64_t item) {
    shards_case_t *c = context;
    hand_sample_t *s = &c->ring[place];
    return dataset_read(c->dataset, SPLIT_TRAIN, item, s->features, s->mask, s->target);
}

static void open_dataset(shards_case_t *c) {
    dataset_config_t config = hand_config(c->path, WINDOW, 0);
    CHECK_OK(dataset_open(&config, &c->dataset));
    c->samples = dataset_sample_count(c->dataset, SPLIT_TRAIN);
}

static shards_case_t *open_case(void) {
    shards_case_t *c = alloc_zero(1, sizeof *c);
    c->place = place_make();
    c->path = hand_data(c->place, recordings, ARRAY_LEN(recordings), 2);
    open_dataset(c);
    assert_int_equal(c->samples, STEPS / WINDOW + 7);
    for (int i = 0; i < PLACES_MAX; i++) {
        c->ring[i] = hand_sample(WINDOW);
    }
    return c;
}

static void close_case(shards_case_t *c) {
    for (int i = 0; i < PLACES_MAX; i++) {
        hand_sample_free(&c->ring[i]);
    }
    dataset_close(c->dataset);
    place_remove(c->place);
    free(c->path);
    free(c);
}

static bool same_sample(const hand_sample_t *a, const hand_sample_t *b) {
    return memcmp(a->features[0], b->features[0], WINDOW * 3 * sizeof(float)) == 0 &&
           memcmp(a->features[1], b->features[1], WINDOW * 2 * sizeof(float)) == 0 &&
           memcmp(a->mask[0], b->mask[0], WINDOW) == 0 &&
           memcmp(a->mask[1], b->mask[1], WINDOW) == 0 &&
           memcmp(a->target[0], b->target[0], WINDOW * sizeof(float)) == 0;
}

/* --- read at the same time ------------------------------------------------------------------- */

typedef struct reader {
    const shards_case_t *c;
    atomic_bool *stop;
    int64_t first;
    bool read;
} reader_t;

static void *read_again_and_again(void *context) {
    reader_t *reader = context;
    hand_sample_t s = hand_sample(WINDOW);
    int64_t i = reader->first;
    reader->read = true;
    while (!atomic_load(reader->stop)) {
        i = (i + 7) % reader->c->samples;
        reader->read &= dataset_read(reader->c->dataset, SPLIT_TRAIN, i, s.features, s.mask,
                                     s.target) == STATUS_OK;
    }
    hand_sample_free(&s);
    return NULL;
}

static void what_is_made_ahead_is_what_is_read(void **state) {
    (void)state;
    shards_case_t *c = open_case();
    hand_sample_t want = hand_sample(WINDOW);
    pthread_t threads[READERS];
    reader_t readers[READERS];
    atomic_bool stop = false;
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader_t){c, &stop, i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, read_again_and_again, &readers[i]), 0);
    }
    for (int places = 0; places <= PLACES_MAX; places += 2) {
        CHECK_OK(prefetch_open(places, fill, c, &c->prefetch));
        prefetch_start(c->prefetch, c->samples);
        for (int64_t i = 0; i < c->samples; i++) {
            int place = 0;
            CHECK_OK(prefetch_next(c->prefetch, &place));
            CHECK_OK(
                dataset_read(c->dataset, SPLIT_TRAIN, i, want.features, want.mask, want.target));
            assert_true(same_sample(&c->ring[place], &want));
            prefetch_give_back(c->prefetch);
        }
        prefetch_close(c->prefetch);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(readers[i].read);
    }
    hand_sample_free(&want);
    close_case(c);
}

/* --- damage ---------------------------------------------------------------------------------- */

/* Flips a bit of feature 0 of "a" at this step, wherever the shards hold it. */
static void damage(const shards_case_t *c, int64_t step) {
    float row[3];
    for (int d = 0; d < 3; d++) {
        row[d] = hand_feature(recordings[0].number, step, d);
    }
    int found = 0;
    for (int shard = 0; shard < 2; shard++) {
        char name[32];
        snprintf(name, sizeof name, "shard-%05d.h5", shard);
        char *path = place_path(c->path, name);
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        free(path);
        assert_int_equal(fseek(file, 0, SEEK_END), 0);
        long bytes = ftell(file);
        char *all = alloc_zero(bytes, 1);
        rewind(file);
        assert_int_equal(fread(all, 1, (size_t)bytes, file), bytes);
        char *at = memmem(all, (size_t)bytes, row, sizeof row);
        if (at != NULL) {
            *at ^= 16;
            found++;
            assert_int_equal(fseek(file, at - all, SEEK_SET), 0);
            assert_int_equal(fwrite(at, 1, 1, file), 1);
        }
        assert_int_equal(fclose(file), 0);
        free(all);
    }
    assert_int_equal(found, 1);
}

static int64_t first_damaged(const shards_case_t *c, char *text, size_t bytes) {
    hand_sample_t s = hand_sample(WINDOW);
    int64_t at = 0;
    while (at < c->samples &&
           dataset_read(c->dataset, SPLIT_TRAIN, at, s.features, s.mask, s.target) == STATUS_OK) {
        at++;
    }
    snprintf(text, bytes, "%s", status_text());
    hand_sample_free(&s);
    return at;
}

static void damage_is_told_when_its_sample_is_due(void **state) {
    (void)state;
    shards_case_t *c = open_case();
    damage(c, 12345);
    char text[512];
    int64_t due = first_damaged(c, text, sizeof text);
    assert_in_range(due, 100, 12345 / WINDOW); /* the block begins before the step */
    for (int places = 0; places <= PLACES_MAX; places++) {
        CHECK_OK(prefetch_open(places, fill, c, &c->prefetch));
        prefetch_start(c->prefetch, c->samples);
        int place = 0;
        for (int64_t i = 0; i < due; i++) {
            CHECK_OK(prefetch_next(c->prefetch, &place));
            prefetch_give_back(c->prefetch);
        }
        CHECK_FAILS(prefetch_next(c->prefetch, &place), STATUS_FAILED, "damaged in bytes");
        assert_string_equal(status_text(), text);
        prefetch_close(c->prefetch);
    }
    close_case(c);
}

/* The shards are closed right after the ring: nobody reads them any more. */
static void shards_can_be_closed_after_the_ring(void **state) {
    (void)state;
    shards_case_t *c = open_case();
    for (int round = 0; round < 40; round++) {
        CHECK_OK(prefetch_open(round % (PLACES_MAX + 1), fill, c, &c->prefetch));
        prefetch_start(c->prefetch, c->samples);
        for (int i = 0; i < round; i++) {
            int place = 0;
            CHECK_OK(prefetch_next(c->prefetch, &place));
            prefetch_give_back(c->prefetch);
        }
        prefetch_close(c->prefetch);
        dataset_close(c->dataset);
        open_dataset(c);
    }
    close_case(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_made_ahead_is_what_is_read),
        cmocka_unit_test(damage_is_told_when_its_sample_is_due),
        cmocka_unit_test(shards_can_be_closed_after_the_ring),
    };
    return RUN_TESTS(tests);
}
