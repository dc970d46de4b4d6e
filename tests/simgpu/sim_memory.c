/* Device memory, shared memory, and a shadow of both: for every two bytes the last write and the
 * last reads, with the moment and the thread.  Finds accesses out of bounds, after free, of
 * uninitialised memory, of host memory, and pairs of accesses that nothing orders. */
#include "simgpu.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GRANULE = 2, PAGE = 4096, GUARD = 256 };
enum { NOWHERE = 0, UNWRITTEN = 1, MANY_WARP = 1024, MANY = 0xFFE, WHOLE = 0xFFF };
typedef struct {
    uint64_t write, read;
} cell;
struct region {
    char *base;
    size_t size;
    cell *cells;
};
struct block {
    char *p;
    size_t n;
    bool freed, pinned;
    void *pc;
};

static struct region arena = {.size = (size_t)16 << 30}, fixed, dynamic = {.size = 227 << 10};
static struct block *blocks;
static size_t nblocks, used;
static bool checking, is_open;
static _Alignas(128) char dynamic_bytes[227 << 10];
extern char __start_simgpu_shared[] __attribute__((weak)),
    __stop_simgpu_shared[] __attribute__((weak));

static void *reserve(size_t n, int prot) {
    void *p = mmap(NULL, n, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        perror("simgpu: mmap"), abort();
    return p;
}
static cell *reserve_cells(size_t n) {
    return reserve(n / GRANULE * sizeof(cell) + PAGE, PROT_READ | PROT_WRITE);
}

static const struct block *block_at(const void *p) {
    for (size_t i = nblocks; i-- > 0;)
        if ((const char *)p >= blocks[i].p - GUARD &&
            (const char *)p < blocks[i].p + blocks[i].n + GUARD)
            return &blocks[i];
    return NULL;
}
static void describe(const void *p, char *out, size_t n) {
    const struct block *b = block_at(p);
    const char *c = p;
    if (!b)
        snprintf(out, n, "%p, which is no device memory", p);
    else if (c < b->p)
        snprintf(out, n, "%p, %zd bytes before %s block of %zu bytes", p, b->p - c,
                 b->freed ? "a freed" : "a", b->n);
    else if (c >= b->p + b->n)
        snprintf(out, n, "%p, %zd bytes after %s block of %zu bytes", p, c - (b->p + b->n),
                 b->freed ? "a freed" : "a", b->n);
    else
        snprintf(out, n, "%p, byte %zd of %s block of %zu bytes", p, c - b->p,
                 b->freed ? "a freed" : "a", b->n);
}
static void on_segv(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    char what[200];
    if (sim_is_device(info->si_addr) && !is_open) {
        describe(info->si_addr, what, sizeof what);
        sim_report(NULL, "host code touches device memory: %s", what);
    }
    if (sim_now.thread >= 0) {
        describe(info->si_addr, what, sizeof what);
        sim_report(NULL, "wild access to %s", what);
    }
    signal(SIGSEGV, SIG_DFL);
}
__attribute__((constructor)) static void memory_init(void) {
    const char *off = getenv("SIMGPU_CHECK");
    checking = !off || *off != '0';
    arena.base = reserve(arena.size, PROT_NONE);
    arena.cells = reserve_cells(arena.size);
    fixed.base = __start_simgpu_shared;
    fixed.size = fixed.base ? (size_t)(__stop_simgpu_shared - fixed.base) : 0;
    fixed.cells = reserve_cells(fixed.size);
    dynamic.base = dynamic_bytes;
    dynamic.cells = reserve_cells(dynamic.size);
    static char stack[16384];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    sigaction(SIGSEGV,
              &(struct sigaction){.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK},
              NULL);
}
bool sim_is_device(const void *p) { return (size_t)((const char *)p - arena.base) < arena.size; }
size_t sim_memory_offset(const void *p) { return (size_t)((const char *)p - arena.base); }
bool sim_is_pinned(const void *p) {
    for (size_t i = 0; i < nblocks; i++)
        if (blocks[i].pinned && !blocks[i].freed &&
            (size_t)((const char *)p - blocks[i].p) < blocks[i].n)
            return true;
    return false;
}
void sim_memory_open(bool open) {
    if (open != is_open && used)
        mprotect(arena.base, used, open ? PROT_READ | PROT_WRITE : PROT_NONE);
    is_open = open;
}
static void set_cells(struct region *r, size_t at, size_t n, uint64_t write) {
    for (size_t i = at / GRANULE; i < (at + n + GRANULE - 1) / GRANULE; i++)
        r->cells[i] = (cell){write, 0};
}
__attribute__((no_sanitize("address"))) static void poison(volatile char *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        p[i] = (char)0xFF; /* NaN in every floating format, -1 in every integer */
}
static void *allocate(size_t n, bool pinned, void *pc) {
    if ((nblocks & (nblocks - 1)) == 0)
        blocks = realloc(blocks, (nblocks ? 2 * nblocks : 1) * sizeof *blocks);
    bool was = is_open;
    char *p;
    if (pinned) {
        p = malloc(n);
    } else {
        size_t at = used + GUARD; /* addresses are never used twice: a stale pointer stays stale */
        sim_memory_open(false);
        used = (at + n + GUARD + PAGE - 1) / PAGE * PAGE;
        p = arena.base + at;
        sim_memory_open(true);
        poison(p - GUARD, n + 2 * GUARD);
        sim_memory_open(was);
        set_cells(&arena, at, n, UNWRITTEN);
    }
    blocks[nblocks++] = (struct block){p, n, false, pinned, pc};
    return p;
}
void sim_memory_guards(void) {
    bool was = is_open;
    sim_memory_open(true);
    for (size_t i = 0; i < nblocks; i++)
        for (size_t g = 0; !blocks[i].pinned && !blocks[i].freed && g < GUARD; g++)
            if (blocks[i].p[-1 - (ptrdiff_t)g] != (char)0xFF ||
                blocks[i].p[blocks[i].n + g] != (char)0xFF)
                sim_report(blocks[i].pc, "bytes around %p (%zu bytes) were overwritten",
                           (void *)blocks[i].p, blocks[i].n);
    sim_memory_open(was);
}
static cudaError_t release(void *p) {
    for (size_t i = 0; p && i < nblocks; i++)
        if (blocks[i].p == p) {
            if (blocks[i].freed)
                sim_report(__builtin_return_address(0), "double free of %p", p);
            blocks[i].freed = true;
            if (blocks[i].pinned)
                return free(p), cudaSuccess;
            sim_memory_guards();
            sim_memory_open(true);
            poison(p, blocks[i].n);
            sim_memory_open(false);
            set_cells(&arena, (size_t)((char *)p - arena.base), blocks[i].n, NOWHERE);
            return cudaSuccess;
        }
    if (p)
        sim_report(__builtin_return_address(0), "free of %p, which was never allocated", p);
    return cudaSuccess;
}

/* ---- shared memory ---- */
void *sim_dynamic_shared(void) { return dynamic_bytes; }
void sim_shared_reset(size_t n) {
    poison(fixed.base, fixed.size);
    poison(dynamic.base, n);
    set_cells(&fixed, 0, fixed.size, UNWRITTEN);
    set_cells(&dynamic, 0, n, UNWRITTEN);
    set_cells(&dynamic, n, dynamic.size - n < 64 ? dynamic.size - n : 64, NOWHERE);
}

/* ---- the check of one access ---- */
static uint64_t record(unsigned who, int kind, unsigned bytes) {
    return sim_now.tick << 16 | (uint64_t)who << 4 | (kind == SIM_ATOMIC ? 4u : 0u) | bytes;
}
static bool ordered(uint64_t rec, unsigned me) {
    uint64_t t = rec >> 16;
    unsigned who = rec >> 4 & 0xFFF;
    if (t < sim_now.op_tick) {
        const sim_op *op = sim_op_at(t);
        return !op || sim_now.clock->at[*(int *)op->stream] >= op->seq;
    }
    if (me == WHOLE || who == me)
        return t >= sim_now.block_tick || me == WHOLE ||
               (sim_now.acquired && t < sim_now.fence_tick);
    if (t < sim_now.block_tick) /* another block: ordered by its fence and an atomic of ours */
        return sim_now.acquired && t < sim_now.fence_tick;
    if (t < sim_now.sync_tick)
        return true;
    if (who == MANY || (who < MANY_WARP ? who / 32 : who - MANY_WARP) != me / 32)
        return false;
    return t < sim_now.warp_tick[me] && (who >= MANY_WARP || sim_now.warp_mask[me] >> who % 32 & 1);
}
static void conflict(uint64_t rec, const void *p, int kind, bool was_write, const void *pc) {
    char other[160], what[160];
    uint64_t t = rec >> 16;
    unsigned who = rec >> 4 & 0xFFF;
    const char *verbs[] = {"reads", "writes", "atomically updates"};
    const char *old = was_write ? "written" : "read";
    if (sim_is_device(p))
        describe(p, what, sizeof what);
    else
        snprintf(what, sizeof what, "shared memory byte %td",
                 (const char *)p -
                     (p >= (void *)dynamic.base && p < (void *)(dynamic.base + dynamic.size)
                          ? dynamic.base
                          : fixed.base));
    if (t < sim_now.op_tick)
        snprintf(other, sizeof other,
                 "%s by %s on stream %d, which no event or sync orders before this", old,
                 sim_op_at(t)->name, *(int *)sim_op_at(t)->stream);
    else if (t < sim_now.block_tick)
        snprintf(other, sizeof other, "%s by another block of the same launch", old);
    else
        snprintf(other, sizeof other,
                 who < MANY_WARP ? "%s by thread %u since the last barrier"
                                 : "%s by several threads since the last barrier",
                 old, who);
    sim_report(pc, "race: %s %s, %s", verbs[kind], what, other);
}
static void check(struct region *r, const char *p, size_t n, int kind, unsigned me,
                  const void *pc) {
    size_t at = (size_t)(p - r->base), end = at + n;
    sim_now.touched = true;
    for (size_t i = at / GRANULE; i * GRANULE < end; i++) {
        cell *c = &r->cells[i];
        unsigned bytes = (i * GRANULE >= at ? 1 : 0) | (i * GRANULE + 1 < end ? 2 : 0);
        const char *here = i * GRANULE > at ? r->base + i * GRANULE : p;
        char what[160];
        if (c->write == NOWHERE) {
            if (r == &arena)
                describe(here, what, sizeof what);
            else
                snprintf(what, sizeof what, "shared memory byte %td, past the block's",
                         here - r->base);
            sim_report(pc, "out of bounds: %zu bytes %s at %s", n,
                       kind == SIM_READ ? "read" : "written", what);
        }
        if (kind != SIM_WRITE && c->write == UNWRITTEN) {
            if (me == WHOLE)
                continue;
            if (r == &arena)
                describe(here, what, sizeof what);
            else
                snprintf(what, sizeof what, "shared memory byte %td", here - r->base);
            sim_report(pc, "uninitialised: reads %s", what);
        }
        if (c->write > UNWRITTEN && c->write & bytes && !(kind == SIM_ATOMIC && c->write & 4) &&
            !ordered(c->write, me))
            conflict(c->write, here, kind, true, pc);
        if (kind == SIM_READ) {
            uint64_t since =
                sim_now.sync_tick > sim_now.op_tick ? sim_now.sync_tick : sim_now.op_tick;
            unsigned who = c->read >> 4 & 0xFFF, now = me;
            if (c->read >> 16 >= since && who != me && me != WHOLE)
                now = (who < MANY_WARP ? who / 32 : who - MANY_WARP) == me / 32
                          ? MANY_WARP + me / 32
                          : MANY;
            c->read = record(now, kind, bytes | (now == me ? 0 : c->read & 3));
        } else {
            if (c->read && c->read & bytes && !ordered(c->read, me))
                conflict(c->read, here, kind, false, pc);
            c->write = record(me, kind, bytes);
        }
    }
}
static struct region *region_of(const char *p) {
    struct region *all[] = {&arena, &fixed, &dynamic};
    for (int i = 0; i < 3; i++)
        if ((size_t)(p - all[i]->base) < all[i]->size)
            return all[i];
    return NULL;
}
void sim_access(const void *p, size_t n, int kind, const void *pc) {
    extern const char __executable_start[], _end[];
    struct region *r;
    if (!checking || sim_now.thread < 0)
        return;
    sim_now.acquired |= kind == SIM_ATOMIC;
    if ((size_t)((const char *)p - sim_now.stack) < sim_now.stack_size ||
        (size_t)((const char *)p - sim_now.params) < sim_now.params_size)
        return;
    if ((r = region_of(p)))
        check(r, p, n, kind, (unsigned)sim_now.thread, pc);
    else if ((const char *)p < __executable_start || (const char *)p >= _end)
        if (!sim_is_pinned(p))
            sim_report(pc, "kernel touches host memory at %p", p);
}
void sim_touch(const void *p, size_t n, int kind, const char *what) {
    if (n && sim_is_device(p)) {
        const struct block *b = block_at(p);
        if (!b || b->freed || (const char *)p < b->p || (const char *)p + n > b->p + b->n) {
            char text[160];
            describe(b && !b->freed && (const char *)p >= b->p ? (const char *)p + n : p, text,
                     sizeof text);
            sim_report(NULL, "%s: out of bounds: %zu bytes up to %s", what, n, text);
        }
        if (checking)
            check(&arena, p, n, kind, WHOLE, NULL);
    }
}

/* ---- what -fsanitize=thread calls: .cu files are compiled with it, nothing links libtsan ---- */
#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* their names are the compiler's */
#define PC __builtin_return_address(0)
#define SIZE(n)                                                                                    \
    void __tsan_read##n(void *p) { sim_access(p, n, SIM_READ, PC); }                               \
    void __tsan_write##n(void *p) { sim_access(p, n, SIM_WRITE, PC); }                             \
    void __tsan_unaligned_read##n(void *p) { sim_access(p, n, SIM_READ, PC); }                     \
    void __tsan_unaligned_write##n(void *p) { sim_access(p, n, SIM_WRITE, PC); }
SIZE(1) SIZE(2) SIZE(4) SIZE(8) SIZE(16) void __tsan_read_range(void *p, long n) {
    sim_access(p, (size_t)n, SIM_READ, PC);
}
void __tsan_write_range(void *p, long n) { sim_access(p, (size_t)n, SIM_WRITE, PC); }
void __tsan_init(void) {}
void __tsan_func_entry(void *pc) { (void)pc; }
void __tsan_func_exit(void *pc) { (void)pc; }
void __tsan_vptr_update(void *p, void *v) { (void)p, (void)v; }

/* ---- the runtime's calls on memory ---- */
cudaError_t cudaMalloc(void **p, size_t n) { return *p = allocate(n, false, PC), cudaSuccess; }
cudaError_t cudaMallocHost(void **p, size_t n) { return *p = allocate(n, true, PC), cudaSuccess; }
cudaError_t cudaFree(void *p) {
    cudaError_t e = sim_drain(); /* the real one waits for the device too */
    return e ? e : release(p);
}
cudaError_t cudaFreeHost(void *p) { return cudaFree(p); }
