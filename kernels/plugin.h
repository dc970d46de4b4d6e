/* plugin.h - kernels/cuda and comm/nccl as the program sees them: one shared object that is loaded
 * when a GPU is asked for, so that one program runs with and without NVIDIA's libraries.
 *
 * It has one symbol for the program, the table below, and takes what it needs of the program
 * (plugin.list) from the program. */
#ifndef JMT_KERNELS_PLUGIN_H
#define JMT_KERNELS_PLUGIN_H

#include "kernels/cuda.h"

#define PLUGIN_FILE   "jmt_cuda.so"
#define PLUGIN_SYMBOL "jmt_cuda_plugin"

typedef struct cuda_plugin {
    /* JMT_PLUGIN_ABI, a hash of the headers that both sides were compiled with; nothing else may be
     * looked at before it was found equal. */
    const char *abi;
    status_t (*device_open)(int local_index, int local_count, const device_t **device_out);
    status_t (*kernels)(dtype_t dtype, const kernels_t **kernels_out);
    const char *(*library_version)(void);
    int (*device_count)(const char **why_out);
    const struct reduce_way *reduce_way;
} cuda_plugin_t;

#endif
