/* The zip has a pickle, FOLDER/data.pkl, and the numbers of storage KEY in FOLDER/data/KEY. The
 * older file is five pickles (a magic number, 1001, facts of the machine, the object, the keys of
 * its storages) and then, for each key, a count of 8 bytes and the numbers. */
#include "data-sharding/torch_file.h"

#include <stdlib.h>
#include <string.h>

#include "data-sharding/pickle_internal.h"
#include "data-sharding/zip_file.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

typedef struct stored {
    pickle_text_t key;
    const char *data;
} stored_t;

struct torch_file {
    char *path;
    bool big;
    zip_t *zip;   /* NULL: the older format */
    char *folder; /* in the zip, with its slash */
    char *text;   /* data.pkl, or the whole older file */
    pickle_t *pickle;
    pickle_t *keys;   /* older format: texts in it are those of `stored` */
    stored_t *stored; /* older format */
    int64_t stored_count;
    const zip_member_t *last_member; /* the zip's storage that was read last */
    char *last;
};

static const char magic_head[] =
    "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.\x80\x02M\xe9\x03.";

static status_t refuse(const torch_file_t *file, const char *why) {
    return status_fail(STATUS_INPUT, "%s: %s; save it again by torch.save", file->path, why);
}

/* --- the zip --------------------------------------------------------------------------------- */

static status_t find_member(const torch_file_t *file, const char *name,
                            const zip_member_t **member_out) {
    char *path = text_format("%s%s", file->folder, name);
    status_t status = zip_find(file->zip, path, "", member_out);
    free(path);
    return status;
}

/* The folder that data.pkl lies in, with its slash. */
static status_t find_folder(torch_file_t *file) {
    static const char last[] = "/data.pkl";
    int64_t count = 0, length = sizeof last - 1;
    const zip_member_t *members = zip_members(file->zip, &count);
    for (int64_t i = 0; i < count; i++) {
        int64_t before = members[i].name_bytes - length;
        if (before > 0 && memcmp(members[i].name + before, last, (size_t)length) == 0 &&
            memchr(members[i].name, '/', (size_t)before) == NULL) {
            file->folder = text_format("%.*s/", (int)before, members[i].name);
            return STATUS_OK;
        }
    }
    return refuse(file, "a zip archive without the data.pkl of PyTorch");
}

static status_t read_byte_order(torch_file_t *file) {
    const zip_member_t *member = NULL;
    char *text = NULL;
    if (find_member(file, "byteorder", &member) != STATUS_OK) {
        return STATUS_OK; /* an older version, which wrote little-endian machines' */
    }
    TRY(zip_read(file->zip, member, &text));
    file->big = strcmp(text, "big") == 0;
    bool known = file->big || strcmp(text, "little") == 0;
    free(text);
    return known ? STATUS_OK : refuse(file, "an unknown byte order");
}

static status_t find_storage(const torch_file_t *file, const pickle_array_t *storage,
                             const zip_member_t **member_out) {
    pickle_text_t key = storage->storage;
    char *name = text_format("data/%.*s", (int)min_i64(key.bytes, 255), key.data);
    status_t status = find_member(file, name, member_out);
    free(name);
    bool fits = status == STATUS_OK &&
                (*member_out)->plain / (uint64_t)storage->type.bytes >= (uint64_t)storage->numbers;
    return fits ? STATUS_OK : refuse(file, "the numbers of a tensor are missing or cut off");
}

static status_t open_zip(torch_file_t *file) {
    const zip_member_t *member = NULL;
    TRY(zip_open(file->path, &file->zip));
    TRY(find_folder(file));
    TRY(read_byte_order(file));
    TRY(find_member(file, "data.pkl", &member));
    TRY(zip_read(file->zip, member, &file->text));
    TRY(pickle_read(file->path, file->text, (size_t)member->plain, &file->pickle));
    for (int64_t i = 0; i < file->pickle->storage_count; i++) {
        TRY(find_storage(file, file->pickle->storages[i], &member));
    }
    return STATUS_OK;
}

/* --- the older format ------------------------------------------------------------------------ */

static status_t read_facts(torch_file_t *file, const pickle_value_t *facts) {
    const pickle_value_t *little = pickle_find(facts, "little_endian");
    if (little == NULL || little->kind != PICKLE_BOOL) {
        return refuse(file, "does not say its byte order");
    }
    file->big = !little->u.truth;
    return STATUS_OK;
}

static const char *find_data(const torch_file_t *file, pickle_text_t key) {
    for (int64_t i = 0; i < file->stored_count; i++) {
        const stored_t *stored = &file->stored[i];
        if (stored->key.bytes == key.bytes &&
            memcmp(stored->key.data, key.data, (size_t)key.bytes) == 0) {
            return stored->data;
        }
    }
    return NULL;
}

static status_t find_stored(torch_file_t *file, size_t bytes, size_t at) {
    const pickle_value_t *keys = pickle_root(file->keys);
    if (keys->kind != PICKLE_LIST) {
        return refuse(file, "lists no storages");
    }
    file->stored = alloc_zero(keys->u.list.count + 1, sizeof *file->stored);
    for (int64_t i = 0; i < keys->u.list.count; i++) {
        const pickle_value_t *key = keys->u.list.items[i];
        const pickle_array_t *storage =
            key->kind == PICKLE_TEXT ? pickle_storage(file->pickle, key->u.text) : NULL;
        if (storage == NULL) {
            return refuse(file, "has a storage that no tensor reads");
        }
        int64_t size = storage->type.bytes, left = (int64_t)(bytes - at) - 8;
        number_type_t count = {'i', 8, file->big};
        if (left < 0 || number_read_int(file->text + at, count) != storage->numbers ||
            storage->numbers > left / size) {
            return refuse(file, "the numbers of its storages are cut off or damaged");
        }
        file->stored[file->stored_count++] = (stored_t){key->u.text, file->text + at + 8};
        at += 8 + (size_t)(storage->numbers * size);
    }
    for (int64_t i = 0; i < file->pickle->storage_count; i++) {
        if (find_data(file, file->pickle->storages[i]->storage) == NULL) {
            return refuse(file, "the numbers of a tensor are missing");
        }
    }
    return STATUS_OK;
}

static status_t open_stream(torch_file_t *file) {
    size_t bytes = 0, at = sizeof magic_head - 1;
    pickle_t *facts = NULL;
    TRY(file_read(file->path, &file->text, &bytes));
    if (bytes < at || memcmp(file->text, magic_head, at) != 0) {
        return refuse(file, "no file of PyTorch");
    }
    TRY(pickle_read(file->path, file->text + at, bytes - at, &facts));
    at += pickle_bytes(facts);
    status_t status = read_facts(file, pickle_root(facts));
    pickle_close(facts);
    TRY(status);
    TRY(pickle_read(file->path, file->text + at, bytes - at, &file->pickle));
    at += pickle_bytes(file->pickle);
    TRY(pickle_read(file->path, file->text + at, bytes - at, &file->keys));
    at += pickle_bytes(file->keys);
    return find_stored(file, bytes, at);
}

/* --- both ------------------------------------------------------------------------------------ */

static status_t begins_as_zip(const char *path, bool *zip_out) {
    FILE *stream = NULL;
    char head[2] = "";
    TRY(file_open(path, &stream));
    *zip_out = fread(head, 1, sizeof head, stream) == sizeof head && memcmp(head, "PK", 2) == 0;
    fclose(stream);
    return STATUS_OK;
}

status_t torch_open(const char *path, torch_file_t **file_out) {
    bool zip = false;
    TRY(begins_as_zip(path, &zip));
    torch_file_t *file = alloc_zero(1, sizeof *file);
    file->path = text_copy(path);
    status_t status = zip ? open_zip(file) : open_stream(file);
    if (status != STATUS_OK) {
        torch_close(file);
        return status;
    }
    *file_out = file;
    return STATUS_OK;
}

void torch_close(torch_file_t *file) {
    if (file == NULL) {
        return;
    }
    pickle_close(file->pickle);
    pickle_close(file->keys);
    zip_close(file->zip);
    free(file->folder);
    free(file->text);
    free(file->stored);
    free(file->last);
    free(file->path);
    free(file);
}

const pickle_value_t *torch_root(const torch_file_t *file) { return pickle_root(file->pickle); }

/* The numbers of a storage; those of a zip are kept until others are asked for, because tensors
 * often share them. */
static status_t data_of(torch_file_t *file, const pickle_array_t *array, const char **data_out) {
    if (file->zip == NULL) {
        *data_out = find_data(file, array->storage);
        return STATUS_OK;
    }
    const zip_member_t *member = NULL;
    TRY(find_storage(file, array, &member));
    if (file->last_member != member) {
        free(file->last);
        file->last = NULL;
        file->last_member = NULL;
        TRY(zip_read(file->zip, member, &file->last));
        file->last_member = member;
    }
    *data_out = file->last;
    return STATUS_OK;
}

status_t torch_read(torch_file_t *file, const pickle_array_t *array, float *out) {
    const char *data = array->data;
    number_type_t type = array->type;
    if (!number_type_known(type)) {
        return refuse(file, "texts where numbers are wanted");
    }
    if (array->count == 0) {
        return STATUS_OK;
    }
    if (data == NULL) {
        TRY(data_of(file, array, &data));
        type.big = file->big;
    }
    pickle_array_read(array, data, type, out);
    return STATUS_OK;
}
