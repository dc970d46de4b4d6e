/* What every .cu file includes.  nvcc sees CUDA; the host compiler sees the simulator. */
#pragma once
#include <cuda_runtime.h>
#include <cuda_bf16.h>
#ifdef __CUDACC__
#define LAUNCH(kernel, grid, block, smem, stream, ...)                                             \
    kernel<<<(grid), (block), (smem), (stream)>>>(__VA_ARGS__)
#define DYNAMIC_SHARED(T, name)                                                                    \
    extern __shared__ __align__(16) unsigned char dynamic_shared_bytes[];                          \
    T *name = reinterpret_cast<T *>(dynamic_shared_bytes)
#else
#include <sim_device.h>
#endif
