#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/device.h"

static status_t cpu_alloc(size_t bytes, const char *what, void **memory_out) {
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

static void cpu_release(void *memory) { free(memory); }

static void cpu_copy(void *to, const void *from, size_t bytes) {
    if (bytes > 0) {
        memcpy(to, from, bytes);
    }
}

static void cpu_fill_zero(void *memory, size_t bytes) {
    if (bytes > 0) {
        memset(memory, 0, bytes);
    }
}

static void cpu_synchronize(void) {}

static const device_t device_cpu = {
    .name = "cpu",
    .alloc = cpu_alloc,
    .release = cpu_release,
    .copy_in = cpu_copy,
    .copy_out = cpu_copy,
    .fill_zero = cpu_fill_zero,
    .synchronize = cpu_synchronize,
};

status_t device_for(const char *name, const device_t **device_out) {
    if (strcmp(name, "cpu") == 0 || strcmp(name, "auto") == 0) {
        *device_out = &device_cpu;
        return STATUS_OK;
    }
    if (strcmp(name, "cuda") == 0) {
        return status_fail(STATUS_UNAVAILABLE, "device cuda is not in this build; use device: cpu");
    }
    return status_fail(STATUS_INPUT, "unknown device \"%s\"; use auto, cpu or cuda", name);
}
