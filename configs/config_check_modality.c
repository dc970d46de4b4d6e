/* config_check_modality.c - rules about one modality: what maps it to model.dim, and which settings
 * that reads. */
#include <stdlib.h>
#include <string.h>

#include "configs/backbone_info.h"
#include "configs/config_fields.h"
#include "configs/config_origin.h"
#include "configs/corruption_kind.h"
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
    status_t status =
        origins_fail(checked->origins, checked->file, STATUS_INPUT, full, other, text);
    free(full);
    return status;
}

/* A setting that this modality does not read; without: what it lacks, or has. */
static status_t refuse_unread(const checked_t *checked, const char *key, const char *without,
                              const char *remedy) {
    const config_field_t *row = config_field_find(TABLE_MODALITY, key);
    if (field_is_default(row, checked->modality)) {
        return STATUS_OK;
    }
    char *full = text_format("modalities.%s.%s", checked->modality->name, key);
    status_t status = origins_unused(checked->origins, checked->file, full, NULL,
                                     text_format("%s has no effect %s; %s, or leave its default %s",
                                                 full, without, remedy, row->initial));
    free(full);
    return status;
}

static status_t check_width(const checked_t *checked) {
    const modality_config_t *modality = checked->modality;
    int64_t dim = checked->config->model.dim;
    bool backbone = strcmp(modality->backbone, "none") != 0; /* it has a width of its own */
    if (strcmp(modality->front, "none") != 0 || modality->dim == 0 || modality->dim == dim ||
        backbone) {
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
    if (strcmp(modality->front, "tcn") != 0) {
        char *without = text_format("with front %s", modality->front);
        char *remedy = text_format("set modalities.%s.front: tcn", modality->name);
        status_t status = STATUS_OK;
        for (int i = 0; i < ARRAY_LEN(keys) && status == STATUS_OK; i++) {
            status = refuse_unread(checked, keys[i], without, remedy);
        }
        free(without);
        free(remedy);
        return status;
    }
    if (!modality->tcn_causal && checked->config->model.causal) {
        return refuse(checked, "tcn_causal", "model.causal",
                      text_format("modalities.%s.tcn_causal false lets later steps in, against "
                                  "model.causal; set one of them otherwise",
                                  modality->name));
    }
    return STATUS_OK;
}

/* Pictures and sound are changed in ways of their own. */
static status_t check_augment(const checked_t *checked) {
    const modality_config_t *modality = checked->modality;
    const backbone_info_t *info = backbone_info(modality->backbone);
    bool spectrum = strcmp(modality->augment, "spectrum") == 0;
    bool wanted = info != NULL && (spectrum ? backbone_hears(info) : backbone_sees(info));
    if (wanted || strcmp(modality->augment, "none") == 0) {
        return STATUS_OK;
    }
    return refuse(checked, "augment", "backbone",
                  text_format("modalities.%s.augment %s is for backbones of %s, not for %s; leave "
                              "it out",
                              modality->name, modality->augment, spectrum ? "sound" : "pictures",
                              modality->backbone));
}

/* Each kind once, at a level of it. */
static status_t check_corrupt(const checked_t *checked) {
    const modality_config_t *modality = checked->modality;
    bool seen[CORRUPTION_COUNT] = {false};
    const char *start = NULL;
    int length = 0;
    for (int i = 0; word_at(modality->corrupt, i, &start, &length); i++) {
        corruption_kind_t kind = CORRUPTION_NONE;
        double level = 0.0;
        char *word = text_format("%.*s", length, start);
        status_t status = corruption_parse(word, &kind, &level);
        free(word);
        if (status != STATUS_OK) {
            return refuse(checked, "corrupt", NULL,
                          text_format("modalities.%s.corrupt: %s", modality->name, status_text()));
        }
        if (seen[kind]) {
            return refuse(checked, "corrupt", NULL,
                          text_format("modalities.%s.corrupt has %s twice; leave one",
                                      modality->name, corruption_name(kind)));
        }
        seen[kind] = true;
    }
    return STATUS_OK;
}

/* Settings that only some backbones read. */
static status_t check_backbone(const checked_t *checked) {
    static const char *const keys[] = {"size",       "upsample", "width",  "reduce",
                                       "batch_norm", "frozen",   "fc_relu"};
    const modality_config_t *modality = checked->modality;
    const backbone_info_t *info = backbone_info(modality->backbone);
    TRY(check_augment(checked));
    char *without = text_format("with backbone %s", modality->backbone);
    status_t status = STATUS_OK;
    for (int i = 0; i < ARRAY_LEN(keys) && status == STATUS_OK; i++) {
        if (info == NULL || !words_have(info->reads, keys[i])) {
            status = refuse_unread(checked, keys[i], without, "choose another backbone");
        }
    }
    free(without);
    if (status == STATUS_OK && modality->size % modality->upsample != 0) {
        return refuse(
            checked, "upsample", "size",
            text_format("modalities.%s.size %lld is no multiple of upsample %lld; pictures "
                        "of the data times upsample make size",
                        modality->name, (long long)modality->size, (long long)modality->upsample));
    }
    if (status == STATUS_OK && modality->frozen && strcmp(modality->batch_norm, "frozen") != 0) {
        return refuse(checked, "batch_norm", "frozen",
                      text_format("modalities.%s.batch_norm %s would change a frozen backbone; "
                                  "leave its default frozen",
                                  modality->name, modality->batch_norm));
    }
    return status;
}

/* --- a modality made of two others ----------------------------------------------------------- */

/* What is wrong with one of the names in modalities.NAME.of: "CAUSE; REMEDY", or NULL. */
static char *wrong_part(const checked_t *checked, const char *part) {
    const config_t *config = checked->config;
    const char *name = checked->modality->name;
    char shown_part[SHOWN_BYTES];
    shown(part, shown_part);
    int index = config_entry_find(config, TABLE_MODALITY, part);
    if (index < 0) {
        return text_format("modalities.%s.of names '%s', which modalities does not have; add "
                           "modalities.%s or correct the name",
                           name, shown_part, shown_part);
    }
    if (config->modalities[index].of[0] != '\0') {
        return text_format("modalities.%s.of names '%s', which is made of others itself; name two "
                           "with features of their own",
                           name, shown_part);
    }
    for (int m = 0; m < config->modality_count; m++) {
        const modality_config_t *other = &config->modalities[m];
        if (other != checked->modality && words_have(other->of, part)) {
            return text_format(
                "'%s' is in modalities.%s.of and in modalities.%s.of; remove it from "
                "one",
                shown_part, other->name, name);
        }
    }
    return words_have(config->model.modalities, part) && words_have(config->model.modalities, name)
               ? text_format("model.modalities has both %s and its part '%s'; remove one", name,
                             shown_part)
               : NULL;
}

static status_t check_parts(const checked_t *checked) {
    const char *of = checked->modality->of, *name = checked->modality->name, *start[2];
    int length[2], count = 0, more = 0;
    const char *third = NULL;
    while (count < 2 && word_at(of, count, &start[count], &length[count])) {
        count++;
    }
    bool same =
        count == 2 && length[0] == length[1] && strncmp(start[0], start[1], (size_t)length[0]) == 0;
    if (count < 2 || word_at(of, 2, &third, &more) || same) {
        return refuse(checked, "of", NULL,
                      text_format("modalities.%s.of takes two different modalities; write "
                                  "of: [a, b]",
                                  name));
    }
    for (int i = 0; i < 2; i++) {
        char *part = text_format("%.*s", length[i], start[i]);
        char *wrong = wrong_part(checked, part);
        free(part);
        if (wrong != NULL) {
            return refuse(checked, "of", "model.modalities", wrong);
        }
    }
    return STATUS_OK;
}

static status_t check_intra(const checked_t *checked) {
    static const char *const own[] = {"track",       "dim",        "clip",       "dilation",
                                      "front",       "tcn_blocks", "tcn_kernel", "tcn_causal",
                                      "tcn_dropout", "backbone",   "corrupt"};
    const modality_config_t *modality = checked->modality;
    if (modality->of[0] == '\0') {
        char *remedy = text_format("set modalities.%s.of", modality->name);
        status_t status = refuse_unread(checked, "intra", "on features of its own", remedy);
        free(remedy);
        return status;
    }
    for (int i = 0; i < ARRAY_LEN(own); i++) {
        TRY(refuse_unread(checked, own[i], "beside of", "set it for the parts"));
    }
    return check_parts(checked);
}

static status_t check_clip(const checked_t *checked) {
    const modality_config_t *modality = checked->modality;
    if (modality->clip > 1) {
        return STATUS_OK;
    }
    char *remedy = text_format("set modalities.%s.clip above 1", modality->name);
    status_t status = refuse_unread(checked, "dilation", "on single steps", remedy);
    free(remedy);
    return status;
}

status_t config_check_modalities(const config_t *config, const config_origins_t *origins,
                                 const char *name) {
    for (int m = 0; m < config->modality_count; m++) {
        const checked_t checked = {config, origins, name, &config->modalities[m]};
        TRY(check_intra(&checked));
        TRY(check_backbone(&checked));
        TRY(check_corrupt(&checked));
        TRY(check_width(&checked));
        TRY(check_tcn(&checked));
        TRY(check_clip(&checked));
    }
    return STATUS_OK;
}
