#include "data-sharding/npy.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

typedef struct npy_shape {
    size_t data_at, item_bytes;
    int64_t rows, columns;
} npy_shape_t;

static status_t refuse(const char *path, const char *why) {
    return status_fail(STATUS_INPUT,
                       "%s: %s; save it as a C-ordered 1- or 2-D float32 or float64 .npy", path,
                       why);
}

/* The text behind 'KEY': in the header's dictionary. */
static const char *value_of(const char *header, const char *key) {
    const char *at = strstr(header, key);
    if (at == NULL) {
        return NULL;
    }
    at += strlen(key);
    return at + strspn(at, " :");
}

static status_t parse_shape(const char *path, const char *header, npy_shape_t *shape) {
    const char *at = value_of(header, "'shape'");
    if (at == NULL || *at != '(') {
        return refuse(path, "its header has no shape");
    }
    int64_t dims[2] = {0, 1};
    int rank = 0;
    at++;
    while (*at != ')') {
        char *end;
        long long dim = strtoll(at, &end, 10);
        if (end == at || dim < 0 || dim > INT32_MAX || rank == 2) {
            return refuse(path, "its shape is not that of a 1- or 2-D array");
        }
        dims[rank++] = dim;
        at = end + strspn(end, ", ");
    }
    if (rank == 0) {
        return refuse(path, "it holds a single number");
    }
    shape->rows = dims[0];
    shape->columns = dims[1];
    return STATUS_OK;
}

static status_t parse_header(const char *path, const char *header, npy_shape_t *shape) {
    const char *type = value_of(header, "'descr'");
    const char *order = value_of(header, "'fortran_order'");
    if (type == NULL || order == NULL) {
        return refuse(path, "its header is incomplete");
    }
    if (strncmp(type, "'<f4'", 5) == 0) {
        shape->item_bytes = 4;
    } else if (strncmp(type, "'<f8'", 5) == 0) {
        shape->item_bytes = 8;
    } else {
        return refuse(path, "it holds no little-endian float32 or float64");
    }
    if (strncmp(order, "False", 5) != 0) {
        return refuse(path, "it is in Fortran order");
    }
    return parse_shape(path, header, shape);
}

static status_t parse(const char *path, const char *data, size_t bytes, npy_shape_t *shape) {
    const unsigned char *u = (const unsigned char *)data;
    if (bytes < 12 || memcmp(data, "\x93NUMPY", 6) != 0 || u[6] < 1 || u[6] > 3) {
        return refuse(path, "it is no .npy file");
    }
    size_t at = u[6] == 1 ? 10 : 12;
    size_t header_bytes = u[8] | (size_t)u[9] << 8;
    if (u[6] > 1) {
        header_bytes |= (size_t)u[10] << 16 | (size_t)u[11] << 24;
    }
    if (header_bytes > bytes - at) {
        return refuse(path, "it ends within its header");
    }
    char *header = text_format("%.*s", (int)min_i64((int64_t)header_bytes, 1 << 16), data + at);
    status_t status = parse_header(path, header, shape);
    free(header);
    TRY(status);
    shape->data_at = at + header_bytes;
    size_t items = (size_t)shape->rows * (size_t)shape->columns; /* below 2^62 */
    if (items > SIZE_MAX / 8 || bytes - shape->data_at != items * shape->item_bytes) {
        return refuse(path, "its length does not fit its shape");
    }
    return STATUS_OK;
}

status_t npy_read(const char *path, float **values_out, int64_t *rows_out, int64_t *columns_out) {
    char *data;
    size_t bytes;
    npy_shape_t shape = {0};
    TRY(file_read(path, &data, &bytes));
    status_t status = parse(path, data, bytes, &shape);
    if (status == STATUS_OK) {
        int64_t items = shape.rows * shape.columns;
        float *values = alloc_zero(max_i64(items, 1), sizeof(float));
        for (int64_t i = 0; i < items; i++) {
            const char *item = data + shape.data_at + (size_t)i * shape.item_bytes;
            double wide;
            if (shape.item_bytes == 4) {
                memcpy(&values[i], item, 4);
            } else {
                memcpy(&wide, item, 8);
                values[i] = (float)wide;
            }
        }
        *values_out = values;
        *rows_out = shape.rows;
        *columns_out = shape.columns;
    }
    free(data);
    return status;
}
