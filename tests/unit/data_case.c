#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data-sharding/alias.h"
#include "data-sharding/import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"

#define SALT "test"
enum { TRACKS = 3, PEOPLE_MAX = 32 };

static const writer_track_t tracks[TRACKS] = {{"a", false, 3}, {"b", false, 2}, {"y", true, 1}};

char *place_make(void) {
    char *place = text_copy("/tmp/jmt-test-XXXXXX");
    REQUIRE(mkdtemp(place) != NULL);
    return place;
}

void place_remove(char *place) {
    REQUIRE(dir_remove(place) == STATUS_OK);
    free(place);
}

char *place_path(const char *place, const char *name) { return text_format("%s/%s", place, name); }

void place_write(const char *place, const char *name, const void *data, size_t bytes) {
    char *path = place_path(place, name);
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL && fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0);
    free(path);
}

void place_text(const char *place, const char *name, const char *text) {
    place_write(place, name, text, strlen(text));
}

float hand_feature(int64_t number, int64_t step, int64_t d) {
    return (float)(100 * number + step) + (float)d / 8.0f;
}

/* The people in the order of their first recording, as the writer wants them. */
static int list_people(const hand_recording_t *recordings, int count,
                       const char *people[PEOPLE_MAX], int *subjects) {
    int known = 0;
    for (int i = 0; i < count; i++) {
        int s = 0;
        while (s < known && strcmp(people[s], recordings[i].subject) != 0) {
            s++;
        }
        REQUIRE(s < PEOPLE_MAX);
        people[s] = recordings[i].subject;
        known += s == known;
        subjects[i] = s;
    }
    return known;
}

char *hand_alias(const hand_recording_t *recordings, int count, const char *subject) {
    const char *people[PEOPLE_MAX];
    int *subjects = alloc_zero(count, sizeof *subjects);
    int known = list_people(recordings, count, people, subjects);
    char **aliases = alias_deal(SALT, known), *found = NULL;
    for (int i = 0; i < known; i++) {
        if (strcmp(people[i], subject) == 0) {
            found = text_copy(aliases[i]);
        }
        free(aliases[i]);
    }
    free(aliases);
    free(subjects);
    return found;
}

static status_t add_hand(dataset_writer_t *writer, const hand_recording_t *hand, int subject) {
    int64_t steps = hand->steps;
    float *data[TRACKS];
    uint8_t *valid[TRACKS];
    writer_signal_t signals[TRACKS];
    for (int i = 0; i < TRACKS; i++) {
        int64_t dim = tracks[i].dim;
        int64_t begin = i == 0 ? hand->gap_begin : hand->label_gap_begin;
        int64_t end = i == 0 ? hand->gap_end : hand->label_gap_end;
        data[i] = alloc_zero(steps * dim, sizeof(float));
        valid[i] = alloc_zero(steps, 1);
        for (int64_t t = 0; t < steps; t++) {
            valid[i][t] = i == 1 || t < begin || t >= end;
            for (int64_t d = 0; d < dim; d++) {
                float x = hand_feature(hand->number, t, d);
                float value = i == 0 ? x : i == 1 ? -x : (float)t / 64.0f;
                data[i][t * dim + d] = valid[i][t] != 0 ? value : NAN;
            }
        }
        signals[i] = (writer_signal_t){data[i], valid[i], steps, 2.0};
    }
    writer_recording_t recording = {.name = hand->name,
                                    .session = "",
                                    .group = hand->group != NULL ? hand->group : "",
                                    .split = hand->split,
                                    .subject = subject,
                                    .signals = signals};
    status_t status = dataset_writer_add(writer, &recording);
    for (int i = 0; i < TRACKS; i++) {
        free(data[i]);
        free(valid[i]);
    }
    return status;
}

static dataset_writer_t *open_writer(const char *path, const char *const *people, int64_t known,
                                     int64_t count, int64_t shards) {
    writer_config_t config = {.out = path,
                              .importer = "hand",
                              .source = "made by a test",
                              .licence = "CC0-1.0",
                              .terms = "none",
                              .salt = SALT,
                              .subjects = people,
                              .subject_count = known,
                              .recording_count = count,
                              .shards = shards,
                              .tracks = tracks,
                              .track_count = TRACKS};
    dataset_writer_t *writer = NULL;
    REQUIRE(dataset_writer_open(&config, &writer) == STATUS_OK);
    return writer;
}

char *hand_data(const char *place, const hand_recording_t *recordings, int count, int64_t shards) {
    char *path = place_path(place, "data");
    const char *people[PEOPLE_MAX];
    int *subjects = alloc_zero(count, sizeof *subjects);
    int known = list_people(recordings, count, people, subjects);
    dataset_writer_t *writer = open_writer(path, people, known, count, shards);
    for (int i = 0; i < count; i++) {
        REQUIRE(add_hand(writer, &recordings[i], subjects[i]) == STATUS_OK);
    }
    REQUIRE(dataset_writer_publish(writer, "{\"known\": \"of everyone\"}") == STATUS_OK);
    dataset_writer_close(writer);
    free(subjects);
    return path;
}

char *raw_data(const char *place, const writer_signal_t signals[3], const char *split) {
    static const char *const people[] = {"p"};
    char *path = place_path(place, "data");
    dataset_writer_t *writer = open_writer(path, people, 1, 1, 1);
    writer_recording_t recording = {"raw", "", "", split, 0, signals};
    REQUIRE(dataset_writer_add(writer, &recording) == STATUS_OK);
    REQUIRE(dataset_writer_publish(writer, NULL) == STATUS_OK);
    dataset_writer_close(writer);
    return path;
}

dataset_config_t hand_config(const char *path, int64_t window, int64_t stride) {
    static const char *const modalities[] = {"a", "b"};
    static const char *const targets[] = {"y"};
    return (dataset_config_t){.path = path,
                              .window = window,
                              .stride = stride,
                              .split_seed = 1,
                              .modalities = modalities,
                              .modality_count = 2,
                              .targets = targets,
                              .target_count = 1};
}

void import_refused(const char *importer, const char *place, const char *error) {
    char *path = place_path(place, "data");
    CHECK_FAILS(import_run(importer, place, path, NULL, 0), STATUS_INPUT, error);
    assert_false(dir_exists(path));
    free(path);
}

/* Filled with rubbish, so that what a reader leaves out shows. */
hand_sample_t hand_sample(int64_t window) {
    hand_sample_t sample;
    for (int m = 0; m < 2; m++) {
        size_t bytes = (size_t)(window * tracks[m].dim) * sizeof(float);
        sample.features[m] = alloc_aligned(bytes);
        sample.mask[m] = alloc_aligned((size_t)window);
        memset(sample.features[m], 0x5a, bytes);
        memset(sample.mask[m], 0x5a, (size_t)window);
    }
    sample.target[0] = alloc_zero(window, sizeof(float));
    return sample;
}

void hand_sample_free(hand_sample_t *sample) {
    for (int m = 0; m < 2; m++) {
        free(sample->features[m]);
        free(sample->mask[m]);
    }
    free(sample->target[0]);
}

status_t read_everything(const char *path) {
    dataset_config_t config = hand_config(path, 8, 8);
    dataset_t *dataset = NULL;
    TRY(dataset_open(&config, &dataset));
    hand_sample_t sample = hand_sample(config.window);
    status_t status = STATUS_OK;
    for (int split = 0; split < SPLIT_COUNT; split++) {
        int64_t count = dataset_sample_count(dataset, (split_t)split);
        for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
            status = dataset_read(dataset, (split_t)split, i, sample.features, sample.mask,
                                  sample.target);
        }
    }
    hand_sample_free(&sample);
    dataset_close(dataset);
    return status;
}
