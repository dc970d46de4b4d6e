/* Kernels in streams, and what the runtime knows of each kernel. */
#include <string.h>

#include "simgpu.h"

enum { SHARED_BYTES = 48 << 10, SHARED_BYTES_MOST = 227 << 10, KERNELS = 512 };

typedef struct launch {
    sim_op_t op;
    sim_kernel_t kernel;
    void (*drop)(void *args);
} launch_t;

static struct {
    const void *kernel;
    size_t shared_bytes;
} opted_in[KERNELS]; /* to more than SHARED_BYTES */
static int opted_count;

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute name, int value) {
    if (name != cudaFuncAttributeMaxDynamicSharedMemorySize) {
        return cudaSuccess;
    }
    if (value < 0 || value > SHARED_BYTES_MOST) {
        return cudaErrorInvalidValue;
    }
    int i = 0;
    while (i < opted_count && opted_in[i].kernel != kernel) {
        i++;
    }
    if (i == KERNELS) {
        sim_report(SIM_PC, "more than %d kernels with much shared memory", KERNELS);
    }
    opted_in[i].kernel = kernel;
    opted_in[i].shared_bytes = (size_t)value;
    opted_count += i == opted_count;
    return cudaSuccess;
}

/* A kernel is loaded when it is first launched, which takes memory, and is not for a capture. */
static void refuse_first(const char *name, const void *kernel, cudaStream_t stream,
                         const void *pc) {
    static const void *launched[KERNELS];
    static int count;
    for (int i = 0; i < count; i++) {
        if (launched[i] == kernel) {
            return;
        }
    }
    if (sim_capture_of(sim_stream_of(stream)) != NULL) {
        sim_report(pc, "%s is launched for the first time, and in a capture", name);
    }
    if (count == KERNELS) {
        sim_report(pc, "more than %d kernels", KERNELS);
    }
    launched[count++] = kernel;
}

static size_t allowed_bytes(const void *kernel) {
    for (int i = 0; i < opted_count; i++) {
        if (opted_in[i].kernel == kernel) {
            return opted_in[i].shared_bytes > SHARED_BYTES ? opted_in[i].shared_bytes
                                                           : SHARED_BYTES;
        }
    }
    return SHARED_BYTES;
}

static bool shape_is_valid(dim3 grid, dim3 block) {
    return grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7FFFFFFF && grid.y <= 65535 &&
           grid.z <= 65535 && block.x > 0 && block.y > 0 && block.z > 0 && block.x <= 1024 &&
           block.y <= 1024 && block.z <= 64 && block.x * block.y * block.z <= 1024;
}

static bool run_launch(sim_op_t *op) {
    sim_run_grid(&((launch_t *)op)->kernel);
    return true;
}

static void drop_launch(sim_op_t *op) {
    launch_t *launch = (launch_t *)op;
    launch->drop(launch->kernel.args);
}

void sim_launch(const char *name, const void *kernel, void (*call)(void *), void (*drop)(void *),
                void *args, size_t args_size, dim3 grid, dim3 block, size_t shared_bytes,
                cudaStream_t stream) {
    size_t allowed = allowed_bytes(kernel);
    if (!shape_is_valid(grid, block) || shared_bytes > allowed) {
        sim_report(SIM_PC,
                   "invalid launch of %s: grid (%u,%u,%u) block (%u,%u,%u) shared %zu (allowed "
                   "%zu)",
                   name, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared_bytes, allowed);
    }
    refuse_first(name, kernel, stream, SIM_PC);
    launch_t *launch = sim_op_new(sizeof *launch, name, run_launch, drop_launch);
    launch->kernel = (sim_kernel_t){name, call, args, args_size, grid, block, shared_bytes};
    launch->drop = drop;
    sim_enqueue(stream, launch);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks_out, const void *kernel,
                                                          int block_size, size_t shared_bytes) {
    (void)kernel, (void)shared_bytes;
    *blocks_out = block_size > 0 && block_size <= 1024 ? 2048 / block_size : 0;
    return cudaSuccess;
}
