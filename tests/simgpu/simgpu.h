/* simgpu.h - what the parts of the simulator share; private to tests/simgpu.
 *
 * All of it runs on one OS thread. Work that the host gives to a stream becomes an operation
 * (sim_op_t); operations run while the host is inside a call, in an order drawn from SIMGPU_SEED
 * within the order of streams and events. A fault ends the process by sim_report(). */
#ifndef JMT_SIMGPU_H
#define JMT_SIMGPU_H

#include "sim_calls.h"

/* --- reports (sim_report.c) ----------------------------------------------------------------- */

/* Prints one line, where it happened and the source line of pc (NULL: unknown); exit code 66. */
_Noreturn void sim_report(const void *pc, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
unsigned sim_seed(void);
uint32_t sim_random(uint32_t n);                        /* 0 .. n-1, from the seed */
long sim_setting(const char *variable, long otherwise); /* of the environment */
bool sim_fails(const char *call);                       /* SIMGPU_FAILS: this call gives an error */
cudaError_t sim_error_stays(cudaError_t error);         /* until cudaGetLastError; returns it */
double sim_now_s(void);
#define SIM_PC __builtin_return_address(0)
/* What the host has called, for SIMGPU_CALLS. */
typedef enum sim_asked {
    SIM_ASKED_OPERATION,
    SIM_ASKED_GRAPH,
    SIM_ASKED_WAIT,
    SIM_ASKED
} sim_asked_t;
void sim_asked(sim_asked_t what);
void sim_brought(size_t bytes); /* from the host to the device */

/* --- operations and streams (sim_stream.c) -------------------------------------------------- */

enum { SIM_STREAMS = 32 }; /* 0: the legacy default stream, 1: cudaStreamPerThread */

/* What is over, by stream: its first at[stream] operations. */
typedef struct sim_clock {
    uint32_t at[SIM_STREAMS];
} sim_clock_t;

typedef struct sim_op sim_op_t;
struct sim_op {
    bool (*run)(sim_op_t *);   /* false: blocked, try again later */
    void (*drop)(sim_op_t *);  /* frees what it owns; NULL allowed */
    void (*again)(sim_op_t *); /* prepares the copy that a graph launches; NULL allowed */
    const char *name;
    size_t size;
    struct CUstream_st *stream;
    uint32_t seq;     /* position in its stream, from 1 */
    sim_clock_t base; /* what the host knew to be over when it enqueued */
    sim_op_t *next;
};
/* size: of the whole operation, whose first member is a sim_op_t; the rest is zeroed. */
void *sim_op_new(size_t size, const char *name, bool (*run)(sim_op_t *), void (*drop)(sim_op_t *));
cudaError_t sim_enqueue(cudaStream_t stream, void *op); /* takes op */
bool sim_progress(void);     /* runs what can run now; false: nothing could */
cudaError_t sim_drain(void); /* runs everything */
void sim_host_waits(const char *call, const void *pc); /* refused while a stream is captured */
void sim_wait_external(const char *(*who)(void));      /* an operation waits for another process */
void sim_main_thread(void);                            /* reports a call from a second thread */
int sim_stream_id(const struct CUstream_st *stream);
struct CUstream_st *sim_stream_of(cudaStream_t stream);
struct CUstream_st *sim_stream_take(bool blocking); /* NULL: none is left */
void sim_stream_give(struct CUstream_st *stream);

/* A point in a stream, and waiting for it (sim_event.c). */
typedef struct sim_record sim_record_t;
sim_record_t *sim_record_new(void); /* one reference */
void sim_record_hold(sim_record_t *record);
void sim_record_drop(sim_record_t *record); /* NULL allowed */
bool sim_record_is_done(const sim_record_t *record);
sim_op_t *sim_record_op(sim_record_t *record); /* these hold a reference */
sim_op_t *sim_wait_op(sim_record_t *record);
cudaError_t sim_drive(bool (*goal)(const void *), const void *context);
bool sim_step(void); /* runs one operation, if one can run */
void sim_clock_merge(sim_clock_t *into, const sim_clock_t *from);
void sim_host_knows(const sim_clock_t *clock);

/* Whether NCCL has yet to put into the stream what a communicator that does not block was asked for
 * last (sim_nccl.c). */
bool sim_nccl_adds(cudaStream_t stream);

/* Graphs (sim_graph.c). */
struct sim_capture; /* of a stream; NULL: it is not captured */
struct sim_capture *sim_capture_of(const struct CUstream_st *stream);
void sim_capture_set(struct CUstream_st *stream, struct sim_capture *capture);
bool sim_capturing(void);
bool sim_graph_launching(void);
void sim_graphs_drop(void); /* instances that were destroyed and are over */
void sim_capture_add(struct CUstream_st *stream, sim_op_t *op);
/* An event of a capture: its slot among those of the graph. */
int sim_capture_record(struct CUstream_st *stream);
void sim_capture_wait(struct CUstream_st *stream, struct sim_capture *capture, int slot);

/* --- kernels (sim_block.c) ------------------------------------------------------------------ */

typedef struct sim_kernel {
    const char *name;
    void (*call)(void *args);
    void *args;
    size_t args_size;
    dim3 grid, block;
    size_t shared_bytes;
} sim_kernel_t;
void sim_run_grid(const sim_kernel_t *kernel);
void sim_where(char *out, size_t size); /* "kernel k block (1,0,0) thread (3,0,0)" */
void sim_copies_reset(int threads);     /* a block begins (sim_copy_async.c) */
bool sim_copies_pending(int thread);

/* --- memory (sim_memory.c) ------------------------------------------------------------------ */

typedef struct sim_block {
    char *base;
    size_t size;
    bool freed, pinned, owned; /* owned: of ours, not registered */
    const void *pc;            /* of the allocation */
} sim_block_t;
bool sim_is_device(const void *p);
bool sim_is_pinned(const void *p);
size_t sim_memory_offset(const void *p); /* the same in every process that allocates alike */
const sim_block_t *sim_block_at(const void *p);
void sim_describe(const void *p, char *out, size_t size); /* "0x.., byte 3 of a block of 8 bytes" */
void sim_memory_open(bool open); /* device memory cannot be touched while host code runs */
void sim_memory_guards(void);    /* are the bytes around every block as they were? */
void sim_poison(void *p, size_t n);
void sim_count_live(int change, const char *kind, const void *pc); /* for the leak report */

/* --- who accessed what (sim_shadow.c) ------------------------------------------------------- */

bool sim_checking(void);
void sim_touch(const void *p, size_t n, int kind, const char *what); /* a whole operation */
/* Marks: no access is allowed; allocated, not written; the same by an operation, so that others
 * must be ordered after it. */
void sim_shadow_forbid(const void *p, size_t n);
void sim_shadow_fresh(const void *p, size_t n);
void sim_shadow_fresh_ordered(const void *p, size_t n);
void sim_shadow_pending(void *shared, size_t n, const void *pc); /* written by a copy under way */
void sim_shared_reset(size_t dynamic_bytes);                     /* a block begins */
void sim_shadow_init(char *arena, size_t size);
void sim_remember(const sim_op_t *op); /* it has run until the present tick */

/* The clock of accesses: sim_block.c and sim_stream.c move it, sim_shadow.c reads it. */
extern struct sim_now {
    uint64_t tick, op_tick, block_tick, sync_tick, fence_tick;
    bool acquired; /* this block did an atomic, so it sees what was fenced before */
    bool touched;  /* the running operation accessed device memory */
    sim_op_t *op;  /* running; NULL: host code */
    const sim_clock_t *clock;
    int thread;                /* in its block; -1: not in a kernel */
    uint64_t thread_accesses;  /* since it last waited */
    const uint64_t *warp_tick; /* per thread: of its last __syncwarp */
    const unsigned *warp_mask;
    const char *stack, *params;
    size_t stack_size, params_size;
} sim_now;

#endif
