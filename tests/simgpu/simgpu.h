/* Inside the simulator: what its parts share.  C on the outside, no CUDA library needed. */
#pragma once
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/* ---- reports (report.c): print, then abort; SIMGPU_SEED picks the schedule ---- */
void sim_report(const void *pc, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint32_t sim_rand(uint32_t n); /* 0..n-1, from the seed */
unsigned sim_seed(void);

/* ---- streams (stream.c): a queue of operations; run() says whether it is over ---- */
enum { SIM_STREAMS = 32 };
typedef struct {
    uint32_t at[SIM_STREAMS];
} sim_clock;
typedef struct sim_op sim_op;
struct sim_op {
    bool (*run)(sim_op *);  /* false: blocked, try again later */
    void (*drop)(sim_op *); /* free what the operation owns; may be NULL */
    const char *name;
    cudaStream_t stream;
    uint32_t seq;   /* position in its stream, from 1 */
    sim_clock base; /* what the host knew to be over when it enqueued */
    uint64_t first_tick, last_tick;
    sim_op *next;
};
void *sim_op_new(size_t size, const char *name, bool (*run)(sim_op *), void (*drop)(sim_op *));
cudaError_t sim_enqueue(cudaStream_t stream, void *op);
bool sim_progress(void);                          /* run one operation, if one can run */
cudaError_t sim_drain(void);                      /* run everything that can run */
void sim_wait_external(const char *(*who)(void)); /* an op waits for another process */

/* ---- blocks of fibers (block.c) ---- */
typedef struct {
    const char *name;
    void (*call)(void *args);
    void *args;
    size_t args_size;
    dim3 grid, block;
    size_t smem;
} sim_kernel;
void sim_run_grid(const sim_kernel *k);
void sim_syncthreads(const char *file, int line);
int sim_syncthreads_count(int pred, const char *file, int line);
uint64_t sim_warp(unsigned mask, int kind, uint64_t value, int source, const char *file, int line);
void *sim_dynamic_shared(void);
void sim_threadfence(void);
void sim_where(char *out, size_t n); /* "kernel k block (1,0,0) thread (3,0,0)" */
enum { SIM_SYNC, SIM_SHUFFLE, SIM_BALLOT };

/* ---- memory and its shadow (memory.c) ---- */
enum { SIM_READ, SIM_WRITE, SIM_ATOMIC };
void sim_access(const void *p, size_t n, int kind, const void *pc);  /* one thread of a kernel */
void sim_touch(const void *p, size_t n, int kind, const char *what); /* one whole operation */
bool sim_is_device(const void *p);
size_t sim_memory_offset(const void *p); /* the same in every process that allocates alike */
bool sim_is_pinned(const void *p);
void sim_memory_open(bool open);       /* device memory is PROT_NONE while host code runs */
void sim_memory_guards(void);          /* are the bytes around every block as they were? */
void sim_shared_reset(size_t dynamic); /* a new block begins: its shared memory is garbage */

/* ---- the clock of accesses: block.c moves it, memory.c reads it ---- */
extern struct sim_now {
    uint64_t tick, op_tick, block_tick, sync_tick, fence_tick;
    bool acquired; /* this block did an atomic, so it sees what was fenced before */
    sim_op *op;
    const sim_clock *clock;
    bool touched; /* the running operation accessed device memory */
    int thread;   /* in its block; -1: not in a kernel */
    const uint64_t *warp_tick;
    const unsigned *warp_mask; /* per thread: last __syncwarp */
    const char *stack, *params;
    size_t stack_size, params_size;
} sim_now;
const sim_op *sim_op_at(uint64_t tick);

void sim_launch(const char *name, const void *kernel, void (*call)(void *), void (*drop)(void *),
                void *args, size_t args_size, dim3 grid, dim3 block, size_t smem,
                cudaStream_t stream);
#ifdef __cplusplus
}
#endif
