/* Device memory: one range of addresses that are never used twice, with guard bytes around every
 * block, closed to host code; and pinned host memory. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "simgpu.h"

enum { PAGE = 4096, GUARD = 256, KINDS = 12 };
enum { POISON = 0xFF }; /* NaN in every floating format, -1 in every integer */
static const size_t ARENA_BYTES = (size_t)16 << 30;

typedef struct list {
    sim_block_t *blocks;
    size_t count;
} list_t;

static char *arena;
static size_t used;
static bool is_open;
static list_t device_blocks, pinned_blocks; /* device's in the order of their addresses */
static struct {
    const char *kind;
    int count;
    const void *pc; /* of the latest one made */
} live[KINDS];

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    (void)context;
    char what[200];
    sim_describe(info->si_addr, what, sizeof what);
    if (sim_is_device(info->si_addr) && !is_open) {
        sim_report(NULL, "host code touches device memory: %s", what);
    }
    if (sim_now.thread >= 0) {
        sim_report(NULL, "wild access to %s", what);
    }
    signal(signal_number, SIG_DFL);
}

static void report_leaks(int status, void *unused) {
    (void)unused;
    for (int i = 0; i < KINDS && status == 0 && sim_setting("SIMGPU_LEAKS", 1) != 0; i++) {
        if (live[i].count > 0) {
            sim_report(live[i].pc, "leak: the program ends with %d of: %s", live[i].count,
                       live[i].kind);
        }
    }
}

__attribute__((constructor)) static void memory_init(void) {
    arena = mmap(NULL, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED) {
        perror("simgpu: no address space for device memory");
        abort();
    }
    sim_shadow_init(arena, ARENA_BYTES);
    static char stack[16384];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    on_exit(report_leaks, NULL);
}

void sim_count_live(int change, const char *kind, const void *pc) {
    int i = 0;
    while (live[i].kind != NULL && strcmp(live[i].kind, kind) != 0) {
        i++;
    }
    live[i].kind = kind;
    live[i].count += change;
    live[i].pc = change > 0 ? pc : live[i].pc;
}

/* --- finding out ---------------------------------------------------------------------------- */

bool sim_is_device(const void *p) { return (size_t)((const char *)p - arena) < ARENA_BYTES; }

size_t sim_memory_offset(const void *p) { return (size_t)((const char *)p - arena); }

static sim_block_t *pinned_at(const void *p) {
    for (size_t i = pinned_blocks.count; i-- > 0;) {
        sim_block_t *block = &pinned_blocks.blocks[i];
        if (!block->freed && (size_t)((const char *)p - block->base) < block->size) {
            return block;
        }
    }
    return NULL;
}

bool sim_is_pinned(const void *p) { return pinned_at(p) != NULL; }

/* The block of device memory at p, or whose guard bytes p is in; NULL: none. */
const sim_block_t *sim_block_at(const void *p) {
    size_t low = 0, high = device_blocks.count;
    while (low < high) { /* the first one that does not end before p */
        size_t middle = (low + high) / 2;
        const sim_block_t *block = &device_blocks.blocks[middle];
        if (block->base + block->size + GUARD <= (const char *)p) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == device_blocks.count || (const char *)p < device_blocks.blocks[low].base - GUARD) {
        return NULL;
    }
    return &device_blocks.blocks[low];
}

void sim_describe(const void *p, char *out, size_t size) {
    const sim_block_t *block = sim_is_device(p) ? sim_block_at(p) : NULL;
    if (block == NULL) {
        snprintf(out, size, "%p, which is no device memory", p);
        return;
    }
    const char *at = p, *place = "byte", *of = block->freed ? "a freed block" : "a block";
    ptrdiff_t bytes = at - block->base;
    if (at < block->base) {
        bytes = -bytes;
        place = "before";
    } else if (at >= block->base + block->size) {
        bytes -= (ptrdiff_t)block->size;
        place = "after";
    }
    if (*place == 'b' && place[1] == 'y') {
        snprintf(out, size, "%p, byte %td of %s of %zu bytes", p, bytes, of, block->size);
    } else {
        snprintf(out, size, "%p, %td bytes %s %s of %zu bytes", p, bytes, place, of, block->size);
    }
}

/* --- opening, guards ------------------------------------------------------------------------ */

void sim_memory_open(bool open) {
    if (open != is_open && used > 0) {
        mprotect(arena, used, open ? PROT_READ | PROT_WRITE : PROT_NONE);
    }
    is_open = open;
}

void sim_poison(void *p, size_t n) { memset(p, POISON, n); }

static bool guards_stand(const sim_block_t *block) {
    for (size_t i = 0; i < GUARD; i++) {
        if (block->base[-1 - (ptrdiff_t)i] != (char)POISON ||
            block->base[block->size + i] != (char)POISON) {
            return false;
        }
    }
    return true;
}

/* With checks nothing writes there without a report. */
void sim_memory_guards(void) {
    bool was_open = is_open;
    if (sim_checking()) {
        return;
    }
    sim_memory_open(true);
    for (size_t i = 0; i < device_blocks.count; i++) {
        const sim_block_t *block = &device_blocks.blocks[i];
        if (!block->freed && !guards_stand(block)) {
            sim_report(block->pc, "bytes around %p (%zu bytes) were overwritten",
                       (void *)block->base, block->size);
        }
    }
    sim_memory_open(was_open);
}

/* --- blocks --------------------------------------------------------------------------------- */

static void append(list_t *list, sim_block_t block) {
    if ((list->count & (list->count - 1)) == 0) { /* as a power of two it was full */
        size_t capacity = list->count > 0 ? 2 * list->count : 1;
        list->blocks = realloc(list->blocks, capacity * sizeof block);
        if (list->blocks == NULL) {
            sim_report(NULL, "no memory for the list of blocks");
        }
    }
    list->blocks[list->count++] = block;
}

/* What SIMGPU_MEMORY leaves: a request for more is refused, as a real GPU does it. */
static size_t live_bytes;

static bool is_too_much(size_t size) {
    return live_bytes + size > (size_t)sim_setting("SIMGPU_MEMORY", ARENA_BYTES);
}

static char *take_device(size_t size, const void *pc) {
    sim_main_thread();
    bool was_open = is_open;
    size_t at = used + GUARD;
    sim_memory_open(false);
    used = (at + size + GUARD + PAGE - 1) / PAGE * PAGE;
    if (used > ARENA_BYTES) {
        sim_report(pc, "more than %zu bytes of device memory were allocated", ARENA_BYTES);
    }
    char *p = arena + at;
    sim_memory_open(true);
    sim_poison(p - GUARD, size + 2 * (size_t)GUARD);
    sim_memory_open(was_open);
    append(&device_blocks, (sim_block_t){p, size, false, false, true, pc});
    sim_count_live(1, "device memory", pc);
    live_bytes += size;
    return p;
}

static sim_block_t *device_block(void *p, const char *call, const void *pc) {
    sim_block_t *block = (sim_block_t *)(uintptr_t)(sim_is_device(p) ? sim_block_at(p) : NULL);
    if (block == NULL || block->base != p) {
        sim_report(pc, "%s of %p, which was never allocated", call, p);
    }
    if (block->freed) {
        sim_report(pc, "double free of %p", p);
    }
    return block;
}

/* The pages of a freed block go: opening and closing the memory takes time by the page. With checks
 * nobody reads them unseen. */
static void give_device(sim_block_t *block) {
    sim_memory_guards();
    block->freed = true;
    char *begin = arena + (size_t)(block->base - arena) / PAGE * PAGE;
    size_t bytes = (size_t)(block->base - begin) + block->size + GUARD;
    madvise(begin, (bytes + PAGE - 1) / PAGE * PAGE, MADV_DONTNEED);
    sim_shadow_forbid(block->base, block->size);
    sim_count_live(-1, "device memory", NULL);
    live_bytes -= block->size;
}

cudaError_t cudaMalloc(void **p_out, size_t size) {
    sim_host_waits("cudaMalloc", SIM_PC);
    if (is_too_much(size)) {
        return sim_error_stays(cudaErrorMemoryAllocation);
    }
    if (size == 0) {
        *p_out = NULL;
        return cudaSuccess;
    }
    *p_out = take_device(size, SIM_PC);
    sim_shadow_fresh(*p_out, size);
    return cudaSuccess;
}

cudaError_t cudaFree(void *p) {
    sim_host_waits("cudaFree", SIM_PC);
    cudaError_t error = sim_drain(); /* the real one waits for the device too */
    if (error == cudaSuccess && p != NULL) {
        give_device(device_block(p, "cudaFree", SIM_PC));
    }
    return error;
}

/* --- in the order of a stream --------------------------------------------------------------- */

typedef struct memory_op {
    sim_op_t op;
    sim_block_t block;
} memory_op_t;

static bool run_allocate(sim_op_t *op) {
    const sim_block_t *block = &((memory_op_t *)op)->block;
    sim_shadow_fresh_ordered(block->base, block->size);
    return true;
}

static bool run_free(sim_op_t *op) {
    const sim_block_t *block = &((memory_op_t *)op)->block;
    sim_touch(block->base, block->size, SIM_WRITE, op->name); /* after all who use it */
    give_device(device_block(block->base, op->name, block->pc));
    return true;
}

cudaError_t cudaMallocAsync(void **p_out, size_t size, cudaStream_t stream) {
    *p_out = take_device(size, SIM_PC);
    sim_shadow_forbid(*p_out, size);
    memory_op_t *op = sim_op_new(sizeof *op, "cudaMallocAsync", run_allocate, NULL);
    op->block = *sim_block_at(*p_out);
    return sim_enqueue(stream, op);
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t stream) {
    memory_op_t *op = sim_op_new(sizeof *op, "cudaFreeAsync", run_free, NULL);
    op->block = *device_block(p, "cudaFreeAsync", SIM_PC);
    op->block.pc = SIM_PC;
    return sim_enqueue(stream, op);
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool_out, int device) {
    static int pool;
    *pool_out = (cudaMemPool_t)(void *)&pool;
    return device < 0 ? cudaErrorInvalidDevice : cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr name, void *value) {
    (void)pool, (void)name, (void)value; /* addresses are never used twice: nothing to tune */
    return cudaSuccess;
}

/* --- pinned host memory --------------------------------------------------------------------- */

cudaError_t cudaHostAlloc(void **p_out, size_t size, unsigned flags) {
    (void)flags;
    sim_host_waits("cudaHostAlloc", SIM_PC);
    *p_out = malloc(size);
    if (*p_out == NULL) {
        return cudaErrorMemoryAllocation;
    }
    sim_poison(*p_out, size);
    append(&pinned_blocks, (sim_block_t){*p_out, size, false, true, true, SIM_PC});
    sim_count_live(1, "pinned memory", SIM_PC);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **p_out, size_t size) { return cudaHostAlloc(p_out, size, 0); }

cudaError_t cudaHostRegister(void *p, size_t size, unsigned flags) {
    (void)flags;
    if (sim_is_pinned(p) || sim_is_pinned((char *)p + size - 1)) {
        return cudaErrorHostMemoryAlreadyRegistered;
    }
    append(&pinned_blocks, (sim_block_t){p, size, false, true, false, SIM_PC});
    sim_count_live(1, "registered memory", SIM_PC);
    return cudaSuccess;
}

static cudaError_t give_pinned(void *p, bool owned, const char *call, const void *pc) {
    sim_block_t *block = pinned_at(p);
    if (block == NULL || block->base != p || block->owned != owned) {
        sim_report(pc, "%s of %p, which is no such memory, or no more", call, p);
    }
    block->freed = true;
    sim_count_live(-1, owned ? "pinned memory" : "registered memory", NULL);
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p) {
    sim_host_waits("cudaFreeHost", SIM_PC);
    if (p != NULL) { /* before what is under way, which may no longer use it */
        (void)give_pinned(p, true, "cudaFreeHost", SIM_PC);
    }
    cudaError_t error = sim_drain();
    free(p);
    return error;
}

cudaError_t cudaHostUnregister(void *p) {
    cudaError_t error = sim_drain();
    return error != cudaSuccess ? error : give_pinned(p, false, "cudaHostUnregister", SIM_PC);
}

cudaError_t cudaHostGetDevicePointer(void **p_out, void *host, unsigned flags) {
    (void)flags;
    *p_out = host;
    return sim_is_pinned(host) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaMemGetInfo(size_t *free_out, size_t *total_out) {
    *total_out = ARENA_BYTES;
    *free_out = ARENA_BYTES - used;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *out, const void *p) {
    bool device = sim_is_device(p);
    memset(out, 0, sizeof *out);
    out->type = device             ? cudaMemoryTypeDevice
                : sim_is_pinned(p) ? cudaMemoryTypeHost
                                   : cudaMemoryTypeUnregistered;
    out->devicePointer = device || sim_is_pinned(p) ? (void *)(uintptr_t)p : NULL;
    out->hostPointer = device ? NULL : (void *)(uintptr_t)p;
    return cudaSuccess;
}
