#include "data-sharding/h5_file.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/shard.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "bulk values are read from the file as they lie, which is little-endian");

enum { TEXT_BYTES_MAX = 1 << 16, NUMBERS_MAX = 1 << 30, LEAST = 4096, ALIGNED = 64 };

struct h5_file {
    hid_t id;
    char *path;
    uint64_t bytes; /* of a file that is read: what it says of itself fits in them */
};

static status_t h5_trouble(const h5_file_t *file, const char *what, const char *name) {
    return status_fail(STATUS_FAILED, "shard %s: HDF5 cannot %s %s; is the disk full or failing?",
                       file->path, what, name);
}

static status_t h5_start(const char *path, bool create, int64_t least, int64_t at,
                         h5_file_t **file_out) {
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* HDF5 would print its own stack of errors */
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    H5Pset_file_locking(access, false, true); /* read-only and parallel file systems refuse locks */
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    H5Pset_alignment(access, (hsize_t)least, (hsize_t)at);
    hid_t root = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_obj_track_times(root, false); /* equal imports give equal bytes */
    hid_t id = create ? H5Fcreate(path, H5F_ACC_TRUNC, root, access)
                      : H5Fopen(path, H5F_ACC_RDONLY, access);
    H5Pclose(root);
    H5Pclose(access);
    if (id < 0) {
        return status_fail(STATUS_FAILED, "shard %s: HDF5 cannot %s it; %s", path,
                           create ? "create" : "open",
                           create ? "check the directory and the free space" : "import it again");
    }
    *file_out = alloc_zero(1, sizeof **file_out);
    (*file_out)->id = id;
    (*file_out)->path = text_copy(path);
    hsize_t bytes = 0;
    H5Fget_filesize(id, &bytes);
    (*file_out)->bytes = bytes;
    return STATUS_OK;
}

status_t h5_create(const char *path, h5_file_t **file_out) {
    return h5_start(path, true, LEAST, ALIGNED, file_out);
}

status_t h5_create_aligned(const char *path, int64_t least, int64_t at, h5_file_t **file_out) {
    return h5_start(path, true, least, at, file_out);
}

status_t h5_open(const char *path, h5_file_t **file_out) {
    return h5_start(path, false, LEAST, ALIGNED, file_out);
}

status_t h5_close(h5_file_t *file) {
    if (file == NULL) {
        return STATUS_OK;
    }
    status_t status = STATUS_OK;
    if (H5Fclose(file->id) < 0) {
        status = h5_trouble(file, "finish", "the file");
    }
    free(file->path);
    free(file);
    return status;
}

status_t h5_put_group(h5_file_t *file, const char *name) {
    hid_t untimed = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_obj_track_times(untimed, false);
    hid_t group = H5Gcreate2(file->id, name, H5P_DEFAULT, untimed, H5P_DEFAULT);
    H5Pclose(untimed);
    if (group < 0) {
        return h5_trouble(file, "write", name);
    }
    H5Gclose(group);
    return STATUS_OK;
}

static hid_t text_type(size_t bytes) {
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, bytes);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

static status_t put_attribute(h5_file_t *file, const char *group, const char *name, hid_t disk,
                              hid_t memory, hsize_t count, const void *data) {
    hid_t space = count > 0 ? H5Screate_simple(1, &count, NULL) : H5Screate(H5S_SCALAR);
    hid_t id = H5Acreate_by_name(file->id, group, name, disk, space, H5P_DEFAULT, H5P_DEFAULT,
                                 H5P_DEFAULT);
    herr_t result = id < 0 ? -1 : H5Awrite(id, memory, data);
    if (id >= 0) {
        H5Aclose(id);
    }
    H5Sclose(space);
    return result < 0 ? h5_trouble(file, "write", name) : STATUS_OK;
}

status_t h5_put_text(h5_file_t *file, const char *group, const char *name, const char *text) {
    REQUIRE(strlen(text) < TEXT_BYTES_MAX);
    hid_t type = text_type(strlen(text) + 1);
    status_t status = put_attribute(file, group, name, type, type, 0, text);
    H5Tclose(type);
    return status;
}

status_t h5_put_integer(h5_file_t *file, const char *name, int64_t value) {
    return put_attribute(file, "/", name, H5T_STD_I64LE, H5T_NATIVE_INT64, 0, &value);
}

status_t h5_put_shape(h5_file_t *file, const char *group, const char *name,
                      const int64_t shape[3]) {
    return put_attribute(file, group, name, H5T_STD_I64LE, H5T_NATIVE_INT64, 3, shape);
}

/* One layout for all: contiguous, so that a reader can pread; allocated at once and never
 * filled. */
static status_t put_dataset(h5_file_t *file, const char *name, hid_t disk, hid_t memory, int rank,
                            const hsize_t *dims, const void *data) {
    hid_t space = H5Screate_simple(rank, dims, NULL);
    hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(layout, H5D_CONTIGUOUS);
    H5Pset_alloc_time(layout, H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER);
    H5Pset_obj_track_times(layout, false);
    hid_t id = H5Dcreate2(file->id, name, disk, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    herr_t result = id < 0 ? -1 : 0;
    if (id >= 0 && dims[0] > 0 && data != NULL) {
        result = H5Dwrite(id, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    }
    if (id >= 0) {
        H5Dclose(id);
    }
    H5Pclose(layout);
    H5Sclose(space);
    return result < 0 ? h5_trouble(file, "write", name) : STATUS_OK;
}

status_t h5_put_strings(h5_file_t *file, const char *name, char *const *texts, int64_t count) {
    size_t width = 1;
    for (int64_t i = 0; i < count; i++) {
        size_t bytes = strlen(texts[i]) + 1;
        width = bytes > width ? bytes : width;
    }
    if (width > TEXT_BYTES_MAX) {
        return status_fail(STATUS_INPUT, "shard %s: a text of %zu bytes in %s; shorten it",
                           file->path, width, name);
    }
    char *packed = alloc_zero(max_i64(count, 1), width);
    for (int64_t i = 0; i < count; i++) {
        memcpy(packed + (size_t)i * width, texts[i], strlen(texts[i]));
    }
    hid_t type = text_type(width);
    hsize_t dims[1] = {(hsize_t)count};
    status_t status = put_dataset(file, name, type, type, 1, dims, packed);
    H5Tclose(type);
    free(packed);
    return status;
}

static hid_t span_type(hid_t integer, hid_t real) {
    hid_t type = H5Tcreate(H5T_COMPOUND, sizeof(shard_span_t));
    H5Tinsert(type, "offset", HOFFSET(shard_span_t, offset), integer);
    H5Tinsert(type, "length", HOFFSET(shard_span_t, length), integer);
    H5Tinsert(type, "rate_hz", HOFFSET(shard_span_t, rate_hz), real);
    H5Tinsert(type, "start_s", HOFFSET(shard_span_t, start_s), real);
    return type;
}

static hid_t array_type(array_type_t type, bool disk) {
    switch (type) {
    case ARRAY_FLOAT32:
        return H5Tcopy(disk ? H5T_IEEE_F32LE : H5T_NATIVE_FLOAT);
    case ARRAY_BYTE:
        return H5Tcopy(disk ? H5T_STD_U8LE : H5T_NATIVE_UINT8);
    case ARRAY_SPAN:
        return disk ? span_type(H5T_STD_I64LE, H5T_IEEE_F64LE)
                    : span_type(H5T_NATIVE_INT64, H5T_NATIVE_DOUBLE);
    }
    panic(__FILE__, __LINE__, "array type");
}

status_t h5_put_array(h5_file_t *file, const char *name, array_type_t type, int64_t rows,
                      int64_t columns, const void *data) {
    hid_t disk = array_type(type, true);
    hid_t memory = array_type(type, false);
    hsize_t dims[2] = {(hsize_t)rows, (hsize_t)columns};
    status_t status = put_dataset(file, name, disk, memory, columns > 0 ? 2 : 1, dims, data);
    H5Tclose(memory);
    H5Tclose(disk);
    return status;
}

bool h5_has_attribute(h5_file_t *file, const char *group, const char *name) {
    return H5Aexists_by_name(file->id, group, name, H5P_DEFAULT) > 0;
}

status_t h5_get_shape(h5_file_t *file, const char *group, const char *name, int64_t shape_out[3]) {
    hid_t id = H5Aopen_by_name(file->id, group, name, H5P_DEFAULT, H5P_DEFAULT);
    if (id < 0) {
        return status_fail(STATUS_INPUT, "shard %s: no attribute %s of %s; import it again",
                           file->path, name, group);
    }
    hid_t space = H5Aget_space(id), type = H5Aget_type(id);
    bool plain = H5Sget_simple_extent_npoints(space) == 3 && H5Tget_class(type) == H5T_INTEGER;
    herr_t result = plain ? H5Aread(id, H5T_NATIVE_INT64, shape_out) : -1;
    H5Tclose(type);
    H5Sclose(space);
    H5Aclose(id);
    return result < 0 ? h5_trouble(file, "read", name) : STATUS_OK;
}

status_t h5_get_text(h5_file_t *file, const char *group, const char *name, char **text_out) {
    hid_t id = H5Aopen_by_name(file->id, group, name, H5P_DEFAULT, H5P_DEFAULT);
    if (id < 0) {
        return status_fail(STATUS_INPUT, "shard %s: no attribute %s; import it again", file->path,
                           name);
    }
    hid_t type = H5Aget_type(id);
    size_t bytes = H5Tget_size(type);
    bool plain = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
                 bytes <= TEXT_BYTES_MAX;
    char *text = plain ? alloc_zero((int64_t)bytes + 1, 1) : NULL;
    herr_t result = plain ? H5Aread(id, type, text) : -1;
    H5Tclose(type);
    H5Aclose(id);
    if (result < 0) {
        free(text);
        return h5_trouble(file, "read", name);
    }
    *text_out = text;
    return STATUS_OK;
}

/* All arrays of a shard are contiguous, so none is larger than the file. */
static bool fits(const h5_file_t *file, hid_t dataset, const hsize_t dims[2]) {
    hid_t type = H5Dget_type(dataset);
    size_t width = H5Tget_size(type);
    H5Tclose(type);
    uint64_t room = width == 0 ? 0 : file->bytes / width;
    return dims[0] <= room && (dims[0] == 0 || dims[1] <= room / dims[0]);
}

static status_t open_dataset(h5_file_t *file, const char *name, hid_t *id_out, hsize_t dims[2]) {
    hid_t id = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (id < 0) {
        return status_fail(STATUS_INPUT, "shard %s: no dataset %s; import it again", file->path,
                           name);
    }
    hid_t space = H5Dget_space(id);
    dims[0] = dims[1] = 0;
    int rank = H5Sget_simple_extent_ndims(space);
    if (rank == 1 || rank == 2) {
        H5Sget_simple_extent_dims(space, dims, NULL);
    }
    H5Sclose(space);
    if (rank != 1 && rank != 2) {
        H5Dclose(id);
        return status_fail(STATUS_INPUT, "shard %s: dataset %s has %d dimensions; import it again",
                           file->path, name, rank);
    }
    if (!fits(file, id, dims)) {
        H5Dclose(id);
        return status_fail(STATUS_INPUT, "shard %s: %s is larger than the file; import it again",
                           file->path, name);
    }
    *id_out = id;
    return STATUS_OK;
}

status_t h5_get_strings(h5_file_t *file, const char *name, char ***texts_out, int64_t *count_out) {
    hid_t id = H5I_INVALID_HID;
    hsize_t dims[2] = {0};
    TRY(open_dataset(file, name, &id, dims));
    hid_t type = H5Dget_type(id);
    size_t width = H5Tget_size(type);
    bool plain = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
                 width <= TEXT_BYTES_MAX && dims[1] == 0;
    int64_t count = (int64_t)dims[0];
    char *packed = plain ? alloc_zero(max_i64(count, 1), width) : NULL;
    herr_t result = plain ? 0 : -1;
    if (plain && count > 0) {
        result = H5Dread(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, packed);
    }
    H5Tclose(type);
    H5Dclose(id);
    if (result < 0) {
        free(packed);
        return h5_trouble(file, "read", name);
    }
    char **texts = alloc_zero(max_i64(count, 1), sizeof *texts);
    for (int64_t i = 0; i < count; i++) {
        texts[i] = text_format("%.*s", (int)width, packed + (size_t)i * width);
    }
    free(packed);
    *texts_out = texts;
    *count_out = count;
    return STATUS_OK;
}

status_t h5_get_spans(h5_file_t *file, const char *name, int64_t rows, void **data_out) {
    hid_t id = H5I_INVALID_HID;
    hsize_t dims[2] = {0};
    TRY(open_dataset(file, name, &id, dims));
    if ((int64_t)dims[0] != rows || dims[1] != 0) {
        H5Dclose(id);
        return status_fail(STATUS_INPUT, "shard %s: %s has %lld rows, not %lld; import it again",
                           file->path, name, (long long)dims[0], (long long)rows);
    }
    shard_span_t *spans = alloc_zero(max_i64(rows, 1), sizeof *spans);
    hid_t type = array_type(ARRAY_SPAN, false);
    herr_t result = rows == 0 ? 0 : H5Dread(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, spans);
    H5Tclose(type);
    H5Dclose(id);
    if (result < 0) {
        free(spans);
        return h5_trouble(file, "read", name);
    }
    *data_out = spans;
    return STATUS_OK;
}

status_t h5_list(h5_file_t *file, const char *group, char ***names_out, int64_t *count_out) {
    H5G_info_t info;
    if (H5Gget_info_by_name(file->id, group, &info, H5P_DEFAULT) < 0 || info.nlinks > file->bytes) {
        return status_fail(STATUS_INPUT, "shard %s: no group %s; import it again", file->path,
                           group);
    }
    int64_t count = (int64_t)info.nlinks;
    char **names = alloc_zero(max_i64(count, 1), sizeof *names);
    for (int64_t i = 0; i < count; i++) {
        char name[256];
        if (H5Lget_name_by_idx(file->id, group, H5_INDEX_NAME, H5_ITER_INC, (hsize_t)i, name,
                               sizeof name, H5P_DEFAULT) < 0) {
            h5_strings_free(names, i);
            return h5_trouble(file, "list", group);
        }
        names[i] = text_copy(name);
    }
    *names_out = names;
    *count_out = count;
    return STATUS_OK;
}

status_t h5_get_extent(h5_file_t *file, const char *name, array_type_t type,
                       h5_extent_t *extent_out) {
    hid_t id = H5I_INVALID_HID;
    hsize_t dims[2] = {0};
    TRY(open_dataset(file, name, &id, dims));
    hid_t wanted = array_type(type, true);
    hid_t found = H5Dget_type(id);
    bool same = H5Tequal(wanted, found) > 0;
    H5Tclose(found);
    H5Tclose(wanted);
    haddr_t offset = H5Dget_offset(id);
    H5Dclose(id);
    if (!same || (dims[0] > 0 && offset >= file->bytes)) { /* HADDR_UNDEF is the largest */
        return status_fail(STATUS_INPUT,
                           "shard %s: %s is not a contiguous array of the format's type; "
                           "import it again",
                           file->path, name);
    }
    extent_out->rows = (int64_t)dims[0];
    extent_out->columns = (int64_t)dims[1];
    extent_out->offset = offset == HADDR_UNDEF ? -1 : (int64_t)offset;
    return STATUS_OK;
}

/* The number of all elements; -1: too many, or no array of numbers of such a rank. */
static int64_t count_numbers(hid_t id, int rank_max, int64_t dims_out[3]) {
    hid_t type = H5Dget_type(id), space = H5Dget_space(id);
    H5T_class_t kind = H5Tget_class(type);
    int rank = H5Sget_simple_extent_ndims(space);
    hsize_t dims[3] = {1, 1, 1}, count = 1;
    bool plain = (kind == H5T_FLOAT || kind == H5T_INTEGER) && rank >= 1 && rank <= rank_max;
    if (plain) {
        H5Sget_simple_extent_dims(space, dims, NULL);
    }
    for (int d = 2; d >= 0 && plain; d--) {
        plain =
            d == 0 ? dims[0] <= NUMBERS_MAX / count : dims[d] > 0 && dims[d] <= NUMBERS_MAX / count;
        count *= plain ? dims[d] : 1;
        dims_out[d] = plain ? (int64_t)dims[d] : 0;
    }
    H5Sclose(space);
    H5Tclose(type);
    return plain ? (int64_t)count : -1;
}

static status_t read_numbers(hid_t file, const char *path, const char *name, int rank_max,
                             float **values_out, int64_t dims_out[3]) {
    hid_t id = H5Dopen2(file, name, H5P_DEFAULT);
    if (id < 0) {
        return status_fail(STATUS_INPUT, "%s: no dataset %s; repair the manifest or the file", path,
                           name);
    }
    int64_t count = count_numbers(id, rank_max, dims_out);
    float *values = alloc_zero(max_i64(count, 1), sizeof *values);
    herr_t result =
        count < 0 ? -1 : H5Dread(id, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    H5Dclose(id);
    if (result < 0) {
        free(values);
        return status_fail(STATUS_INPUT,
                           "%s: dataset %s is damaged or not one %s dimensions of numbers; write "
                           "it again so",
                           path, name, rank_max == 2 ? "or two" : "to three");
    }
    *values_out = values;
    return STATUS_OK;
}

status_t h5_read_numbers(const char *path, const char *name, int rank_max, float **values_out,
                         int64_t dims_out[3]) {
    if (!file_exists(path)) {
        return status_fail(STATUS_INPUT, "%s: no such file; repair the manifest or the folder",
                           path);
    }
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) {
        return status_fail(STATUS_INPUT, "%s: not an HDF5 file, or damaged; write it again", path);
    }
    status_t status = read_numbers(file, path, name, rank_max, values_out, dims_out);
    H5Fclose(file);
    return status;
}

status_t h5_only_name(const char *path, char **name_out) {
    H5G_info_t info = {.nlinks = 0};
    char name[256];
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = file_exists(path) ? H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT) : -1;
    if (file < 0) {
        return status_fail(STATUS_INPUT, "%s: not an HDF5 file, or damaged; get it again", path);
    }
    bool only = H5Gget_info(file, &info) >= 0 && info.nlinks == 1 &&
                H5Lget_name_by_idx(file, "/", H5_INDEX_NAME, H5_ITER_INC, 0, name, sizeof name,
                                   H5P_DEFAULT) >= 0;
    H5Fclose(file);
    if (!only) {
        return status_fail(
            STATUS_INPUT, "%s: %lld things at its top instead of one; name ROOT/data/ID as dataset",
            path, (long long)info.nlinks);
    }
    *name_out = text_copy(name);
    return STATUS_OK;
}

void h5_strings_free(char **texts, int64_t count) {
    for (int64_t i = 0; texts != NULL && i < count; i++) {
        free(texts[i]);
    }
    free(texts);
}
