/* Items made by several threads come in order, each once; a failure is the first in that order. */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "data-sharding/ordered_work.h"
#include "kernels/base/bytes.h"

enum { ITEMS = 200 };

typedef struct count {
    int threads;
    int64_t fails_at, stops_at; /* in make; in take */
    atomic_int made, dropped, alive, most;
    int64_t taken;
} count_t;

static status_t make(void *context, int64_t item, void **made_out) {
    count_t *c = context;
    if (item == c->fails_at || item == c->fails_at + 1) {
        return status_fail(STATUS_INPUT, "item %lld", (long long)item);
    }
    int alive = atomic_fetch_add(&c->alive, 1) + 1, most = atomic_load(&c->most);
    while (alive > most && !atomic_compare_exchange_weak(&c->most, &most, alive)) {}
    usleep((useconds_t)(item % 7 * 50));
    int64_t *made = alloc_zero(1, sizeof *made);
    *made = item * item;
    atomic_fetch_add(&c->made, 1);
    *made_out = made;
    return STATUS_OK;
}

static status_t take(void *context, int64_t item, void *made) {
    count_t *c = context;
    assert_int_equal(item, c->taken);
    assert_int_equal(*(int64_t *)made, item * item);
    c->taken++;
    atomic_fetch_sub(&c->alive, 1);
    free(made);
    return item == c->stops_at ? status_fail(STATUS_FAILED, "stopped") : STATUS_OK;
}

static void drop(void *context, void *made) {
    count_t *c = context;
    atomic_fetch_add(&c->dropped, 1);
    free(made);
}

static status_t run(count_t *c) {
    const ordered_work_t work = {0, ITEMS, c->threads, c, make, take, drop};
    return ordered_work_run(&work);
}

static void items_come_in_order(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        count_t c = {.threads = threads, .fails_at = -5, .stops_at = -1};
        CHECK_OK(run(&c));
        assert_int_equal(c.taken, ITEMS);
        assert_int_equal(c.made, ITEMS);
        assert_int_equal(c.dropped, 0);
        assert_true(c.most <= 2 * threads); /* what waits is bounded */
    }
}

static void the_first_failure_ends_it(void **state) {
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        count_t c = {.threads = threads, .fails_at = 50, .stops_at = -1};
        CHECK_FAILS(run(&c), STATUS_INPUT, "item 50");
        assert_int_equal(c.taken, 50);
        assert_int_equal(c.made, 50 + c.dropped);
        count_t d = {.threads = threads, .fails_at = -5, .stops_at = 30};
        CHECK_FAILS(run(&d), STATUS_FAILED, "stopped");
        assert_int_equal(d.taken, 31);
        assert_int_equal(d.made, 31 + d.dropped);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_order),
        cmocka_unit_test(the_first_failure_ends_it),
    };
    return RUN_TESTS(tests);
}
