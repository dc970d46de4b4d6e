/* config_check_modality.c - rules about one modality: what maps it to model.dim, and which settings
 * that reads. */
#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "configs/config_origin.h"
#include "kernels/base/bytes.h"

typedef struct checked {
    const config_t *config;
    const config_origins_t *origins;
    const char *file;
    const modality_config_t *modality;
} checked_t;

/* At modalities.NAME.key or `other`, whichever was given last. text: "CAUSE; REMEDY", freed here */
static status_t refuse(const checked_t *checked, const char *key, const char *other, char *text) {
    char *full = text_format("modalities.%s.%s", checked->modality->name, key);
    const char *place = origins_latest(checked->origins, full, other);
    place = place == NULL ? checked->file : place;
    status_t status = status_fail(STATUS_INPUT, "%s%s%s", place == NULL ? "" : place,
                                  place == NULL ? "" : ": ", text);
    free(full);
    free(text);
    return status;
}

static status_t check_width(const checked_t *checked) {
    const modality_config_t *modality = checked->modality;
    int64_t dim = checked->config->model.dim;
    if (strcmp(modality->front, "none") != 0 || modality->dim == 0 || modality->dim == dim) {
        return STATUS_OK;
    }
    return refuse(
        checked, "front", "model.dim",
        text_format("modalities.%s.front none needs dim %lld to equal model.dim %lld; use "
                    "front: auto",
                    modality->name, (long long)modality->dim, (long long)dim));
}

static status_t check_tcn(const checked_t *checked) {
    static const char *const keys[] = {"tcn_blocks", "tcn_kernel", "tcn_causal", "tcn_dropout"};
    const modality_config_t *modality = checked->modality;
    bool tcn = strcmp(modality->front, "tcn") == 0;
    for (int i = 0; i < ARRAY_LEN(keys) && !tcn; i++) {
        const config_field_t *row = config_field_find(TABLE_MODALITY, keys[i]);
        if (!field_is_default(row, modality)) {
            return refuse(checked, keys[i], NULL,
                          text_format("modalities.%s.%s has no effect with front %s; set "
                                      "modalities.%s.front: tcn, or leave its default %s",
                                      modality->name, keys[i], modality->front, modality->name,
                                      row->initial));
        }
    }
    if (tcn && !modality->tcn_causal && checked->config->model.causal) {
        return refuse(checked, "tcn_causal", "model.causal",
                      text_format("modalities.%s.tcn_causal false lets later steps in, against "
                                  "model.causal; set one of them otherwise",
                                  modality->name));
    }
    return STATUS_OK;
}

status_t config_check_modalities(const config_t *config, const config_origins_t *origins,
                                 const char *name) {
    for (int m = 0; m < config->modality_count; m++) {
        const checked_t checked = {config, origins, name, &config->modalities[m]};
        TRY(check_width(&checked));
        TRY(check_tcn(&checked));
    }
    return STATUS_OK;
}
