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

/* Item i of a tuple if it is of that kind, else NULL. */
static pickle_value_t *item_of(const pickle_value_t *tuple, int64_t i, int kind) {
    bool there = tuple->kind == PICKLE_TUPLE && i < tuple->u.list.count;
    pickle_value_t *item = there ? tuple->u.list.items[i] : NULL;
    return item != NULL && (int)item->kind == kind ? item : NULL;
}

static bool is_name(const pickle_value_t *value, meaning_t meaning) {
    return value != NULL && (int)value->kind == PICKLE_GLOBAL &&
           names[value->u.integer].meaning == meaning;
}

/* A tuple of sizes that are not negative. */
static bool sizes_of(const pickle_value_t *tuple, int *rank_out, int64_t sizes[PICKLE_RANK_MAX]) {
    if (tuple == NULL || tuple->u.list.count > PICKLE_RANK_MAX) {
        return false;
    }
    *rank_out = (int)tuple->u.list.count;
    for (int d = 0; d < *rank_out; d++) {
        const pickle_value_t *size = item_of(tuple, d, PICKLE_INT);
        if (size == NULL || size->u.integer < 0) {
            return false;
        }
        sizes[d] = size->u.integer;
    }
    return true;
}

/* The elements that the dims make, if none lies outside of `numbers` and they are no more. */
static bool count_elements(pickle_array_t *array) {
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

static status_t make_array(pickle_t *pickle, int kind, pickle_value_t **value_out) {
    TRY(pickle_make(pickle, kind, value_out));
    (*value_out)->u.array = pickle_take(pickle, 1, sizeof(pickle_array_t));
    return (*value_out)->u.array != NULL ? STATUS_OK
                                         : pickle_refused(pickle, "more values than are read");
}

/* --- PyTorch --------------------------------------------------------------------------------- */

status_t pickle_outside(pickle_t *pickle, const pickle_value_t *id, pickle_value_t **value_out) {
    const pickle_value_t *word = item_of(id, 0, PICKLE_TEXT);
    const pickle_value_t *type = item_of(id, 1, PICKLE_GLOBAL);
    const pickle_value_t *key = item_of(id, 2, PICKLE_TEXT), *count = item_of(id, 4, PICKLE_INT);
    const pickle_value_t *view = item_of(id, 5, PICKLE_NONE);
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
    TRY(make_array(pickle, PICKLE_STORAGE, value_out));
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
    const pickle_value_t *storage = item_of(arguments, 0, PICKLE_STORAGE);
    const pickle_value_t *offset = item_of(arguments, 1, PICKLE_INT);
    pickle_array_t array;
    int strides = 0;
    if (storage == NULL || offset == NULL || offset->u.integer < 0) {
        return pickle_damaged(pickle, "a tensor without its storage");
    }
    array = *storage->u.array;
    array.offset = offset->u.integer;
    if (!sizes_of(item_of(arguments, 2, PICKLE_TUPLE), &array.rank, array.dims) ||
        !sizes_of(item_of(arguments, 3, PICKLE_TUPLE), &strides, array.strides) ||
        strides != array.rank || array.offset > array.numbers || !count_elements(&array)) {
        return pickle_refused(pickle,
                              "a tensor that does not fit its storage, or shows numbers of it "
                              "twice (make it .contiguous())");
    }
    TRY(make_array(pickle, PICKLE_ARRAY, value_out));
    *(*value_out)->u.array = array;
    return STATUS_OK;
}

/* --- numpy ----------------------------------------------------------------------------------- */

/* dtype("f4", ...): byte order and all else come as its state. */
static status_t make_dtype(pickle_t *pickle, const pickle_value_t *arguments,
                           pickle_value_t **value_out) {
    const pickle_value_t *name = item_of(arguments, 0, PICKLE_TEXT);
    pickle_text_t text = name != NULL ? name->u.text : (pickle_text_t){"", 0};
    number_type_t type = {.kind = text.bytes > 0 ? text.data[0] : '?'};
    for (int64_t i = 1; i < text.bytes; i++) {
        bool digit = text.data[i] >= '0' && text.data[i] <= '9' && type.bytes < 1 << 20;
        type.bytes = digit ? 10 * type.bytes + (text.data[i] - '0') : 1 << 24;
    }
    type.bytes *= type.kind == 'U' ? 4 : 1;
    bool texts = (type.kind == 'U' || type.kind == 'S') && type.bytes <= 1 << 20;
    if (!number_type_known(type) && !texts && !(type.kind == 'O' && type.bytes <= 16)) {
        return pickle_refused(pickle, "a numpy array of another type than numbers and texts");
    }
    TRY(make_array(pickle, PICKLE_DTYPE, value_out));
    (*value_out)->u.array->type = type;
    return STATUS_OK;
}

static status_t build_dtype(pickle_t *pickle, pickle_value_t *value, const pickle_value_t *state) {
    const pickle_value_t *order = item_of(state, 1, PICKLE_TEXT);
    if (order == NULL || order->u.text.bytes != 1 ||
        strchr("<>|=", order->u.text.data[0]) == NULL) {
        return pickle_damaged(pickle, "a numpy type without its byte order");
    }
    value->u.array->type.big = order->u.text.data[0] == '>';
    return STATUS_OK;
}

/* The content of an array: dims are there, the strides follow from the order. */
static status_t fill_array(pickle_t *pickle, pickle_value_t *value, number_type_t type,
                           bool fortran, pickle_text_t content) {
    pickle_array_t *array = value->u.array;
    int64_t stride = 1;
    array->type = type;
    array->data = content.data;
    array->numbers = type.bytes > 0 ? content.bytes / type.bytes : 0;
    for (int i = 0; i < array->rank; i++) {
        int d = fortran ? i : array->rank - 1 - i;
        array->strides[d] = stride;
        if (array->dims[d] > 1 && stride > INT64_MAX / array->dims[d]) {
            return pickle_damaged(pickle, "a numpy array whose length does not fit its shape");
        }
        stride *= max_i64(array->dims[d], 1);
    }
    if (!count_elements(array) || array->count * type.bytes != content.bytes) {
        return pickle_damaged(pickle, "a numpy array whose length does not fit its shape");
    }
    value->kind = PICKLE_ARRAY;
    value->plain = true;
    return STATUS_OK;
}

/* version, shape, dtype, Fortran's order, content; of objects it is a list, and that is what the
 * array becomes. */
static status_t build_array(pickle_t *pickle, pickle_value_t *value, const pickle_value_t *state) {
    const pickle_value_t *dtype = item_of(state, 2, PICKLE_DTYPE);
    const pickle_value_t *fortran = item_of(state, 3, PICKLE_BOOL);
    const pickle_value_t *content = item_of(state, 4, PICKLE_BYTES);
    pickle_value_t *objects = item_of(state, 4, PICKLE_LIST);
    if (content == NULL) { /* Python 2's bytes */
        content = item_of(state, 4, PICKLE_TEXT);
    }
    if (dtype == NULL || fortran == NULL ||
        !sizes_of(item_of(state, 1, PICKLE_TUPLE), &value->u.array->rank, value->u.array->dims)) {
        return pickle_damaged(pickle, "a numpy array without its shape");
    }
    number_type_t type = dtype->u.array->type;
    if (type.kind == 'O' && objects != NULL) {
        *value = *objects;
        value->closed = false;
        return STATUS_OK;
    }
    if (type.kind == 'O' || content == NULL) {
        return pickle_damaged(pickle, "a numpy array without its content");
    }
    return fill_array(pickle, value, type, fortran->u.truth, content->u.text);
}

/* bytes, dtype, shape, "C" or "F". */
static status_t make_from_buffer(pickle_t *pickle, const pickle_value_t *arguments,
                                 pickle_value_t **value_out) {
    const pickle_value_t *content = item_of(arguments, 0, PICKLE_BYTES);
    const pickle_value_t *dtype = item_of(arguments, 1, PICKLE_DTYPE);
    const pickle_value_t *order = item_of(arguments, 3, PICKLE_TEXT);
    TRY(make_array(pickle, PICKLE_UNBUILT, value_out));
    pickle_array_t *array = (*value_out)->u.array;
    if (content == NULL || dtype == NULL || dtype->u.array->type.kind == 'O' || order == NULL ||
        !sizes_of(item_of(arguments, 2, PICKLE_TUPLE), &array->rank, array->dims)) {
        return pickle_damaged(pickle, "a numpy array without its content");
    }
    return fill_array(pickle, *value_out, dtype->u.array->type, pickle_text_is(order->u.text, "F"),
                      content->u.text);
}

static status_t make_scalar(pickle_t *pickle, const pickle_value_t *arguments,
                            pickle_value_t **value_out) {
    const pickle_value_t *dtype = item_of(arguments, 0, PICKLE_DTYPE);
    const pickle_value_t *content = item_of(arguments, 1, PICKLE_BYTES);
    if (content == NULL) {
        content = item_of(arguments, 1, PICKLE_TEXT);
    }
    if (dtype == NULL || content == NULL || !number_type_known(dtype->u.array->type) ||
        content->u.text.bytes != dtype->u.array->type.bytes) {
        return pickle_damaged(pickle, "a numpy number without its bytes");
    }
    number_type_t type = dtype->u.array->type;
    TRY(pickle_make(pickle, type.kind == 'f' ? PICKLE_FLOAT : PICKLE_INT, value_out));
    if (type.kind == 'f') {
        (*value_out)->u.real = number_read(content->u.text.data, type);
    } else {
        (*value_out)->u.integer = number_read_int(content->u.text.data, type);
    }
    return STATUS_OK;
}

/* --- Python ---------------------------------------------------------------------------------- */

/* Nothing, or a list of pairs. */
static status_t make_dict(pickle_t *pickle, const pickle_value_t *arguments,
                          pickle_value_t **value_out) {
    const pickle_value_t *pairs = item_of(arguments, 0, PICKLE_LIST);
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
    const pickle_value_t *text = item_of(arguments, 0, PICKLE_TEXT);
    const pickle_value_t *code = item_of(arguments, 1, PICKLE_TEXT);
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
    *value_out = item_of(arguments, 0, kind);
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
        return is_name(item_of(arguments, 0, PICKLE_GLOBAL), NAME_NDARRAY)
                   ? make_array(pickle, PICKLE_UNBUILT, value_out)
                   : pickle_refused(pickle, "a numpy array of another class than ndarray");
    case NAME_FROM_BUFFER:
        return make_from_buffer(pickle, arguments, value_out);
    case NAME_DTYPE:
        return make_dtype(pickle, arguments, value_out);
    case NAME_SCALAR:
        return make_scalar(pickle, arguments, value_out);
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
        return build_array(pickle, value, state);
    }
    if ((int)value->kind == PICKLE_DTYPE) {
        return build_dtype(pickle, value, state);
    }
    /* What a state_dict notes about versions of its modules. */
    return value->kind == PICKLE_DICT ? STATUS_OK
                                      : pickle_refused(pickle, "an object with a state");
}
