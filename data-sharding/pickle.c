#include "data-sharding/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "data-sharding/pickle_internal.h"
#include "kernels/base/bytes.h"

#define TAKEN_BYTES_MAX ((size_t)1 << 30)
enum { WEIGHT_MAX = 1 << 24, BLOCK_BYTES = 1 << 16 };

struct pickle_block {
    pickle_block_t *next;
    size_t used, room;
    _Alignas(16) char data[];
};

status_t pickle_damaged(const pickle_t *pickle, const char *why) {
    return status_fail(STATUS_INPUT, "%s: the pickle is damaged at byte %zu: %s; save it again",
                       pickle->name, pickle->at, why);
}

status_t pickle_refused(const pickle_t *pickle, const char *why) {
    return status_fail(STATUS_INPUT,
                       "%s: the pickle has %s; save numbers, texts, lists, dicts, arrays or "
                       "tensors alone",
                       pickle->name, why);
}

void *pickle_take(pickle_t *pickle, int64_t count, size_t element_bytes) {
    size_t left = TAKEN_BYTES_MAX - pickle->taken_bytes;
    if (count < 0 || (uint64_t)count > left / element_bytes) {
        return NULL;
    }
    size_t bytes = (size_t)align_up(count * (int64_t)element_bytes, 16);
    pickle_block_t *block = pickle->blocks;
    if (block == NULL || bytes > block->room - block->used) {
        size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = alloc_zero((int64_t)(sizeof *block + room), 1);
        block->next = pickle->blocks;
        block->room = room;
        pickle->blocks = block;
        pickle->taken_bytes += room < left ? room : left;
    }
    block->used += bytes;
    return block->data + block->used - bytes;
}

status_t pickle_make(pickle_t *pickle, int kind, pickle_value_t **value_out) {
    pickle_value_t *value = pickle_take(pickle, 1, sizeof *value);
    if (value == NULL || pickle->values == PICKLE_VALUES_MAX) {
        return pickle_refused(pickle, "more values than are read");
    }
    pickle->values++;
    value->kind = (pickle_kind_t)kind;
    value->plain = kind <= PICKLE_ARRAY;
    value->depth = 1;
    value->weight = 1;
    *value_out = value;
    return STATUS_OK;
}

status_t pickle_put(pickle_t *pickle, pickle_value_t *list, pickle_value_t *item) {
    item->closed = true;
    if (list->closed) {
        return pickle_refused(pickle, "a value that holds itself");
    }
    if (!item->plain && list->kind != PICKLE_TUPLE) {
        return pickle_refused(pickle, "a function, type or unfinished array where data belongs");
    }
    if (list->u.list.count == list->u.list.room) {
        int64_t room = max_i64(4, 2 * list->u.list.room);
        pickle_value_t **items = pickle_take(pickle, room, sizeof *items);
        if (items == NULL) {
            return pickle_refused(pickle, "more values than are read");
        }
        if (list->u.list.count > 0) {
            memcpy(items, list->u.list.items, (size_t)list->u.list.count * sizeof *items);
        }
        list->u.list.items = items;
        list->u.list.room = room;
    }
    list->u.list.items[list->u.list.count++] = item;
    list->plain = list->plain && item->plain;
    list->depth = item->depth >= list->depth ? item->depth + 1 : list->depth;
    list->weight += item->weight;
    if (list->depth > PICKLE_DEPTH_MAX || list->weight > WEIGHT_MAX) {
        return pickle_refused(pickle, list->depth > PICKLE_DEPTH_MAX ? "values nested too deep"
                                                                     : "more values than are read");
    }
    return STATUS_OK;
}

status_t pickle_read(const char *name, const char *data, size_t bytes, pickle_t **pickle_out) {
    pickle_t *pickle = alloc_zero(1, sizeof *pickle);
    *pickle = (pickle_t){.name = name, .data = data, .bytes = bytes};
    pickle->stack = alloc_zero(1, sizeof *pickle->stack);
    status_t status = bytes > 0 && (unsigned char)data[0] == 0x80
                          ? pickle_run(pickle)
                          : pickle_refused(pickle, "another protocol than 2, 3, 4 or 5");
    pickle->name = NULL;
    if (status != STATUS_OK) {
        pickle_close(pickle);
        return status;
    }
    *pickle_out = pickle;
    return STATUS_OK;
}

void pickle_close(pickle_t *pickle) {
    if (pickle == NULL) {
        return;
    }
    while (pickle->blocks != NULL) {
        pickle_block_t *next = pickle->blocks->next;
        free(pickle->blocks);
        pickle->blocks = next;
    }
    free(pickle->stack);
    free(pickle->memo);
    free(pickle->marks);
    free(pickle->storages);
    free(pickle);
}

const pickle_value_t *pickle_root(const pickle_t *pickle) { return pickle->root; }
size_t pickle_bytes(const pickle_t *pickle) { return pickle->at; }

bool pickle_text_is(pickle_text_t text, const char *word) {
    return text.bytes == (int64_t)strlen(word) && memcmp(text.data, word, strlen(word)) == 0;
}

const pickle_value_t *pickle_find(const pickle_value_t *dict, const char *key) {
    const pickle_value_t *found = NULL; /* of several the last, as Python has it */
    for (int64_t i = 0; dict->kind == PICKLE_DICT && i + 1 < dict->u.list.count; i += 2) {
        const pickle_value_t *k = dict->u.list.items[i];
        if (k->kind == PICKLE_TEXT && pickle_text_is(k->u.text, key)) {
            found = dict->u.list.items[i + 1];
        }
    }
    return found;
}

const pickle_array_t *pickle_storage(const pickle_t *pickle, pickle_text_t key) {
    for (int64_t i = 0; i < pickle->storage_count; i++) {
        pickle_text_t other = pickle->storages[i]->storage;
        if (key.bytes == other.bytes && memcmp(key.data, other.data, (size_t)key.bytes) == 0) {
            return pickle->storages[i];
        }
    }
    return NULL;
}

int64_t pickle_array_place(const pickle_array_t *array, int64_t index) {
    int64_t place = array->offset;
    for (int d = array->rank - 1; d >= 0; d--) {
        place += index % array->dims[d] * array->strides[d];
        index /= array->dims[d];
    }
    return place;
}

void pickle_array_read(const pickle_array_t *array, const char *data, number_type_t type,
                       float *out) {
    for (int64_t i = 0; i < array->count; i++) {
        out[i] = (float)number_read(data + pickle_array_place(array, i) * type.bytes, type);
    }
}
