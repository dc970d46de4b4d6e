#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/dataset_writer.h"
#include "data-sharding/h5_file.h"
#include "data-sharding/importers.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

/* TRACK_SPLIT.h5 has "d1": features by video, step (a word) and number, sentiment by video. Videos
 * of fewer words begin with steps that are all zero. */
enum { AUDIO, VIDEO, SENTIMENT, TRACKS, SPLITS = 3 };
static const writer_track_t tracks[TRACKS] = {
    {"audio", false, 74}, {"video", false, 36}, {"sentiment", true, 1}};
static const char *const file_names[TRACKS] = {"audio", "video", "y"};
static const struct {
    const char *file, *mark;
} splits[SPLITS] = {{"train", "train"}, {"valid", "train"}, {"test", "test"}};

/* Of audio, the slope of the spectrum's peaks lies within 1; where it could not be computed, the
 * files have 255 or -255. */
enum { PEAK_SLOPE = 7 };
static const float slope_max = 1.0f;
static const double middle = 3.0; /* of the scale from 1 to 5 */

typedef struct part {
    char *path;
    float *values;
    int64_t dims[3];
} part_t;

typedef struct mmmo {
    part_t parts[SPLITS][TRACKS];
    char **names; /* "train 0", ...: a video stands for its only speaker */
    int64_t videos, clipped;
} mmmo_t;

/* One of video `video`, step `step`. */
static const float *step_of(const part_t *part, int64_t video, int64_t step) {
    return part->values + (video * part->dims[1] + step) * part->dims[2];
}

static status_t check_shape(const mmmo_t *mmmo, int split, int track) {
    const part_t *part = &mmmo->parts[split][track], *first = &mmmo->parts[split][AUDIO];
    int64_t steps = track == SENTIMENT ? 1 : first->dims[1];
    if (part->dims[0] != first->dims[0] || part->dims[1] != steps ||
        part->dims[2] != tracks[track].dim) {
        return status_fail(
            STATUS_INPUT, "%s: d1 is %lld x %lld x %lld, expected %lld x %lld x %lld; get it again",
            part->path, (long long)part->dims[0], (long long)part->dims[1],
            (long long)part->dims[2], (long long)first->dims[0], (long long)steps,
            (long long)tracks[track].dim);
    }
    for (int64_t i = 0; i < part->dims[0] * part->dims[1] * part->dims[2]; i++) {
        float value = part->values[i];
        if (!isfinite(value) || (track == SENTIMENT && !(value >= 1.0f && value <= 5.0f))) {
            return status_fail(STATUS_INPUT, "%s: video %lld of d1 has %g, %s; get it again",
                               part->path, (long long)(i / (part->dims[1] * part->dims[2])),
                               (double)value,
                               track == SENTIMENT ? "no sentiment from 1 to 5" : "no number");
        }
    }
    return STATUS_OK;
}

static status_t open_files(const char *source, mmmo_t *mmmo) {
    for (int s = 0; s < SPLITS; s++) {
        for (int i = 0; i < TRACKS; i++) {
            part_t *part = &mmmo->parts[s][i];
            part->path = text_format("%s/%s_%s.h5", source, file_names[i], splits[s].file);
            TRY(h5_read_numbers(part->path, "d1", 3, &part->values, part->dims));
            TRY(check_shape(mmmo, s, i));
        }
        mmmo->videos += mmmo->parts[s][AUDIO].dims[0];
    }
    mmmo->names = alloc_zero(max_i64(mmmo->videos, 1), sizeof *mmmo->names);
    for (int64_t s = 0, n = 0; s < SPLITS; s++) {
        for (int64_t v = 0; v < mmmo->parts[s][AUDIO].dims[0]; v++) {
            mmmo->names[n++] = text_format("%s %lld", splits[s].file, (long long)v);
        }
    }
    return STATUS_OK;
}

static bool says_something(const part_t *part, int64_t video, int64_t step) {
    const float *values = step_of(part, video, step);
    for (int64_t d = 0; d < part->dims[2]; d++) {
        if (values[d] != 0.0f) {
            return true;
        }
    }
    return false;
}

/* A signal of the steps behind the padding. */
static writer_signal_t take_signal(mmmo_t *mmmo, const part_t *part, bool audio, int64_t video,
                                   int64_t begin, float **values_out, uint8_t **valid_out) {
    int64_t steps = part->dims[1] - begin, dim = part->dims[2];
    float *values = alloc_zero(max_i64(steps * dim, 1), sizeof *values);
    uint8_t *valid = alloc_zero(max_i64(steps, 1), 1);
    for (int64_t t = 0; t < steps; t++) {
        float *step = values + t * dim;
        memcpy(step, step_of(part, video, begin + t), (size_t)dim * sizeof *step);
        valid[t] = says_something(part, video, begin + t);
        if (audio && fabsf(step[PEAK_SLOPE]) > slope_max) {
            step[PEAK_SLOPE] = copysignf(slope_max, step[PEAK_SLOPE]);
            mmmo->clipped++;
        }
    }
    *values_out = values;
    *valid_out = valid;
    return (writer_signal_t){values, valid, steps, 1.0, 0.0};
}

static status_t add_video(mmmo_t *mmmo, int split, int64_t video, int64_t number,
                          dataset_writer_t *writer) {
    const part_t *parts = mmmo->parts[split];
    int64_t begin = 0, steps = parts[AUDIO].dims[1];
    float *values[TRACKS] = {0};
    uint8_t *valid[TRACKS] = {0};
    writer_signal_t signals[TRACKS];
    while (begin < steps && !says_something(&parts[AUDIO], video, begin)) {
        begin++;
    }
    if (begin == steps) {
        return status_fail(STATUS_INPUT, "%s: video %lld of d1 is all zero; get it again",
                           parts[AUDIO].path, (long long)video);
    }
    for (int i = 0; i < SENTIMENT; i++) {
        signals[i] = take_signal(mmmo, &parts[i], i == AUDIO, video, begin, &values[i], &valid[i]);
    }
    values[SENTIMENT] = alloc_zero(steps - begin, sizeof(float));
    for (int64_t t = 0; t < steps - begin; t++) {
        values[SENTIMENT][t] = (float)((double)parts[SENTIMENT].values[video] - middle);
    }
    signals[SENTIMENT] = (writer_signal_t){values[SENTIMENT], NULL, steps - begin, 1.0, 0.0};
    writer_recording_t row = {.name = mmmo->names[number],
                              .session = "",
                              .group = "",
                              .split = splits[split].mark,
                              .subject = number,
                              .signals = signals};
    status_t status = dataset_writer_add(writer, &row);
    for (int i = 0; i < TRACKS; i++) {
        free(values[i]);
        free(valid[i]);
    }
    return status;
}

static status_t write_all(const import_job_t *job, mmmo_t *mmmo) {
    writer_config_t config = {
        .out = job->out,
        .importer = "mmmo",
        .source = "ICT-MMMO audio and video features by word of pliang279/MFN",
        .licence = "MIT (features)",
        .terms = "those of ICT-MMMO",
        .salt = job->salt,
        .subjects = (const char *const *)mmmo->names,
        .subject_count = mmmo->videos,
        .recording_count = mmmo->videos,
        .window = mmmo->parts[0][AUDIO].dims[1],
        .shards = job->shards,
        .tracks = tracks,
        .track_count = TRACKS,
    };
    dataset_writer_t *writer = NULL;
    status_t status = dataset_writer_open(&config, &writer);
    for (int64_t s = 0, n = 0; s < SPLITS; s++) {
        for (int64_t v = 0; v < mmmo->parts[s][AUDIO].dims[0] && status == STATUS_OK; v++) {
            status = add_video(mmmo, (int)s, v, n++, writer);
        }
    }
    if (status == STATUS_OK) {
        char *facts = text_format("{\"step\": \"one word; rate_hz 1 counts words\", "
                                  "\"sentiment\": \"that of the video at each word, minus 3\", "
                                  "\"clipped\": %lld}",
                                  (long long)mmmo->clipped);
        status = dataset_writer_publish(writer, facts);
        free(facts);
    }
    dataset_writer_close(writer);
    return status;
}

static status_t import_mmmo(const import_job_t *job) {
    mmmo_t mmmo = {0};
    status_t status = open_files(job->source, &mmmo);
    if (status == STATUS_OK) {
        status = write_all(job, &mmmo);
    }
    for (int64_t i = 0; mmmo.names != NULL && i < mmmo.videos; i++) {
        free(mmmo.names[i]);
    }
    free(mmmo.names);
    for (int i = 0; i < SPLITS * TRACKS; i++) {
        part_t *part = &mmmo.parts[i / TRACKS][i % TRACKS];
        free(part->path);
        free(part->values);
    }
    return status;
}

static bool recognises(const char *dir) {
    char *audio = text_format("%s/audio_train.h5", dir), *y = text_format("%s/y_train.h5", dir);
    bool both = file_exists(audio) && file_exists(y);
    free(audio);
    free(y);
    return both;
}

const importer_t importer_mmmo = {
    .name = "mmmo",
    .summary = "ICT-MMMO: audio and video of each word of a review in a video; its sentiment",
    .recognises = recognises,
    .run = import_mmmo,
};
