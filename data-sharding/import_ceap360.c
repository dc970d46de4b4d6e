#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "data-sharding/dataset_writer.h"
#include "data-sharding/gzip.h"
#include "data-sharding/importers.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

#define LUMINANCE "1_Stimuli/VideoLuminance.csv.gz"
enum { PEOPLE = 32, VIDEOS = 8, SECONDS = 60, GRID_HZ = 5, HEAD_HZ = 5 };
enum { HEAD, GAZE, LUMINANCE_TRACK, VALENCE, AROUSAL, TRACKS };
enum { HEAD_DIM = 2, GAZE_DIM = 3 };

static const writer_track_t tracks[TRACKS] = {{"pose", false, HEAD_DIM},
                                              {"gaze", false, GAZE_DIM},
                                              {"luminance", false, 1},
                                              {"valence", true, 1},
                                              {"arousal", true, 1}};

/* The three files of a person: where they lie, and the names of their outer and inner lists. */
typedef enum { FILE_LABELS, FILE_HEAD, FILE_GAZE, FILES } file_t;
static const struct {
    const char *path, *outer, *videos, *items;
} layout[FILES] = {
    {"3_AnnotationData/Frame/P%d_Annotation_FrameData.json.gz", "ContinuousAnnotation_FrameData",
     "Video_Annotation_FrameData", "TimeStamp_Valence_Arousal"},
    {"4_BehaviorData/HM_ScanPath/P%d_Behavior_HeadScanPathData.json.gz",
     "Behavior_HeadScanPath_Data", "Video_Behavior_ScanPath_Data", "ID_Pitch_Yaw"},
    {"4_BehaviorData/EM_Fixation/P%d_Behavior_FixationData.json.gz", "Behavior_FixationData",
     "Video_Behavior_FixationData", "Fixation"},
};

typedef struct person_file {
    char *path;
    json_t *root;
    const json_t *items[VIDEOS];
} person_file_t;

typedef struct signals {
    writer_signal_t of[TRACKS];
    float *values[TRACKS];
    uint8_t *valid[TRACKS];
} signals_t;

static int frame_hz(int video) { return video == 0 ? 25 : 30; }

static char *person_path(const char *source, file_t file, int person) {
    char number[16], *name = text_copy(layout[file].path);
    snprintf(number, sizeof number, "%d", person + 1);
    char *place = strstr(name, "%d");
    *place = '\0';
    char *path = text_format("%s/%s%s%s", source, name, number, place + 2);
    free(name);
    return path;
}

static status_t open_person_file(const char *source, file_t file, int person, person_file_t *out) {
    out->path = person_path(source, file, person);
    char *text;
    size_t bytes;
    TRY(gzip_read(out->path, &text, &bytes));
    json_error_t error;
    out->root = json_loadb(text, bytes, 0, &error);
    free(text);
    if (out->root == NULL) {
        return status_fail(STATUS_INPUT, "%s:%d: %s; get the file again", out->path, error.line,
                           error.text);
    }
    const json_t *outer = json_array_get(json_object_get(out->root, layout[file].outer), 0);
    const json_t *videos = json_object_get(outer, layout[file].videos);
    for (size_t i = 0; i < json_array_size(videos); i++) {
        const json_t *video = json_array_get(videos, i);
        const char *id = json_string_value(json_object_get(video, "VideoID"));
        int number = id != NULL && id[0] == 'V' && strlen(id) == 2 ? id[1] - '1' : -1;
        if (number < 0 || number >= VIDEOS || out->items[number] != NULL) {
            return status_fail(STATUS_INPUT,
                               "%s: VideoID \"%s\" is unknown or there twice; get the file again",
                               out->path, id == NULL ? "" : id);
        }
        out->items[number] = json_object_get(video, layout[file].items);
    }
    for (int v = 0; v < VIDEOS; v++) {
        if (json_array_size(out->items[v]) < 2) {
            return status_fail(STATUS_INPUT, "%s: no %s of video V%d; get the file again",
                               out->path, layout[file].items, v + 1);
        }
    }
    return STATUS_OK;
}

static void close_person_file(person_file_t *file) {
    json_decref(file->root);
    free(file->path);
}

static status_t get_number(const person_file_t *file, int video, size_t item, const char *key,
                           double *value_out) {
    const json_t *number = json_object_get(json_array_get(file->items[video], item), key);
    if (!json_is_number(number)) {
        return status_fail(STATUS_INPUT,
                           "%s: video V%d, item %zu: %s is no number; get the file again",
                           file->path, video + 1, item, key);
    }
    *value_out = json_number_value(number);
    return STATUS_OK;
}

static void allocate(signals_t *s, int track, int64_t steps, double rate_hz) {
    s->values[track] = alloc_zero(steps * tracks[track].dim, sizeof(float));
    s->valid[track] = alloc_zero(steps, 1);
    s->of[track] = (writer_signal_t){s->values[track], s->valid[track], steps, rate_hz, 0.0};
}

/* N frames whose stamps run evenly from 0 to 60 s. The last, at 60 s, is where the video has ended:
 * it is left out, so that the others fill the minute at (N - 1) / 60 Hz. */
static status_t read_labels(const person_file_t *file, int video, signals_t *s) {
    int64_t steps = (int64_t)json_array_size(file->items[video]) - 1;
    double rate = (double)steps / SECONDS;
    static const char *const keys[] = {"Valence", "Arousal"};
    for (int target = 0; target < 2; target++) {
        allocate(s, VALENCE + target, steps, rate);
    }
    for (int64_t i = 0; i <= steps; i++) {
        double stamp = 0.0, value = 0.0;
        TRY(get_number(file, video, (size_t)i, "TimeStamp", &stamp));
        if (fabs(stamp * rate - (double)i) > 0.5) {
            return status_fail(
                STATUS_INPUT,
                "%s: video V%d: frame %lld at %g s, expected near %g s; get the file again",
                file->path, video + 1, (long long)i, stamp, (double)i / rate);
        }
        for (int target = 0; target < 2 && i < steps; target++) {
            TRY(get_number(file, video, (size_t)i, keys[target], &value));
            s->values[VALENCE + target][i] = (float)((value - 5.0) / 4.0);
            s->valid[VALENCE + target][i] = 1;
        }
    }
    return STATUS_OK;
}

/* Pitch and yaw in degrees; yaw goes on where it would jump by a turn. */
static status_t read_head(const person_file_t *file, int video, signals_t *s) {
    int64_t steps = (int64_t)json_array_size(file->items[video]);
    allocate(s, HEAD, steps, HEAD_HZ);
    double turns = 0.0, before = 0.0;
    for (int64_t i = 0; i < steps; i++) {
        double id = 0.0, pitch = 0.0, yaw = 0.0;
        TRY(get_number(file, video, (size_t)i, "ID", &id));
        TRY(get_number(file, video, (size_t)i, "Pitch", &pitch));
        TRY(get_number(file, video, (size_t)i, "Yaw", &yaw));
        if (id != (double)(i + 1)) {
            return status_fail(STATUS_INPUT,
                               "%s: video V%d: ID %g where %lld should be; get the file again",
                               file->path, video + 1, id, (long long)i + 1);
        }
        turns -= i > 0 ? 360.0 * round((yaw - before) / 360.0) : 0.0;
        before = yaw;
        s->values[HEAD][i * HEAD_DIM] = (float)pitch;
        s->values[HEAD][i * HEAD_DIM + 1] = (float)(yaw + turns);
        s->valid[HEAD][i] = 1;
    }
    return STATUS_OK;
}

/* By frame: pitch and yaw of the latest fixation, and whether it lasts; none before the first. */
static status_t read_gaze(const person_file_t *file, int video, signals_t *s) {
    int64_t steps = (int64_t)frame_hz(video) * SECONDS, next = 0;
    allocate(s, GAZE, steps, frame_hz(video));
    for (size_t i = 0; i < json_array_size(file->items[video]); i++) {
        double begin = 0.0, end = 0.0, place[2] = {0};
        TRY(get_number(file, video, i, "StartFrame", &begin));
        TRY(get_number(file, video, i, "EndFrame", &end));
        TRY(get_number(file, video, i, "Pitch", &place[0]));
        TRY(get_number(file, video, i, "Yaw", &place[1]));
        if (!(begin >= (double)next && end >= begin && end < (double)steps)) {
            return status_fail(STATUS_INPUT,
                               "%s: video V%d: fixation %zu from frame %g to %g, expected in order "
                               "and below %lld; get the file again",
                               file->path, video + 1, i, begin, end, (long long)steps);
        }
        next = (int64_t)end + 1;
        for (int64_t t = (int64_t)begin; t < steps; t++) { /* a later one writes over it */
            s->values[GAZE][t * GAZE_DIM] = (float)place[0];
            s->values[GAZE][t * GAZE_DIM + 1] = (float)place[1];
            s->values[GAZE][t * GAZE_DIM + 2] = t < next ? 1.0f : 0.0f;
            s->valid[GAZE][t] = 1;
        }
    }
    return STATUS_OK;
}

/* Column V1.. of the table: as many frames as it has numbers, spread over the minute. */
static status_t read_luminance(const csv_t *csv, int video, signals_t *s) {
    int64_t steps = 0;
    const char *text;
    int column = video + 2; /* Frame, V0, V1, ... */
    for (; 1 + steps < csv->row_count; steps++) {
        TRY(csv_text(csv, 1 + steps, column, &text));
        if (text[0] == '\0') {
            break;
        }
    }
    if (steps == 0) {
        return status_fail(STATUS_INPUT, "%s: no frames of V%d; get the file again", csv->path,
                           video + 1);
    }
    allocate(s, LUMINANCE_TRACK, steps, (double)steps / SECONDS);
    for (int64_t i = 0; i < steps; i++) {
        double value = 0.0;
        TRY(csv_number(csv, 1 + i, column, &value));
        s->values[LUMINANCE_TRACK][i] = (float)value;
        s->valid[LUMINANCE_TRACK][i] = 1;
    }
    return STATUS_OK;
}

static status_t add_video(const person_file_t files[FILES], const csv_t *luminance, int person,
                          int video, dataset_writer_t *writer) {
    signals_t s = {0};
    status_t status = read_labels(&files[FILE_LABELS], video, &s);
    if (status == STATUS_OK) {
        status = read_head(&files[FILE_HEAD], video, &s);
    }
    if (status == STATUS_OK) {
        status = read_gaze(&files[FILE_GAZE], video, &s);
    }
    if (status == STATUS_OK) {
        status = read_luminance(luminance, video, &s);
    }
    if (status == STATUS_OK) {
        char *name = text_format("P%d-V%d", person + 1, video + 1), *group = strchr(name, 'V');
        writer_recording_t row = {.name = name,
                                  .session = "",
                                  .group = group,
                                  .split = "",
                                  .subject = person,
                                  .signals = s.of};
        status = dataset_writer_add(writer, &row);
        free(name);
    }
    for (int i = 0; i < TRACKS; i++) {
        free(s.values[i]);
        free(s.valid[i]);
    }
    return status;
}

static status_t add_person(const char *source, const csv_t *luminance, int person,
                           dataset_writer_t *writer) {
    person_file_t files[FILES] = {0};
    status_t status = STATUS_OK;
    for (int f = 0; f < FILES && status == STATUS_OK; f++) {
        status = open_person_file(source, (file_t)f, person, &files[f]);
    }
    for (int v = 0; v < VIDEOS && status == STATUS_OK; v++) {
        status = add_video(files, luminance, person, v, writer);
    }
    for (int f = 0; f < FILES; f++) {
        close_person_file(&files[f]);
    }
    return status;
}

static status_t write_all(const import_job_t *job, const csv_t *luminance) {
    char names[PEOPLE][8];
    const char *people[PEOPLE];
    for (int i = 0; i < PEOPLE; i++) {
        snprintf(names[i], sizeof names[i], "P%d", i + 1);
        people[i] = names[i];
    }
    writer_config_t config = {
        .out = job->out,
        .importer = "ceap360",
        .source =
            "CEAP-360VR (Xue et al., IEEE TMM 2021, 10.1109/TMM.2021.3124080): head, eyes and "
            "continuous valence and arousal",
        .licence = "CC BY-NC 4.0",
        .terms = "not for commercial use; cite Xue et al. 2021",
        .salt = job->salt,
        .subjects = people,
        .subject_count = PEOPLE,
        .recording_count = PEOPLE * VIDEOS,
        .window = SECONDS * GRID_HZ,
        .rate_hz = GRID_HZ,
        .shards = job->shards,
        .tracks = tracks,
        .track_count = TRACKS,
    };
    dataset_writer_t *writer = NULL;
    status_t status = dataset_writer_open(&config, &writer);
    for (int i = 0; i < PEOPLE && status == STATUS_OK; i++) {
        status = add_person(job->source, luminance, i, writer);
    }
    if (status == STATUS_OK) {
        status = dataset_writer_publish(
            writer, "{\"group\": \"the video that was seen\", \"targets\": \"(x - 5) / 4\"}");
    }
    dataset_writer_close(writer);
    return status;
}

static status_t import_ceap360(const import_job_t *job) {
    char *path = text_format("%s/%s", job->source, LUMINANCE), *text = NULL;
    size_t bytes;
    csv_t luminance = {0};
    status_t status = gzip_read(path, &text, &bytes);
    if (status == STATUS_OK) {
        status = csv_parse(path, text, bytes, &luminance);
    }
    if (status == STATUS_OK) {
        status = write_all(job, &luminance);
    }
    csv_close(&luminance);
    free(path);
    return status;
}

static bool recognises(const char *dir) {
    char *luminance = text_format("%s/%s", dir, LUMINANCE);
    char *labels = person_path(dir, FILE_LABELS, 0);
    bool both = file_exists(luminance) && file_exists(labels);
    free(labels);
    free(luminance);
    return both;
}

const importer_t importer_ceap360 = {
    .name = "ceap360",
    .summary = "CEAP-360VR: pose, gaze and luminance at their own rates; valence and arousal",
    .recognises = recognises,
    .run = import_ceap360,
};
