#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/cuda.h"
#include "kernels/device.h"

static void cpu_set_strict(const device_t *device, bool strict) { (void)device, (void)strict; }

static status_t cpu_alloc(const device_t *device, size_t bytes, const char *what,
                          void **memory_out) {
    (void)device;
    void *memory = NULL;
    int error = posix_memalign(&memory, 64, bytes > 0 ? bytes : 1);
    if (error != 0) {
        errno = error;
        return status_fail_errno(STATUS_FAILED, "cannot allocate %zu bytes of memory for %s", bytes,
                                 what);
    }
    memory_large_pages(memory, bytes);
    memset(memory, 0, bytes);
    *memory_out = memory;
    return STATUS_OK;
}

static void cpu_release(const device_t *device, void *memory) {
    (void)device;
    free(memory);
}

static void cpu_copy(const device_t *device, void *to, const void *from, size_t bytes) {
    (void)device;
    if (bytes > 0) {
        memcpy(to, from, bytes);
    }
}

static void cpu_fill_zero(const device_t *device, void *memory, size_t bytes) {
    (void)device;
    if (bytes > 0) {
        memset(memory, 0, bytes);
    }
}

static void cpu_synchronize(const device_t *device) { (void)device; }

static status_t cpu_check(const device_t *device) {
    (void)device;
    return STATUS_OK;
}

static const device_t device_cpu = {
    .name = "cpu",
    .kind = "cpu",
    .host = true,
    .set_strict = cpu_set_strict,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .alloc_pinned = cpu_alloc,
    .release_pinned = cpu_release,
    .copy_in = cpu_copy,
    .copy_out = cpu_copy,
    .copy = cpu_copy,
    .fill_zero = cpu_fill_zero,
    .synchronize = cpu_synchronize,
    .check = cpu_check,
    .close = cpu_synchronize,
};

status_t device_open(const char *name, int local_index, int local_count,
                     const device_t **device_out) {
    if (strcmp(name, "cpu") == 0 || strcmp(name, "auto") == 0) {
        *device_out = &device_cpu;
        return STATUS_OK;
    }
    if (strcmp(name, "cuda") == 0) {
        return cuda_device_open(local_index, local_count, device_out);
    }
    return status_fail(STATUS_INPUT, "unknown device \"%s\"; use auto, cpu or cuda", name);
}

void device_close(const device_t *device) {
    if (device != NULL) {
        device->close(device);
    }
}
