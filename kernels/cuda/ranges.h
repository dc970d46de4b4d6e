/* ranges.h - device_t's ranges. */
#ifndef JMT_KERNELS_CUDA_RANGES_H
#define JMT_KERNELS_CUDA_RANGES_H

#include "kernels/device.h"

bool cuda_range_begin(const device_t *device, const char *name);
void cuda_range_end(const device_t *device);

#endif
