/* config_differ.c - in which settings two configurations differ, and which of them may. */
#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

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

/* NAME and what follows it, in a key of an entry; false: no key of that table. *field_out: "" where
 * entries are values. */
static bool split_key(const char *key, table_id_t id, char **name_out, const char **field_out) {
    const char *prefix = config_table(id)->prefix, *last = strrchr(key, '.');
    size_t length = strlen(prefix);
    if (strncmp(key, prefix, length) != 0 || key[length] != '.') {
        return false;
    }
    bool value = id == TABLE_INIT;
    const char *end = value ? key + strlen(key) : last;
    if (end <= key + length) {
        return false;
    }
    *name_out = text_format("%.*s", (int)(end - key - (ptrdiff_t)length - 1), key + length + 1);
    *field_out = value ? "" : last + 1;
    return true;
}

/* The row of a dotted key, and what its offsets count from: NULL where that entry is not there.
 * NULL: no setting is called so, or a whole table. */
static const config_field_t *row_of(const config_t *config, const char *key,
                                    const void **base_out) {
    const config_field_t *row = config_field_find(TABLE_MAIN, key);
    *base_out = config;
    for (table_id_t id = TABLE_MAIN + 1; id < TABLE_COUNT && row == NULL; id++) {
        char *name = NULL;
        const char *field = NULL;
        if (split_key(key, id, &name, &field)) {
            int index = config_entry_find(config, id, name);
            row = config_field_find(id, field);
            *base_out = index >= 0 ? config_entry(config, id, index) : NULL;
        }
        free(name);
    }
    return row;
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
    for (table_id_t id = TABLE_MAIN + 1; id < TABLE_COUNT; id++) {
        if (strcmp(key, config_table(id)->prefix) == 0) {
            return entry_names(config, id);
        }
    }
    const void *base = NULL;
    const config_field_t *row = row_of(config, key, &base);
    return row != NULL && base != NULL ? field_yaml(row, base) : NULL;
}

bool config_may_differ(const config_t *config, const char *key, config_occasion_t occasion) {
    const void *base = NULL;
    const config_field_t *row = row_of(config, key, &base);
    bool order = strcmp(key, "virtual_shards") == 0 && strcmp(config->shuffle, "block") == 0;
    if (occasion == DIFFER_AT_RESUME && order) { /* with others, samples would come twice */
        return false;
    }
    return row != NULL && (row->may_differ & occasion) != 0;
}

char *config_difference(const config_t *a, const config_t *b, config_occasion_t occasion) {
    int count = 0;
    char **keys = config_differences(a, b, &count), *text = NULL;
    for (int i = 0; i < count && text == NULL; i++) {
        if (!config_may_differ(a, keys[i], occasion)) {
            char *was = config_value(a, keys[i]), *is = config_value(b, keys[i]);
            text = text_format("%s was %s and is %s", keys[i], was, is);
            free(was);
            free(is);
        }
    }
    names_free(keys, count);
    return text;
}
