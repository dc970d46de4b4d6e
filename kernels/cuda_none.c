#include "kernels/cuda.h"

status_t cuda_device_open(int local_index, int local_count, const device_t **device_out) {
    (void)local_index;
    (void)local_count;
    *device_out = NULL;
    return status_fail(STATUS_UNAVAILABLE, "device cuda is not in this build; use device: cpu");
}

status_t cuda_kernels(dtype_t dtype, const kernels_t **kernels_out) {
    (void)dtype;
    *kernels_out = NULL;
    return status_fail(STATUS_UNAVAILABLE, "backend cuda is not in this build; use backend: cpu");
}

const char *cuda_library_version(void) { return "none"; }

int cuda_device_count(const char **why_out) {
    *why_out = "not in this build";
    return 0;
}
