#include "unit/picture_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "data-sharding/dataset_writer.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

enum { FACE, HEART, LABEL, TRACKS, PEOPLE = 6, RECORDINGS = 12, STEPS = 8, HEART_DIM = 3 };

static float label_of(int recording, int64_t step) {
    return (float)sin(1.7 * recording + 0.9 * (double)step);
}

static status_t draw_faces(steps_store_t *store, int recording, int64_t side,
                           steps_file_t **file_out) {
    int64_t dim = side * side * 3;
    *file_out = steps_file_open(store, dim);
    uint8_t *face = alloc_zero(dim, 1);
    status_t status = STATUS_OK;
    for (int64_t t = 0; t < STEPS && status == STATUS_OK; t++) {
        const rng_key_t key = {1, rng_name("face"), (uint64_t)(recording * STEPS + t)};
        for (int64_t i = 0; i < dim; i++) {
            float light = 120.0f + 60.0f * label_of(recording, t) * (float)(i % 3) / 2.0f;
            face[i] = (uint8_t)(light + 70.0f * (rng_uniform(key, (uint64_t)i) - 0.5f));
        }
        status = steps_file_add(*file_out, (recording + t) % 5 == 3 ? NULL : face, 1);
    }
    free(face);
    return status;
}

static status_t add_recording(dataset_writer_t *writer, int index, int64_t side) {
    float heart[STEPS * HEART_DIM], label[STEPS];
    char name[32];
    snprintf(name, sizeof name, "recording-%02d", index);
    for (int64_t t = 0; t < STEPS; t++) {
        label[t] = label_of(index, t);
        for (int64_t d = 0; d < HEART_DIM; d++) {
            heart[t * HEART_DIM + d] = (float)cos((double)(t + index + d)) + label[t];
        }
    }
    writer_signal_t signals[TRACKS] = {[FACE] = {.rate_hz = 1.0},
                                       [HEART] = {heart, NULL, STEPS, 1.0},
                                       [LABEL] = {label, NULL, STEPS, 1.0}};
    TRY(draw_faces(dataset_writer_store(writer), index, side, &signals[FACE].pictures));
    int subject = index % PEOPLE;
    writer_recording_t recording = {.name = name,
                                    .session = "",
                                    .group = "",
                                    .split = subject < 4 ? "train" : "test",
                                    .subject = subject,
                                    .signals = signals};
    return dataset_writer_add(writer, &recording);
}

status_t picture_data_write(const char *directory, int64_t side) {
    static const char *const people[PEOPLE] = {"p1", "p2", "p3", "p4", "p5", "p6"};
    const writer_track_t tracks[TRACKS] = {
        [FACE] = {"face", false, side * side * 3, TRACK_PIXELS, {side, side, 3}},
        [HEART] = {"heart", false, HEART_DIM},
        [LABEL] = {"valence", true, 1},
    };
    writer_config_t config = {.out = directory,
                              .importer = "test",
                              .source = "made by a test",
                              .licence = "CC0-1.0",
                              .terms = "none",
                              .salt = "",
                              .subjects = people,
                              .subject_count = PEOPLE,
                              .recording_count = RECORDINGS,
                              .shards = 2,
                              .tracks = tracks,
                              .track_count = TRACKS};
    dataset_writer_t *writer = NULL;
    TRY(dataset_writer_open(&config, &writer));
    status_t status = STATUS_OK;
    for (int i = 0; i < RECORDINGS && status == STATUS_OK; i++) {
        status = add_recording(writer, i, side);
    }
    status = status == STATUS_OK ? dataset_writer_publish(writer, NULL) : status;
    dataset_writer_close(writer);
    return status;
}
