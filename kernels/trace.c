#include "kernels/trace.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"

enum { DEPTH_MAX = 16, MARKS_MAX = 1 << 16 };

typedef struct lane {
    trace_slice_t *slices; /* [room] */
    _Atomic int64_t count; /* released behind the slice */
    _Atomic int64_t dropped;
    trace_slice_t open[DEPTH_MAX]; /* the writer's; begin_ns -1: not kept */
    int depth;
} lane_t;

struct trace {
    const device_t *device;
    bool ranges;
    _Atomic bool keeps;
    int64_t room;
    lane_t lanes[TRACK_COUNT];
    int mark_room, mark_count; /* 0: the device has no marks */
    int64_t *mark_ns;          /* by mark; -1: unknown */
    bool *anchors;             /* marks that later ones are counted from */
};

/* --- opening --------------------------------------------------------------------------------- */

static status_t open_marks(trace_t *trace) {
    if (trace->device->marks_open == NULL || trace->room == 0) {
        return STATUS_OK;
    }
    trace->mark_room = (int)min_i64(2 * trace->room + 1, MARKS_MAX);
    trace->mark_ns = alloc_zero(trace->mark_room, sizeof *trace->mark_ns);
    trace->anchors = alloc_zero(trace->mark_room, sizeof *trace->anchors);
    return trace->device->marks_open(trace->device, trace->mark_room);
}

status_t trace_open(const device_t *device, int64_t slices, trace_t **trace_out) {
    trace_t *trace = alloc_zero(1, sizeof *trace);
    trace->device = device;
    trace->room = slices;
    for (int i = 0; i < TRACK_COUNT; i++) {
        trace->lanes[i].slices = alloc_zero(slices, sizeof *trace->lanes[i].slices);
    }
    if (device->range_begin != NULL && device->range_begin(device, "open")) {
        device->range_end(device);
        trace->ranges = true;
    }
    status_t status = open_marks(trace);
    if (status != STATUS_OK) {
        trace_close(trace);
        return status;
    }
    *trace_out = trace;
    return STATUS_OK;
}

void trace_close(trace_t *trace) {
    if (trace == NULL) {
        return;
    }
    for (int i = 0; i < TRACK_COUNT; i++) {
        free(trace->lanes[i].slices);
    }
    free(trace->mark_ns);
    free(trace->anchors);
    free(trace);
}

/* --- writing --------------------------------------------------------------------------------- */

static bool keeps(const trace_t *trace) {
    return atomic_load_explicit(&trace->keeps, memory_order_relaxed);
}

bool trace_keeps(const trace_t *trace) { return trace != NULL && keeps(trace); }

static void keep(trace_t *trace, lane_t *lane, const trace_slice_t *slice) {
    int64_t count = atomic_load_explicit(&lane->count, memory_order_relaxed);
    if (count == trace->room) {
        atomic_fetch_add_explicit(&lane->dropped, 1, memory_order_relaxed);
        return;
    }
    lane->slices[count] = *slice;
    atomic_store_explicit(&lane->count, count + 1, memory_order_release);
}

static int pass_mark(trace_t *trace, bool anchor, void *stream) {
    if (trace->mark_count == trace->mark_room) {
        return -1;
    }
    int mark = trace->mark_count++;
    trace->anchors[mark] = anchor;
    trace->device->mark(trace->device, mark, stream);
    return mark;
}

void trace_begin_(trace_t *trace, track_t track, const trace_slice_t *slice) {
    lane_t *lane = &trace->lanes[track];
    REQUIRE(lane->depth < DEPTH_MAX);
    trace_slice_t *open = &lane->open[lane->depth++];
    *open = *slice;
    open->begin_ns = open->mark_begin = open->mark_end = -1;
    if (trace->ranges) {
        trace->device->range_begin(trace->device, slice->name);
    }
    if (keeps(trace)) {
        open->begin_ns = clock_ns();
        open->mark_begin =
            track == TRACK_MAIN ? pass_mark(trace, lane->depth == 1, slice->stream) : -1;
    }
}

void trace_end_(trace_t *trace, track_t track) {
    lane_t *lane = &trace->lanes[track];
    REQUIRE(lane->depth > 0);
    trace_slice_t *open = &lane->open[--lane->depth];
    if (open->begin_ns >= 0 && keeps(trace)) {
        open->mark_end = open->mark_begin >= 0 ? pass_mark(trace, false, open->stream) : -1;
        open->end_ns = clock_ns();
        keep(trace, lane, open);
    }
    if (trace->ranges) {
        trace->device->range_end(trace->device);
    }
}

int64_t trace_now_(const trace_t *trace) { return keeps(trace) ? clock_ns() : -1; }

void trace_since_(trace_t *trace, track_t track, const trace_slice_t *slice) {
    trace_slice_t ended = *slice;
    ended.end_ns = clock_ns();
    ended.mark_begin = ended.mark_end = -1;
    if (keeps(trace)) {
        keep(trace, &trace->lanes[track], &ended);
    }
}

/* --- a recording ----------------------------------------------------------------------------- */

void trace_start(trace_t *trace) {
    REQUIRE(trace->lanes[TRACK_MAIN].depth == 0 && !keeps(trace));
    trace->mark_count = 0;
    if (trace->mark_room > 0) { /* the first mark is passed when this clock says so */
        trace->device->synchronize(trace->device);
        trace->mark_ns[0] = clock_ns();
        (void)pass_mark(trace, true, NULL);
    }
    atomic_store_explicit(&trace->keeps, true, memory_order_relaxed);
}

/* Each from the last anchor, so that no number is far from the next. */
static void time_marks(trace_t *trace) {
    int anchor = 0;
    for (int i = 1; i < trace->mark_count; i++) {
        double ms = 0.0;
        bool passed = trace->device->marks_ms(trace->device, anchor, i, &ms);
        trace->mark_ns[i] = passed ? trace->mark_ns[anchor] + (int64_t)(1e6 * ms) : -1;
        anchor = passed && trace->anchors[i] ? i : anchor;
    }
}

static void keep_device(trace_t *trace) {
    const lane_t *host = &trace->lanes[TRACK_MAIN];
    int64_t count = trace_count(trace, TRACK_MAIN);
    for (int64_t i = 0; i < count; i++) {
        trace_slice_t slice = host->slices[i];
        bool marked = slice.mark_begin >= 0 && slice.mark_end >= 0;
        slice.begin_ns = marked ? trace->mark_ns[slice.mark_begin] : -1;
        slice.end_ns = marked ? trace->mark_ns[slice.mark_end] : -1;
        slice.crossing = slice.row;
        if (slice.begin_ns >= 0 && slice.end_ns >= 0) {
            keep(trace, &trace->lanes[TRACK_DEVICE], &slice);
        } else if (!marked && !slice.crossing) {
            lane_t *lane = &trace->lanes[TRACK_DEVICE];
            atomic_fetch_add_explicit(&lane->dropped, 1, memory_order_relaxed);
        }
    }
}

void trace_stop(trace_t *trace) {
    atomic_store_explicit(&trace->keeps, false, memory_order_relaxed);
    if (trace->mark_count > 0) {
        trace->device->synchronize(trace->device);
        time_marks(trace);
        keep_device(trace);
    }
}

int64_t trace_count(const trace_t *trace, track_t track) {
    return atomic_load_explicit(&trace->lanes[track].count, memory_order_acquire);
}

const trace_slice_t *trace_slices(const trace_t *trace, track_t track) {
    return trace->lanes[track].slices;
}

int64_t trace_dropped(const trace_t *trace) {
    int64_t dropped = 0;
    for (int i = 0; i < TRACK_COUNT; i++) {
        dropped += atomic_load_explicit(&trace->lanes[i].dropped, memory_order_relaxed);
    }
    return dropped;
}
