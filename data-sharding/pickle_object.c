/* The names that plain data asks for, and what each of them makes: nothing of Python is called. */
#include <string.h>

#include "data-sharding/pickle_internal.h"
#include "kernels/base/bytes.h"

enum { STORAGES_MAX = 1 << 16 };

typedef enum {
    NAME_ORDERED_DICT,
    NAME_TENSOR,
    NAME_PARAMETER,
    NAME_SIZE,
    NAME_STORAGE,
    NAME_RECONSTRUCT,
    NAME_FROM_BUFFER,
    NAME_NDARRAY,
    NAME_DTYPE,
    NAME_SCALAR,
    NAME_ENCODE,
    NAME_BYTES,
} meaning_t;

static const struct {
    const char *module, *name;
    meaning_t meaning;
    number_type_t type; /* NAME_STORAGE */
} names[] = {
    {"collections", "OrderedDict", NAME_ORDERED_DICT, {0}},
    {"torch._utils", "_rebuild_tensor_v2", NAME_TENSOR, {0}},
    {"torch._utils", "_rebuild_tensor", NAME_TENSOR, {0}},
    {"torch._utils", "_rebuild_parameter", NAME_PARAMETER, {0}},
    {"torch", "Size", NAME_SIZE, {0}},
    {"torch", "FloatStorage", NAME_STORAGE, {'f', 4, false}},
    {"torch", "DoubleStorage", NAME_STORAGE, {'f', 8, false}},
    {"torch", "HalfStorage", NAME_STORAGE, {'f', 2, false}},
    {"torch", "BFloat16Storage", NAME_STORAGE, {'t', 2, false}},
    {"torch", "LongStorage", NAME_STORAGE, {'i', 8, false}},
    {"torch", "IntStorage", NAME_STORAGE, {'i', 4, false}},
    {"torch", "ShortStorage", NAME_STORAGE, {'i', 2, false}},
    {"torch", "CharStorage", NAME_STORAGE, {'i', 1, false}},
    {"torch", "ByteStorage", NAME_STORAGE, {'u', 1, false}},
    {"torch", "BoolStorage", NAME_STORAGE, {'b', 1, false}},
    {"numpy.core.multiarray", "_reconstruct", NAME_RECONSTRUCT, {0}},
    {"numpy._core.multiarray", "_reconstruct", NAME_RECONSTRUCT, {0}},
    {"numpy.core.multiarray", "scalar", NAME_SCALAR, {0}},
    {"numpy._core.multiarray", "scalar", NAME_SCALAR, {0}},
    {"numpy.core.numeric", "_frombuffer", NAME_FROM_BUFFER, {0}},
    {"numpy._core.numeric", "_frombuffer", NAME_FROM_BUFFER, {0}},
    {"numpy", "ndarray", NAME_NDARRAY, {0}},
    {"numpy", "dtype", NAME_DTYPE, {0}},
    {"_codecs", "encode", NAME_ENCODE, {0}},
    {"builtins", "bytes", NAME_BYTES, {0}},
    {"__builtin__", "bytes", NAME_BYTES, {0}},
};

status_t pickle_global(pickle_t *pickle, pickle_text_t module, pickle_text_t name,
                       pickle_value_t **value_out) {
    if (pickle_text_is(module, "torch.cuda")) { /* of a tensor that was on a GPU */
        module = (pickle_text_t){"torch", 5};
    }
    for (int i = 0; i < ARRAY_LEN(names); i++) {
        if (pickle_text_is(module, names[i].module) && pickle_text_is(name, names[i].name)) {
            TRY(pickle_make(pickle, PICKLE_GLOBAL, value_out));
            (*value_out)->u.integer = i;
            return STATUS_OK;
        }
    }
    return status_fail(STATUS_INPUT,
                       "%s: the pickle asks for %.*s.%.*s, which is no plain data, and is not run; "
                       "save numbers, texts, lists, dicts, arrays or tensors alone, such as "
                       "model.state_dict()",
                       pickle->name, (int)min_i64(module.bytes, 80), module.data,
                       (int)min_i64(name.bytes, 80), name.data);
}

/* --- arguments ------------------------------------------------------------------------------- */

pickle_value_t *pickle_item(const pickle_value_t *tuple, int64_t i, int kind) {
    bool there = tuple->kind == PICKLE_TUPLE && i < tuple->u.list.count;
    pickle_value_t *item = there ? tuple->u.list.items[i] : NULL;
    return item != NULL && (int)item->kind == kind ? item : NULL;
}

static bool is_name(const pickle_value_t *value, meaning_t meaning) {
    return value != NULL && (int)value->kind == PICKLE_GLOBAL &&
           names[value->u.integer].meaning == meaning;
}

bool pickle_sizes(const pickle_value_t *tuple, int *rank_out, int64_t sizes[PICKLE_RANK_MAX]) {
    if (tuple == NULL || tuple->u.list.count > PICKLE_RANK_MAX) {
        return false;
    }
    *rank_out = (int)tuple->u.list.count;
    for (int d = 0; d < *rank_out; d++) {
        const pickle_value_t *size = pickle_item(tuple, d, PICKLE_INT);
        if (size == NULL || size->u.integer < 0) {
            return false;
        }
        sizes[d] = size->u.integer;
    }
    return true;
}

bool pickle_count(pickle_array_t *array) {
    int64_t last = array->offset;
    array->count = 1;
    for (int d = 0; d < array->rank; d++) {
        if (array->dims[d] == 0) {
            array->count = 0;
            return array->offset <= array->numbers;
        }
    }
    for (int d = 0; d < array->rank; d++) {
        int64_t dim = array->dims[d], stride = array->strides[d];
        if (dim > 1 && (array->count > array->numbers / dim ||
                        (stride > 0 && dim - 1 > (array->numbers - last) / stride))) {
            return false;
        }
        array->count *= dim;
        last += (dim - 1) * stride;
    }
    return last < array->numbers;
}

status_t pickle_make_array(pickle_t *pickle, int kind, pickle_value_t **value_out) {
    TRY(pickle_make(pickle, kind, value_out));
    (*value_out)->u.array = pickle_take(pickle, 1, sizeof(pickle_array_t));
    return (*value_out)->u.array != NULL ? STATUS_OK
                                         : pickle_refused(pickle, "more values than are read");
}

/* --- PyTorch --------------------------------------------------------------------------------- */

status_t pickle_outside(pickle_t *pickle, const pickle_value_t *id, pickle_value_t **value_out) {
    const pickle_value_t *word = pickle_item(id, 0, PICKLE_TEXT);
    const pickle_value_t *type = pickle_item(id, 1, PICKLE_GLOBAL);
    const pickle_value_t *key = pickle_item(id, 2, PICKLE_TEXT),
                         *count = pickle_item(id, 4, PICKLE_INT);
    const pickle_value_t *view = pickle_item(id, 5, PICKLE_NONE);
    if (word == NULL || !pickle_text_is(word->u.text, "storage") || key == NULL || count == NULL ||
        count->u.integer < 0 || !is_name(type, NAME_STORAGE) ||
        (view == NULL && id->u.list.count > 5)) {
        return pickle_refused(pickle, "a reference that is no storage of PyTorch");
    }
    pickle_array_t array = {
        .type = names[type->u.integer].type, .storage = key->u.text, .numbers = count->u.integer};
    const pickle_array_t *same = pickle_storage(pickle, array.storage);
    if (same != NULL ? same->numbers != array.numbers || same->type.bytes != array.type.bytes
                     : pickle->storage_count == STORAGES_MAX) {
        return pickle_refused(pickle, "storages that contradict each other, or too many");
    }
    TRY(pickle_make_array(pickle, PICKLE_STORAGE, value_out));
    *(*value_out)->u.array = array;
    if (same == NULL) {
        pickle->storages =
            array_grow(pickle->storages, pickle->storage_count, sizeof *pickle->storages);
        pickle->storages[pickle->storage_count++] = (*value_out)->u.array;
    }
    return STATUS_OK;
}

/* storage, offset, dims, strides, and what concerns gradients. */
static status_t make_tensor(pickle_t *pickle, const pickle_value_t *arguments,
                            pickle_value_t **value_out) {
    const pickle_value_t *storage = pickle_item(arguments, 0, PICKLE_STORAGE);
    const pickle_value_t *offset = pickle_item(arguments, 1, PICKLE_INT);
    pickle_array_t array;
    int strides = 0;
    if (storage == NULL || offset == NULL || offset->u.integer < 0) {
        return pickle_damaged(pickle, "a tensor without its storage");
    }
    array = *storage->u.array;
    array.offset = offset->u.integer;
    if (!pickle_sizes(pickle_item(arguments, 2, PICKLE_TUPLE), &array.rank, array.dims) ||
        !pickle_sizes(pickle_item(arguments, 3, PICKLE_TUPLE), &strides, array.strides) ||
        strides != array.rank || array.offset > array.numbers || !pickle_count(&array)) {
        return pickle_refused(pickle,
                              "a tensor that does not fit its storage, or shows numbers of it "
                              "twice (make it .contiguous())");
    }
    TRY(pickle_make_array(pickle, PICKLE_ARRAY, value_out));
    *(*value_out)->u.array = array;
    return STATUS_OK;
}

/* --- Python ---------------------------------------------------------------------------------- */

/* Nothing, or a list of pairs. */
static status_t make_dict(pickle_t *pickle, const pickle_value_t *arguments,
                          pickle_value_t **value_out) {
    const pickle_value_t *pairs = pickle_item(arguments, 0, PICKLE_LIST);
    TRY(pickle_make(pickle, PICKLE_DICT, value_out));
    if (pairs == NULL && arguments->u.list.count > 0) {
        return pickle_damaged(pickle, "a dict of what is no list");
    }
    for (int64_t i = 0; pairs != NULL && i < pairs->u.list.count; i++) {
        const pickle_value_t *pair = pairs->u.list.items[i];
        if ((pair->kind != PICKLE_LIST && pair->kind != PICKLE_TUPLE) || pair->u.list.count != 2) {
            return pickle_damaged(pickle, "a dict of what are no pairs");
        }
        TRY(pickle_put(pickle, *value_out, pair->u.list.items[0]));
        TRY(pickle_put(pickle, *value_out, pair->u.list.items[1]));
    }
    return STATUS_OK;
}

/* encode(text, "latin1"): how bytes are written in protocol 2. */
static status_t make_encoded(pickle_t *pickle, const pickle_value_t *arguments,
                             pickle_value_t **value_out) {
    const pickle_value_t *text = pickle_item(arguments, 0, PICKLE_TEXT);
    const pickle_value_t *code = pickle_item(arguments, 1, PICKLE_TEXT);
    if (text == NULL || code == NULL ||
        (!pickle_text_is(code->u.text, "latin1") && !pickle_text_is(code->u.text, "latin-1"))) {
        return pickle_refused(pickle, "text to encode otherwise than as latin1");
    }
    const unsigned char *from = (const unsigned char *)text->u.text.data;
    int64_t left = text->u.text.bytes, bytes = 0;
    char *to = pickle_take(pickle, left, 1);
    if (to == NULL) {
        return pickle_refused(pickle, "more values than are read");
    }
    while (left > 0) {
        bool wide = (from[0] & 0xfe) == 0xc2 && left > 1 && (from[1] & 0xc0) == 0x80;
        if (from[0] >= 0x80 && !wide) {
            return pickle_damaged(pickle, "bytes that are no latin1");
        }
        to[bytes++] = (char)(wide ? (from[0] & 3) << 6 | (from[1] & 0x3f) : from[0]);
        from += wide ? 2 : 1;
        left -= wide ? 2 : 1;
    }
    TRY(pickle_make(pickle, PICKLE_BYTES, value_out));
    (*value_out)->u.text = (pickle_text_t){to, bytes};
    return STATUS_OK;
}

/* The first argument itself. */
static status_t make_item(pickle_t *pickle, const pickle_value_t *arguments, int kind,
                          pickle_value_t **value_out) {
    *value_out = pickle_item(arguments, 0, kind);
    return *value_out != NULL ? STATUS_OK
                              : pickle_damaged(pickle, "a parameter or size without its content");
}

status_t pickle_call(pickle_t *pickle, const pickle_value_t *callee,
                     const pickle_value_t *arguments, pickle_value_t **value_out) {
    switch (names[callee->u.integer].meaning) {
    case NAME_ORDERED_DICT:
        return make_dict(pickle, arguments, value_out);
    case NAME_TENSOR:
        return make_tensor(pickle, arguments, value_out);
    case NAME_PARAMETER:
        return make_item(pickle, arguments, PICKLE_ARRAY, value_out);
    case NAME_SIZE:
        return make_item(pickle, arguments, PICKLE_TUPLE, value_out);
    case NAME_RECONSTRUCT:
        return is_name(pickle_item(arguments, 0, PICKLE_GLOBAL), NAME_NDARRAY)
                   ? pickle_make_array(pickle, PICKLE_UNBUILT, value_out)
                   : pickle_refused(pickle, "a numpy array of another class than ndarray");
    case NAME_FROM_BUFFER:
        return pickle_make_from_buffer(pickle, arguments, value_out);
    case NAME_DTYPE:
        return pickle_make_dtype(pickle, arguments, value_out);
    case NAME_SCALAR:
        return pickle_make_scalar(pickle, arguments, value_out);
    case NAME_ENCODE:
        return make_encoded(pickle, arguments, value_out);
    case NAME_BYTES:
        return arguments->u.list.count == 0 ? pickle_make(pickle, PICKLE_BYTES, value_out)
                                            : pickle_refused(pickle, "a call of bytes()");
    case NAME_STORAGE:
    case NAME_NDARRAY:
        break;
    }
    return pickle_refused(pickle, "a type where a function belongs");
}

status_t pickle_build(pickle_t *pickle, pickle_value_t *value, const pickle_value_t *state) {
    if ((int)value->kind == PICKLE_UNBUILT) {
        return pickle_build_array(pickle, value, state);
    }
    if ((int)value->kind == PICKLE_DTYPE) {
        return pickle_build_dtype(pickle, value, state);
    }
    /* What a state_dict notes about versions of its modules. */
    return value->kind == PICKLE_DICT ? STATUS_OK
                                      : pickle_refused(pickle, "an object with a state");
}
