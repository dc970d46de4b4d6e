/* test_prefetch.c - the ring of items made ahead. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "data-sharding/prefetch.h"
#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"

enum { PLACES_MAX = 5, WORDS = 512, NEVER = -1 };

/* Places hold the item's own numbers. Only `made` and `may_go` are shared while items are made. */
typedef struct source {
    prefetch_t *prefetch;
    int64_t places[PLACES_MAX][WORDS];
    int64_t tag;    /* of this start, told in every item */
    int64_t broken; /* this item fails */
    int pause_us;
    pthread_t caller;
    bool elsewhere; /* every fill ran on another thread than the caller's */
    atomic_llong made;
    atomic_bool closed_gate; /* fills wait in the middle while it is set */
} source_t;

static int64_t word_of(const source_t *source, int64_t item, int64_t at) {
    return source->tag * 1000000 + item * 1000 + at;
}

static status_t fill(void *context, int place, int64_t item) {
    source_t *source = context;
    source->elsewhere &= !pthread_equal(pthread_self(), source->caller);
    for (int64_t i = 0; i < WORDS; i++) {
        source->places[place][i] = word_of(source, item, i);
        if (i == WORDS / 2) {
            while (atomic_load(&source->closed_gate)) {
                clock_sleep_us(100);
            }
            clock_sleep_us(source->pause_us);
        }
    }
    atomic_fetch_add(&source->made, 1);
    return item != source->broken
               ? STATUS_OK
               : status_fail(STATUS_FAILED, "item %lld is damaged; mend it", (long long)item);
}

static void open_source(int places, source_t *source) {
    *source = (source_t){.broken = NEVER, .caller = pthread_self(), .elsewhere = true, .tag = 1};
    CHECK_OK(prefetch_open(places, fill, source, &source->prefetch));
}

static void wait_until_made(source_t *source, long long count) {
    double end_s = clock_s() + 30.0;
    while (atomic_load(&source->made) < count) {
        assert_true(clock_s() < end_s);
        clock_sleep_us(100);
    }
}

static bool holds(const source_t *source, int place, int64_t item) {
    for (int64_t i = 0; i < WORDS; i++) {
        if (source->places[place][i] != word_of(source, item, i)) {
            return false;
        }
    }
    return true;
}

/* Takes one, looks at all of it, and writes over it. */
static void take(source_t *source, int64_t item) {
    int place = -1;
    CHECK_OK(prefetch_next(source->prefetch, &place));
    assert_true(holds(source, place, item));
    memset(source->places[place], 0xff, sizeof source->places[place]);
    prefetch_give_back(source->prefetch);
}

static void items_come_whole_and_in_order(void **state) {
    (void)state;
    for (int places = 0; places <= PLACES_MAX; places++) {
        source_t source;
        open_source(places, &source);
        for (int round = 0; round < 20; round++) {
            source.tag = round;
            prefetch_start(source.prefetch, 50 + round);
            for (int64_t item = 0; item < 50 + round; item++) {
                take(&source, item);
            }
        }
        prefetch_close(source.prefetch);
        assert_int_equal(source.elsewhere, places > 0);
        assert_int_equal(atomic_load(&source.made), 20 * 50 + 190);
    }
}

static void as_many_are_made_ahead_as_there_are_places(void **state) {
    (void)state;
    for (int places = 0; places <= PLACES_MAX; places++) {
        source_t source;
        open_source(places, &source);
        prefetch_start(source.prefetch, 100);
        wait_until_made(&source, places);
        clock_sleep_us(3000);
        assert_int_equal(atomic_load(&source.made), places);
        take(&source, 0);
        wait_until_made(&source, places + 1);
        clock_sleep_us(3000);
        assert_int_equal(atomic_load(&source.made), places + 1);
        prefetch_close(source.prefetch);
    }
}

static void a_place_is_the_callers_until_it_is_given_back(void **state) {
    (void)state;
    for (int places = 1; places <= PLACES_MAX; places++) {
        source_t source;
        open_source(places, &source);
        prefetch_start(source.prefetch, 100);
        int place = -1;
        CHECK_OK(prefetch_next(source.prefetch, &place));
        wait_until_made(&source, places);
        clock_sleep_us(3000);
        assert_int_equal(atomic_load(&source.made), places);
        assert_true(holds(&source, place, 0));
        prefetch_give_back(source.prefetch);
        take(&source, 1);
        prefetch_close(source.prefetch);
    }
}

static void wait_until_ready(source_t *source, int64_t item) {
    double end_s = clock_s() + 30.0;
    int place = -1;
    while (!prefetch_ready(source->prefetch, &place)) {
        assert_true(clock_s() < end_s);
        clock_sleep_us(100);
    }
    assert_true(holds(source, place, item));
}

/* What is ready can be read before it is taken, and stays as it is when it is. */
static void what_is_ready_is_known(void **state) {
    (void)state;
    source_t source;
    open_source(2, &source);
    source.broken = 2;
    int place = -1;
    assert_false(prefetch_ready(source.prefetch, &place));
    prefetch_start(source.prefetch, 100);
    wait_until_ready(&source, 0);
    CHECK_OK(prefetch_next(source.prefetch, &place));
    wait_until_ready(&source, 1);
    prefetch_give_back(source.prefetch);
    wait_until_made(&source, 3);
    clock_sleep_us(3000);
    take(&source, 1);
    assert_false(prefetch_ready(source.prefetch, &place)); /* it has failed */
    prefetch_close(source.prefetch);
}

static void a_failure_comes_with_its_item(void **state) {
    (void)state;
    for (int places = 0; places <= PLACES_MAX; places++) {
        source_t source;
        open_source(places, &source);
        source.broken = 7;
        prefetch_start(source.prefetch, 100);
        for (int64_t item = 0; item < 7; item++) {
            take(&source, item);
        }
        int place = -1;
        for (int again = 0; again < 3; again++) {
            (void)status_fail(STATUS_INPUT, "something else");
            CHECK_FAILS(prefetch_next(source.prefetch, &place), STATUS_FAILED,
                        "item 7 is damaged; mend it");
            assert_int_equal(strlen(status_text()), strlen("item 7 is damaged; mend it"));
        }
        clock_sleep_us(2000);
        assert_int_equal(atomic_load(&source.made), 8);
        assert_int_equal(place, -1);
        prefetch_stop(source.prefetch); /* and something else may follow */
        source.broken = NEVER;
        source.tag = 2;
        prefetch_start(source.prefetch, 10);
        take(&source, 0);
        prefetch_close(source.prefetch);
    }
}

/* After prefetch_stop what fill reads may change, and nothing made before it is seen. */
static void a_stop_forgets_what_was_made(void **state) {
    (void)state;
    for (int places = 0; places <= PLACES_MAX; places++) {
        source_t source;
        open_source(places, &source);
        for (int round = 0; round < 60; round++) {
            source.tag = round;
            source.pause_us = round % 3 == 0 ? 300 : 0;
            prefetch_start(source.prefetch, 40);
            for (int64_t item = 0; item < round % 7; item++) {
                take(&source, item);
            }
            if (round % 5 == 0) {
                int place = -1;
                CHECK_OK(prefetch_next(source.prefetch, &place)); /* and never given back */
            }
            prefetch_stop(source.prefetch);
        }
        prefetch_stop(source.prefetch); /* of nothing */
        prefetch_close(source.prefetch);
    }
}

static void *open_the_gate(void *context) {
    clock_sleep_us(20000);
    atomic_store(&((source_t *)context)->closed_gate, false);
    return NULL;
}

/* Both wait for the fill that runs, and no more begins. */
static void stop_and_close_wait_for_the_fill_that_runs(void **state) {
    (void)state;
    for (int close = 0; close < 2; close++) {
        source_t source;
        open_source(3, &source);
        atomic_store(&source.closed_gate, true);
        prefetch_start(source.prefetch, 40);
        clock_sleep_us(2000);
        pthread_t opener;
        assert_int_equal(pthread_create(&opener, NULL, open_the_gate, &source), 0);
        if (close == 0) {
            prefetch_stop(source.prefetch);
        } else {
            prefetch_close(source.prefetch);
        }
        long long made = atomic_load(&source.made);
        assert_in_range(made, 0, 1); /* 0: it had not begun */
        source.tag++;                /* nobody reads it now */
        clock_sleep_us(2000);
        assert_int_equal(atomic_load(&source.made), made);
        if (close == 0) {
            prefetch_close(source.prefetch);
        }
        pthread_join(opener, NULL);
    }
}

static void it_closes_at_any_time(void **state) {
    (void)state;
    for (int round = 0; round < 200; round++) {
        source_t source;
        open_source(round % (PLACES_MAX + 1), &source);
        source.pause_us = round % 4 == 0 ? 200 : 0;
        source.broken = round % 3 == 0 ? 4 : NEVER;
        if (round % 8 != 0) {
            prefetch_start(source.prefetch, 30);
            for (int64_t item = 0; item < round % 5 && item < 4; item++) {
                take(&source, item);
            }
        }
        prefetch_close(source.prefetch);
    }
    prefetch_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_whole_and_in_order),
        cmocka_unit_test(as_many_are_made_ahead_as_there_are_places),
        cmocka_unit_test(a_place_is_the_callers_until_it_is_given_back),
        cmocka_unit_test(what_is_ready_is_known),
        cmocka_unit_test(a_failure_comes_with_its_item),
        cmocka_unit_test(a_stop_forgets_what_was_made),
        cmocka_unit_test(stop_and_close_wait_for_the_fill_that_runs),
        cmocka_unit_test(it_closes_at_any_time),
    };
    return RUN_TESTS(tests);
}
