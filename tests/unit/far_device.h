/* far_device.h - a device "cuda" without a GPU: the cpu's tables on memory that the host must not
 * touch. Whoever links it has it in the place of kernels/cuda. */
#ifndef JMT_FAR_DEVICE_H
#define JMT_FAR_DEVICE_H

#include "kernels/cuda.h"

/* Allocations that have not been released, over all open devices; pinned ones too. */
int far_allocations(void);

/* How often the host has waited for the device. */
int64_t far_waits(void);

/* What has been copied ahead. */
int64_t far_bytes_ahead(void);

/* What the device was told last. */
bool far_is_strict(void);

#endif
