#include "trainer/model_data.h"

#include <stdlib.h>
#include <string.h>

#include "configs/backbone_info.h"
#include "kernels/base/bytes.h"
#include "trainer/backbone.h"
#include "trainer/models.h"

/* Positions are read by models with an encoder over time alone (configs/config_check_model.c);
 * joint cross-attention has a weight of its own for each place in the window. */
status_t model_data_check(const config_t *config, const dataset_t *dataset) {
    const char *model = config->model.name, *position = config->model.position;
    bool weighs = strcmp(model, "jca") == 0 || strcmp(model, "rjcma") == 0;
    bool knows = (weighs || strcmp(position, "none") != 0) && !config->schedule_known;
    if (knows && dataset_window_is_session(dataset)) {
        return status_fail(STATUS_INPUT,
                           "model.%s %s: a window of %lld steps is most of a person's "
                           "session, so that places in it tell the order of the tasks; set "
                           "schedule_known: true, and tables say so, or shorten data.window",
                           weighs ? "name" : "position", weighs ? model : position,
                           (long long)config->data.window);
    }
    return STATUS_OK;
}

/* Each front end of sound is for the weights that learnt by it. */
static status_t check_sound(const modality_config_t *modality, track_kind_t kind) {
    const backbone_info_t *info = backbone_info(modality->backbone);
    if (info == NULL || !backbone_hears(info)) {
        return STATUS_OK;
    }
    if (kind == TRACK_VGGISH_MEL && strcmp(modality->augment, "spectrum") == 0) {
        return status_fail(
            STATUS_INPUT,
            "modality %s holds vggish_mel, and modalities.%s.augment spectrum is for "
            "normalised decibels; remove it",
            modality->name, modality->name);
    }
    bool vggish = info->id == BACKBONE_vggish;
    if (vggish ? kind != TRACK_LOG_MEL : kind != TRACK_VGGISH_MEL) {
        return STATUS_OK;
    }
    return status_fail(
        STATUS_INPUT, "modality %s holds %s, and backbone %s takes another sound; %s",
        modality->name, track_kind_name(kind), info->name,
        vggish ? "import it as vggish:NAME (affwild2: --set vggish=1), or set backbone: resnet_18"
               : "set backbone: vggish");
}

/* Pictures are for backbones; what a backbone made is not. */
static status_t check_kinds(const config_t *config, const dataset_t *dataset) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    for (int m = 0; m < count; m++) {
        const modality_config_t *modality = &config->modalities[indices[m]];
        track_kind_t kind = dataset_modality(dataset, m).kind;
        if (kind == TRACK_EMBEDDING && strcmp(modality->backbone, "none") != 0) {
            return status_fail(STATUS_INPUT,
                               "modality %s holds what a backbone made already; leave "
                               "modalities.%s.backbone out",
                               modality->name, modality->name);
        }
        if (kind == TRACK_PIXELS && !modality_takes_pixels(modality)) {
            return status_fail(STATUS_INPUT,
                               "modality %s holds pictures; set modalities.%s.backbone to one of "
                               "clips, or name others in model.modalities",
                               modality->name, modality->name);
        }
        TRY(check_sound(modality, kind));
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
        modalities[m] = modality_track(modality);
        clips[m] = (clip_config_t){modality->clip, modality->dilation};
        dims[m] = modality_step_dim(modality);
        if (dims[m] == 0 && fitted != NULL && m < fitted->count) {
            dims[m] = fitted->dims[m];
        }
    }
    bool last_only[CONFIG_TARGETS_MAX];
    for (int t = 0; t < config->target_count; t++) {
        targets[t] = config->targets[t].name;
        last_only[t] = strcmp(config->targets[t].steps, "last") == 0;
    }
    dataset_config_t data = {
        .path = path,
        .rate_hz = config->data.rate_hz,
        .window = config->data.window,
        .stride = config->data.stride,
        .shift = config->data.shift,
        .every_window = config->evaluation.every_window,
        .valid_fraction = config->split.valid_fraction,
        .test_fraction = config->split.test_fraction,
        .split_seed = config->split.seed,
        .standardize_person = strcmp(config->data.standardize, "person") == 0,
        .folds = config->split.folds,
        .fold = config->split.fold,
        .baseline_s = 60.0 * config->baseline_minutes,
        .folds_by = strcmp(config->split.by, "group") == 0             ? FOLDS_GROUP
                    : strcmp(config->split.by, "both") == 0            ? FOLDS_BOTH
                    : strcmp(config->split.by, "leaky_published") == 0 ? FOLDS_LEAKY
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
        .last_only = last_only,
        .skip = config->parity.skip,
        .whole_windows = config->parity.whole_windows,
    };
    TRY(dataset_open(&data, dataset_out));
    status_t status = check_kinds(config, *dataset_out);
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
    for (int m = 0; m < count; m++) {
        const modality_config_t *modality = &config->modalities[indices[m]];
        int64_t there =
            dataset != NULL ? dataset_modality_dim(dataset, m) : modality_step_dim(modality);
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
        dims_out[m] = modality_model_dim(modality, there);
    }
    return STATUS_OK;
}

status_t model_dims(const config_t *config, int64_t dims_out[CONFIG_MODALITIES_MAX]) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    bool open = false;
    for (int m = 0; m < count; m++) {
        open |= modality_step_dim(&config->modalities[indices[m]]) == 0;
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
