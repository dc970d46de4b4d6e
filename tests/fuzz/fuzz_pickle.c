/* A pickle. All that is accepted is walked as its users do: recursively, and every number read. */
#include <stdlib.h>
#include <string.h>

#include "data-sharding/pickle.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"

static void walk_array(const pickle_array_t *array) {
    if (array->data != NULL && number_type_known(array->type)) {
        double sum = 0.0;
        for (int64_t i = 0; i < array->count; i++) {
            int64_t place = pickle_array_place(array, i);
            REQUIRE(place >= 0 && place < array->numbers);
            sum += number_read(array->data + place * array->type.bytes, array->type);
        }
        REQUIRE(sum == sum || sum != sum);
    }
}

static void walk(const pickle_value_t *value) {
    REQUIRE(value->kind <= PICKLE_ARRAY);
    if (value->kind == PICKLE_ARRAY) {
        walk_array(value->u.array);
    } else if (value->kind == PICKLE_LIST || value->kind == PICKLE_TUPLE ||
               value->kind == PICKLE_DICT) {
        REQUIRE(value->kind != PICKLE_DICT || value->u.list.count % 2 == 0);
        for (int64_t i = 0; i < value->u.list.count; i++) {
            walk(value->u.list.items[i]);
        }
    } else if (value->kind == PICKLE_TEXT || value->kind == PICKLE_BYTES) {
        REQUIRE(memchr(value->u.text.data, 0, (size_t)value->u.text.bytes) == NULL ||
                value->u.text.bytes > 0);
    }
}

bool fuzz_pickle(const uint8_t *data, size_t bytes) {
    pickle_t *pickle = NULL;
    char *copy = alloc_zero((int64_t)bytes + 1, 1);
    memcpy(copy, data, bytes);
    bool accepted = pickle_read("it", copy, bytes, &pickle) == STATUS_OK;
    if (accepted) {
        walk(pickle_root(pickle));
    }
    pickle_close(pickle);
    free(copy);
    return accepted;
}
