/* config.c - the struct itself: defaults, entries of modalities and targets, release. */
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

int config_entry_count(const config_t *config, table_id_t id) {
    return id == TABLE_MODALITY ? config->modality_count : config->target_count;
}

int config_entry_limit(table_id_t id) {
    return id == TABLE_MODALITY ? CONFIG_MODALITIES_MAX : CONFIG_TARGETS_MAX;
}

void *config_entry(const config_t *config, table_id_t id, int index) {
    return id == TABLE_MODALITY ? (void *)&config->modalities[index]
                                : (void *)&config->targets[index];
}

const char *config_entry_name(const config_t *config, table_id_t id, int index) {
    return id == TABLE_MODALITY ? config->modalities[index].name : config->targets[index].name;
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
    int index = config_entry_count(config, id);
    if (index == config_entry_limit(id)) {
        return -1;
    }
    if (id == TABLE_MODALITY) {
        config->modalities[index] = (modality_config_t){.name = text_copy(name)};
        config->modality_count++;
    } else {
        config->targets[index] = (target_config_t){.name = text_copy(name)};
        config->target_count++;
    }
    set_initial(id, config_entry(config, id, index));
    return index;
}

void config_entry_remove(config_t *config, table_id_t id, int index) {
    free_fields(id, config_entry(config, id, index));
    if (id == TABLE_MODALITY) {
        free(config->modalities[index].name);
        config->modality_count--;
        memmove(&config->modalities[index], &config->modalities[index + 1],
                (size_t)(config->modality_count - index) * sizeof config->modalities[0]);
    } else {
        free(config->targets[index].name);
        config->target_count--;
        memmove(&config->targets[index], &config->targets[index + 1],
                (size_t)(config->target_count - index) * sizeof config->targets[0]);
    }
}

void config_free(config_t *config) {
    if (config == NULL) {
        return;
    }
    for (table_id_t id = TABLE_MODALITY; id <= TABLE_TARGET; id++) {
        while (config_entry_count(config, id) > 0) {
            config_entry_remove(config, id, config_entry_count(config, id) - 1);
        }
    }
    free_fields(TABLE_MAIN, config);
    free(config);
}
