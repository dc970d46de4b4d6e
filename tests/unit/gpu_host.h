/* gpu_host.h - a GPU's table as tests of flat functions, losses and masks call the host's: with
 * memory of the host, which is copied there and back around each call. */
#ifndef JMT_TESTS_GPU_HOST_H
#define JMT_TESTS_GPU_HOST_H

#include "kernels/kernels.h"

/* Of a table of case_gpu(); static, one for each type. Operations stay the GPU's (op_case.h). */
const kernels_t *gpu_on_host(const kernels_t *kernels);

#endif
