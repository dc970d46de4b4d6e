/* config_differ.c - in which settings two configurations differ. */
#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "kernels/base/bytes.h"

typedef struct key_list {
    char **keys;
    int count;
} key_list_t;

static void add_key(key_list_t *list, char *key) {
    list->keys = array_grow(list->keys, list->count, sizeof *list->keys);
    list->keys[list->count++] = key;
}

static bool same_value(const config_field_t *row, const void *a, const void *b) {
    switch (row->type) {
    case FIELD_INT:
        return field_int(row, a) == field_int(row, b);
    case FIELD_REAL:
        return field_real(row, a) == field_real(row, b);
    case FIELD_BOOL:
        return field_bool(row, a) == field_bool(row, b);
    default:
        return strcmp(field_text(row, a), field_text(row, b)) == 0;
    }
}

static void compare_entries(const config_t *a, const config_t *b, table_id_t id, key_list_t *list) {
    const config_table_t *table = config_table(id);
    int count = config_entry_count(a, id);
    bool same = count == config_entry_count(b, id);
    for (int i = 0; i < count && same; i++) {
        same = strcmp(config_entry_name(a, id, i), config_entry_name(b, id, i)) == 0;
    }
    if (!same) {
        add_key(list, text_copy(table->prefix));
    }
    for (int i = 0; i < count; i++) {
        const char *name = config_entry_name(a, id, i);
        int other = config_entry_find(b, id, name);
        for (int r = 0; r < table->row_count && other >= 0; r++) {
            const config_field_t *row = &table->rows[r];
            if (!same_value(row, config_entry(a, id, i), config_entry(b, id, other))) {
                add_key(list, config_entry_key(id, name, row));
            }
        }
    }
}

char **config_differences(const config_t *a, const config_t *b, int *count_out) {
    key_list_t list = {0};
    const config_table_t *table = config_table(TABLE_MAIN);
    for (int r = 0; r < table->row_count; r++) {
        if (!same_value(&table->rows[r], a, b)) {
            add_key(&list, text_copy(table->rows[r].key));
        }
    }
    compare_entries(a, b, TABLE_MODALITY, &list);
    compare_entries(a, b, TABLE_TARGET, &list);
    compare_entries(a, b, TABLE_INIT, &list);
    *count_out = list.count;
    return list.keys;
}

/* "[a, b]" */
static char *entry_names(const config_t *config, table_id_t id) {
    char *text = text_copy("[");
    for (int i = 0; i < config_entry_count(config, id); i++) {
        char *longer =
            text_format("%s%s%s", text, i > 0 ? ", " : "", config_entry_name(config, id, i));
        free(text);
        text = longer;
    }
    char *closed = text_format("%s]", text);
    free(text);
    return closed;
}

char *config_value(const config_t *config, const char *key) {
    const config_field_t *row = config_field_find(TABLE_MAIN, key);
    if (row != NULL) {
        return field_yaml(row, config);
    }
    for (table_id_t id = TABLE_MAIN + 1; id < TABLE_COUNT; id++) {
        const config_table_t *table = config_table(id);
        if (strcmp(key, table->prefix) == 0) {
            return entry_names(config, id);
        }
        for (int i = 0; i < config_entry_count(config, id) * table->row_count; i++) {
            int index = i / table->row_count;
            row = &table->rows[i % table->row_count];
            char *whole = config_entry_key(id, config_entry_name(config, id, index), row);
            bool found = strcmp(whole, key) == 0;
            free(whole);
            if (found) {
                return field_yaml(row, config_entry(config, id, index));
            }
        }
    }
    return NULL;
}
