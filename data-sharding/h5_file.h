/* h5_file.h - the only HDF5 code: whole arrays, texts, and where an array lies in the file. */
#ifndef JMT_H5_FILE_H
#define JMT_H5_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct h5_file h5_file_t;
typedef enum { ARRAY_FLOAT32, ARRAY_BYTE, ARRAY_SPAN } array_type_t; /* SPAN: shard_span_t */

status_t h5_create(const char *path, h5_file_t **file_out) MUST_CHECK;
/* Arrays of at least `least` bytes begin at multiples of `at`. */
status_t h5_create_aligned(const char *path, int64_t least, int64_t at,
                           h5_file_t **file_out) MUST_CHECK;
status_t h5_open(const char *path, h5_file_t **file_out) MUST_CHECK; /* to read */

/* After writing: a full disk may show only here. NULL is fine. */
status_t h5_close(h5_file_t *file) MUST_CHECK;

status_t h5_put_group(h5_file_t *file, const char *name) MUST_CHECK;
/* Attributes of a group; "/" is the file's own. A shape is three numbers. */
status_t h5_put_text(h5_file_t *file, const char *group, const char *name,
                     const char *text) MUST_CHECK;
status_t h5_put_integer(h5_file_t *file, const char *name, int64_t value) MUST_CHECK; /* of "/" */
status_t h5_put_shape(h5_file_t *file, const char *group, const char *name,
                      const int64_t shape[3]) MUST_CHECK;
status_t h5_put_strings(h5_file_t *file, const char *name, char *const *texts,
                        int64_t count) MUST_CHECK;
/* columns 0: one-dimensional. data NULL: has its place in the file, to be written later. */
status_t h5_put_array(h5_file_t *file, const char *name, array_type_t type, int64_t rows,
                      int64_t columns, const void *data) MUST_CHECK;

/* What is read is allocated; the caller frees. */
bool h5_has_attribute(h5_file_t *file, const char *group, const char *name);
status_t h5_get_text(h5_file_t *file, const char *group, const char *name,
                     char **text_out) MUST_CHECK;
status_t h5_get_shape(h5_file_t *file, const char *group, const char *name,
                      int64_t shape_out[3]) MUST_CHECK;
status_t h5_get_strings(h5_file_t *file, const char *name, char ***texts_out,
                        int64_t *count_out) MUST_CHECK;
status_t h5_get_spans(h5_file_t *file, const char *name, int64_t rows, void **data_out) MUST_CHECK;
status_t h5_list(h5_file_t *file, const char *group, char ***names_out,
                 int64_t *count_out) MUST_CHECK;

/* Shape and place of a contiguous array: offset -1 where it has no bytes. */
typedef struct h5_extent {
    int64_t rows, columns, offset;
} h5_extent_t;
status_t h5_get_extent(h5_file_t *file, const char *name, array_type_t type,
                       h5_extent_t *extent_out) MUST_CHECK;

/* Floats or integers of any file, as float32, in up to rank_max (2 or 3) dimensions; those that the
 * array lacks are 1. The caller frees. */
status_t h5_read_numbers(const char *path, const char *name, int rank_max, float **values_out,
                         int64_t dims_out[3]) MUST_CHECK;

/* The name of the only thing at the top of any file. The caller frees. */
status_t h5_only_name(const char *path, char **name_out) MUST_CHECK;

void h5_strings_free(char **texts, int64_t count);

#endif
