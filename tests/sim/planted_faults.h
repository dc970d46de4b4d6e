/* planted_faults.h - kernels with one fault each, for the tests of the simulated GPU. n: threads,
 * where nothing else is said. */
#ifndef JMT_TEST_PLANTED_FAULTS_H
#define JMT_TEST_PLANTED_FAULTS_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

void bad_missing_barrier(cudaStream_t stream, float *out, const float *in, int n);
void bad_divergent(cudaStream_t stream, float *out, int n);
void bad_divergent_shuffle(cudaStream_t stream, float *out, int n);
void bad_global_index(cudaStream_t stream, float *out, int n);
void bad_shared_index(cudaStream_t stream, float *out, int n); /* writes a[n] of 32 */
void bad_dynamic_shared(cudaStream_t stream, float *out, int n);
void bad_block_race(cudaStream_t stream, float *out, int blocks);
void bad_copy(cudaStream_t stream, float *out, const float *in, int n); /* right; in may be not */
void bad_overflow(cudaStream_t stream, int *out, int x);                /* out = x * x */
void bad_spin(cudaStream_t stream, float *out, unsigned *flag);         /* nobody sets it */

/* 20 blocks count and add up; the last one needs the others' fence. */
void last_block_sum(cudaStream_t stream, float *out, float *part, unsigned *count, int fence);

/* out = in by way of shared memory and asynchronous copies. */
typedef enum async_fault { ASYNC_RIGHT, NO_WAIT, NO_BARRIER, NOT_COMMITTED, NEVER_WAITED } async_t;
void async_copy(cudaStream_t stream, float *out, const float *in, async_t fault); /* 64 floats */

#ifdef __cplusplus
}
#endif

#endif
