/* Runs the threads of one block as fibers of one OS thread. A fiber runs until it waits; a thread
 * that never waits is a plain call, so kernels without barriers cost no switch at all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim_fiber.h"
#include "simgpu.h"

enum { MAX_THREADS = 1024, WARP = 32 };

typedef enum state { FRESH, READY, AT_BARRIER, AT_WARP, DONE } state_t;

typedef struct thread {
    uint3 index;
    state_t state;
    sim_fiber_t *fiber;
    const char *file; /* where it waits, or last waited */
    int line, source;
    uint64_t value, result; /* of a warp operation */
} thread_t;

/* The lanes of one mask gather at its lowest lane; the last one to come serves them all. */
typedef struct group {
    unsigned arrived, mask;
    int kind, line;
    const char *file;
} group_t;

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
struct sim_now sim_now = {.tick = 16, .thread = -1};

static thread_t threads[MAX_THREADS];
static group_t groups[MAX_THREADS];
static uint64_t warp_tick[MAX_THREADS];
static unsigned warp_mask[MAX_THREADS];
static const sim_kernel_t *kernel;
static int thread_count, done_count, waiting_count, barrier_sum, barrier_count;
static int ready[MAX_THREADS], ready_head, ready_count; /* a ring */
static int self;                                        /* index of the running thread */

/* --- the scheduler -------------------------------------------------------------------------- */

static void make_ready(int t) { ready[(ready_head + ready_count++) % MAX_THREADS] = t; }

/* The next thread to run; -1: none can. Seed 0 takes them in turn. */
static int pick(void) {
    int *first = &ready[ready_head];
    if (ready_count == 0) {
        return -1;
    }
    if (sim_seed() != 0) {
        int *other = &ready[(ready_head + (int)sim_random((uint32_t)ready_count)) % MAX_THREADS];
        int t = *first;
        *first = *other;
        *other = t;
    }
    ready_count--;
    ready_head = (ready_head + 1) % MAX_THREADS;
    return *first;
}

static void become(int t) {
    self = t;
    threadIdx = threads[t].index;
    sim_now.thread = t;
    sim_now.thread_accesses = 0;
}

static const char *wait_name(const thread_t *t) {
    return t->state == AT_BARRIER ? "__syncthreads" : "warp operation";
}

_Noreturn static void report_stuck(void) {
    int first = -1, other = -1;
    for (int t = 0; t < thread_count; t++) {
        if (threads[t].state == DONE) {
            continue;
        }
        if (first < 0) {
            first = t;
        } else if (other < 0 && (threads[t].line != threads[first].line ||
                                 threads[t].state != threads[first].state)) {
            other = t;
        }
    }
    const thread_t *a = &threads[first];
    become(first);
    if (other >= 0) {
        sim_report(NULL,
                   "divergent %s: thread %d waits at %s:%d, thread %d at %s:%d, %d of %d exited",
                   wait_name(a), first, a->file, a->line, other, threads[other].file,
                   threads[other].line, done_count, thread_count);
    }
    sim_report(NULL, "divergent %s: %d threads wait at %s:%d, %d of %d exited without it",
               wait_name(a), thread_count - done_count, a->file, a->line, done_count, thread_count);
}

/* What every fiber runs: threads that begin, one after the other, as long as one that began earlier
 * need not go on. */
static void fiber_main(void) {
    for (;;) {
        kernel->call(kernel->args);
        if (sim_copies_pending(self)) {
            sim_report(NULL, "the thread ends with asynchronous copies that nobody waited for");
        }
        threads[self].state = DONE;
        done_count++;
        int t = pick();
        if (t >= 0 && threads[t].state == FRESH) {
            become(t);
            continue;
        }
        if (t < 0 && done_count < thread_count) {
            report_stuck();
        }
        if (t >= 0) {
            become(t);
        }
        sim_fiber_leave(t < 0 ? NULL : threads[t].fiber);
    }
}

static void wait_here(state_t state) {
    thread_t *me = &threads[self];
    int mine = self;
    me->state = state;
    me->fiber = sim_fiber_self();
    int t = pick();
    if (t < 0) {
        report_stuck();
    }
    sim_fiber_t *to = threads[t].state == FRESH ? sim_fiber_fresh(fiber_main) : threads[t].fiber;
    become(t);
    sim_fiber_go(to);
    become(mine);
    me->state = READY;
}

/* --- barriers ------------------------------------------------------------------------------- */

static void release_barrier(const char *file, int line) {
    for (int t = 0; t < thread_count; t++) {
        if (t == self) {
            continue;
        }
        if (threads[t].line != line || strcmp(threads[t].file, file) != 0) {
            sim_report(NULL, "divergent __syncthreads: threads at %s:%d and %s:%d", file, line,
                       threads[t].file, threads[t].line);
        }
        threads[t].state = READY;
        make_ready(t);
    }
    waiting_count = 0;
    barrier_count = barrier_sum;
    barrier_sum = 0;
    sim_now.sync_tick = ++sim_now.tick;
}

int sim_syncthreads_count(int pred, const char *file, int line) {
    threads[self].file = file;
    threads[self].line = line;
    barrier_sum += pred != 0;
    if (++waiting_count < thread_count) {
        wait_here(AT_BARRIER);
        return barrier_count;
    }
    release_barrier(file, line);
    int count = barrier_count;
    if (sim_seed() != 0) { /* the last to arrive need not be the first to go on */
        make_ready(self);
        wait_here(READY);
    }
    return count;
}

void sim_syncthreads(const char *file, int line) { sim_syncthreads_count(0, file, line); }

void sim_threadfence(void) { sim_now.fence_tick = ++sim_now.tick; }

/* --- warps ---------------------------------------------------------------------------------- */

static group_t *join_group(unsigned mask, int kind, const char *file, int line) {
    unsigned lane = (unsigned)self % WARP;
    if ((mask >> lane & 1) == 0) {
        sim_report(NULL, "warp operation at %s:%d: lane %u is not in its own mask %#x", file, line,
                   lane, mask);
    }
    group_t *group = &groups[self / WARP * WARP + __builtin_ctz(mask)];
    if (group->arrived == 0) {
        *group = (group_t){0, mask, kind, line, file};
    } else if (group->mask != mask || group->kind != kind || group->line != line) {
        sim_report(NULL, "divergent warp operation: %s:%d mask %#x and %s:%d mask %#x", file, line,
                   mask, group->file, group->line, group->mask);
    }
    group->arrived |= 1u << lane;
    return group;
}

static uint64_t shuffled(const group_t *group, const thread_t *warp, unsigned lane) {
    int source = warp[lane].source;
    if ((group->arrived >> source & 1) == 0) {
        sim_report(NULL, "shuffle at %s:%d: lane %u reads lane %d, which takes no part",
                   group->file, group->line, lane, source);
    }
    return warp[source].value;
}

/* All lanes of the group are there: gives each its result, and wakes the others. */
static void serve_group(group_t *group, int base) {
    thread_t *warp = &threads[base];
    unsigned ballot = 0;
    sim_now.tick += group->kind == SIM_SYNC;
    for (unsigned lane = 0; lane < WARP && group->kind == SIM_BALLOT; lane++) {
        ballot |= group->arrived >> lane & 1 ? ((unsigned)warp[lane].value & 1) << lane : 0;
    }
    for (unsigned lane = 0; lane < WARP; lane++) {
        if ((group->arrived >> lane & 1) == 0) {
            continue;
        }
        if (group->kind == SIM_SHUFFLE) {
            warp[lane].result = shuffled(group, warp, lane);
        } else if (group->kind == SIM_BALLOT) {
            warp[lane].result = ballot;
        } else {
            warp_tick[base + (int)lane] = sim_now.tick;
            warp_mask[base + (int)lane] = group->mask;
        }
        if (base + (int)lane != self) {
            warp[lane].state = READY;
            make_ready(base + (int)lane);
        }
    }
    group->arrived = 0;
}

uint64_t sim_warp(unsigned mask, int kind, uint64_t value, int source, const char *file, int line) {
    thread_t *me = &threads[self];
    int base = self / WARP * WARP, there_count = thread_count - base;
    unsigned there = there_count < WARP ? (1u << there_count) - 1 : ~0u;
    group_t *group = join_group(mask, kind, file, line);
    me->value = value;
    me->source = source;
    me->file = file;
    me->line = line;
    if (group->arrived != (mask & there)) {
        wait_here(AT_WARP);
    } else {
        serve_group(group, base);
    }
    return me->result;
}

/* --- grids ---------------------------------------------------------------------------------- */

static void run_block(void) {
    thread_count = (int)(blockDim.x * blockDim.y * blockDim.z);
    done_count = waiting_count = barrier_sum = ready_count = ready_head = 0;
    sim_now.block_tick = sim_now.sync_tick = ++sim_now.tick;
    sim_now.acquired = false;
    memset(groups, 0, sizeof *groups * (size_t)thread_count);
    memset(warp_tick, 0, sizeof *warp_tick * (size_t)thread_count);
    int t = 0;
    for (unsigned z = 0; z < blockDim.z; z++) {
        for (unsigned y = 0; y < blockDim.y; y++) {
            for (unsigned x = 0; x < blockDim.x; x++) {
                threads[t] = (thread_t){.index = {x, y, z}};
                make_ready(t++);
            }
        }
    }
    sim_shared_reset(kernel->shared_bytes);
    sim_copies_reset(thread_count);
    become(pick());
    sim_fiber_go(sim_fiber_fresh(fiber_main));
    sim_now.thread = -1;
}

/* Blocks run one after the other: in order (seed 0), or from a random one on, up or down. */
void sim_run_grid(const sim_kernel_t *of) {
    kernel = of;
    gridDim = of->grid;
    blockDim = of->block;
    sim_now.warp_tick = warp_tick;
    sim_now.warp_mask = warp_mask;
    sim_now.params = of->args;
    sim_now.params_size = of->args_size;
    uint64_t n = (uint64_t)gridDim.x * gridDim.y * gridDim.z;
    uint64_t b = sim_seed() != 0 ? sim_random((uint32_t)n) : 0;
    uint64_t step = sim_seed() % 2 == 1 ? n - 1 : 1;
    for (uint64_t i = 0; i < n; i++, b = (b + step) % n) {
        blockIdx = (uint3){(unsigned)(b % gridDim.x), (unsigned)(b / gridDim.x % gridDim.y),
                           (unsigned)(b / gridDim.x / gridDim.y)};
        run_block();
    }
    kernel = NULL;
}

void sim_where(char *out, size_t size) {
    if (kernel == NULL) {
        snprintf(out, size, "%s", sim_now.op != NULL ? sim_now.op->name : "host code");
        return;
    }
    snprintf(out, size, "kernel %s block (%u,%u,%u) thread (%u,%u,%u)", kernel->name, blockIdx.x,
             blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
}
