/* The one symbol of jmt_cuda.so. */
#include "kernels/plugin.h"

extern const struct reduce_way reduce_nccl; /* comm/nccl */

extern const cuda_plugin_t jmt_cuda_plugin;
const cuda_plugin_t jmt_cuda_plugin = {
    .abi = JMT_PLUGIN_ABI,
    .device_open = cuda_device_open,
    .kernels = cuda_kernels,
    .library_version = cuda_library_version,
    .device_count = cuda_device_count,
    .reduce_way = &reduce_nccl,
};
