/* numpy's arrays, numbers and their types. */
#include <string.h>

#include "data-sharding/pickle_internal.h"
#include "kernels/base/bytes.h"

/* dtype("f4", ...): byte order and all else come as its state. */
status_t pickle_make_dtype(pickle_t *pickle, const pickle_value_t *arguments,
                           pickle_value_t **value_out) {
    const pickle_value_t *name = pickle_item(arguments, 0, PICKLE_TEXT);
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
    TRY(pickle_make_array(pickle, PICKLE_DTYPE, value_out));
    (*value_out)->u.array->type = type;
    return STATUS_OK;
}

status_t pickle_build_dtype(pickle_t *pickle, pickle_value_t *value, const pickle_value_t *state) {
    const pickle_value_t *order = pickle_item(state, 1, PICKLE_TEXT);
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
    if (!pickle_count(array) || array->count * type.bytes != content.bytes) {
        return pickle_damaged(pickle, "a numpy array whose length does not fit its shape");
    }
    value->kind = PICKLE_ARRAY;
    value->plain = true;
    return STATUS_OK;
}

/* version, shape, dtype, Fortran's order, content; of objects it is a list, and that is what the
 * array becomes. */
status_t pickle_build_array(pickle_t *pickle, pickle_value_t *value, const pickle_value_t *state) {
    const pickle_value_t *dtype = pickle_item(state, 2, PICKLE_DTYPE);
    const pickle_value_t *fortran = pickle_item(state, 3, PICKLE_BOOL);
    const pickle_value_t *content = pickle_item(state, 4, PICKLE_BYTES);
    pickle_value_t *objects = pickle_item(state, 4, PICKLE_LIST);
    if (content == NULL) { /* Python 2's bytes */
        content = pickle_item(state, 4, PICKLE_TEXT);
    }
    if (dtype == NULL || fortran == NULL ||
        !pickle_sizes(pickle_item(state, 1, PICKLE_TUPLE), &value->u.array->rank,
                      value->u.array->dims)) {
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
status_t pickle_make_from_buffer(pickle_t *pickle, const pickle_value_t *arguments,
                                 pickle_value_t **value_out) {
    const pickle_value_t *content = pickle_item(arguments, 0, PICKLE_BYTES);
    const pickle_value_t *dtype = pickle_item(arguments, 1, PICKLE_DTYPE);
    const pickle_value_t *order = pickle_item(arguments, 3, PICKLE_TEXT);
    TRY(pickle_make_array(pickle, PICKLE_UNBUILT, value_out));
    pickle_array_t *array = (*value_out)->u.array;
    if (content == NULL || dtype == NULL || dtype->u.array->type.kind == 'O' || order == NULL ||
        !pickle_sizes(pickle_item(arguments, 2, PICKLE_TUPLE), &array->rank, array->dims)) {
        return pickle_damaged(pickle, "a numpy array without its content");
    }
    return fill_array(pickle, *value_out, dtype->u.array->type, pickle_text_is(order->u.text, "F"),
                      content->u.text);
}

status_t pickle_make_scalar(pickle_t *pickle, const pickle_value_t *arguments,
                            pickle_value_t **value_out) {
    const pickle_value_t *dtype = pickle_item(arguments, 0, PICKLE_DTYPE);
    const pickle_value_t *content = pickle_item(arguments, 1, PICKLE_BYTES);
    if (content == NULL) {
        content = pickle_item(arguments, 1, PICKLE_TEXT);
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
