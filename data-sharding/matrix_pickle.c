#include "data-sharding/matrix_pickle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/torch_file.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { NAME_BYTES = 24, NAMES_SHOWN = 8 };

/* Where in the file the walk along "train/vision/3" is. */
typedef struct place {
    const char *path, *dataset, *rest; /* rest: of dataset, still to go */
    const pickle_value_t *value;
    pickle_array_t part; /* once an array was entered */
} place_t;

static status_t refuse(const place_t *at, const char *why) {
    int gone = (int)(at->rest - at->dataset);
    return status_fail(STATUS_INPUT, "%s: %.*s%s%s", at->path, gone, at->dataset,
                       gone > 0 ? ": " : "", why);
}

static void key_text(const pickle_value_t *key, char text[NAME_BYTES + 1]) {
    if (key->kind == PICKLE_INT) {
        snprintf(text, NAME_BYTES + 1, "%lld", (long long)key->u.integer);
    } else if (key->kind == PICKLE_TEXT) {
        snprintf(text, NAME_BYTES + 1, "%.*s", (int)min_i64(key->u.text.bytes, NAME_BYTES),
                 key->u.text.data);
    } else {
        snprintf(text, NAME_BYTES + 1, "(a key that is no text)");
    }
}

static status_t refuse_key(const place_t *at, const char *why) {
    char *names = text_copy(""), text[NAME_BYTES + 1];
    int64_t count = at->value->u.list.count / 2;
    for (int64_t i = 0; i < min_i64(count, NAMES_SHOWN); i++) {
        key_text(at->value->u.list.items[2 * i], text);
        char *longer = text_format("%s%s %s", names, i > 0 ? "," : "", text);
        free(names);
        names = longer;
    }
    char *all = text_format("%s; name one of its %lld in the column \"dataset\":%s%s", why,
                            (long long)count, names, count > NAMES_SHOWN ? ", ..." : "");
    status_t status = refuse(at, all);
    free(all);
    free(names);
    return status;
}

/* Bytes of `rest` that the key takes: all, or those before a slash; 0: another key. */
static size_t key_takes(const pickle_value_t *key, const char *rest) {
    char digits[NAME_BYTES + 1] = "";
    pickle_text_t text = {digits, 0};
    if (key->kind == PICKLE_INT) {
        key_text(key, digits);
        text.bytes = (int64_t)strlen(digits);
    } else if (key->kind == PICKLE_TEXT) {
        text = key->u.text;
    }
    size_t bytes = (size_t)text.bytes;
    bool same = bytes > 0 && strlen(rest) >= bytes && memcmp(rest, text.data, bytes) == 0;
    return same && (rest[bytes] == '\0' || rest[bytes] == '/') ? bytes : 0;
}

/* Keys may have slashes themselves: the longest that fits. Of equal ones the last, as Python. */
static status_t enter_dict(place_t *at) {
    const pickle_value_t *dict = at->value;
    size_t longest = 0;
    if (at->rest[0] == '\0' && dict->u.list.count != 2) {
        return refuse_key(at, "a dict");
    }
    if (at->rest[0] == '\0') {
        at->value = dict->u.list.items[1];
        return STATUS_OK;
    }
    for (int64_t i = 0; i + 1 < dict->u.list.count; i += 2) {
        size_t bytes = key_takes(dict->u.list.items[i], at->rest);
        if (bytes > 0 && bytes >= longest) {
            longest = bytes;
            at->value = dict->u.list.items[i + 1];
        }
    }
    if (longest == 0) {
        char *why =
            text_format("there is no %.*s", (int)min_i64((int64_t)strlen(at->rest), 80), at->rest);
        status_t status = refuse_key(at, why);
        free(why);
        return status;
    }
    at->rest += longest + (at->rest[longest] == '/');
    return STATUS_OK;
}

/* The index that is next on the way. */
static status_t take_index(place_t *at, int64_t count, int64_t *index_out) {
    char *end = NULL;
    long long index = strtoll(at->rest, &end, 10);
    if (strspn(at->rest, "0123456789") != (size_t)(end - at->rest) || end == at->rest ||
        (*end != '\0' && *end != '/') || index >= count) {
        char *why = text_format("there are %lld items; name one by its index from 0 in the column "
                                "\"dataset\"",
                                (long long)count);
        status_t status = refuse(at, why);
        free(why);
        return status;
    }
    *index_out = index;
    at->rest = end + (*end == '/');
    return STATUS_OK;
}

static status_t enter_array(place_t *at) {
    pickle_array_t *a = &at->part;
    int64_t index = 0;
    if (a->rank < 2) {
        return refuse(at,
                      "a row of it is no table; name the array itself in the column \"dataset\"");
    }
    TRY(take_index(at, a->dims[0], &index));
    a->offset += index * a->strides[0];
    a->count /= a->dims[0];
    a->rank--;
    memmove(a->dims, a->dims + 1, (size_t)a->rank * sizeof *a->dims);
    memmove(a->strides, a->strides + 1, (size_t)a->rank * sizeof *a->strides);
    return STATUS_OK;
}

static status_t find_array(place_t *at) {
    int64_t index = 0;
    for (;;) {
        pickle_kind_t kind = at->value->kind;
        if (kind == PICKLE_DICT) {
            TRY(enter_dict(at));
        } else if (kind == PICKLE_LIST || kind == PICKLE_TUPLE) {
            TRY(take_index(at, at->value->u.list.count, &index));
            at->value = at->value->u.list.items[index];
        } else if (kind == PICKLE_ARRAY) {
            break;
        } else {
            return refuse(at, "no array or tensor; name one in the column \"dataset\"");
        }
    }
    at->part = *at->value->u.array;
    while (at->rest[0] != '\0') {
        TRY(enter_array(at));
    }
    return STATUS_OK;
}

/* torch: NULL of a plain pickle, which has all numbers in itself. */
static status_t take(place_t *at, torch_file_t *torch, matrix_t *m) {
    TRY(find_array(at));
    const pickle_array_t *a = &at->part;
    if (a->rank < 1 || a->rank > 2) {
        return refuse(at, "an array of neither one nor two dimensions; name a part of it "
                          "by its index in the column \"dataset\", as in x/0, or save it so");
    }
    if (!number_type_known(a->type)) {
        return refuse(at, "an array of texts; name an array of numbers in the column \"dataset\"");
    }
    if (torch == NULL && a->data == NULL && a->count > 0) {
        return refuse(at, "has its numbers in another file; save it by torch.save, as .pt");
    }
    TRY(matrix_make(at->path, a->dims[0], a->rank == 2 ? a->dims[1] : 1, m));
    if (torch != NULL) {
        TRY(torch_read(torch, a, m->values));
    } else {
        pickle_array_read(a, a->data, a->type, m->values);
    }
    matrix_mark_finite(m);
    return STATUS_OK;
}

status_t matrix_read_torch(const char *path, const char *dataset, matrix_t *m) {
    torch_file_t *torch = NULL;
    TRY(torch_open(path, &torch));
    place_t at = {.path = path, .dataset = dataset, .rest = dataset, .value = torch_root(torch)};
    status_t status = take(&at, torch, m);
    torch_close(torch);
    return status;
}

status_t matrix_read_pickle(const char *path, const char *dataset, matrix_t *m) {
    char *data = NULL;
    size_t bytes = 0;
    pickle_t *pickle = NULL;
    TRY(file_read(path, &data, &bytes));
    status_t status = pickle_read(path, data, bytes, &pickle);
    if (status == STATUS_OK) {
        place_t at = {
            .path = path, .dataset = dataset, .rest = dataset, .value = pickle_root(pickle)};
        status = take(&at, NULL, m);
    }
    pickle_close(pickle);
    free(data);
    return status;
}
