/* sample_cuda.h - what a .cu file includes: CUDA under nvcc, the simulator otherwise. */
#ifndef JMT_TEST_SAMPLE_CUDA_H
#define JMT_TEST_SAMPLE_CUDA_H

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#ifdef __CUDACC__
#include <cuda_pipeline.h>
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
    kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
#define DYNAMIC_SHARED(T, name)                                                                    \
    extern __shared__ __align__(16) unsigned char dynamic_shared_bytes[];                          \
    T *name = reinterpret_cast<T *>(dynamic_shared_bytes)
#else
#include <sim_device.h>
#endif

#endif
