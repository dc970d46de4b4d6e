/* npy.h - NumPy arrays of one or two dimensions, little-endian float32 or float64, C order. */
#ifndef JMT_NPY_H
#define JMT_NPY_H

#include <stdint.h>

#include "kernels/base/status.h"

/* One dimension reads as [rows, 1]. Values as float32; the caller frees them. */
status_t npy_read(const char *path, float **values_out, int64_t *rows_out,
                  int64_t *columns_out) MUST_CHECK;

#endif
