#include "data-sharding/name_table.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

/* Where a name stands, or would. */
static int64_t *slot_of(const name_table_t *table, const char *name) {
    int64_t last = table->room - 1, at = (int64_t)(rng_name(name) & (uint64_t)last);
    while (table->slots[at] != 0 && strcmp(table->items[table->slots[at] - 1], name) != 0) {
        at = (at + 1) & last;
    }
    return &table->slots[at];
}

static void widen(name_table_t *table) {
    table->room = max_i64(2 * table->room, 64); /* a power of two */
    free(table->slots);
    table->slots = alloc_zero(table->room, sizeof *table->slots);
    for (int64_t i = 0; i < table->count; i++) {
        *slot_of(table, table->items[i]) = i + 1;
    }
}

int64_t name_find(const name_table_t *table, const char *name) {
    return table->room > 0 ? *slot_of(table, name) - 1 : -1;
}

int64_t name_add(name_table_t *table, const char *name) {
    if (2 * table->count >= table->room) {
        widen(table);
    }
    int64_t *slot = slot_of(table, name);
    if (*slot == 0) {
        table->items = array_grow(table->items, table->count, sizeof *table->items);
        table->items[table->count++] = name;
        *slot = table->count;
    }
    return *slot - 1;
}

void name_table_free(name_table_t *table) {
    free(table->items);
    free(table->slots);
    *table = (name_table_t){0};
}
