/* device.h - where tensors live. Host memory today; the same calls on every device. */
#ifndef JMT_DEVICE_H
#define JMT_DEVICE_H

#include <stddef.h>

#include "kernels/base/status.h"

typedef struct device {
    const char *name; /* "cpu" */
    status_t (*alloc)(size_t bytes, const char *what,
                      void **memory_out); /* zeroed, 64-byte aligned */
    void (*release)(void *memory);
    void (*copy_in)(void *device, const void *host, size_t bytes);
    void (*copy_out)(void *host, const void *device, size_t bytes);
    void (*fill_zero)(void *device, size_t bytes);
    void (*synchronize)(void);
} device_t;

/* name: "auto" | "cpu" | "cuda". "cuda" in a build without it: STATUS_UNAVAILABLE. */
status_t device_for(const char *name, const device_t **device_out) MUST_CHECK;

#endif
