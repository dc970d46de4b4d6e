/* sim_calls.h - what compiled device code calls: sim_device.h puts CUDA's names in front of it.
 * file and line are the caller's and outlive the call. */
#ifndef JMT_SIM_CALLS_H
#define JMT_SIM_CALLS_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SIM_READ, SIM_WRITE, SIM_ATOMIC };
enum { SIM_SYNC, SIM_SHUFFLE, SIM_BALLOT };

/* Barriers of the block. count: for how many threads pred was not 0. */
void sim_syncthreads(const char *file, int line);
int sim_syncthreads_count(int pred, const char *file, int line);
void sim_threadfence(void);

/* The lanes in mask meet. SHUFFLE gives the value of lane `source`, BALLOT the lanes whose value is
 * odd; SYNC also orders memory among them. */
uint64_t sim_warp(unsigned mask, int kind, uint64_t value, int source, const char *file, int line);

void *sim_dynamic_shared(void);

/* One thread of a kernel reads or writes n bytes at p; pc: where. */
void sim_access(const void *p, size_t n, int kind, const void *pc);

/* cp.async: the bytes arrive at the wait; until then reading them is a fault. zero_bytes of the n
 * at the end are filled with zeros instead of read. */
void sim_copy_async(void *shared, const void *global, size_t n, size_t zero_bytes, const void *pc);
void sim_copy_commit(void);
void sim_copy_wait(unsigned prior, const void *pc); /* for all batches but the last `prior` */

/* Puts a launch into a stream. call(args) is one thread; drop(args) frees the arguments. */
void sim_launch(const char *name, const void *kernel, void (*call)(void *), void (*drop)(void *),
                void *args, size_t args_size, dim3 grid, dim3 block, size_t shared_bytes,
                cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
