/* dataset_built_in.c - modalities that no file holds: one feature for each stretch of time. `clock`
 * counts from the start of the recording, `stimulus` within each group. And those that are masked
 * everywhere, because the data lacks them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/dataset_internal.h"
#include "data-sharding/name_table.h"
#include "kernels/base/bytes.h"
#include "kernels/base/log.h"

static const double slack = 1e-6; /* of a stretch, as rates such as 1 / 0.2 are not exact */

static built_in_t built_in_of(const char *name) {
    return strcmp(name, "clock") == 0      ? BUILT_IN_CLOCK
           : strcmp(name, "stimulus") == 0 ? BUILT_IN_STIMULUS
                                           : BUILT_IN_NONE;
}

bool dataset_is_built_in(const dataset_t *dataset, int modality) {
    REQUIRE(modality >= 0 && modality < dataset->modality_count);
    return dataset->built_in[modality] != BUILT_IN_NONE;
}

static bool is_there(const dataset_t *dataset, const char *modality) {
    for (int s = 0; s < dataset->shard_count; s++) {
        if (shard_track(dataset->shards[s], modality, false) != NULL) {
            return true;
        }
    }
    return false;
}

/* Masking what is missing must leave something to read. */
static status_t check_not_all_masked(const dataset_config_t *config, const dataset_t *dataset) {
    for (int i = 0; i < config->modality_count; i++) {
        if (dataset->built_in[i] != BUILT_IN_NONE || is_there(dataset, config->modalities[i])) {
            return STATUS_OK;
        }
    }
    return status_fail(STATUS_INPUT,
                       "%s: none of the modalities is there; name at least one that jmt inspect "
                       "lists",
                       config->path);
}

/* It is masked everywhere; its width is then the caller's. */
static status_t mask_modality(const dataset_config_t *config, dataset_t *dataset, int modality) {
    const char *name = config->modalities[modality];
    if (config->dims[modality] == 0) {
        return status_fail(STATUS_INPUT,
                           "%s: no modality \"%s\" to take its width from; set modalities.%s.dim",
                           config->path, name, name);
    }
    log_info("%s: no modality \"%s\"; it is masked everywhere, as data.missing says", config->path,
             name);
    dataset->built_in[modality] = BUILT_IN_MASKED;
    dataset->dims[modality] = config->dims[modality];
    return STATUS_OK;
}

/* Those that are in no shard, if that is wanted. */
static status_t mask_missing(const dataset_config_t *config, dataset_t *dataset) {
    if (!config->mask_missing || config->modality_count == 0) {
        return STATUS_OK;
    }
    TRY(check_not_all_masked(config, dataset));
    for (int i = 0; i < config->modality_count; i++) {
        if (dataset->built_in[i] == BUILT_IN_NONE && !is_there(dataset, config->modalities[i])) {
            TRY(mask_modality(config, dataset, i));
        }
    }
    return STATUS_OK;
}

status_t dataset_find_built_in(const dataset_config_t *config, dataset_t *dataset) {
    dataset->built_in = alloc_zero(max_i64(config->modality_count, 1), sizeof *dataset->built_in);
    dataset->clock_step_s = config->clock_step_s;
    for (int m = 0; m < config->modality_count; m++) {
        const char *name = config->modalities[m];
        dataset->built_in[m] = built_in_of(name);
        if (dataset->built_in[m] != BUILT_IN_NONE && is_there(dataset, name)) {
            return status_fail(STATUS_INPUT,
                               "%s: it has a modality called %s, which is the name of a "
                               "built-in one; import it under another name",
                               config->path, name);
        }
    }
    return mask_missing(config, dataset);
}

static int64_t stretch_of(const dataset_t *dataset, const dataset_recording_t *r, int64_t step) {
    double width = dataset->clock_step_s;
    return width == 0.0 ? step : (int64_t)floor((double)step / r->rate_hz / width + slack);
}

/* Groups are numbered by their first recording; those without a name have none. */
void dataset_number_groups(dataset_t *dataset) {
    name_table_t groups = {0};
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        const char *group = dataset_origin(dataset, i)->group;
        dataset->recordings[i].group = group[0] == '\0' ? -1 : name_add(&groups, group);
    }
    dataset->group_count = groups.count;
    name_table_free(&groups);
}

status_t dataset_open_built_in(const dataset_config_t *config, dataset_t *dataset) {
    int64_t groups = dataset->group_count;
    dataset->stretches = 1;
    dataset->trained = alloc_zero(max_i64(groups, 1), sizeof *dataset->trained);
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        const dataset_recording_t *r = &dataset->recordings[i];
        int64_t count = r->length > 0 ? stretch_of(dataset, r, r->length - 1) + 1 : 0;
        dataset->stretches = max_i64(dataset->stretches, count);
        if (r->split == SPLIT_TRAIN) {
            dataset->trained_stretches = max_i64(dataset->trained_stretches, count);
        }
        if (r->split == SPLIT_TRAIN && r->group >= 0) {
            dataset->trained[r->group] = true;
        }
    }
    for (int m = 0; m < dataset->modality_count; m++) {
        bool stimulus = dataset->built_in[m] == BUILT_IN_STIMULUS;
        if (stimulus && groups == 0) {
            return status_fail(STATUS_INPUT,
                               "%s: no recording names its stimulus (group), so there is no "
                               "modality stimulus; leave it out, or import with groups",
                               config->path);
        }
        if (dataset->built_in[m] == BUILT_IN_CLOCK || stimulus) {
            dataset->dims[m] = dataset->stretches * (stimulus ? groups : 1);
        }
    }
    return STATUS_OK;
}

void dataset_read_built_in(const dataset_t *dataset, int64_t recording, int modality, int64_t first,
                           int64_t steps, float *features, uint8_t *mask) {
    const dataset_recording_t *r = &dataset->recordings[recording];
    bool stimulus = dataset->built_in[modality] == BUILT_IN_STIMULUS;
    int64_t dim = dataset->dims[modality];
    bool masked = dataset->built_in[modality] == BUILT_IN_MASKED;
    bool known = !masked && (!stimulus || (r->group >= 0 && dataset->trained[r->group]));
    int64_t begin = stimulus && known ? r->group * dataset->stretches : 0;
    memset(features, 0, (size_t)(steps * dim) * sizeof *features);
    for (int64_t t = 0; t < steps; t++) {
        int64_t stretch = stretch_of(dataset, r, first + t);
        mask[t] = known && stretch < dataset->trained_stretches;
        if (mask[t] != 0) {
            features[t * dim + begin + stretch] = 1.0f;
        }
    }
}
