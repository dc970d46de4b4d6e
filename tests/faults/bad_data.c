/* bad_data DIR good|nan|infinite|one|leak - writes a small data directory with right checksums
 * whose content is right, has a value that is not finite at a step that its mask calls valid (of
 * every person who is trained on; one: in a single recording), or has a person in train and in
 * test. For error_lines.sh and read_ahead.sh. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data-sharding/dataset_writer.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

enum { TRACKS = 5, SUBJECTS = 8, RECORDINGS = 16, TEST_FIRST = 12, STEPS = 20, DIM_MAX = 32 };

static const writer_track_t tracks[TRACKS] = {
    {"video", false, 32}, {"audio", false, 24}, {"noise", false, 8},
    {"valence", true, 1}, {"arousal", true, 1},
};

static status_t add_recording(dataset_writer_t *writer, const char *kind, int index) {
    static float values[TRACKS][STEPS * DIM_MAX];
    writer_signal_t signals[TRACKS];
    char name[32];
    snprintf(name, sizeof name, "recording-%02d", index);
    for (int i = 0; i < TRACKS; i++) {
        rng_key_t key = {1, rng_name(tracks[i].name), (uint64_t)index};
        for (int64_t k = 0; k < STEPS * tracks[i].dim; k++) {
            values[i][k] = (float)rng_normal(key, (uint64_t)k);
        }
        signals[i] = (writer_signal_t){.values = values[i], .steps = STEPS, .rate_hz = 5.0};
    }
    bool every_person = index < SUBJECTS; /* one of each: whoever is trained on has one */
    if (every_person && strcmp(kind, "nan") == 0) {
        values[1][7 * 24 + 3] = NAN;
    }
    if (every_person && strcmp(kind, "infinite") == 0) {
        values[0][7 * 32 + 3] = INFINITY;
    }
    if (index == 5 && strcmp(kind, "one") == 0) {
        values[0][7 * 32 + 3] = INFINITY;
    }
    bool leak = strcmp(kind, "leak") == 0 && index == RECORDINGS - 1;
    int subject = index < TEST_FIRST ? index % 6 : 6 + index % 2;
    writer_recording_t recording = {.name = name,
                                    .session = "",
                                    .group = "",
                                    .split = index < TEST_FIRST ? "train" : "test",
                                    .subject = leak ? 0 : subject,
                                    .signals = signals};
    return dataset_writer_add(writer, &recording);
}

static status_t write_all(const char *directory, const char *kind) {
    static const char *const people[SUBJECTS] = {"p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"};
    writer_config_t config = {.out = directory,
                              .importer = "test",
                              .source = "made by a test",
                              .licence = "CC0-1.0",
                              .terms = "none",
                              .salt = "",
                              .subjects = people,
                              .subject_count = SUBJECTS,
                              .recording_count = RECORDINGS,
                              .shards = 2,
                              .tracks = tracks,
                              .track_count = TRACKS};
    dataset_writer_t *writer = NULL;
    TRY(dataset_writer_open(&config, &writer));
    status_t status = STATUS_OK;
    for (int i = 0; i < RECORDINGS && status == STATUS_OK; i++) {
        status = add_recording(writer, kind, i);
    }
    status = status == STATUS_OK ? dataset_writer_publish(writer, NULL) : status;
    dataset_writer_close(writer);
    return status;
}

int main(int argc, char **argv) {
    status_t status = argc == 3 ? write_all(argv[1], argv[2])
                                : status_fail(STATUS_INPUT, "usage: bad_data DIR KIND");
    if (status != STATUS_OK) {
        fprintf(stderr, "bad_data: %s\n", status_text());
    }
    return (int)status;
}
