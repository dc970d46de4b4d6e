/* Ranges for a profiler that is attached (nsys and its like), by NVTX, which is headers alone and
 * calls nothing where none is. */
#include "kernels/cuda/ranges.h"

#if __has_include(<nvtx3/nvToolsExt.h>)

#include <nvtx3/nvToolsExt.h>

bool cuda_range_begin(const device_t *device, const char *name) {
    (void)device;
    return nvtxRangePushA(name) != NVTX_NO_PUSH_POP_TRACKING;
}

void cuda_range_end(const device_t *device) {
    (void)device;
    (void)nvtxRangePop();
}

#else /* a toolkit without them */

bool cuda_range_begin(const device_t *device, const char *name) {
    (void)device, (void)name;
    return false;
}

void cuda_range_end(const device_t *device) { (void)device; }

#endif
