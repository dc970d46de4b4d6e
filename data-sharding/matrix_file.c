#include "data-sharding/matrix_file.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/h5_file.h"
#include "data-sharding/matrix_arff.h"
#include "data-sharding/matrix_csd.h"
#include "data-sharding/matrix_csv.h"
#include "data-sharding/matrix_pickle.h"
#include "data-sharding/number.h"
#include "data-sharding/zip_file.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { ROWS_MAX = 1 << 28, COLUMNS_MAX = 1 << 20 };

void matrix_free(matrix_t *matrix) {
    free(matrix->values);
    free(matrix->valid);
    *matrix = (matrix_t){0};
}

status_t matrix_make(const char *path, int64_t rows, int64_t columns, matrix_t *matrix_out) {
    if (rows < 0 || columns < 1 || rows > ROWS_MAX || columns > COLUMNS_MAX ||
        rows * columns > INT64_C(1) << 30) {
        return status_fail(
            STATUS_INPUT,
            "%s: %lld rows of %lld numbers cannot be imported; from 1 to %d columns, "
            "and at most 2^30 numbers a file can",
            path, (long long)rows, (long long)columns, COLUMNS_MAX);
    }
    *matrix_out = (matrix_t){rows, columns, alloc_zero(max_i64(rows * columns, 1), sizeof(float)),
                             alloc_zero(max_i64(rows, 1), 1)};
    return STATUS_OK;
}

void matrix_mark_finite(matrix_t *m) {
    for (int64_t i = 0; i < m->rows; i++) {
        m->valid[i] = 1;
        for (int64_t d = 0; d < m->columns; d++) {
            m->valid[i] = m->valid[i] && isfinite(m->values[i * m->columns + d]);
        }
    }
}

typedef struct npy {
    number_type_t type;
    bool fortran;
    long long rows, columns;
} npy_t;

static status_t npy_refuse(const char *path, const char *why) {
    return status_fail(STATUS_INPUT,
                       "%s: %s; save one or two dimensions of real numbers by numpy.save, after "
                       ".astype(\"float32\") where they are of another type",
                       path, why);
}

/* The header is a Python dictionary, which numpy writes in one way. */
static bool parse_dictionary(const char *header, npy_t *npy) {
    const char *descr = strstr(header, "'descr': '"), *shape = strstr(header, "'shape': (");
    char order = 0, end = 0, type[3] = "";
    npy->fortran = strstr(header, "'fortran_order': True") != NULL;
    bool plain = npy->fortran != (strstr(header, "'fortran_order': False") != NULL) &&
                 descr != NULL && shape != NULL &&
                 sscanf(descr, "'descr': '%c%2[a-z0-9]'", &order, type) == 2 &&
                 strchr("<>|", order) != NULL && strlen(type) == 2;
    npy->type = (number_type_t){type[0], type[1] - '0', order == '>'};
    if (!plain || type[0] == 't' || !number_type_known(npy->type)) {
        return false;
    }
    npy->columns = 1;
    return (sscanf(shape, "'shape': (%9lld,%c", &npy->rows, &end) == 2 && end == ')') ||
           (sscanf(shape, "'shape': (%9lld, %9lld%c", &npy->rows, &npy->columns, &end) == 3 &&
            end == ')');
}

static status_t parse_npy(const char *path, const char *data, size_t bytes, matrix_t *m) {
    if (bytes < 12 || memcmp(data, "\x93NUMPY", 6) != 0 || data[6] < 1 || data[6] > 3) {
        return npy_refuse(path, "not an .npy file");
    }
    const unsigned char *u = (const unsigned char *)data;
    size_t begin = data[6] == 1 ? 10 : 12, length = u[8] + 256u * u[9];
    length += data[6] == 1 ? 0 : 65536u * u[10] + 16777216u * u[11];
    if (length > bytes - begin) {
        return npy_refuse(path, "cut off");
    }
    npy_t npy = {0};
    char *header = text_format("%.*s", (int)min_i64((int64_t)length, 1 << 16), data + begin);
    bool known = parse_dictionary(header, &npy);
    free(header);
    if (!known) {
        return npy_refuse(path, "unknown type, order or shape");
    }
    int64_t size = npy.type.bytes, there = (int64_t)(bytes - begin - length);
    if (npy.rows < 0 || npy.columns < 1 || npy.rows > ROWS_MAX || npy.columns > COLUMNS_MAX ||
        there != npy.rows * npy.columns * size) {
        return npy_refuse(path, "its length does not fit its shape");
    }
    TRY(matrix_make(path, npy.rows, npy.columns, m));
    int64_t row_step = npy.fortran ? 1 : m->columns, column_step = npy.fortran ? m->rows : 1;
    const char *numbers = data + begin + length;
    for (int64_t i = 0; i < m->rows * m->columns; i++) {
        int64_t at = i / m->columns * row_step + i % m->columns * column_step;
        m->values[i] = (float)number_read(numbers + at * size, npy.type);
    }
    matrix_mark_finite(m);
    return STATUS_OK;
}

static status_t read_npy(const char *path, matrix_t *m) {
    char *data;
    size_t bytes;
    TRY(file_read(path, &data, &bytes));
    status_t status = parse_npy(path, data, bytes, m);
    free(data);
    return status;
}

static status_t read_npz(const char *path, const char *member, matrix_t *m) {
    zip_t *zip = NULL;
    TRY(zip_open(path, &zip));
    const zip_member_t *found = NULL;
    char *data = NULL;
    status_t status = zip_find(zip, member, ".npy", &found);
    if (status == STATUS_OK) {
        status = zip_read(zip, found, &data);
    }
    if (status == STATUS_OK) {
        char *label = text_format("%s: %.*s", path, (int)found->name_bytes, found->name);
        status = parse_npy(label, data, (size_t)found->plain, m);
        free(label);
        free(data);
    }
    zip_close(zip);
    return status;
}

static status_t read_h5(const char *path, const char *dataset, matrix_t *m) {
    if (dataset[0] == '\0') {
        return status_fail(STATUS_INPUT, "%s: which dataset? name it in the column \"dataset\"",
                           path);
    }
    float *values = NULL;
    int64_t dims[3];
    TRY(h5_read_numbers(path, dataset, 2, &values, dims));
    status_t status = matrix_make(path, dims[0], dims[1], m);
    if (status == STATUS_OK) {
        memcpy(m->values, values, (size_t)(dims[0] * dims[1]) * sizeof(float));
        matrix_mark_finite(m);
    }
    free(values);
    return status;
}

typedef enum {
    KIND_UNKNOWN,
    KIND_CSV,
    KIND_NPY,
    KIND_NPZ,
    KIND_H5,
    KIND_TORCH,
    KIND_PICKLE,
    KIND_ARFF,
    KIND_CSD
} kind_t;

static kind_t kind_of(const char *path) {
    static const struct {
        const char *suffix;
        kind_t kind;
    } known[] = {{".csv", KIND_CSV},   {".npy", KIND_NPY},    {".npz", KIND_NPZ},
                 {".h5", KIND_H5},     {".hdf5", KIND_H5},    {".pt", KIND_TORCH},
                 {".pth", KIND_TORCH}, {".pkl", KIND_PICKLE}, {".pickle", KIND_PICKLE},
                 {".arff", KIND_ARFF}, {".csd", KIND_CSD}};
    const char *dot = strrchr(path, '.');
    for (int i = 0; i < ARRAY_LEN(known); i++) {
        if (dot != NULL && strcmp(dot, known[i].suffix) == 0) {
            return known[i].kind;
        }
    }
    return KIND_UNKNOWN;
}

static status_t read_kind(kind_t kind, const char *path, const char *dataset,
                          const matrix_rules_t *rules, matrix_t *m) {
    if ((kind == KIND_CSV || kind == KIND_NPY) && dataset[0] != '\0') {
        return status_fail(STATUS_INPUT, "%s: has no datasets; leave the column empty", path);
    }
    switch (kind) {
    case KIND_CSV:
        return matrix_csv_read(path, rules, m);
    case KIND_NPY:
        return read_npy(path, m);
    case KIND_NPZ:
        return read_npz(path, dataset, m);
    case KIND_H5:
        return read_h5(path, dataset, m);
    case KIND_TORCH:
        return matrix_read_torch(path, dataset, m);
    case KIND_PICKLE:
        return matrix_read_pickle(path, dataset, m);
    case KIND_ARFF:
        return matrix_read_arff(path, dataset, rules, m);
    case KIND_CSD:
        return matrix_read_csd(path, dataset, rules, m);
    case KIND_UNKNOWN:
        break;
    }
    return status_fail(STATUS_INPUT,
                       "%s: unknown kind of file; use .csv, .npy, .npz, .h5, .hdf5, .pt, .pth, "
                       ".pkl, .pickle, .arff or .csd",
                       path);
}

status_t matrix_read(const char *path, const char *dataset, const matrix_rules_t *rules,
                     matrix_t *matrix_out) {
    matrix_t m = {0};
    status_t status = read_kind(kind_of(path), path, dataset, rules, &m);
    if (status != STATUS_OK) {
        matrix_free(&m);
        return status;
    }
    *matrix_out = m;
    return STATUS_OK;
}
