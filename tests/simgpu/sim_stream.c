/* Streams: queues of operations. Work runs only while the host is inside a call; which stream goes
 * next is drawn from the seed, within the order of streams and events. Seed 0 runs nothing before
 * it must; other seeds also run a few operations ahead at each call. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "simgpu.h"

enum { LEGACY, PER_THREAD, FIRST_CREATED }; /* indices of streams */
static const long POLL_NS = 20000;

struct CUstream_st {
    int id;
    bool live, blocking; /* blocking: in one order with the legacy stream */
    uint32_t issued;
    sim_op_t *head, **tail;
    sim_clock_t clock; /* what is over for what runs next */
    struct sim_capture *capture;
};

static struct CUstream_st streams[SIM_STREAMS];
static sim_clock_t host_clock;
static const char *(*external)(void); /* what the process that is waited for did */

__attribute__((constructor)) static void streams_init(void) {
    for (int i = 0; i < SIM_STREAMS; i++) {
        streams[i].id = i;
        streams[i].tail = &streams[i].head;
    }
    streams[LEGACY].live = streams[PER_THREAD].live = true;
    streams[PER_THREAD].blocking = true;
}

void sim_clock_merge(sim_clock_t *into, const sim_clock_t *from) {
    for (int i = 0; i < SIM_STREAMS; i++) {
        if (from->at[i] > into->at[i]) {
            into->at[i] = from->at[i];
        }
    }
}

void sim_host_knows(const sim_clock_t *clock) { sim_clock_merge(&host_clock, clock); }

int sim_stream_id(const struct CUstream_st *stream) { return stream->id; }

struct CUstream_st *sim_stream_of(cudaStream_t stream) {
    struct CUstream_st *found = stream == NULL || stream == cudaStreamLegacy ? &streams[LEGACY]
                                : stream == cudaStreamPerThread              ? &streams[PER_THREAD]
                                                                             : stream;
    if (found < streams || found >= streams + SIM_STREAMS) {
        sim_report(NULL, "%p is no stream", (void *)stream);
    }
    if (!found->live) {
        sim_report(NULL, "use of a destroyed stream");
    }
    return found;
}

struct sim_capture *sim_capture_of(const struct CUstream_st *stream) {
    return stream->capture;
}

void sim_capture_set(struct CUstream_st *stream, struct sim_capture *capture) {
    stream->capture = capture;
}

void sim_main_thread(void) {
    static pthread_t owner;
    static bool is_owned;
    if (!is_owned) {
        owner = pthread_self();
        is_owned = true;
    }
    if (!pthread_equal(owner, pthread_self())) {
        sim_report(NULL, "CUDA is called from two threads, which is not simulated");
    }
}

/* --- running -------------------------------------------------------------------------------- */

static bool run_head(struct CUstream_st *stream) {
    sim_op_t *op = stream->head;
    sim_clock_merge(&stream->clock, &op->base);
    stream->clock.at[stream->id] = op->seq;
    sim_now.op = op;
    sim_now.clock = &stream->clock;
    sim_now.op_tick = sim_now.block_tick = sim_now.sync_tick = ++sim_now.tick;
    sim_now.touched = false;
    sim_memory_open(true);
    bool done = op->run(op);
    if (sim_now.touched) {
        sim_remember(op);
    }
    sim_now.op = NULL;
    if (!done) {
        return false;
    }
    stream->head = op->next;
    if (stream->head == NULL) {
        stream->tail = &stream->head;
    }
    if (op->drop != NULL) {
        op->drop(op);
    }
    free(op);
    return true;
}

bool sim_step(void) {
    struct CUstream_st *busy[SIM_STREAMS];
    uint32_t n = 0;
    for (int i = 0; i < SIM_STREAMS; i++) {
        if (streams[i].head != NULL) {
            busy[n++] = &streams[i];
        }
    }
    while (n > 0) {
        uint32_t i = sim_seed() != 0 ? sim_random(n) : 0;
        if (run_head(busy[i])) {
            return true;
        }
        busy[i] = busy[--n];
    }
    return false;
}

bool sim_progress(void) {
    bool ran = false;
    while (sim_now.op == NULL && sim_step()) {
        ran = true;
    }
    sim_memory_open(false);
    return ran;
}

void sim_wait_external(const char *(*who)(void)) { external = who; }

/* Runs until goal(context); what waits for another process is polled for SIMGPU_TIMEOUT seconds. */
cudaError_t sim_drive(bool (*goal)(const void *), const void *context) {
    double give_up_s = 0;
    sim_main_thread();
    while (!goal(context)) {
        external = NULL;
        if (sim_step()) {
            give_up_s = 0;
            continue;
        }
        if (external == NULL) {
            sim_report(NULL, "deadlock: every stream waits for what nothing will complete");
        }
        if (give_up_s == 0) {
            give_up_s = sim_now_s() + (double)sim_setting("SIMGPU_TIMEOUT", 20);
        }
        if (sim_now_s() > give_up_s) {
            sim_report(NULL, "timeout: %s", external());
        }
        syscall(SYS_nanosleep, &(struct timespec){0, POLL_NS}, NULL);
    }
    sim_memory_open(false);
    return cudaSuccess;
}

static bool is_empty(const void *stream) {
    return ((const struct CUstream_st *)stream)->head == NULL;
}

static bool all_are_empty(const void *unused) {
    (void)unused;
    for (int i = 0; i < SIM_STREAMS; i++) {
        if (streams[i].head != NULL) {
            return false;
        }
    }
    return true;
}

cudaError_t sim_drain(void) {
    cudaError_t error = sim_drive(all_are_empty, NULL);
    for (int i = 0; i < SIM_STREAMS; i++) {
        sim_host_knows(&streams[i].clock);
    }
    sim_graphs_drop();
    sim_memory_guards();
    return error;
}

/* A real GPU works on while its host polls for something else. The simulated one works only inside
 * calls, so those by which a host lets time pass are calls of ours, too. */
static void host_idles(void) {
    static bool inside;
    if (!inside && sim_now.op == NULL && !all_are_empty(NULL) && getpid() == gettid()) {
        inside = true;
        sim_progress();
        inside = false;
    }
}

int sched_yield(void) {
    host_idles();
    return (int)syscall(SYS_sched_yield);
}

int nanosleep(const struct timespec *time, struct timespec *left) {
    host_idles();
    return (int)syscall(SYS_nanosleep, time, left);
}

/* --- enqueuing ------------------------------------------------------------------------------ */

void *sim_op_new(size_t size, const char *name, bool (*run)(sim_op_t *), void (*drop)(sim_op_t *)) {
    sim_op_t *op = calloc(1, size);
    if (op == NULL) {
        sim_report(NULL, "no memory for an operation");
    }
    op->size = size;
    op->name = name;
    op->run = run;
    op->drop = drop;
    return op;
}

static void put(struct CUstream_st *stream, sim_op_t *op) {
    op->stream = stream;
    op->seq = ++stream->issued;
    op->base = host_clock;
    op->next = NULL;
    *stream->tail = op;
    stream->tail = &op->next;
}

/* The legacy stream waits for the blocking ones, or they for it. */
static void fence_legacy(bool before) {
    for (int i = PER_THREAD; i < SIM_STREAMS; i++) {
        struct CUstream_st *other = &streams[i];
        if (!other->live || !other->blocking || (before && other->head == NULL)) {
            continue;
        }
        sim_record_t *record = sim_record_new();
        put(before ? other : &streams[LEGACY], sim_record_op(record));
        put(before ? &streams[LEGACY] : other, sim_wait_op(record));
        sim_record_drop(record);
    }
}

cudaError_t sim_enqueue(cudaStream_t stream, void *p) {
    struct CUstream_st *to = sim_stream_of(stream);
    sim_op_t *op = p;
    sim_main_thread();
    if (sim_now.op != NULL) {
        sim_report(NULL, "a CUDA call from inside an operation");
    }
    if (to->capture != NULL) {
        sim_capture_add(to, op);
        return cudaSuccess;
    }
    if (!sim_graph_launching()) {
        sim_asked(SIM_ASKED_OPERATION);
    }
    if (to == &streams[LEGACY]) {
        sim_host_waits("the default stream", NULL);
        fence_legacy(true);
        put(to, op);
        fence_legacy(false);
    } else {
        put(to, op);
    }
    if (sim_seed() != 0 && sim_random(4) == 0) {
        for (uint32_t n = sim_random(8); n > 0 && sim_step(); n--) {}
    }
    sim_memory_open(false);
    return cudaSuccess;
}

/* --- the runtime's calls -------------------------------------------------------------------- */

struct CUstream_st *sim_stream_take(bool blocking) {
    for (int i = FIRST_CREATED; i < SIM_STREAMS; i++) {
        if (!streams[i].live && streams[i].head == NULL) {
            streams[i].live = true;
            streams[i].blocking = blocking;
            sim_clock_merge(&streams[i].clock, &host_clock);
            return &streams[i];
        }
    }
    return NULL;
}

void sim_stream_give(struct CUstream_st *stream) { stream->live = false; }

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int priority) {
    (void)priority; /* any order is one that may happen */
    sim_main_thread();
    *out = sim_stream_take((flags & cudaStreamNonBlocking) == 0);
    if (*out == NULL) {
        return cudaErrorMemoryAllocation;
    }
    sim_count_live(1, "stream", SIM_PC);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) {
    return cudaStreamCreateWithPriority(out, flags, 0);
}

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned *flags_out) {
    *flags_out = stream != NULL && !stream->blocking ? cudaStreamNonBlocking : cudaStreamDefault;
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *out) { return cudaStreamCreateWithPriority(out, 0, 0); }

cudaError_t cudaDeviceGetStreamPriorityRange(int *least_out, int *greatest_out) {
    *least_out = 0;
    *greatest_out = -5;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    struct CUstream_st *of = sim_stream_of(stream);
    sim_host_waits("cudaStreamSynchronize", SIM_PC);
    sim_asked(SIM_ASKED_WAIT);
    cudaError_t error = sim_drive(is_empty, of);
    sim_host_knows(&of->clock);
    return error;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    sim_host_waits("cudaStreamQuery", SIM_PC);
    if (sim_fails(__func__)) {
        return cudaErrorIllegalAddress;
    }
    sim_step();
    sim_memory_open(false);
    return sim_stream_of(stream)->head != NULL ? cudaErrorNotReady : cudaStreamSynchronize(stream);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    cudaError_t error = cudaStreamSynchronize(stream);
    sim_stream_give(stream);
    sim_count_live(-1, "stream", NULL);
    return error;
}

cudaError_t cudaDeviceSynchronize(void) {
    sim_host_waits("cudaDeviceSynchronize", SIM_PC);
    return sim_drain();
}
