#include "configs/config_origin.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

static void remove_at(config_origins_t *origins, int index) {
    free(origins->items[index].key);
    free(origins->items[index].place);
    origins->count--;
    memmove(&origins->items[index], &origins->items[index + 1],
            (size_t)(origins->count - index) * sizeof origins->items[0]);
}

static int index_of(const config_origins_t *origins, const char *key) {
    for (int i = 0; i < origins->count; i++) {
        if (strcmp(origins->items[i].key, key) == 0) {
            return i;
        }
    }
    return -1;
}

void origins_set(config_origins_t *origins, const char *key, const char *place) {
    int index = index_of(origins, key);
    if (index >= 0) {
        remove_at(origins, index);
    }
    /* Grown for every addition: array_grow would lose count of the capacity after a removal. */
    size_t bytes = (size_t)(origins->count + 1) * sizeof origins->items[0];
    config_origin_t *grown = realloc(origins->items, bytes);
    REQUIRE(grown != NULL && "out of memory");
    grown[origins->count++] = (config_origin_t){text_copy(key), text_copy(place)};
    origins->items = grown;
}

const char *origins_find(const config_origins_t *origins, const char *key) {
    int index = index_of(origins, key);
    return index < 0 ? NULL : origins->items[index].place;
}

bool origins_by_set(const config_origins_t *origins, const char *key) {
    const char *place = origins_find(origins, key);
    return place != NULL && strncmp(place, "--set ", strlen("--set ")) == 0;
}

void origins_drop(config_origins_t *origins, const char *key) {
    size_t length = strlen(key);
    for (int i = origins->count - 1; i >= 0; i--) {
        const char *other = origins->items[i].key;
        if (strncmp(other, key, length) == 0 && (other[length] == '\0' || other[length] == '.')) {
            remove_at(origins, i);
        }
    }
}

const char *origins_latest(const config_origins_t *origins, const char *a, const char *b) {
    for (int i = origins->count - 1; i >= 0; i--) {
        const char *key = origins->items[i].key;
        if (strcmp(key, a) == 0 || (b != NULL && strcmp(key, b) == 0)) {
            return origins->items[i].place;
        }
    }
    return NULL;
}

status_t origins_fail(const config_origins_t *origins, const char *file, status_t status,
                      const char *key, const char *other, char *text) {
    const char *place = origins_latest(origins, key, other);
    place = place == NULL ? file : place;
    status_t failed =
        status_fail(status, "%s%s%s", place == NULL ? "" : place, place == NULL ? "" : ": ", text);
    free(text);
    return failed;
}

status_t origins_unused(const config_origins_t *origins, const char *file, const char *key,
                        const char *other, char *text) {
    bool now = origins_by_set(origins, key) || (other != NULL && origins_by_set(origins, other));
    if (origins->stored && !now) {
        free(text);
        return STATUS_OK;
    }
    return origins_fail(origins, file, STATUS_INPUT, key, other, text);
}

void origins_free(config_origins_t *origins) {
    while (origins->count > 0) {
        remove_at(origins, origins->count - 1);
    }
    free(origins->items);
    *origins = (config_origins_t){0};
}
