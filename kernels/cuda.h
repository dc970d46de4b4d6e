/* cuda.h - what kernels/cuda is to the rest: a device and its tables. In the program they are
 * cuda_plugin.c's, which load jmt_cuda.so: STATUS_UNAVAILABLE where that, or what it needs, is
 * missing. */
#ifndef JMT_KERNELS_CUDA_H
#define JMT_KERNELS_CUDA_H

#include "kernels/kernels.h"

bool cuda_is_built(void); /* loads nothing: whether there is a jmt_cuda.so */

/* As device_open and kernels_for. */
status_t cuda_device_open(int local_index, int local_count, const device_t **device_out) MUST_CHECK;
status_t cuda_kernels(dtype_t dtype, const kernels_t **kernels_out) MUST_CHECK;

const char *cuda_library_version(void); /* for the numerics fingerprint */

/* GPUs that this process sees; 0 and *why_out ("CAUSE; REMEDY", kept until the next failure) where
 * there are none. */
int cuda_device_count(const char **why_out);

/* How ranks with such devices reduce (comm/reduce_internal.h); NULL: they cannot. */
const struct reduce_way *cuda_reduce_way(void);

#endif
