/* Which modalities a model sees, and which of them are made of two others. */
#include <string.h>

#include "configs/config_fields.h"

const char *modality_track(const modality_config_t *modality) {
    return modality->track[0] != '\0' ? modality->track : modality->name;
}

static int find(const config_t *config, const char *start, int length) {
    for (int i = 0; i < config->modality_count; i++) {
        const char *name = config->modalities[i].name;
        if ((int)strlen(name) == length && strncmp(name, start, (size_t)length) == 0) {
            return i;
        }
    }
    return -1;
}

bool config_parts(const config_t *config, int modality, int parts_out[2]) {
    const char *start = NULL;
    int length = 0;
    for (int i = 0; i < 2; i++) {
        if (!word_at(config->modalities[modality].of, i, &start, &length)) {
            return false;
        }
        parts_out[i] = find(config, start, length);
    }
    return parts_out[0] >= 0 && parts_out[1] >= 0;
}

static bool is_part(const config_t *config, int modality) {
    for (int i = 0; i < config->modality_count; i++) {
        if (words_have(config->modalities[i].of, config->modalities[modality].name)) {
            return true;
        }
    }
    return false;
}

int config_streams(const config_t *config, int indices_out[CONFIG_MODALITIES_MAX]) {
    const char *start = NULL, *model = config->model.name;
    int length = 0, count = 0;
    if (strcmp(model, "clock") == 0 || strcmp(model, "stimulus") == 0) { /* which are modalities */
        indices_out[0] = find(config, model, (int)strlen(model));
        return indices_out[0] >= 0 ? 1 : 0;
    }
    for (int i = 0; word_at(config->model.modalities, i, &start, &length); i++) {
        int index = find(config, start, length);
        if (index >= 0 && count < CONFIG_MODALITIES_MAX) {
            indices_out[count++] = index;
        }
    }
    bool all = config->model.modalities[0] == '\0';
    for (int i = 0; all && i < config->modality_count; i++) {
        if (!is_part(config, i)) {
            indices_out[count++] = i;
        }
    }
    return count;
}

bool config_reads(const config_t *config, int modality) {
    int streams[CONFIG_MODALITIES_MAX], parts[2];
    int count = config_streams(config, streams);
    for (int s = 0; s < count; s++) {
        bool made = config_parts(config, streams[s], parts);
        if (streams[s] == modality || (made && (parts[0] == modality || parts[1] == modality))) {
            return true;
        }
    }
    return false;
}

bool config_has_intra_encoder(const config_t *config) {
    int streams[CONFIG_MODALITIES_MAX], parts[2];
    int count = config_streams(config, streams);
    for (int s = 0; s < count; s++) {
        bool encodes = strcmp(config->modalities[streams[s]].intra, "concat_fc") != 0;
        if (config_parts(config, streams[s], parts) && encodes) {
            return true;
        }
    }
    return false;
}
