/* Streams, events and the calls that put work on them.  Work runs only while the host is inside a
 * call; which stream goes next is drawn from the seed, within the order of streams and events.
 * Seed 0 runs nothing before it must; other seeds also run a few operations ahead at each call. */
#include "simgpu.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct record {
    bool done;
    sim_clock clock;
    double when;
    unsigned refs;
};
struct CUstream_st {
    int id;
    bool live;
    uint32_t issued;
    sim_op *head, **tail;
    sim_clock clock;
};
struct CUevent_st {
    struct record *last;
    bool timed;
};

static struct CUstream_st streams[SIM_STREAMS]; /* 0 is the legacy default stream */
static sim_clock host_clock;
static cudaError_t sticky;
static const char *(*external)(void);
static struct past {
    uint64_t last;
    sim_op op;
} * past; /* operations that ran, by tick */
static size_t npast;

static void merge(sim_clock *a, const sim_clock *b) {
    for (int i = 0; i < SIM_STREAMS; i++)
        if (b->at[i] > a->at[i])
            a->at[i] = b->at[i];
}
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static struct CUstream_st *stream_of(cudaStream_t s) {
    struct CUstream_st *p = s ? s : &streams[0];
    if (!p->tail)
        p->tail = &p->head, p->live = true;
    if (!p->live)
        sim_report(__builtin_return_address(0), "use of a destroyed stream");
    return p;
}

/* ---- running ---- */
const sim_op *sim_op_at(uint64_t tick) {
    size_t lo = 0, hi = npast;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (past[mid].last < tick)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < npast ? &past[lo].op : NULL;
}
static void remember(const sim_op *op) {
    if ((npast & (npast - 1)) == 0)
        past = realloc(past, (npast ? 2 * npast : 1) * sizeof *past);
    past[npast++] = (struct past){sim_now.tick, *op};
}
static bool run_head(struct CUstream_st *s) {
    sim_op *op = s->head;
    if (sim_now.op != op) {
        merge(&s->clock, &op->base);
        s->clock.at[s->id] = op->seq;
    }
    sim_now.op = op;
    sim_now.clock = &s->clock;
    sim_now.op_tick = sim_now.block_tick = sim_now.sync_tick = ++sim_now.tick;
    sim_now.touched = false;
    sim_memory_open(true);
    bool done = op->run(op);
    if (sim_now.touched)
        remember(op);
    sim_now.op = NULL;
    if (!done)
        return false;
    if (!(s->head = op->next))
        s->tail = &s->head;
    if (op->drop)
        op->drop(op);
    free(op);
    return true;
}
static bool step(void) {
    struct CUstream_st *busy[SIM_STREAMS];
    uint32_t n = 0;
    for (int i = 0; i < SIM_STREAMS; i++)
        if (streams[i].head)
            busy[n++] = &streams[i];
    while (n) {
        uint32_t i = sim_seed() ? sim_rand(n) : 0;
        if (run_head(busy[i]))
            return true;
        busy[i] = busy[--n];
    }
    return false;
}
bool sim_progress(void) {
    bool ran = step();
    sim_memory_open(false);
    return ran;
}
void sim_wait_external(const char *(*who)(void)) { external = who; }

/* Run until goal(arg); what blocks on another process is polled until SIMGPU_TIMEOUT seconds. */
static cudaError_t drive(bool (*goal)(const void *), const void *arg) {
    const char *limit = getenv("SIMGPU_TIMEOUT");
    double give_up = 0;
    while (!sticky && !goal(arg)) {
        external = NULL;
        if (step()) {
            give_up = 0;
            continue;
        }
        if (!external)
            sim_report(NULL,
                       "deadlock: every stream waits for an event that nothing will complete");
        if (!give_up)
            give_up = now() + (limit ? atof(limit) : 20);
        if (now() > give_up)
            sim_report(NULL, "timeout: %s", external());
        nanosleep(&(struct timespec){0, 20000}, NULL);
    }
    sim_memory_open(false);
    return sticky;
}
static bool stream_empty(const void *s) { return !((const struct CUstream_st *)s)->head; }
static bool record_done(const void *r) { return ((const struct record *)r)->done; }
static bool all_empty(const void *unused) {
    (void)unused;
    for (int i = 0; i < SIM_STREAMS; i++)
        if (streams[i].head)
            return false;
    return true;
}
cudaError_t sim_drain(void) {
    cudaError_t e = drive(all_empty, NULL);
    for (int i = 0; i < SIM_STREAMS; i++)
        merge(&host_clock, &streams[i].clock);
    sim_memory_guards();
    return e;
}

/* ---- enqueuing ---- */
void *sim_op_new(size_t size, const char *name, bool (*run)(sim_op *), void (*drop)(sim_op *)) {
    sim_op *op = calloc(1, size);
    op->name = name;
    op->run = run;
    op->drop = drop;
    return op;
}
cudaError_t sim_enqueue(cudaStream_t stream, void *p) {
    struct CUstream_st *s = stream_of(stream);
    sim_op *op = p;
    if (sim_now.op)
        sim_report(NULL, "a CUDA call from inside an operation");
    op->stream = s;
    op->seq = ++s->issued;
    op->base = host_clock;
    *s->tail = op;
    s->tail = &op->next;
    if (sim_seed())
        for (uint32_t n = sim_rand(4) ? 0 : sim_rand(8); n-- && step();)
            ;
    sim_memory_open(false);
    return sticky;
}

/* ---- kernels ---- */
struct launch {
    sim_op op;
    sim_kernel k;
    void (*drop)(void *);
};
static bool launch_run(sim_op *op) { return sim_run_grid(&((struct launch *)op)->k), true; }
static void launch_drop(sim_op *op) { ((struct launch *)op)->drop(((struct launch *)op)->k.args); }
static struct {
    const void *kernel;
    size_t smem;
} opted[64];
cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute a, int value) {
    int i = 0;
    if (a != cudaFuncAttributeMaxDynamicSharedMemorySize)
        return cudaSuccess;
    while (opted[i].kernel && opted[i].kernel != kernel)
        i++;
    opted[i].kernel = kernel;
    opted[i].smem = (size_t)value;
    return value > 227 << 10 ? cudaErrorInvalidValue : cudaSuccess;
}
void sim_launch(const char *name, const void *kernel, void (*call)(void *), void (*drop)(void *),
                void *args, size_t args_size, dim3 grid, dim3 block, size_t smem,
                cudaStream_t stream) {
    size_t allowed = 48 << 10;
    for (int i = 0; opted[i].kernel; i++)
        if (opted[i].kernel == kernel)
            allowed = opted[i].smem;
    if (!grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535 || !block.x || !block.y ||
        !block.z || block.x * block.y * block.z > 1024 || block.z > 64 || smem > allowed)
        sim_report(
            __builtin_return_address(0),
            "invalid launch of %s: grid (%u,%u,%u) block (%u,%u,%u) shared %zu (allowed %zu)", name,
            grid.x, grid.y, grid.z, block.x, block.y, block.z, smem, allowed);
    struct launch *l = sim_op_new(sizeof *l, name, launch_run, launch_drop);
    l->k = (sim_kernel){name, call, args, args_size, grid, block, smem};
    l->drop = drop;
    sim_enqueue(stream, l);
}

/* ---- copies ---- */
struct copy {
    sim_op op;
    void *dst;
    const void *src;
    size_t n;
    int value;
    uint64_t sum;
    void *own;
};
static uint64_t checksum(const unsigned char *p, size_t n) {
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h;
}
static bool copy_run(sim_op *op) {
    struct copy *c = (struct copy *)op;
    if (c->sum && checksum(c->src, c->n) != c->sum)
        sim_report(NULL, "the host changed %p (%zu bytes, pinned) while a copy from it was pending",
                   c->src, c->n);
    sim_touch(c->src, c->n, SIM_READ, op->name);
    sim_touch(c->dst, c->n, SIM_WRITE, op->name);
    return memmove(c->dst, c->src, c->n), true;
}
static bool set_run(sim_op *op) {
    struct copy *c = (struct copy *)op;
    sim_touch(c->dst, c->n, SIM_WRITE, op->name);
    return memset(c->dst, c->value, c->n), true;
}
static void copy_drop(sim_op *op) { free(((struct copy *)op)->own); }
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t n, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    struct copy *c = sim_op_new(sizeof *c, "cudaMemcpyAsync", copy_run, copy_drop);
    bool to = sim_is_device(dst), from = sim_is_device(src);
    if ((kind == cudaMemcpyHostToDevice && (!to || from)) ||
        (kind == cudaMemcpyDeviceToHost && (to || !from)) ||
        (kind == cudaMemcpyDeviceToDevice && (!to || !from)))
        sim_report(__builtin_return_address(0),
                   "cudaMemcpyAsync: the pointers are not of the stated kind");
    *c = (struct copy){.op = c->op, .dst = dst, .src = src, .n = n};
    if (!from && sim_is_pinned(src)) {
        c->sum = checksum(src, n);
    } else if (!from) { /* pageable: the call returns once the bytes are staged */
        c->src = c->own = malloc(n + 1);
        memcpy(c->own, src, n);
    }
    cudaError_t e = sim_enqueue(stream, c);
    if (!to && !sim_is_pinned(dst))
        e = cudaStreamSynchronize(stream); /* pageable: the call waits */
    return e;
}
cudaError_t cudaMemcpy(void *dst, const void *src, size_t n, enum cudaMemcpyKind kind) {
    cudaError_t e = sim_drain();
    e = e ? e : cudaMemcpyAsync(dst, src, n, kind, NULL);
    return e ? e : sim_drain();
}
cudaError_t cudaMemsetAsync(void *dst, int value, size_t n, cudaStream_t stream) {
    struct copy *c = sim_op_new(sizeof *c, "cudaMemsetAsync", set_run, copy_drop);
    *c = (struct copy){.op = c->op, .dst = dst, .n = n, .value = value};
    return sim_enqueue(stream, c);
}
cudaError_t cudaMemset(void *dst, int value, size_t n) {
    cudaError_t e = sim_drain();
    e = e ? e : cudaMemsetAsync(dst, value, n, NULL);
    return e ? e : sim_drain();
}
struct call {
    sim_op op;
    cudaHostFn_t fn;
    void *arg;
};
static bool call_run(sim_op *op) {
    struct call *c = (struct call *)op;
    sim_memory_open(false);
    return c->fn(c->arg), true;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void *arg) {
    struct call *c = sim_op_new(sizeof *c, "cudaLaunchHostFunc", call_run, NULL);
    c->fn = fn;
    c->arg = arg;
    return sim_enqueue(stream, c);
}

/* ---- streams and events ---- */
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int priority) {
    (void)flags, (void)priority;
    for (int i = 1; i < SIM_STREAMS; i++)
        if (!streams[i].live && !streams[i].head) {
            streams[i].live = true;
            streams[i].id = i;
            streams[i].tail = &streams[i].head;
            return *out = &streams[i], cudaSuccess;
        }
    return cudaErrorMemoryAllocation;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) {
    return cudaStreamCreateWithPriority(out, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t *out) { return cudaStreamCreateWithPriority(out, 0, 0); }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    struct CUstream_st *s = stream_of(stream);
    cudaError_t e = drive(stream_empty, s);
    return merge(&host_clock, &s->clock), e;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
    step();
    sim_memory_open(false);
    return sticky                    ? sticky
           : stream_of(stream)->head ? cudaErrorNotReady
                                     : cudaStreamSynchronize(stream);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    cudaError_t e = cudaStreamSynchronize(stream);
    return stream->live = false, e;
}
cudaError_t cudaDeviceSynchronize(void) { return sim_drain(); }
static void unref(struct record *r) {
    if (r && !--r->refs)
        free(r);
}
struct mark {
    sim_op op;
    struct record *r;
};
static bool record_run(sim_op *op) {
    struct record *r = ((struct mark *)op)->r;
    r->clock = *sim_now.clock;
    r->when = now();
    return r->done = true;
}
static bool wait_run(sim_op *op) {
    struct record *r = ((struct mark *)op)->r;
    if (r->done)
        merge((sim_clock *)sim_now.clock, &r->clock);
    return r->done;
}
static void mark_drop(sim_op *op) { unref(((struct mark *)op)->r); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags) {
    *e = calloc(1, sizeof **e);
    (*e)->timed = !(flags & cudaEventDisableTiming);
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *e) { return cudaEventCreateWithFlags(e, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t e) { return unref(e->last), free(e), cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t stream) {
    struct mark *m = sim_op_new(sizeof *m, "cudaEventRecord", record_run, mark_drop);
    unref(e->last);
    m->r = e->last = calloc(1, sizeof *e->last);
    m->r->refs = 2;
    return sim_enqueue(stream, m);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t e, unsigned flags) {
    (void)flags;
    if (!e->last)
        sim_report(__builtin_return_address(0),
                   "cudaStreamWaitEvent: the event was never recorded, so nothing waits");
    struct mark *m = sim_op_new(sizeof *m, "cudaStreamWaitEvent", wait_run, mark_drop);
    m->r = e->last;
    m->r->refs++;
    return sim_enqueue(stream, m);
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
    if (!e->last)
        return cudaSuccess;
    cudaError_t r = drive(record_done, e->last);
    return merge(&host_clock, &e->last->clock), r;
}
cudaError_t cudaEventQuery(cudaEvent_t e) {
    step();
    sim_memory_open(false);
    return sticky                      ? sticky
           : e->last && !e->last->done ? cudaErrorNotReady
                                       : cudaEventSynchronize(e);
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b) {
    if (!a->last || !b->last || !a->timed || !b->timed)
        return cudaErrorInvalidResourceHandle;
    if (!a->last->done || !b->last->done)
        return cudaErrorNotReady;
    return *ms = (float)(1e3 * (b->last->when - a->last->when)), cudaSuccess;
}

/* ---- the device ---- */
cudaError_t cudaGetLastError(void) { return sticky; }
cudaError_t cudaPeekAtLastError(void) { return sticky; }
const char *cudaGetErrorString(cudaError_t e) { return e ? "simulated CUDA error" : "no error"; }
const char *cudaGetErrorName(cudaError_t e) { return e ? "cudaError" : "cudaSuccess"; }
cudaError_t cudaGetDeviceCount(int *n) {
    const char *s = getenv("SIMGPU_DEVICES");
    return *n = s ? atoi(s) : 8, cudaSuccess;
}
static int device;
cudaError_t cudaSetDevice(int d) { return device = d, cudaSuccess; }
cudaError_t cudaGetDevice(int *d) { return *d = device, cudaSuccess; }
