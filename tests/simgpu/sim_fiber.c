/* Switching stacks, with what AddressSanitizer wants to be told. */
#include <stdlib.h>
#include <sys/mman.h>

#include "sim_fiber.h"
#include "simgpu.h"
#if defined(SIM_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK_BYTES = 256 << 10, PAGE_BYTES = 4096 };

struct sim_fiber {
    void *sp;
    char *stack; /* NULL: of the host */
    void *fake;  /* AddressSanitizer's */
    void (*entry)(void);
    sim_fiber_t *next_free;
};

static sim_fiber_t host, *running = &host, *free_fibers;

/* Saves the registers that a call must keep and the stack pointer, and goes on with another's. */
void sim_switch(void **save, void *load);
#if defined(__x86_64__)
__asm__(".text\n.globl sim_switch\n.type sim_switch,@function\nsim_switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size sim_switch,.-sim_switch\n");
enum { SAVED_WORDS = 6 };
#else
#error "GPU=sim: sim_switch is written for x86-64 only; build with -DGPU=off"
#endif

#if defined(SIM_ASAN)
static const void *host_stack; /* learnt by the first fiber, which comes from there */
static size_t host_stack_bytes;
#endif

static void begin(void) {
#if defined(SIM_ASAN)
    const void *from;
    size_t size;
    __sanitizer_finish_switch_fiber(NULL, &from, &size);
    if (host_stack == NULL) {
        host_stack = from;
        host_stack_bytes = size;
    }
#endif
    running->entry();
}

sim_fiber_t *sim_fiber_self(void) { return running; }

sim_fiber_t *sim_fiber_fresh(void (*entry)(void)) {
    sim_fiber_t *fiber = free_fibers;
    if (fiber != NULL) {
        free_fibers = fiber->next_free;
        return fiber;
    }
    fiber = calloc(1, sizeof *fiber);
    char *p = mmap(NULL, STACK_BYTES + PAGE_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fiber == NULL || p == MAP_FAILED) {
        sim_report(NULL, "no memory for the stack of a thread");
    }
    mprotect(p, PAGE_BYTES, PROT_NONE); /* where it would overflow */
    fiber->stack = p + PAGE_BYTES;
    fiber->entry = entry;
    void **sp = (void **)(void *)(fiber->stack + STACK_BYTES) - 1; /* as after a call */
    *--sp = (void *)(uintptr_t)begin;
    fiber->sp = sp - SAVED_WORDS;
    return fiber;
}

void sim_fiber_go(sim_fiber_t *to) {
    sim_fiber_t *from = running;
    if (to == from) {
        return;
    }
    running = to;
    sim_now.stack = to->stack;
    sim_now.stack_size = STACK_BYTES;
#if defined(SIM_ASAN)
    __sanitizer_start_switch_fiber(&from->fake, to->stack != NULL ? to->stack : host_stack,
                                   to->stack != NULL ? STACK_BYTES : host_stack_bytes);
    sim_switch(&from->sp, to->sp);
    const void *old;
    size_t size;
    __sanitizer_finish_switch_fiber(from->fake, &old, &size);
#else
    sim_switch(&from->sp, to->sp);
#endif
}

void sim_fiber_leave(sim_fiber_t *to) {
    running->next_free = free_fibers;
    free_fibers = running;
    sim_fiber_go(to != NULL ? to : &host);
}
