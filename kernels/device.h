/* device.h - where tensors live, and one stream of work on them. The host's own memory and a GPU's:
 * the same calls. */
#ifndef JMT_DEVICE_H
#define JMT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/status.h"

enum { DEVICE_TEXT_BYTES = 64 };

/* What is called with a device, here and in a table of operations (kernels.h), is done in the order
 * of the calls; calls return before it is done, except where it says otherwise. Memory of a device
 * that is not the host's is not to be touched by the host. What goes wrong on the device is found
 * by check. */
typedef struct device device_t;

/* What is called between begin and end is kept and not done; replay does all of it as one. Numbers
 * and addresses are those of the calls, what lies at the addresses is read when it is replayed. In
 * between nothing waits, allocates or releases, and everything kept has been called before, as
 * libraries take memory when they first see a call. What was begun is ended, by NULL if a call has
 * failed: then nothing is kept, and end does not fail. */
typedef struct device_recording device_recording_t;
typedef struct device_recorder {
    void (*begin)(const device_t *device);
    status_t (*end)(const device_t *device, device_recording_t **recording_out);
    void (*replay)(const device_t *device, const device_recording_t *recording);
    /* A replay that is under way goes on. NULL allowed. */
    void (*close)(const device_t *device, device_recording_t *recording);
} device_recorder_t;

struct device {
    const char *name;             /* "cpu" | "cuda" */
    char kind[DEVICE_TEXT_BYTES]; /* what it is: of equal kinds equal bits are expected */
    char id[DEVICE_TEXT_BYTES];   /* which one it is, on any host; "": it may be shared */
    bool host;                    /* its memory is the host's */
    void *context;                /* the backend's */

    /* How plans that are made from here on multiply floats: strictly, or (as it begins) with
     * factors rounded to TF32, where that is faster. The host is always strict. */
    void (*set_strict)(const device_t *device, bool strict);

    /* Zeroed, 256-byte aligned (host: 64). */
    status_t (*alloc)(const device_t *device, size_t bytes, const char *what, void **memory_out);
    void (*release)(const device_t *device, void *memory); /* waits; NULL allowed */
    /* Memory of the host from and to which copies need not wait; zeroed, 64-byte aligned. */
    status_t (*alloc_pinned)(const device_t *device, size_t bytes, const char *what,
                             void **memory_out);
    void (*release_pinned)(const device_t *device, void *memory); /* waits; NULL allowed */

    /* Pinned memory may not be changed before copy_out or synchronize has returned; of other memory
     * copy_in has read everything when it returns. */
    void (*copy_in)(const device_t *device, void *to, const void *host, size_t bytes);
    void (*copy_out)(const device_t *device, void *host, const void *from,
                     size_t bytes);                                                 /* waits */
    void (*copy)(const device_t *device, void *to, const void *from, size_t bytes); /* within it */
    /* What is brought while the device is at work: copies from pinned memory beside all else. Those
     * behind ahead_begin come after what was called before it, and before what is called behind
     * ahead_end, but for that they are in nobody's order. NULL: the host's. */
    void (*ahead_begin)(const device_t *device);
    void (*copy_ahead)(const device_t *device, void *to, const void *pinned, size_t bytes);
    void (*ahead_end)(const device_t *device);
    void (*fill_zero)(const device_t *device, void *memory, size_t bytes);
    void (*synchronize)(const device_t *device); /* waits for all that was called */
    /* The first thing that went wrong so far, as far as is known without waiting. */
    status_t (*check)(const device_t *device);
    void (*close)(const device_t *device); /* all its memory has been released */
    /* The backend's own handle of the stream of work, for who puts messages beside it (comm/nccl).
     * NULL: the host's. */
    void *(*stream)(const device_t *device);
    /* What is called next goes into this other stream of the same kind, which they keep; NULL: into
     * its own again. */
    void (*divert)(const device_t *device, void *stream);
    const device_recorder_t *recorder; /* NULL: what is called is done, each time */
    /* For who watches (trace.h); all NULL: the host's.
     * Ranges of this thread, one in another, as a profiler outside shows them; false: none is
     * attached. */
    bool (*range_begin)(const device_t *device, const char *name);
    void (*range_end)(const device_t *device);
    /* Points in the stream of work, numbered: taken, passed again and again, and, once waited for,
     * the milliseconds from one to another; false: one of them was not passed. */
    status_t (*marks_open)(const device_t *device, int count);
    void (*mark)(const device_t *device, int mark, void *stream); /* NULL: of work; else another */
    bool (*marks_ms)(const device_t *device, int from, int to, double *ms_out);
};

/* name: "auto" and "cpu" are the host; "cuda": of the GPUs that this process sees the one for
 * process local_index of local_count on this host. Not in this build, no driver, no GPU, fewer GPUs
 * than processes: STATUS_UNAVAILABLE with the remedy. */
status_t device_open(const char *name, int local_index, int local_count,
                     const device_t **device_out) MUST_CHECK;
void device_close(const device_t *device); /* NULL allowed */

#endif
