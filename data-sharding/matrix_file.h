/* matrix_file.h - a table of numbers from CSV, .npy, .npz or HDF5, whatever made it. */
#ifndef JMT_MATRIX_FILE_H
#define JMT_MATRIX_FILE_H

#include <stdint.h>

#include "kernels/base/status.h"

typedef struct matrix {
    int64_t rows, columns;
    float *values;  /* [rows, columns] */
    uint8_t *valid; /* [rows]: 0 where a number is missing or not finite */
} matrix_t;

/* .csv: numbers, with or without a header; a first column called "frame" holds ascending indexes,
 * and frames that are left out are not valid. .npy: float16, float32, float64 or integers, one or
 * two dimensions. .npz: the .npy member of that name, "" the only one. .h5, .hdf5: the dataset of
 * that name. */
status_t matrix_read(const char *path, const char *dataset, matrix_t *matrix_out) MUST_CHECK;
void matrix_free(matrix_t *matrix);

#endif
