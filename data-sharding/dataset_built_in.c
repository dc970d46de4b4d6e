/* dataset_built_in.c - modalities that no file holds: one feature for each stretch of time. `clock`
 * counts from the start of the recording, `stimulus` within each group. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/dataset_internal.h"
#include "kernels/base/bytes.h"

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

status_t dataset_find_built_in(const dataset_config_t *config, dataset_t *dataset) {
    dataset->built_in = alloc_zero(max_i64(config->modality_count, 1), sizeof *dataset->built_in);
    dataset->clock_step_s = config->clock_step_s;
    for (int m = 0; m < config->modality_count; m++) {
        const char *name = config->modalities[m];
        dataset->built_in[m] = built_in_of(name);
        for (int s = 0; s < dataset->shard_count && dataset->built_in[m] != BUILT_IN_NONE; s++) {
            if (shard_track(dataset->shards[s], name, false) != NULL) {
                return status_fail(STATUS_INPUT,
                                   "%s: it has a modality called %s, which is the name of a "
                                   "built-in one; import it under another name",
                                   config->path, name);
            }
        }
    }
    return STATUS_OK;
}

static int64_t stretch_of(const dataset_t *dataset, const dataset_recording_t *r, int64_t step) {
    double width = dataset->clock_step_s;
    return width == 0.0 ? step : (int64_t)floor((double)step / r->rate_hz / width + slack);
}

/* Groups are numbered by their first recording; those without a name have none. */
void dataset_number_groups(dataset_t *dataset) {
    int64_t count = 0;
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        const char *group = dataset_origin(dataset, i)->group;
        int64_t number = group[0] == '\0' ? -1 : count;
        for (int64_t j = 0; j < i && number == count; j++) {
            if (strcmp(dataset_origin(dataset, j)->group, group) == 0) {
                number = dataset->recordings[j].group;
            }
        }
        dataset->recordings[i].group = number;
        count += number == count;
    }
    dataset->group_count = count;
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
