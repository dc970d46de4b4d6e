#include "trainer/safetensors.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data-sharding/number.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

static const struct {
    const char *name;
    size_t bytes;
    char kind; /* of number.h */
} types[] = {
    [TENSOR_F32] = {"F32", 4, 'f'},   [TENSOR_F64] = {"F64", 8, 'f'},
    [TENSOR_U8] = {"U8", 1, 'u'},     [TENSOR_I64] = {"I64", 8, 'i'},
    [TENSOR_I32] = {"I32", 4, 'i'},   [TENSOR_F16] = {"F16", 2, 'f'},
    [TENSOR_BF16] = {"BF16", 2, 't'},
};

const char *tensor_type_name(tensor_type_t type) { return types[type].name; }
size_t tensor_type_bytes(tensor_type_t type) { return types[type].bytes; }

int64_t tensor_count(const tensor_t *tensor) {
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++) {
        count *= tensor->dims[i];
    }
    return count;
}

size_t tensor_bytes(const tensor_t *tensor) {
    return (size_t)tensor_count(tensor) * types[tensor->type].bytes;
}

void tensor_floats(const tensor_t *tensor, float *out) {
    number_type_t type = {types[tensor->type].kind, (int)types[tensor->type].bytes, false};
    for (int64_t i = 0; i < tensor_count(tensor); i++) {
        out[i] = (float)number_read((const char *)tensor->data + i * type.bytes, type);
    }
}

static tensor_t *append(tensor_set_t *set, const char *name, tensor_type_t type, int rank,
                        const int64_t *dims) {
    REQUIRE(rank <= TENSOR_RANK_MAX);
    set->tensors = array_grow(set->tensors, set->count, sizeof *set->tensors);
    tensor_t *tensor = &set->tensors[set->count++];
    *tensor = (tensor_t){.name = text_copy(name), .type = type, .rank = rank};
    for (int i = 0; i < rank; i++) {
        tensor->dims[i] = dims[i];
    }
    return tensor;
}

tensor_t *tensor_set_add(tensor_set_t *set, const char *name, tensor_type_t type, int rank,
                         const int64_t *dims) {
    tensor_t *tensor = append(set, name, type, rank, dims);
    tensor->data = alloc_aligned(tensor_bytes(tensor));
    return tensor;
}

void tensor_set_borrow(tensor_set_t *set, const char *name, tensor_type_t type, int rank,
                       const int64_t *dims, const void *data) {
    tensor_t *tensor = append(set, name, type, rank, dims);
    tensor->data = (void *)data;
    tensor->borrowed = true;
}

void tensor_set_own(tensor_set_t *set) {
    for (int i = 0; i < set->count; i++) {
        tensor_t *tensor = &set->tensors[i];
        if (tensor->borrowed) {
            void *copy = alloc_aligned(tensor_bytes(tensor));
            memcpy(copy, tensor->data, tensor_bytes(tensor));
            tensor->data = copy;
            tensor->borrowed = false;
        }
    }
}

const tensor_t *tensor_set_find(const tensor_set_t *set, const char *name) {
    for (int i = 0; i < set->count; i++) {
        if (strcmp(set->tensors[i].name, name) == 0) {
            return &set->tensors[i];
        }
    }
    return NULL;
}

void tensor_set_free(tensor_set_t *set) {
    for (int i = 0; i < set->count; i++) {
        free(set->tensors[i].name);
        if (!set->tensors[i].borrowed) {
            free(set->tensors[i].data);
        }
    }
    free(set->tensors);
    free(set->metadata);
    *set = (tensor_set_t){0};
}

static int compare_tensors(const void *a, const void *b) {
    return strcmp(((const tensor_t *)a)->name, ((const tensor_t *)b)->name);
}

void tensor_set_sort(tensor_set_t *set) {
    if (set->count > 0) {
        qsort(set->tensors, (size_t)set->count, sizeof *set->tensors, compare_tensors);
    }
}

/* --- writing --------------------------------------------------------------------------------- */

static char *header_of(const tensor_set_t *set) {
    json_t *header = json_object();
    if (set->metadata != NULL) {
        json_t *metadata = json_loads(set->metadata, 0, NULL);
        REQUIRE(json_is_object(metadata));
        json_object_set_new(header, "__metadata__", metadata);
    }
    size_t offset = 0;
    for (int i = 0; i < set->count; i++) {
        const tensor_t *tensor = &set->tensors[i];
        json_t *shape = json_array();
        for (int d = 0; d < tensor->rank; d++) {
            json_array_append_new(shape, json_integer(tensor->dims[d]));
        }
        size_t end = offset + tensor_bytes(tensor);
        json_object_set_new(header, tensor->name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", types[tensor->type].name,
                                      "shape", shape, "data_offsets", (json_int_t)offset,
                                      (json_int_t)end));
        offset = end;
    }
    char *text = json_dumps(header, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(header);
    REQUIRE(text != NULL);
    return text;
}

/* Straight from where the tensors lie: a large model's checkpoint needs no copy in memory.
 * digest_out: by file_write_new; NULL: by file_write_pieces. */
static status_t write_set(const char *path, const tensor_set_t *set, char *digest_out) {
    char *header = header_of(set);
    size_t length = strlen(header), padded = (length + 7) / 8 * 8;
    char *head = alloc_zero((int64_t)(8 + padded), 1);
    for (int i = 0; i < 8; i++) {
        head[i] = (char)(padded >> (8 * i) & 0xff);
    }
    memcpy(head + 8, header, length);
    memset(head + 8 + length, ' ', padded - length);
    int count = 1 + set->count;
    file_piece_t *pieces = alloc_zero(count, sizeof *pieces);
    pieces[0] = (file_piece_t){head, 8 + padded};
    for (int i = 0; i < set->count; i++) {
        pieces[1 + i] = (file_piece_t){set->tensors[i].data, tensor_bytes(&set->tensors[i])};
    }
    status_t status = digest_out != NULL ? file_write_new(path, pieces, count, digest_out)
                                         : file_write_pieces(path, pieces, count);
    free(pieces);
    free(head);
    free(header);
    return status;
}

status_t safetensors_write(const char *path, const tensor_set_t *set) {
    return write_set(path, set, NULL);
}

status_t safetensors_write_new(const char *path, const tensor_set_t *set,
                               char digest_out[SHA256_TEXT_BYTES]) {
    return write_set(path, set, digest_out);
}

/* --- reading --------------------------------------------------------------------------------- */

static bool type_of(const char *name, tensor_type_t *type_out) {
    for (int i = 0; name != NULL && i < ARRAY_LEN(types); i++) {
        if (strcmp(types[i].name, name) == 0) {
            *type_out = (tensor_type_t)i;
            return true;
        }
    }
    return false;
}

/* Dims whose product times the element size is exactly end - begin, all without overflow. */
static bool shape_of(const json_t *shape, tensor_type_t type, json_int_t bytes, int *rank_out,
                     int64_t dims[TENSOR_RANK_MAX]) {
    if (!json_is_array(shape) || json_array_size(shape) > TENSOR_RANK_MAX || bytes < 0) {
        return false;
    }
    int64_t count = 1, limit = (int64_t)bytes / (int64_t)types[type].bytes;
    bool empty = false;
    *rank_out = (int)json_array_size(shape);
    for (int i = 0; i < *rank_out; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0) {
            return false;
        }
        dims[i] = json_integer_value(dim);
        empty |= dims[i] == 0;
        if (!empty && dims[i] > limit / count) {
            return false;
        }
        count = empty ? 0 : count * dims[i];
    }
    return count * (int64_t)types[type].bytes == (int64_t)bytes;
}

typedef struct source {
    const char *path;
    int fd;
    int64_t bytes;      /* of the file */
    int64_t data_begin; /* behind the header */
} source_t;

static status_t read_tensor(const source_t *source, const char *name, const json_t *entry,
                            tensor_set_t *set) {
    tensor_type_t type;
    int rank = 0;
    int64_t dims[TENSOR_RANK_MAX];
    const json_t *offsets = json_object_get(entry, "data_offsets");
    json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    json_int_t end = json_integer_value(json_array_get(offsets, 1));
    if (!type_of(json_string_value(json_object_get(entry, "dtype")), &type)) {
        return status_fail(
            STATUS_INPUT,
            "%s: tensor %s has a dtype that is not one of F32 F64 U8 I64 I32 F16 BF16",
            source->path, name);
    }
    if (json_array_size(offsets) != 2 || begin < 0 || end < begin ||
        end > source->bytes - source->data_begin ||
        !shape_of(json_object_get(entry, "shape"), type, end - begin, &rank, dims)) {
        return status_fail(STATUS_INPUT, "%s: tensor %s: shape and offsets do not fit the file",
                           source->path, name);
    }
    tensor_t *tensor = tensor_set_add(set, name, type, rank, dims);
    return file_pread(source->fd, source->path, source->data_begin + begin, end - begin,
                      tensor->data);
}

static status_t read_header(source_t *source, json_t **header_out) {
    uint8_t begin[8] = {0};
    uint64_t length = 0;
    bool whole = source->bytes >= (int64_t)sizeof begin;
    if (whole) {
        TRY(file_pread(source->fd, source->path, 0, sizeof begin, begin));
        for (int i = 7; i >= 0; i--) {
            length = length << 8 | begin[i];
        }
    }
    if (!whole || length > (uint64_t)source->bytes - sizeof begin) {
        return status_fail(STATUS_INPUT, "%s: not a safetensors file, or cut short", source->path);
    }
    char *text = alloc_zero((int64_t)length, 1);
    status_t status = file_pread(source->fd, source->path, sizeof begin, (int64_t)length, text);
    json_t *header =
        status == STATUS_OK ? json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, NULL) : NULL;
    free(text);
    TRY(status);
    const json_t *metadata = json_object_get(header, "__metadata__");
    if (!json_is_object(header) || (metadata != NULL && !json_is_object(metadata))) {
        json_decref(header);
        return status_fail(STATUS_INPUT,
                           "%s: the safetensors header, or its metadata, is not a JSON object",
                           source->path);
    }
    *header_out = header;
    source->data_begin = (int64_t)(sizeof begin + length);
    return STATUS_OK;
}

static status_t read_source(source_t *source, const char *prefix, tensor_set_t *set) {
    json_t *header = NULL;
    TRY(read_header(source, &header));
    const char *name;
    json_t *entry;
    status_t status = STATUS_OK;
    json_object_foreach(header, name, entry) {
        if (strcmp(name, "__metadata__") == 0) {
            set->metadata = json_dumps(entry, JSON_COMPACT);
        } else if (status == STATUS_OK && strncmp(name, prefix, strlen(prefix)) == 0) {
            status = read_tensor(source, name, entry, set);
        }
    }
    json_decref(header);
    return status;
}

status_t safetensors_read_some(const char *path, const char *prefix, tensor_set_t *set_out) {
    FILE *file = NULL;
    struct stat info;
    TRY(file_open(path, &file));
    source_t source = {.path = path, .fd = fileno(file)};
    tensor_set_t set = {0};
    status_t status = fstat(source.fd, &info) == 0
                          ? STATUS_OK
                          : status_fail_errno(STATUS_FAILED, "cannot read %s", path);
    if (status == STATUS_OK) {
        source.bytes = (int64_t)info.st_size;
        status = read_source(&source, prefix, &set);
    }
    fclose(file);
    if (status != STATUS_OK) {
        tensor_set_free(&set);
        return status;
    }
    *set_out = set;
    return STATUS_OK;
}

status_t safetensors_read(const char *path, tensor_set_t *set_out) {
    return safetensors_read_some(path, "", set_out);
}

void tensor_set_hash(tensor_set_t *set, char text_out[65]) {
    tensor_set_sort(set);
    sha256_t *hash = sha256_open();
    for (int i = 0; i < set->count; i++) {
        const tensor_t *tensor = &set->tensors[i];
        const char *type = types[tensor->type].name;
        sha256_add(hash, tensor->name, strlen(tensor->name) + 1);
        sha256_add(hash, type, strlen(type) + 1);
        for (int d = 0; d < tensor->rank; d++) {
            char dim[32];
            snprintf(dim, sizeof dim, "%s%lld", d > 0 ? "," : "", (long long)tensor->dims[d]);
            sha256_add(hash, dim, strlen(dim));
        }
        sha256_add(hash, "", 1);
        sha256_add(hash, tensor->data, tensor_bytes(tensor));
    }
    sha256_close(hash, text_out);
}
