#include "trainer/random_data.h"

#include <stdlib.h>
#include <string.h>

#include "data-sharding/dataset_writer.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "trainer/model_data.h"
#include "trainer/backbone.h"
#include "trainer/models.h"

enum { TRACKS_MAX = CONFIG_MODALITIES_MAX + CONFIG_TARGETS_MAX };

typedef struct source {
    const config_t *config;
    int64_t steps;
    writer_track_t tracks[TRACKS_MAX];
    int track_count, modality_count;
    float *values[TRACKS_MAX];
} source_t;

static bool is_built_in(const char *name) {
    return strcmp(name, "clock") == 0 || strcmp(name, "stimulus") == 0;
}

static int64_t dim_of(const config_t *config, int modality) {
    int64_t dim = modality_step_dim(&config->modalities[modality]);
    return dim != 0 ? dim : config->model.dim;
}

static void open_source(const config_t *config, source_t *source) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    *source = (source_t){.config = config, .steps = config->data.window};
    for (int m = 0; m < count; m++) {
        const modality_config_t *modality = &config->modalities[indices[m]];
        const char *track = modality_track(modality);
        bool there = false; /* another modality reads it, too */
        for (int i = 0; i < source->track_count; i++) {
            there |= strcmp(source->tracks[i].name, track) == 0;
        }
        if (!is_built_in(track) && !there) {
            source->tracks[source->track_count++] =
                (writer_track_t){track, false, dim_of(config, indices[m])};
        }
    }
    source->modality_count = source->track_count;
    for (int t = 0; t < config->target_count; t++) {
        source->tracks[source->track_count++] = (writer_track_t){config->targets[t].name, true, 1};
    }
    for (int i = 0; i < source->track_count; i++) {
        source->values[i] = alloc_zero(source->steps * source->tracks[i].dim, sizeof(float));
    }
}

static void close_source(source_t *source) {
    for (int i = 0; i < source->track_count; i++) {
        free(source->values[i]);
    }
}

static void draw(const source_t *source, int64_t recording) {
    for (int i = 0; i < source->track_count; i++) {
        rng_key_t key = {1, rng_name(source->tracks[i].name), (uint64_t)recording};
        int64_t classes = 0;
        if (source->tracks[i].is_target) {
            classes = target_classes(&source->config->targets[i - source->modality_count]);
        }
        for (int64_t j = 0; j < source->steps * source->tracks[i].dim; j++) {
            source->values[i][j] = classes > 0
                                       ? (float)rng_below(key, (uint64_t)j, (uint64_t)classes)
                                       : (float)rng_normal(key, (uint64_t)j);
        }
    }
}

static status_t add_recordings(const source_t *source, dataset_writer_t *writer, char **subjects,
                               int64_t train, int64_t test) {
    writer_signal_t signals[TRACKS_MAX];
    for (int i = 0; i < source->track_count; i++) {
        signals[i] =
            (writer_signal_t){.values = source->values[i], .steps = source->steps, .rate_hz = 1.0};
    }
    for (int64_t r = 0; r < train + test; r++) {
        writer_recording_t recording = {.name = subjects[r],
                                        .session = "",
                                        .group = "",
                                        .split = r < train ? "train" : "test",
                                        .subject = r,
                                        .signals = signals};
        draw(source, r);
        TRY(dataset_writer_add(writer, &recording));
    }
    return STATUS_OK;
}

status_t random_data_write(const config_t *config, int64_t train, int64_t test, const char *path) {
    source_t source;
    open_source(config, &source);
    int64_t count = train + test;
    char **subjects = alloc_zero(count, sizeof *subjects);
    for (int64_t r = 0; r < count; r++) {
        subjects[r] = text_format("r%06lld", (long long)r);
    }
    writer_config_t writer_config = {.out = path,
                                     .importer = "random",
                                     .source = "random numbers",
                                     .licence = "none",
                                     .terms = "none",
                                     .salt = "random",
                                     .subjects = (const char *const *)subjects,
                                     .subject_count = count,
                                     .recording_count = count,
                                     .tracks = source.tracks,
                                     .track_count = source.track_count};
    dataset_writer_t *writer = NULL;
    status_t status = dataset_writer_open(&writer_config, &writer);
    if (status == STATUS_OK) {
        status = add_recordings(&source, writer, subjects, train, test);
    }
    if (status == STATUS_OK) {
        status = dataset_writer_publish(writer, NULL);
    }
    dataset_writer_close(writer);
    for (int64_t r = 0; r < count; r++) {
        free(subjects[r]);
    }
    free(subjects);
    close_source(&source);
    return status;
}

status_t random_dims(const config_t *config, int64_t dims_out[CONFIG_MODALITIES_MAX]) {
    int indices[CONFIG_MODALITIES_MAX];
    if (config->data.path[0] != '\0') {
        return model_dims(config, dims_out);
    }
    int count = model_modalities(config, indices);
    for (int m = 0; m < count; m++) {
        dims_out[m] =
            modality_model_dim(&config->modalities[indices[m]], dim_of(config, indices[m]));
    }
    return STATUS_OK;
}
