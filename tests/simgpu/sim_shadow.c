/* The shadow of device and shared memory: for every two bytes the last write and the last reads,
 * with the moment and the thread. Finds accesses out of bounds, after free, of uninitialised
 * memory, of host memory, and pairs of accesses that nothing orders.
 *
 * Moments are ticks of one clock. Barriers, blocks and operations are marks on it, so whether an
 * earlier access of the same operation is ordered before this one takes a few comparisons; between
 * operations the clocks of their streams decide. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "simgpu.h"

enum { GRANULE = 2, PAGE = 4096, SHARED_BYTES = 227 << 10, SPIN_ACCESSES = 50000000 };

/* An access: tick << 16 | who << 4 | PENDING | ATOMIC | bytes (1, 2). who is a thread of the block,
 * several threads of one warp, several of the block, or a whole operation. */
enum { BYTES = 3, ATOMIC = 4, PENDING = 8 }; /* PENDING: owned by the writer, still garbage */
enum { MANY_IN_WARP = 1024, MANY = 0xFFE, WHOLE = 0xFFF };
enum { NOWHERE = 0, UNWRITTEN = 1 }; /* as a write: no memory; memory without a value */

typedef struct cell {
    uint64_t write, read;
} cell_t;

typedef struct region {
    char *base;
    size_t size;
    cell_t *cells;
} region_t;

typedef struct past { /* an operation that ran */
    uint64_t last_tick;
    const char *name;
    int stream;
    uint32_t seq;
} past_t;

static region_t arena, fixed, dynamic;
static _Alignas(128) char dynamic_bytes[SHARED_BYTES];
static past_t *past;
static size_t past_count;
static size_t dynamic_used; /* bytes of the running kernel */
static bool checking;
extern char sim_shared_begin[], sim_shared_end[]; /* sim_shared.ld */

/* --- regions -------------------------------------------------------------------------------- */

static region_t region_new(char *base, size_t size) {
    size_t bytes = size / GRANULE * sizeof(cell_t) + PAGE;
    void *cells = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cells == MAP_FAILED) {
        perror("simgpu: no address space for the shadow of memory");
        abort();
    }
    return (region_t){base, size, cells};
}

void sim_shadow_init(char *base, size_t size) {
    checking = sim_setting("SIMGPU_CHECK", 1) != 0;
    arena = region_new(base, size);
    fixed = region_new(sim_shared_begin, (size_t)(sim_shared_end - sim_shared_begin));
    dynamic = region_new(dynamic_bytes, sizeof dynamic_bytes);
}

static bool is_inside(const region_t *region, const char *p) {
    return (size_t)(p - region->base) < region->size;
}

static region_t *region_of(const char *p) {
    return is_inside(&arena, p)     ? &arena
           : is_inside(&fixed, p)   ? &fixed
           : is_inside(&dynamic, p) ? &dynamic
                                    : NULL;
}

static void set_cells(region_t *region, const void *p, size_t n, uint64_t write) {
    size_t at = (size_t)((const char *)p - region->base);
    for (size_t i = at / GRANULE; i < (at + n + GRANULE - 1) / GRANULE; i++) {
        region->cells[i] = (cell_t){write, 0};
    }
}

static uint64_t access_record(unsigned who, int kind, unsigned bytes) {
    return sim_now.tick << 16 | (uint64_t)who << 4 | (kind == SIM_ATOMIC ? ATOMIC : 0) | bytes;
}

bool sim_checking(void) { return checking; }

/* Whole pages of cells go back to the system, which makes them NOWHERE. */
void sim_shadow_forbid(const void *p, size_t n) {
    _Static_assert(NOWHERE == 0, "new pages are zero");
    size_t per_page = PAGE / sizeof(cell_t);
    size_t first = (size_t)((const char *)p - arena.base) / GRANULE;
    size_t last = first + (n + GRANULE - 1) / GRANULE;
    size_t begin = (first + per_page - 1) / per_page * per_page, end = last / per_page * per_page;
    if (begin >= end) {
        set_cells(&arena, p, n, NOWHERE);
        return;
    }
    memset(&arena.cells[first], 0, (begin - first) * sizeof(cell_t));
    memset(&arena.cells[end], 0, (last - end) * sizeof(cell_t));
    madvise(&arena.cells[begin], (end - begin) * sizeof(cell_t), MADV_DONTNEED);
}
void sim_shadow_fresh(const void *p, size_t n) { set_cells(&arena, p, n, UNWRITTEN); }
void sim_shadow_fresh_ordered(const void *p, size_t n) {
    sim_now.touched = true;
    set_cells(&arena, p, n, access_record(WHOLE, SIM_WRITE, BYTES) | PENDING);
}
void sim_shadow_pending(void *shared, size_t n, const void *pc) {
    sim_access(shared, n, SIM_WRITE, pc);
    region_t *region = region_of(shared);
    if (checking && region != NULL) {
        uint64_t write = access_record((unsigned)sim_now.thread, SIM_WRITE, BYTES);
        set_cells(region, shared, n, write | PENDING);
    }
}

void *sim_dynamic_shared(void) { return dynamic_bytes; }

/* What earlier blocks wrote and read in shared memory counts for nothing (check()), so there is
 * nothing to clear; without checks garbage stands for it. */
void sim_shared_reset(size_t n) {
    dynamic_used = n;
    if (!checking) {
        sim_poison(fixed.base, fixed.size);
        sim_poison(dynamic.base, n);
    }
}

/* --- order ---------------------------------------------------------------------------------- */

void sim_remember(const sim_op_t *op) {
    if ((past_count & (past_count - 1)) == 0) { /* as a power of two it was full */
        past = realloc(past, (past_count > 0 ? 2 * past_count : 1) * sizeof *past);
        if (past == NULL) {
            sim_report(NULL, "no memory for the list of operations");
        }
    }
    past[past_count++] = (past_t){sim_now.tick, op->name, sim_stream_id(op->stream), op->seq};
}

static const past_t *past_at(uint64_t tick) {
    size_t low = 0, high = past_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (past[middle].last_tick < tick) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < past_count ? &past[low] : NULL;
}

static int warp_of(unsigned who) {
    return (int)(who < MANY_IN_WARP ? who / 32 : who - MANY_IN_WARP);
}

/* Is the access `record` over before thread `me` of the running operation goes on? */
static bool is_ordered(uint64_t record, unsigned me) {
    uint64_t tick = record >> 16;
    unsigned who = record >> 4 & 0xFFF;
    if (tick < sim_now.op_tick) {
        const past_t *op = past_at(tick);
        return op == NULL || sim_now.clock->at[op->stream] >= op->seq;
    }
    bool fenced = sim_now.acquired && tick < sim_now.fence_tick;
    if (me == WHOLE || who == me) {
        return me == WHOLE || tick >= sim_now.block_tick || fenced;
    }
    if (tick < sim_now.block_tick) { /* another block: by its fence and an atomic of ours */
        return fenced;
    }
    if (tick < sim_now.sync_tick) {
        return true;
    }
    if (who == MANY || warp_of(who) != warp_of(me)) {
        return false;
    }
    return tick < sim_now.warp_tick[me] &&
           (who >= MANY_IN_WARP || (sim_now.warp_mask[me] >> who % 32 & 1) != 0);
}

/* --- reports -------------------------------------------------------------------------------- */

static void describe(const region_t *region, const char *p, char *out, size_t size) {
    if (region == &arena) {
        sim_describe(p, out, size);
    } else {
        snprintf(out, size, "byte %td of shared memory", p - region->base);
    }
}

_Noreturn static void report_race(const region_t *region, uint64_t record, const char *p, int kind,
                                  bool was_write, const void *pc) {
    static const char *const verbs[] = {"reads", "writes", "atomically updates"};
    char other[200], what[200];
    uint64_t tick = record >> 16;
    unsigned who = record >> 4 & 0xFFF;
    const char *old = was_write ? "written" : "read";
    describe(region, p, what, sizeof what);
    if (tick < sim_now.op_tick) {
        const past_t *op = past_at(tick);
        snprintf(other, sizeof other,
                 "%s by %s on stream %d, which no event or sync orders before this", old, op->name,
                 op->stream);
    } else if (tick < sim_now.block_tick) {
        snprintf(other, sizeof other, "%s by another block of the same launch", old);
    } else if (who < MANY_IN_WARP) {
        snprintf(other, sizeof other, "%s by thread %u since the last barrier", old, who);
    } else {
        snprintf(other, sizeof other, "%s by several threads since the last barrier", old);
    }
    sim_report(pc, "race: %s %s, %s", verbs[kind], what, other);
}

_Noreturn static void report_bounds(const region_t *region, const char *p, size_t n, int kind,
                                    const void *pc) {
    char what[200];
    describe(region, p, what, sizeof what);
    sim_report(pc, "out of bounds: %zu bytes %s at %s%s", n, kind == SIM_READ ? "read" : "written",
               what, region == &arena ? "" : ", past the block's");
}

_Noreturn static void report_garbage(const region_t *region, const char *p, const void *pc) {
    char what[200];
    describe(region, p, what, sizeof what);
    sim_report(pc, "uninitialised: reads %s", what);
}

/* --- the check of one access ---------------------------------------------------------------- */

static bool is_garbage(uint64_t write) {
    return write == UNWRITTEN || (write > UNWRITTEN && (write & PENDING) != 0);
}

static void check_read(cell_t *cell, unsigned bytes, unsigned me) {
    uint64_t since = sim_now.sync_tick > sim_now.op_tick ? sim_now.sync_tick : sim_now.op_tick;
    unsigned who = cell->read >> 4 & 0xFFF, now = me;
    if (cell->read >> 16 >= since && who != me && me != WHOLE) {
        now = warp_of(who) == warp_of(me) ? MANY_IN_WARP + me / 32 : MANY;
    }
    cell->read = access_record(now, SIM_READ, bytes | (now == me ? 0 : cell->read & BYTES));
}

static void check_cell(const region_t *region, cell_t *cell, const char *p, size_t n, int kind,
                       unsigned bytes, unsigned me, const void *pc) {
    uint64_t write = cell->write;
    if (write == NOWHERE) {
        report_bounds(region, p, n, kind, pc);
    }
    if (write > UNWRITTEN && (write & bytes) != 0 &&
        !(kind == SIM_ATOMIC && (write & ATOMIC) != 0) && !is_ordered(write, me)) {
        report_race(region, write, p, kind, true, pc);
    }
    if (kind != SIM_WRITE && is_garbage(write)) {
        if (me == WHOLE) {
            return; /* to copy garbage is no fault yet */
        }
        report_garbage(region, p, pc);
    }
    if (kind == SIM_READ) {
        check_read(cell, bytes, me);
        return;
    }
    if (cell->read != 0 && (cell->read & bytes) != 0 && !is_ordered(cell->read, me)) {
        report_race(region, cell->read, p, kind, false, pc);
    }
    cell->write = access_record(me, kind, bytes);
}

/* Shared memory is new to every block, and beyond a kernel's dynamic part there is none. */
static void begin_block(const region_t *region, cell_t *cell) {
    bool beyond = region == &dynamic && (size_t)(cell - region->cells) * GRANULE >= dynamic_used;
    if (cell->write >> 16 < sim_now.block_tick) {
        cell->write = beyond ? NOWHERE : UNWRITTEN;
    }
    if (cell->read >> 16 < sim_now.block_tick) {
        cell->read = 0;
    }
}

static void check(const region_t *region, const char *p, size_t n, int kind, unsigned me,
                  const void *pc) {
    size_t at = (size_t)(p - region->base), end = at + n;
    sim_now.touched = true;
    for (size_t i = at / GRANULE; i * GRANULE < end; i++) {
        unsigned bytes = (i * GRANULE >= at ? 1 : 0) | (i * GRANULE + 1 < end ? 2 : 0);
        const char *here = i * GRANULE > at ? region->base + i * GRANULE : p;
        if (region != &arena) {
            begin_block(region, &region->cells[i]);
        }
        check_cell(region, &region->cells[i], here, n, kind, bytes, me, pc);
    }
}

void sim_access(const void *address, size_t n, int kind, const void *pc) {
    extern const char __ehdr_start[], _end[]; /* of the program, or of the shared object */
    const char *p = address;
    if (!checking || sim_now.thread < 0) {
        return;
    }
    sim_now.acquired |= kind == SIM_ATOMIC;
    if ((size_t)(p - sim_now.stack) < sim_now.stack_size ||
        (size_t)(p - sim_now.params) < sim_now.params_size) {
        return;
    }
    if (++sim_now.thread_accesses > SPIN_ACCESSES) {
        sim_report(pc,
                   "a thread made %d accesses without waiting: blocks run one after another, "
                   "so what it spins on never changes",
                   SPIN_ACCESSES);
    }
    const region_t *region = region_of(p);
    if (region != NULL) {
        check(region, p, n, kind, (unsigned)sim_now.thread, pc);
    } else if ((p < __ehdr_start || p >= _end) && !sim_is_pinned(p)) {
        sim_report(pc, "kernel touches host memory at %p", address);
    }
}

void sim_touch(const void *p, size_t n, int kind, const char *what) {
    if (n == 0 || !sim_is_device(p)) {
        return;
    }
    const sim_block_t *block = sim_block_at(p);
    const char *first = p;
    if (block == NULL || block->freed || first < block->base ||
        first + n > block->base + block->size) {
        char text[200];
        bool too_long = block != NULL && !block->freed && first >= block->base;
        sim_describe(too_long ? first + n : first, text, sizeof text);
        sim_report(NULL, "%s: out of bounds: %zu bytes up to %s", what, n, text);
    }
    if (checking) {
        check(&arena, p, n, kind, WHOLE, NULL);
    }
}

/* --- what -fsanitize=thread calls: .cu files are compiled with it, nothing links libtsan ---- */

#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* the names are the compiler's */
#define ACCESSES(n)                                                                                \
    void __tsan_read##n(void *p) { sim_access(p, n, SIM_READ, SIM_PC); }                           \
    void __tsan_write##n(void *p) { sim_access(p, n, SIM_WRITE, SIM_PC); }                         \
    void __tsan_unaligned_read##n(void *p) { sim_access(p, n, SIM_READ, SIM_PC); }                 \
    void __tsan_unaligned_write##n(void *p) { sim_access(p, n, SIM_WRITE, SIM_PC); }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
void __tsan_volatile_read4(void *p) { sim_access(p, 4, SIM_READ, SIM_PC); }
void __tsan_volatile_write4(void *p) { sim_access(p, 4, SIM_WRITE, SIM_PC); }
void __tsan_read_range(void *p, long n) { sim_access(p, (size_t)n, SIM_READ, SIM_PC); }
void __tsan_write_range(void *p, long n) { sim_access(p, (size_t)n, SIM_WRITE, SIM_PC); }
void __tsan_init(void) {}
void __tsan_func_entry(void *pc) { (void)pc; }
void __tsan_func_exit(void *pc) { (void)pc; }
void __tsan_vptr_update(void *p, void *value) { (void)p, (void)value; }
