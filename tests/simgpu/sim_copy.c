/* Copies, fills, and host functions in streams. */
#include <stdlib.h>
#include <string.h>

#include "simgpu.h"

typedef struct copy { /* of `rows` rows; of a fill, value and no source */
    sim_op_t op;
    void *to;
    const void *from;
    size_t width, rows, to_pitch, from_pitch; /* bytes */
    int value;
    bool pinned; /* the source: read when the copy runs, so it must be as it was */
    bool to_pinned;
    uint64_t sum; /* of it */
    struct copy *next_pending;
    void *staged; /* what a pageable source held at the call */
} copy_t;

static copy_t *pending; /* copies from pinned memory that have not run */

static uint64_t checksum(const copy_t *copy) { /* FNV-1a */
    uint64_t hash = 1469598103934665603u;
    for (size_t row = 0; row < copy->rows; row++) {
        const unsigned char *p = (const unsigned char *)copy->from + row * copy->from_pitch;
        for (size_t i = 0; i < copy->width; i++) {
            hash = (hash ^ p[i]) * 1099511628211u;
        }
    }
    return hash;
}

static void add_pending(copy_t *copy) {
    copy->sum = checksum(copy);
    copy->next_pending = pending;
    pending = copy;
}

static void check_pinned(const copy_t *copy) {
    if (checksum(copy) != copy->sum) {
        sim_report(NULL, "the host changed %p (%zu bytes, pinned) while a copy from it was pending",
                   copy->from, copy->width * copy->rows);
    }
}

/* NVIDIA does not promise that cudaFreeHost waits. */
static void check_owned(const copy_t *copy) {
    const void *freed = copy->pinned && !sim_is_pinned(copy->from)    ? copy->from
                        : copy->to_pinned && !sim_is_pinned(copy->to) ? copy->to
                                                                      : NULL;
    if (freed != NULL) {
        sim_report(NULL, "%p (%zu bytes, pinned) was freed while a copy from or to it was pending",
                   freed, copy->width * copy->rows);
    }
}

static bool overlaps(const copy_t *reader, const copy_t *writer) {
    const char *from = reader->from, *to = writer->to;
    return from < to + writer->to_pitch * writer->rows &&
           to < from + reader->from_pitch * reader->rows;
}

/* What the device writes to pinned memory, copies behind it may read. */
static void before_write(const copy_t *writer) {
    for (copy_t *reader = pending; reader != NULL; reader = reader->next_pending) {
        if (reader != writer && overlaps(reader, writer)) {
            check_pinned(reader);
        }
    }
}

static void after_write(const copy_t *writer) {
    for (copy_t *reader = pending; reader != NULL; reader = reader->next_pending) {
        if (overlaps(reader, writer)) {
            reader->sum = checksum(reader);
        }
    }
}

static void remove_pending(const copy_t *copy) {
    copy_t **at = &pending;
    while (*at != copy) {
        at = &(*at)->next_pending;
    }
    *at = copy->next_pending;
}

static bool run_copy(sim_op_t *op) {
    copy_t *copy = (copy_t *)op;
    bool to_host = !sim_is_device(copy->to);
    check_owned(copy);
    if (copy->pinned) {
        check_pinned(copy);
        remove_pending(copy);
    }
    if (to_host) {
        before_write(copy);
    }
    for (size_t row = 0; row < copy->rows; row++) {
        char *to = (char *)copy->to + row * copy->to_pitch;
        const char *from = (const char *)copy->from + row * copy->from_pitch;
        sim_touch(from, copy->width, SIM_READ, op->name);
        sim_touch(to, copy->width, SIM_WRITE, op->name);
        memmove(to, from, copy->width);
    }
    if (to_host) {
        after_write(copy);
    } else if (!sim_is_device(copy->from)) {
        sim_brought(copy->width * copy->rows);
    }
    return true;
}

static bool run_fill(sim_op_t *op) {
    copy_t *fill = (copy_t *)op;
    sim_touch(fill->to, fill->width, SIM_WRITE, op->name);
    memset(fill->to, fill->value, fill->width);
    return true;
}

static void drop_copy(sim_op_t *op) { free(((copy_t *)op)->staged); }

/* Until the copy has run, what the host reads there is garbage (but copies before it need it). */
static void spoil(const copy_t *copy) {
    for (const copy_t *reader = pending; reader != NULL; reader = reader->next_pending) {
        if (overlaps(reader, copy)) {
            return;
        }
    }
    for (size_t row = 0; row < copy->rows; row++) {
        sim_poison((char *)copy->to + row * copy->to_pitch, copy->width);
    }
}

static void launch_again(sim_op_t *op) {
    copy_t *copy = (copy_t *)op;
    if (copy->pinned) {
        add_pending(copy);
    }
    if (!sim_is_device(copy->to)) {
        spoil(copy);
    }
}

static void check_kind(const void *to, const void *from, enum cudaMemcpyKind kind, const char *name,
                       const void *pc) {
    bool to_device = sim_is_device(to), from_device = sim_is_device(from);
    bool wrong = (kind == cudaMemcpyHostToDevice && (!to_device || from_device)) ||
                 (kind == cudaMemcpyDeviceToHost && (to_device || !from_device)) ||
                 (kind == cudaMemcpyDeviceToDevice && (!to_device || !from_device)) ||
                 (kind == cudaMemcpyHostToHost && (to_device || from_device));
    if (wrong) {
        sim_report(pc, "%s: the pointers are not of the stated kind", name);
    }
}

/* A pageable source is staged at the call, a pinned one read when the copy runs. */
static void stage(copy_t *copy) {
    copy->pinned = sim_is_pinned(copy->from);
    if (copy->pinned) {
        if (!sim_capturing()) {
            add_pending(copy);
        }
        return;
    }
    copy->staged = malloc(copy->width * copy->rows + 1);
    if (copy->staged == NULL) {
        sim_report(NULL, "no memory to stage a copy");
    }
    for (size_t row = 0; row < copy->rows; row++) {
        memcpy((char *)copy->staged + row * copy->width,
               (const char *)copy->from + row * copy->from_pitch, copy->width);
    }
    copy->from = copy->staged;
    copy->from_pitch = copy->width;
}

static cudaError_t put_copy(copy_t *copy, enum cudaMemcpyKind kind, cudaStream_t stream,
                            const void *pc) {
    bool to_device = sim_is_device(copy->to), from_device = sim_is_device(copy->from);
    check_kind(copy->to, copy->from, kind, copy->op.name, pc);
    bool pageable =
        (!to_device && !sim_is_pinned(copy->to)) || (!from_device && !sim_is_pinned(copy->from));
    if (pageable && sim_capture_of(sim_stream_of(stream)) != NULL) {
        sim_report(pc, "%s: a captured copy needs pinned host memory", copy->op.name);
    }
    copy->op.again = launch_again;
    copy->to_pinned = !to_device && !pageable;
    if (!from_device) {
        stage(copy);
    }
    if (!to_device && !pageable && !sim_capturing()) {
        spoil(copy);
    }
    cudaError_t error = sim_enqueue(stream, copy);
    if (error == cudaSuccess && !to_device && pageable) {
        error = cudaStreamSynchronize(stream); /* the call waits */
    }
    return error;
}

static copy_t *copy_new(const char *name, void *to, const void *from, size_t width, size_t rows) {
    copy_t *copy = sim_op_new(sizeof *copy, name, run_copy, drop_copy);
    copy->to = to;
    copy->from = from;
    copy->width = copy->to_pitch = copy->from_pitch = width;
    copy->rows = rows;
    return copy;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    return put_copy(copy_new("cudaMemcpyAsync", to, from, n, 1), kind, stream, SIM_PC);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream) {
    if (width > to_pitch || width > from_pitch) {
        return cudaErrorInvalidPitchValue;
    }
    copy_t *copy = copy_new("cudaMemcpy2DAsync", to, from, width, height);
    copy->to_pitch = to_pitch;
    copy->from_pitch = from_pitch;
    return put_copy(copy, kind, stream, SIM_PC);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t n, enum cudaMemcpyKind kind) {
    sim_host_waits("cudaMemcpy", SIM_PC);
    cudaError_t error =
        put_copy(copy_new("cudaMemcpy", to, from, n, 1), kind, cudaStreamLegacy, SIM_PC);
    return error != cudaSuccess ? error : cudaStreamSynchronize(cudaStreamLegacy);
}

static cudaError_t put_fill(const char *name, void *to, int value, size_t n, cudaStream_t stream) {
    copy_t *fill = sim_op_new(sizeof *fill, name, run_fill, NULL);
    fill->to = to;
    fill->width = n;
    fill->value = value;
    return sim_enqueue(stream, fill);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t n, cudaStream_t stream) {
    return put_fill("cudaMemsetAsync", to, value, n, stream);
}

cudaError_t cudaMemset(void *to, int value, size_t n) {
    return put_fill("cudaMemset", to, value, n, cudaStreamLegacy);
}

/* --- host functions ------------------------------------------------------------------------- */

typedef struct host_call {
    sim_op_t op;
    cudaHostFn_t function;
    void *argument;
} host_call_t;

static bool run_call(sim_op_t *op) {
    const host_call_t *call = (const host_call_t *)op;
    sim_memory_open(false); /* it is host code */
    call->function(call->argument);
    return true;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *argument) {
    host_call_t *call = sim_op_new(sizeof *call, "cudaLaunchHostFunc", run_call, NULL);
    call->function = function;
    call->argument = argument;
    return sim_enqueue(stream, call);
}
