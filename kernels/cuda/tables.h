/* tables.h - the tables of this backend. */
#ifndef JMT_KERNELS_CUDA_TABLES_H
#define JMT_KERNELS_CUDA_TABLES_H

#include "kernels/kernels.h"

extern const kernels_t kernels_cuda_f32, kernels_cuda_bf16;

#endif
