/* config_check_init.c - rules about the files that a run begins with. */
#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "configs/config_origin.h"
#include "kernels/base/bytes.h"

/* "CAUSE; REMEDY", or NULL. */
static char *wrong(const config_t *config, const config_origins_t *origins, const char *key,
                   const char *name) {
    int modality = config_entry_find(config, TABLE_MODALITY, name);
    bool whole = strcmp(name, "model") == 0;
    if (words_have("majority clock stimulus", config->model.name)) {
        return text_format("%s has no effect with model.name %s, which nothing is trained of; "
                           "remove it",
                           key, config->model.name);
    }
    if (whole && modality >= 0) {
        return text_format("init.model means all parameters, and modalities.model is there; rename "
                           "the modality");
    }
    if (!whole && modality < 0) {
        return text_format("%s names no modality; use one of modalities, or init.model for all "
                           "parameters",
                           key);
    }
    if (!whole && !config_reads(config, modality) && origins_by_set(origins, key)) {
        return text_format("%s has no effect: the model does not read %s; remove it", key, name);
    }
    return NULL;
}

status_t config_check_init(const config_t *config, const config_origins_t *origins,
                           const char *file) {
    status_t status = STATUS_OK;
    for (int i = 0; i < config->init_count && status == STATUS_OK; i++) {
        char *key = text_format("init.%s", config->init[i].name);
        char *text = wrong(config, origins, key, config->init[i].name);
        if (text != NULL) {
            status = origins_fail(origins, file, STATUS_INPUT, key, NULL, text);
        }
        free(key);
    }
    return status;
}
