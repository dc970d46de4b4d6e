/* Runs the threads of one block as fibers of one OS thread.  A fiber runs until it waits; a thread
 * that never waits is a plain call, so kernels without barriers cost no switch at all. */
#include "simgpu.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if defined(SIM_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

enum { MAX_THREADS = 1024, STACK = 64 << 10 };
enum state { FRESH, READY, AT_BARRIER, AT_WARP, DONE };

struct fiber {
    void *sp;
    char *stack;
    void *fake;
    struct fiber *next_free;
};
struct thread {
    uint3 idx;
    enum state state;
    struct fiber *fiber;
    const char *file;
    int line, source;
    uint64_t value, result;
};

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
struct sim_now sim_now = {.tick = 16, .thread = -1};

static struct thread threads[MAX_THREADS];
static uint64_t warp_tick[MAX_THREADS];
static unsigned warp_mask[MAX_THREADS];
static const sim_kernel *kernel;
static int nthreads, ndone, nwaiting, barrier_sum, barrier_count;
static int ready[MAX_THREADS], ready_head, nready;
static int self; /* index of the running thread */
static struct fiber host, *fiber = &host, *free_fibers;

/* ---- switching stacks ---- */
void sim_switch(void **save, void *load);
#if defined(__x86_64__)
__asm__(".text\n.globl sim_switch\n.type sim_switch,@function\nsim_switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size sim_switch,.-sim_switch\n");
#else
#error "add sim_switch for this processor (aarch64: 20 lines) or fall back to swapcontext"
#endif
static void go(struct fiber *to) {
    struct fiber *from = fiber;
    fiber = to;
    sim_now.stack = to->stack;
#if defined(SIM_ASAN)
    static const void *host_stack;
    static size_t host_size;
    __sanitizer_start_switch_fiber(&from->fake, to->stack ? to->stack : host_stack,
                                   to->stack ? STACK : host_size);
    sim_switch(&from->sp, to->sp);
    const void *old;
    size_t size;
    __sanitizer_finish_switch_fiber(fiber->fake, &old, &size);
    if (!host_stack)
        host_stack = old, host_size = size;
#else
    sim_switch(&from->sp, to->sp);
#endif
}

/* ---- the scheduler ---- */
static void make_ready(int t) { ready[(ready_head + nready++) % MAX_THREADS] = t; }
static int pick(void) {
    int *first = &ready[ready_head];
    if (!nready)
        return -1;
    if (sim_seed()) {
        int *other = &ready[(ready_head + sim_rand(nready)) % MAX_THREADS], t = *first;
        *first = *other;
        *other = t;
    }
    nready--;
    ready_head = (ready_head + 1) % MAX_THREADS;
    return *first;
}
static void become(int t) {
    self = t;
    threadIdx = threads[t].idx;
    sim_now.thread = t;
}
static void stuck(void) {
    int exited = 0, first = -1, other = -1;
    for (int t = 0; t < nthreads; t++)
        if (threads[t].state == DONE)
            exited++;
        else if (first < 0)
            first = t;
        else if (other < 0 && (threads[t].line != threads[first].line ||
                               threads[t].state != threads[first].state))
            other = t;
    struct thread *a = &threads[first];
    become(first);
    if (other >= 0)
        sim_report(NULL,
                   "divergent %s: thread %d waits at %s:%d, thread %d at %s:%d, %d of %d exited",
                   a->state == AT_BARRIER ? "__syncthreads" : "warp operation", first, a->file,
                   a->line, other, threads[other].file, threads[other].line, exited, nthreads);
    sim_report(NULL, "divergent %s: %d threads wait at %s:%d, %d of %d exited without it",
               a->state == AT_BARRIER ? "__syncthreads" : "warp operation", nthreads - ndone,
               a->file, a->line, exited, nthreads);
}
static void fiber_main(void) {
#if defined(SIM_ASAN)
    __sanitizer_finish_switch_fiber(NULL, &(const void *){0}, &(size_t){0});
#endif
    for (;;) {
        kernel->call(kernel->args);
        threads[self].state = DONE;
        ndone++;
        int t = pick();
        if (t >= 0 && threads[t].state == FRESH) {
            become(t);
            continue;
        }
        fiber->next_free = free_fibers;
        free_fibers = fiber;
        if (t < 0) {
            if (ndone < nthreads)
                stuck();
            go(&host);
        } else {
            become(t);
            go(threads[t].fiber);
        }
    }
}
static struct fiber *fresh_fiber(void) {
    struct fiber *f = free_fibers;
    if (f) {
        free_fibers = f->next_free;
        return f;
    }
    f = calloc(1, sizeof *f);
    char *p = mmap(NULL, STACK + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p, 4096, PROT_NONE);
    f->stack = p + 4096;
    void **sp = (void **)(f->stack + STACK) - 1; /* as after a call: 8 past a multiple of 16 */
    *--sp = (void *)(uintptr_t)fiber_main;
    f->sp = sp - 6;
    return f;
}
static void wait_here(enum state state) {
    struct thread *me = &threads[self];
    int mine = self;
    me->state = state;
    me->fiber = fiber;
    int t = pick();
    if (t < 0)
        stuck();
    struct fiber *to = threads[t].state == FRESH ? fresh_fiber() : threads[t].fiber;
    become(t);
    if (to != fiber)
        go(to);
    become(mine);
    me->state = READY;
}

/* ---- barriers ---- */
int sim_syncthreads_count(int pred, const char *file, int line) {
    struct thread *me = &threads[self];
    me->file = file;
    me->line = line;
    barrier_sum += pred != 0;
    if (++nwaiting < nthreads) {
        wait_here(AT_BARRIER);
        return barrier_count;
    }
    for (int t = 0; t < nthreads; t++)
        if (t != self) {
            if (threads[t].line != line || strcmp(threads[t].file, file))
                sim_report(NULL, "divergent __syncthreads: threads at %s:%d and %s:%d", file, line,
                           threads[t].file, threads[t].line);
            threads[t].state = READY;
            make_ready(t);
        }
    nwaiting = 0;
    barrier_count = barrier_sum;
    barrier_sum = 0;
    sim_now.sync_tick = ++sim_now.tick;
    if (sim_seed()) { /* the last to arrive need not be the first to go on */
        make_ready(self);
        wait_here(READY);
    }
    return barrier_count;
}
void sim_threadfence(void) { sim_now.fence_tick = ++sim_now.tick; }
void sim_syncthreads(const char *file, int line) { sim_syncthreads_count(0, file, line); }

/* The lanes of one mask gather at its lowest lane's group; the last one to come serves them all. */
static struct group {
    unsigned arrived, mask;
    int kind, line;
    const char *file;
} groups[MAX_THREADS];
uint64_t sim_warp(unsigned mask, int kind, uint64_t value, int source, const char *file, int line) {
    struct thread *me = &threads[self], *warp = &threads[self & ~31];
    int base = self & ~31;
    unsigned lane = self & 31, there = nthreads - base < 32 ? (1u << (nthreads - base)) - 1 : ~0u;
    if (!(mask >> lane & 1))
        sim_report(NULL, "warp operation at %s:%d: lane %u is not in its own mask %#x", file, line,
                   lane, mask);
    struct group *g = &groups[base + __builtin_ctz(mask)];
    if (!g->arrived)
        *g = (struct group){0, mask, kind, line, file};
    else if (g->mask != mask || g->kind != kind || g->line != line)
        sim_report(NULL, "divergent warp operation: %s:%d mask %#x and %s:%d mask %#x", file, line,
                   mask, g->file, g->line, g->mask);
    g->arrived |= 1u << lane;
    me->value = value;
    me->source = source;
    me->file = file;
    me->line = line;
    if (g->arrived != (mask & there)) {
        wait_here(AT_WARP);
        return me->result;
    }
    unsigned ballot = 0;
    sim_now.tick += kind == SIM_SYNC;
    if (kind == SIM_BALLOT)
        for (unsigned l = 0, m = g->arrived; m; m >>= 1, l++)
            ballot |= (m & (unsigned)warp[l].value & 1) << l;
    for (unsigned l = 0, m = g->arrived; m; m >>= 1, l++) {
        struct thread *t = &warp[l];
        if (!(m & 1))
            continue;
        if (kind == SIM_SHUFFLE) {
            if (!(g->arrived >> t->source & 1))
                sim_report(NULL, "shuffle at %s:%d: lane %u reads lane %d, which takes no part",
                           file, line, l, t->source);
            t->result = warp[t->source].value;
        } else if (kind == SIM_BALLOT) {
            t->result = ballot;
        } else {
            warp_tick[base + l] = sim_now.tick;
            warp_mask[base + l] = mask;
        }
        if (t != me) {
            t->state = READY;
            make_ready((int)(base + l));
        }
    }
    g->arrived = 0;
    return me->result;
}

/* ---- grids ---- */
static void run_block(void) {
    int t = 0;
    nthreads = (int)(blockDim.x * blockDim.y * blockDim.z);
    ndone = nwaiting = barrier_sum = nready = ready_head = 0;
    sim_now.block_tick = sim_now.sync_tick = ++sim_now.tick;
    sim_now.acquired = false;
    memset(groups, 0, sizeof *groups * (size_t)nthreads);
    memset(warp_tick, 0, sizeof *warp_tick * (size_t)nthreads);
    for (unsigned z = 0; z < blockDim.z; z++)
        for (unsigned y = 0; y < blockDim.y; y++)
            for (unsigned x = 0; x < blockDim.x; x++, t++) {
                threads[t] = (struct thread){.idx = {x, y, z}};
                make_ready(t);
            }
    sim_shared_reset(kernel->smem);
    become(pick());
    go(fresh_fiber());
    sim_now.thread = -1;
}
void sim_run_grid(const sim_kernel *k) {
    kernel = k;
    gridDim = k->grid;
    blockDim = k->block;
    sim_now.warp_tick = warp_tick;
    sim_now.warp_mask = warp_mask;
    sim_now.stack_size = STACK;
    sim_now.params = k->args;
    sim_now.params_size = k->args_size;
    unsigned n = gridDim.x * gridDim.y * gridDim.z;
    unsigned first = sim_seed() ? sim_rand(n) : 0, step = sim_seed() & 1 ? n - 1 : 1;
    for (unsigned i = 0, b = first; i < n; i++, b = (unsigned)(((uint64_t)b + step) % n)) {
        blockIdx = (uint3){b % gridDim.x, b / gridDim.x % gridDim.y, b / gridDim.x / gridDim.y};
        run_block();
    }
    kernel = NULL;
}
void sim_where(char *out, size_t n) {
    if (!kernel)
        snprintf(out, n, "%s", sim_now.op ? sim_now.op->name : "host code");
    else
        snprintf(out, n, "kernel %s block (%u,%u,%u) thread (%u,%u,%u)", kernel->name, blockIdx.x,
                 blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
}
