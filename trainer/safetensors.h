/* safetensors.h - the safetensors file: u64 header length, JSON header, tensors (little-endian).
 * Reader and writer for F32, F64, U8, I64, I32, F16 and BF16. Hostile files end in STATUS_INPUT,
 * never in a crash. */
#ifndef JMT_SAFETENSORS_H
#define JMT_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/file.h"

typedef enum {
    TENSOR_F32,
    TENSOR_F64,
    TENSOR_U8,
    TENSOR_I64,
    TENSOR_I32,
    TENSOR_F16,
    TENSOR_BF16
} tensor_type_t;
enum { TENSOR_RANK_MAX = 8 };

typedef struct tensor {
    char *name;
    tensor_type_t type;
    int rank;
    int64_t dims[TENSOR_RANK_MAX];
    void *data;    /* row-major */
    bool borrowed; /* data is somebody else's, and outlives the set */
} tensor_t;

const char *tensor_type_name(tensor_type_t type); /* "F32" ... as in the file */
size_t tensor_type_bytes(tensor_type_t type);
int64_t tensor_count(const tensor_t *tensor);
size_t tensor_bytes(const tensor_t *tensor);
void tensor_floats(const tensor_t *tensor, float *out); /* its numbers, [tensor_count] */

typedef struct tensor_set {
    tensor_t *tensors;
    int count;
    char *metadata; /* __metadata__ as a JSON object, or NULL */
} tensor_set_t;

/* Appends a tensor with its own zeroed data and returns it; valid until the next call. */
tensor_t *tensor_set_add(tensor_set_t *set, const char *name, tensor_type_t type, int rank,
                         const int64_t *dims);
/* The same with data that is not copied. */
void tensor_set_borrow(tensor_set_t *set, const char *name, tensor_type_t type, int rank,
                       const int64_t *dims, const void *data);
void tensor_set_own(tensor_set_t *set); /* copies what is borrowed */
const tensor_t *tensor_set_find(const tensor_set_t *set, const char *name); /* NULL if absent */
void tensor_set_free(tensor_set_t *set);
void tensor_set_sort(tensor_set_t *set); /* by name, bytewise */

/* metadata values are strings. The file is written aside and renamed, synced. */
status_t safetensors_write(const char *path, const tensor_set_t *set) MUST_CHECK;
/* By file_write_new, which says what for. */
status_t safetensors_write_new(const char *path, const tensor_set_t *set,
                               char digest_out[SHA256_TEXT_BYTES]) MUST_CHECK;
status_t safetensors_read(const char *path, tensor_set_t *set_out) MUST_CHECK;
/* Those alone whose names begin with prefix; of the others not even the entry is looked at. */
status_t safetensors_read_some(const char *path, const char *prefix,
                               tensor_set_t *set_out) MUST_CHECK;

/* SHA-256 over a sorted set: name NUL dtype NUL dims(comma) NUL data; `jmt inspect --hash`. */
void tensor_set_hash(tensor_set_t *set, char text_out[65]);

#endif
