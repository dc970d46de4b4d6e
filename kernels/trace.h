/* trace.h - what a rank does and when: slices of time, on a few tracks, for `jmt train --profile`
 * and for profilers that show ranges (nsys).
 *
 * A trace that is NULL costs a branch. Else slices are written to memory that was taken at opening,
 * so nothing allocates, and when a track is full the rest is counted. A track has one writer. Its
 * slices lie in one another or beside, except for those that are said to cross. Names stay the
 * caller's and live as long as the trace. Nothing that is computed depends on it. */
#ifndef JMT_KERNELS_TRACE_H
#define JMT_KERNELS_TRACE_H

#include <stdint.h>

#include "kernels/device.h"

typedef enum {
    TRACK_MAIN,
    TRACK_READER,   /* of batches, where it is a thread of its own */
    TRACK_MESSAGES, /* the thread that moves messages between hosts */
    TRACK_DEVICE,   /* written by trace_stop alone */
    TRACK_COUNT
} track_t;

typedef struct trace_slice {
    const char *name;
    const char *operation; /* "linear.forward"; NULL: it is none */
    const char *unit;      /* what `number` counts: "step", "bucket"; NULL: nothing */
    int64_t number;
    int64_t begin_ns, end_ns; /* clock_ns */
    bool crossing;            /* may overlap others of its track */
    bool row;                 /* on the device: crossing, in the row of its number */
    void *stream;             /* of the device, whose time it is; NULL: that of work */
    int mark_begin, mark_end; /* of the device; -1: none */
} trace_slice_t;

typedef struct trace trace_t;

/* slices: the most that a track keeps; 0: none, ranges alone. device: whose ranges are shown, and
 * whose time is taken if it can be. */
status_t trace_open(const device_t *device, int64_t slices, trace_t **trace_out) MUST_CHECK;
void trace_close(trace_t *trace); /* NULL allowed; no thread writes any more */

/* Slices that begin from here on are kept. Once, on the main thread, with no slice open. */
void trace_start(trace_t *trace);
/* None from here on. Waits for the device. A slice that another thread has open is left out. */
void trace_stop(trace_t *trace);
bool trace_keeps(const trace_t *trace); /* started and not stopped; NULL: false */
int64_t trace_count(const trace_t *trace, track_t track);
const trace_slice_t *trace_slices(const trace_t *trace, track_t track); /* by their ends */
int64_t trace_dropped(const trace_t *trace); /* slices for which there was no room */

void trace_begin_(trace_t *trace, track_t track, const trace_slice_t *slice);
void trace_end_(trace_t *trace, track_t track);
void trace_since_(trace_t *trace, track_t track, const trace_slice_t *slice);
int64_t trace_now_(const trace_t *trace);

static inline void trace_begin(trace_t *trace, track_t track, const char *name) {
    if (trace != NULL) {
        trace_begin_(trace, track, &(trace_slice_t){.name = name});
    }
}
static inline void trace_begin_operation(trace_t *trace, track_t track, const char *name,
                                         const char *operation) {
    if (trace != NULL) {
        trace_begin_(trace, track, &(trace_slice_t){.name = name, .operation = operation});
    }
}
static inline void trace_begin_number(trace_t *trace, track_t track, const char *name,
                                      const char *unit, int64_t number) {
    if (trace != NULL) {
        trace_begin_(trace, track, &(trace_slice_t){.name = name, .unit = unit, .number = number});
    }
}
/* What is called on a stream of the device that may be another than that of work: its device time
 * is that stream's, in a row for each number. */
static inline void trace_begin_row(trace_t *trace, const char *name, const char *unit,
                                   int64_t number, void *stream) {
    if (trace != NULL) {
        trace_begin_(
            trace, TRACK_MAIN,
            &(trace_slice_t){
                .name = name, .unit = unit, .number = number, .row = true, .stream = stream});
    }
}
static inline void trace_end(trace_t *trace, track_t track) {
    if (trace != NULL) {
        trace_end_(trace, track);
    }
}
/* When a slice begins that trace_since will tell of; -1: it is not kept. */
static inline int64_t trace_now(const trace_t *trace) {
    return trace != NULL ? trace_now_(trace) : -1;
}
/* From then until now. crossing: it may overlap others of its track. */
static inline void trace_since(trace_t *trace, track_t track, const char *name, const char *unit,
                               int64_t number, int64_t begin_ns, bool crossing) {
    if (trace != NULL && begin_ns >= 0) {
        trace_since_(trace, track,
                     &(trace_slice_t){.name = name,
                                      .unit = unit,
                                      .number = number,
                                      .begin_ns = begin_ns,
                                      .crossing = crossing});
    }
}

#endif
