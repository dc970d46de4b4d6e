/* cuda.h - what kernels/cuda is to the rest: a device and its tables. A build without it has
 * cuda_none.c in its place, which says so. */
#ifndef JMT_KERNELS_CUDA_H
#define JMT_KERNELS_CUDA_H

#include "kernels/kernels.h"

/* As device_open and kernels_for. */
status_t cuda_device_open(int local_index, int local_count, const device_t **device_out) MUST_CHECK;
status_t cuda_kernels(dtype_t dtype, const kernels_t **kernels_out) MUST_CHECK;

const char *cuda_library_version(void); /* for the numerics fingerprint */

/* GPUs that this process sees; 0 and *why_out (static) where there are none. */
int cuda_device_count(const char **why_out);

#endif
