#include "trainer/model_data.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/models.h"

/* Positions are read by models with an encoder over time alone (configs/config_check_model.c). */
static status_t check_positions(const config_t *config, const dataset_t *dataset) {
    bool knows = strcmp(config->model.position, "none") != 0 && !config->schedule_known;
    if (knows && dataset_window_is_session(dataset)) {
        return status_fail(STATUS_INPUT,
                           "model.position %s: a window of %lld steps is most of a person's "
                           "session, so that places in it tell the order of the tasks; set "
                           "schedule_known: true, and tables say so, or shorten data.window",
                           config->model.position, (long long)config->data.window);
    }
    return STATUS_OK;
}

/* What a step of a window shows must be a row of numbers: no model has a backbone. */
static status_t check_clips(const config_t *config) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    for (int m = 0; m < count; m++) {
        const modality_config_t *modality = &config->modalities[indices[m]];
        if (modality->clip > 1) {
            return status_fail(STATUS_INPUT,
                               "modalities.%s.clip is %lld, but no model takes clips yet; set it "
                               "to 1",
                               modality->name, (long long)modality->clip);
        }
    }
    return STATUS_OK;
}

static status_t check_pictures(const config_t *config, const dataset_t *dataset) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    for (int m = 0; m < count; m++) {
        if (dataset_modality(dataset, m).kind == TRACK_PIXELS) {
            return status_fail(STATUS_INPUT,
                               "modality %s holds pictures, which no model takes yet; name others "
                               "in model.modalities",
                               config->modalities[indices[m]].name);
        }
    }
    return STATUS_OK;
}

status_t model_data_open(const config_t *config, const char *path, const standardize_t *fitted,
                         dataset_t **dataset_out) {
    if (path[0] == '\0') {
        return status_fail(STATUS_INPUT,
                           "data.path is not set; name a directory made by jmt shard");
    }
    int indices[CONFIG_MODALITIES_MAX];
    int64_t dims[CONFIG_MODALITIES_MAX];
    clip_config_t clips[CONFIG_MODALITIES_MAX];
    const char *modalities[CONFIG_MODALITIES_MAX], *targets[CONFIG_TARGETS_MAX];
    int modality_count = model_modalities(config, indices);
    for (int m = 0; m < modality_count; m++) {
        const modality_config_t *modality = &config->modalities[indices[m]];
        modalities[m] = modality->name;
        clips[m] = (clip_config_t){modality->clip, modality->dilation};
        dims[m] = config->modalities[indices[m]].dim;
        if (dims[m] == 0 && fitted != NULL && m < fitted->count) {
            dims[m] = fitted->dims[m];
        }
    }
    for (int t = 0; t < config->target_count; t++) {
        targets[t] = config->targets[t].name;
    }
    dataset_config_t data = {
        .path = path,
        .rate_hz = config->data.rate_hz,
        .window = config->data.window,
        .stride = config->data.stride,
        .valid_fraction = config->split.valid_fraction,
        .test_fraction = config->split.test_fraction,
        .split_seed = config->split.seed,
        .standardize_person = strcmp(config->data.standardize, "person") == 0,
        .folds = config->split.folds,
        .fold = config->split.fold,
        .baseline_s = 60.0 * config->baseline_minutes,
        .folds_by = strcmp(config->split.by, "group") == 0  ? FOLDS_GROUP
                    : strcmp(config->split.by, "both") == 0 ? FOLDS_BOTH
                                                            : FOLDS_SUBJECT,
        .clock_step_s = config->data.clock_step_s,
        .allow_subject_overlap = config->split.allow_subject_overlap,
        .modalities = modalities,
        .modality_count = modality_count,
        .clips = clips,
        .mask_missing = strcmp(config->data.missing, "mask") == 0,
        .dims = dims,
        .targets = targets,
        .target_count = config->target_count,
    };
    TRY(check_clips(config));
    TRY(dataset_open(&data, dataset_out));
    status_t status = check_pictures(config, *dataset_out);
    if (status == STATUS_OK) {
        status = check_positions(config, *dataset_out);
    }
    if (status != STATUS_OK) {
        dataset_close(*dataset_out);
        *dataset_out = NULL;
    }
    return status;
}

status_t model_data_dims(const config_t *config, const dataset_t *dataset,
                         int64_t dims_out[CONFIG_MODALITIES_MAX]) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    TRY(check_clips(config));
    for (int m = 0; m < count; m++) {
        const modality_config_t *modality = &config->modalities[indices[m]];
        int64_t there = dataset != NULL ? dataset_modality_dim(dataset, m) : modality->dim;
        if (there == 0) {
            return status_fail(STATUS_INPUT,
                               "modalities.%s.dim is not set and there is no data to take it from; "
                               "set it or data.path",
                               modality->name);
        }
        if (modality->dim != 0 && modality->dim != there) {
            return status_fail(STATUS_INPUT,
                               "modalities.%s.dim is %d, but the data has %d; leave it out",
                               modality->name, (int)modality->dim, (int)there);
        }
        dims_out[m] = there;
    }
    return STATUS_OK;
}

status_t model_dims(const config_t *config, int64_t dims_out[CONFIG_MODALITIES_MAX]) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    bool open = false;
    for (int m = 0; m < count; m++) {
        open |= config->modalities[indices[m]].dim == 0;
    }
    dataset_t *dataset = NULL;
    if (open && config->data.path[0] != '\0') {
        TRY(model_data_open(config, config->data.path, NULL, &dataset));
    }
    status_t status = model_data_dims(config, dataset, dims_out);
    dataset_close(dataset);
    return status;
}

sample_order_t *model_data_order(const config_t *config, const dataset_t *dataset) {
    int64_t count = dataset_sample_count(dataset, SPLIT_TRAIN);
    int *file = alloc_zero(max_i64(count, 1), sizeof *file);
    for (int64_t i = 0; i < count; i++) {
        file[i] = dataset_sample(dataset, SPLIT_TRAIN, i).file;
    }
    sample_order_config_t order_config = {.seed = (uint64_t)config->seed,
                                          .count = count,
                                          .block = strcmp(config->shuffle, "block") == 0,
                                          .batch = config->batch,
                                          .shards = config->virtual_shards,
                                          .window = config->data.shuffle_window,
                                          .file = file,
                                          .files = dataset_file_count(dataset)};
    sample_order_t *order = sample_order_open(&order_config);
    free(file);
    return order;
}
