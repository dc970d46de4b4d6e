/* matrix_file.h - a table of numbers from CSV, numpy, HDF5, PyTorch or a pickle. */
#ifndef JMT_MATRIX_FILE_H
#define JMT_MATRIX_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct matrix {
    int64_t rows, columns;   /* rows 0: a table that names its columns and holds nothing */
    float *values;           /* [rows, columns] */
    uint8_t *valid;          /* [rows]: 0 where a number is missing or not finite */
    double rate_hz, start_s; /* by the column of times; 0: there is none */
} matrix_t;

/* What a CSV file does not tell by itself. */
typedef struct matrix_rules {
    int header;          /* first row 0,1,...,n-1 or part words: 1 names, 0 numbers, -1 refused */
    int64_t first_frame; /* of the recording, as the column "frame" counts */
    bool timed;          /* a .csv whose first column has the time of each row */
    double rate_hz;      /* that the manifest gives; 0: none */
} matrix_rules_t;

/* .csv: numbers, with or without a header (matrix_csv.h). .npy: bool, float16, float32, float64 or
 * integers in either byte order, one or two dimensions. .npz: the .npy member of that name, "" the
 * only one. .h5, .hdf5: the dataset of that name. .pt, .pth, .pkl, .pickle: an array or tensor of
 * one or two dimensions, at the path of keys and indexes "train/vision/3"; a dict of one thing may
 * be left out at its end. Nothing in them is run (pickle.h). .arff: matrix_arff.h; .csd:
 * matrix_csd.h. */
status_t matrix_read(const char *path, const char *dataset, const matrix_rules_t *rules,
                     matrix_t *matrix_out) MUST_CHECK;
void matrix_free(matrix_t *matrix);

/* All zero and not valid; sizes that cannot be are refused, naming the file. */
status_t matrix_make(const char *path, int64_t rows, int64_t columns,
                     matrix_t *matrix_out) MUST_CHECK;
void matrix_mark_finite(matrix_t *matrix); /* valid: rows whose numbers all are finite */

#endif
