/* What a rank does, and what the device does of it: whose stream is asked for the time of a slice,
 * and what becomes of slices that are in a row of their own. The device here passes a mark each
 * millisecond. */
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/trace.h"

enum { MARKS = 64, SLICES = 8 };

static struct {
    void *streams[MARKS]; /* by mark */
    int count, waits;
    char ranges[256]; /* names as they began, "/" as they ended */
} seen;

static bool range_begin(const device_t *device, const char *name) {
    (void)device;
    strcat(seen.ranges, name);
    return true;
}

static void range_end(const device_t *device) {
    (void)device;
    strcat(seen.ranges, "/");
}

static status_t marks_open(const device_t *device, int count) {
    (void)device;
    assert_true(count > 2 * SLICES && count <= MARKS);
    return STATUS_OK;
}

static void mark(const device_t *device, int number, void *stream) {
    (void)device;
    assert_int_equal(number, seen.count);
    seen.streams[seen.count++] = stream;
}

static bool marks_ms(const device_t *device, int from, int to, double *ms_out) {
    (void)device;
    *ms_out = (double)(to - from);
    return true;
}

static void synchronize(const device_t *device) {
    (void)device;
    seen.waits++;
}

static const device_t device = {.range_begin = range_begin,
                                .range_end = range_end,
                                .marks_open = marks_open,
                                .mark = mark,
                                .marks_ms = marks_ms,
                                .synchronize = synchronize};

/* backward { linear { }, all-to-all 3 { } }, tree 3 { } */
static trace_t *record(void *messages) {
    trace_t *trace = NULL;
    memset(&seen, 0, sizeof seen);
    CHECK_OK(trace_open(&device, SLICES, &trace));
    trace_start(trace);
    trace_begin(trace, TRACK_MAIN, "backward");
    trace_begin_operation(trace, TRACK_MAIN, "linear", "linear.forward");
    trace_end(trace, TRACK_MAIN);
    trace_begin_row(trace, "all-to-all", "bucket", 3, messages);
    trace_end(trace, TRACK_MAIN);
    trace_end(trace, TRACK_MAIN);
    trace_begin_row(trace, "tree", "bucket", 3, NULL);
    trace_end(trace, TRACK_MAIN);
    trace_stop(trace);
    return trace;
}

static void the_time_is_that_of_the_stream(void **state) {
    (void)state;
    int messages = 0;
    trace_t *trace = record(&messages);
    void *const wanted[] = {NULL, NULL, NULL, NULL, &messages, &messages, NULL, NULL, NULL};
    assert_int_equal(seen.count, ARRAY_LEN(wanted));
    assert_memory_equal(seen.streams, wanted, sizeof wanted);
    assert_int_equal(seen.waits, 2);
    trace_close(trace);
}

static void rows_cross_on_the_device_alone(void **state) {
    (void)state;
    static const struct {
        const char *name;
        bool row;
        int begin, end; /* marks */
    } wanted[] = {{"linear", false, 2, 3},
                  {"all-to-all", true, 4, 5},
                  {"backward", false, 1, 6},
                  {"tree", true, 7, 8}};
    int messages = 0;
    trace_t *trace = record(&messages);
    const trace_slice_t *main = trace_slices(trace, TRACK_MAIN);
    const trace_slice_t *there = trace_slices(trace, TRACK_DEVICE);
    assert_int_equal(trace_count(trace, TRACK_MAIN), ARRAY_LEN(wanted));
    assert_int_equal(trace_count(trace, TRACK_DEVICE), ARRAY_LEN(wanted));
    int64_t origin_ns = there[0].begin_ns - 2000000;
    for (int i = 0; i < ARRAY_LEN(wanted); i++) {
        assert_string_equal(main[i].name, wanted[i].name);
        assert_string_equal(there[i].name, wanted[i].name);
        assert_false(main[i].crossing);
        assert_int_equal(there[i].crossing, wanted[i].row);
        assert_int_equal(there[i].begin_ns - origin_ns, wanted[i].begin * 1000000);
        assert_int_equal(there[i].end_ns - origin_ns, wanted[i].end * 1000000);
        assert_int_equal(there[i].number, wanted[i].row ? 3 : 0);
    }
    assert_int_equal(trace_dropped(trace), 0);
    trace_close(trace);
}

static void a_profiler_sees_rows_as_ranges(void **state) {
    (void)state;
    int messages = 0;
    trace_t *trace = record(&messages);
    assert_string_equal(seen.ranges, "open/backwardlinear/all-to-all//tree/");
    trace_close(trace);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_time_is_that_of_the_stream),
        cmocka_unit_test(rows_cross_on_the_device_alone),
        cmocka_unit_test(a_profiler_sees_rows_as_ranges),
    };
    return RUN_TESTS(tests);
}
