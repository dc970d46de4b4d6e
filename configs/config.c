/* config.c - the struct itself: defaults, entries of modalities, targets and init, release. */
#include "configs/config.h"

#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "kernels/base/bytes.h"

static void set_initial(table_id_t id, void *base) {
    const config_table_t *table = config_table(id);
    for (int i = 0; i < table->row_count; i++) {
        status_t status = field_parse(&table->rows[i], base, table->rows[i].initial, false);
        REQUIRE(status == STATUS_OK && "a default is legal");
    }
}

static void free_fields(table_id_t id, void *base) {
    const config_table_t *table = config_table(id);
    for (int i = 0; i < table->row_count; i++) {
        field_free(&table->rows[i], base);
    }
}

config_t *config_defaults(void) {
    config_t *config = alloc_zero(1, sizeof *config);
    set_initial(TABLE_MAIN, config);
    return config;
}

/* Of each table the array in the struct; `name` is the first member of every entry. */
typedef struct entries {
    void *first;
    int *count;
    size_t bytes;
} entries_t;

static entries_t entries_of(const config_t *config, table_id_t id) {
    config_t *c = (config_t *)config;
    switch (id) {
    case TABLE_MODALITY:
        return (entries_t){c->modalities, &c->modality_count, sizeof c->modalities[0]};
    case TABLE_TARGET:
        return (entries_t){c->targets, &c->target_count, sizeof c->targets[0]};
    default:
        REQUIRE(id == TABLE_INIT);
        return (entries_t){c->init, &c->init_count, sizeof c->init[0]};
    }
}

int config_entry_count(const config_t *config, table_id_t id) {
    return *entries_of(config, id).count;
}

int config_entry_limit(table_id_t id) {
    static const int limits[TABLE_COUNT] = {[TABLE_MODALITY] = CONFIG_MODALITIES_MAX,
                                            [TABLE_TARGET] = CONFIG_TARGETS_MAX,
                                            [TABLE_INIT] = CONFIG_INITS_MAX};
    return limits[id];
}

void *config_entry(const config_t *config, table_id_t id, int index) {
    entries_t entries = entries_of(config, id);
    return (char *)entries.first + (size_t)index * entries.bytes;
}

const char *config_entry_name(const config_t *config, table_id_t id, int index) {
    return *(char **)config_entry(config, id, index);
}

int config_entry_find(const config_t *config, table_id_t id, const char *name) {
    for (int i = 0; i < config_entry_count(config, id); i++) {
        if (strcmp(config_entry_name(config, id, i), name) == 0) {
            return i;
        }
    }
    return -1;
}

int config_entry_add(config_t *config, table_id_t id, const char *name) {
    entries_t entries = entries_of(config, id);
    int index = *entries.count;
    if (index == config_entry_limit(id)) {
        return -1;
    }
    memset(config_entry(config, id, index), 0, entries.bytes);
    *(char **)config_entry(config, id, index) = text_copy(name);
    *entries.count = index + 1;
    set_initial(id, config_entry(config, id, index));
    return index;
}

void config_entry_remove(config_t *config, table_id_t id, int index) {
    entries_t entries = entries_of(config, id);
    void *entry = config_entry(config, id, index);
    free_fields(id, entry);
    free(*(char **)entry);
    *entries.count -= 1;
    memmove(entry, config_entry(config, id, index + 1),
            (size_t)(*entries.count - index) * entries.bytes);
}

void config_free(config_t *config) {
    if (config == NULL) {
        return;
    }
    for (table_id_t id = TABLE_MAIN + 1; id < TABLE_COUNT; id++) {
        while (config_entry_count(config, id) > 0) {
            config_entry_remove(config, id, config_entry_count(config, id) - 1);
        }
    }
    free_fields(TABLE_MAIN, config);
    free(config);
}
