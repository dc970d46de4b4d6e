#include "trainer/weights_origin.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/log.h"
#include "trainer/trained_on.h"

/* --- the files ------------------------------------------------------------------------------- */

bool weights_init_applies(const config_t *config, const init_config_t *init) {
    for (int m = 0; m < config->modality_count; m++) {
        if (strcmp(config->modalities[m].name, init->name) == 0) {
            return config_reads(config, m);
        }
    }
    return true;
}

bool weights_init_varies(const config_t *config) {
    for (int i = 0; i < config->init_count; i++) {
        if (strstr(config->init[i].file, "{fold}") != NULL ||
            strstr(config->init[i].file, "{seed}") != NULL) {
            return true;
        }
    }
    return false;
}

/* `text` with each `word` replaced; text is freed. */
static char *replaced(char *text, const char *word, int64_t number) {
    char *at = strstr(text, word);
    while (at != NULL) {
        char *longer =
            text_format("%.*s%lld%s", (int)(at - text), text, (long long)number, at + strlen(word));
        free(text);
        text = longer;
        at = strstr(text, word);
    }
    return text;
}

status_t weights_init_open(const config_t *config, const init_config_t *init, char **path_out,
                           weights_file_t **file_out) {
    char *path = replaced(text_copy(init->file), "{fold}", config->split.fold);
    *path_out = replaced(path, "{seed}", config->seed);
    status_t status = weights_open(*path_out, file_out);
    return status == STATUS_OK ? status : status_prefix(status, "init.%s", init->name);
}

/* --- who they were trained on ---------------------------------------------------------------- */

void weights_origin_free(weights_origin_t *origin) {
    free(origin->files);
    free(origin->trained_on);
    free(origin->notes);
    *origin = (weights_origin_t){0};
}

status_t weights_init_people(const config_t *config, char **trained_on_out) {
    char *all = text_copy("");
    status_t status = STATUS_OK;
    for (int i = 0; i < config->init_count && status == STATUS_OK; i++) {
        weights_file_t *file = NULL;
        char *path = NULL;
        if (weights_init_applies(config, &config->init[i])) {
            status = weights_init_open(config, &config->init[i], &path, &file);
        }
        free(path);
        if (file != NULL) {
            char *joined = trained_on_join(all, weights_trained_on(file));
            free(all);
            all = joined;
        }
        weights_close(file);
    }
    if (status != STATUS_OK) {
        free(all);
        return status;
    }
    *trained_on_out = all;
    return STATUS_OK;
}

static void warn_of(const char *trained_on, const dataset_t *dataset, split_t split, bool overlap) {
    int64_t seen = 0, all = 0;
    if (trained_on_check(trained_on, dataset, split, overlap) != STATUS_OK) {
        trained_on_count(trained_on, dataset, split, overlap, &seen, &all);
        log_warning("the weights, or features, that this run begins with were trained on %lld of "
                    "%lld %s people: "
                    "%s; begin with weights of another split, or none",
                    (long long)seen, (long long)all, split_name(split),
                    split == SPLIT_TEST ? "jmt evaluate will not score them"
                                        : "validation tells nothing about strangers");
    }
}

void weights_origin_say(const weights_origin_t *origin, const dataset_t *dataset, bool overlap) {
    char *notes = text_copy(origin->notes), *save = NULL;
    for (char *line = strtok_r(notes, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        log_info("%s", line);
    }
    free(notes);
    if (origin->trained_on[0] != '\0') {
        warn_of(origin->trained_on, dataset, SPLIT_TEST, overlap);
        warn_of(origin->trained_on, dataset, SPLIT_VALID, overlap);
    }
}
