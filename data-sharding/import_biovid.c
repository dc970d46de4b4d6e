/* import_biovid.c - the BioVid Heat Pain Database, part A, as it is distributed: samples of 5.5 s
 * with signals of 512 Hz as tables separated by tabs, and videos. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "data-sharding/importers.h"
#include "data-sharding/media_import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { TASK = MEDIA_OPTIONS, REACTIVE, RAW, LABEL_S, FIRST_FRAME, OPTIONS };
static const import_option_t options[OPTIONS] = {
    MEDIA_OPTION_ROWS,
    [TASK] = {"task", 0, 0, 4, true, "0: all five classes, 0 to 4; k: BL1 (0) against PAk (1)"},
    [REACTIVE] = {"reactive", 0, 0, 1, true,
                  "1: without the 20 people who hardly react, as some publications have it"},
    [RAW] = {"raw", 0, 0, 1, true, "1: biosignals_raw instead of biosignals_filtered"},
    [LABEL_S] = {"label_s", 2.4, 0, 5.5, false,
                 "seconds after a sample's begin from which on it is labelled, for four seconds"},
    [FIRST_FRAME] = {"first_frame", -1, -1, 1, true,
                     "of boxes that have no frame 0: they count from 0 or 1, -1 refused"},
};

enum { COLUMN_SUBJECT = 1, COLUMN_CLASS = 3, COLUMN_SAMPLE = 5, COLUMNS = 6 };
static const char *const headers[COLUMNS] = {"subject_id", "subject_name", "class_id",
                                             "class_name", "sample_id",    "sample_name"};
static const char *const classes[] = {"BL1", "PA1", "PA2", "PA3", "PA4"};
/* By how a table calls its columns. */
static const char *const signals[][2] = {{"gsr", "gsr"},
                                         {"ecg", "ecg"},
                                         {"emg_trapezius", "emg"},
                                         {"emg_corrugator", "emg_corrugator"},
                                         {"emg_zygomaticus", "emg_zygomaticus"}};
enum { SIGNALS = ARRAY_LEN(signals), SIGNAL_HZ = 512 };
static const double label_length_s = 4.0;
static const char *const hardly_reactive =
    " 082315_w_60 082414_m_64 082909_m_47 083009_w_42 083013_w_47 083109_m_60 083114_w_55 "
    "091914_m_46 092009_m_54 092014_m_56 092509_w_51 092714_m_64 100514_w_51 100914_m_39 "
    "101114_w_37 101209_w_61 101809_m_59 101916_m_40 111313_m_64 120614_w_61 ";

typedef struct sample {
    const char *name, *subject_name;
    int64_t subject;
    float label;
} sample_t;

typedef struct biovid {
    const import_job_t *job;
    csv_t table; /* samples.csv */
    sample_t *samples;
    const char **subjects;
    int64_t count, subject_count;
    writer_track_t tracks[SIGNALS + 2];
    int track_count;
    bool video, boxes;
    int signal_tracks[SIGNALS]; /* -1: not there */
} biovid_t;

/* --- what is there ---------------------------------------------------------------------------- */

/* The label of a class in the task; -1: not in it. */
static int label_of(const char *name, int task) {
    for (int c = 0; c < ARRAY_LEN(classes); c++) {
        if (strcmp(name, classes[c]) == 0) {
            return task == 0 ? c : c == 0 ? 0 : c == task ? 1 : -1;
        }
    }
    return -2;
}

static int64_t number_subject(biovid_t *b, const char *name) {
    for (int64_t i = b->subject_count - 1; i >= 0; i--) {
        if (strcmp(b->subjects[i], name) == 0) {
            return i;
        }
    }
    b->subjects = array_grow(b->subjects, b->subject_count, sizeof *b->subjects);
    b->subjects[b->subject_count] = name;
    return b->subject_count++;
}

static bool reacts(const char *name) {
    char *word = text_format(" %s ", name);
    bool hardly = strstr(hardly_reactive, word) != NULL;
    free(word);
    return !hardly;
}

static status_t add_sample(biovid_t *b, int64_t row) {
    const char *subject, *class_name, *name;
    TRY(csv_text(&b->table, row, COLUMN_SUBJECT, &subject));
    TRY(csv_text(&b->table, row, COLUMN_CLASS, &class_name));
    TRY(csv_text(&b->table, row, COLUMN_SAMPLE, &name));
    int label = label_of(class_name, (int)b->job->values[TASK]);
    if (label == -2 || strchr(name, '/') != NULL || strchr(subject, '/') != NULL) {
        return status_fail(STATUS_INPUT, "%s:%lld: class %s of sample %s is none; repair the row",
                           b->table.path, (long long)b->table.rows[row].line, class_name, name);
    }
    if (label < 0 || (b->job->values[REACTIVE] != 0.0 && !reacts(subject))) {
        return STATUS_OK;
    }
    b->samples = array_grow(b->samples, b->count, sizeof *b->samples);
    b->samples[b->count++] = (sample_t){name, subject, number_subject(b, subject), (float)label};
    return STATUS_OK;
}

static status_t read_samples(biovid_t *b) {
    char *path = text_format("%s/starting_point/samples.csv", b->job->source);
    status_t status = csv_open_tabs(path, &b->table);
    free(path);
    TRY(status);
    for (int c = 0; c < COLUMNS; c++) {
        const csv_row_t *header = &b->table.rows[0];
        if (b->table.row_count < 2 || c >= header->count ||
            strcmp(header->fields[c], headers[c]) != 0) {
            return status_fail(STATUS_INPUT,
                               "%s: not the table of samples, whose columns are subject_id, "
                               "subject_name, class_id, class_name, sample_id, sample_name, "
                               "separated by tabs; get it again",
                               b->table.path);
        }
    }
    for (int64_t row = 1; row < b->table.row_count; row++) {
        TRY(add_sample(b, row));
    }
    return STATUS_OK;
}

static char *path_of(const biovid_t *b, const char *folder, const sample_t *sample,
                     const char *end) {
    return text_format("%s/%s/%s/%s%s", b->job->source, folder, sample->subject_name, sample->name,
                       end);
}

static const char *signal_folder(const biovid_t *b) {
    return b->job->values[RAW] != 0.0 ? "biosignals_raw" : "biosignals_filtered";
}

static int column_of(const csv_row_t *header, const char *name) {
    for (int c = 0; c < header->count; c++) {
        if (strcmp(header->fields[c], name) == 0) {
            return c;
        }
    }
    return -1;
}

/* The signals of the first sample that has any: Part A has three, the raw ones five. */
static status_t find_signals(biovid_t *b) {
    csv_t csv = {0};
    for (int i = 0; i < SIGNALS; i++) {
        b->signal_tracks[i] = -1;
    }
    for (int64_t s = 0; s < b->count && csv.row_count == 0; s++) {
        char *path = path_of(b, signal_folder(b), &b->samples[s], "_bio.csv");
        status_t status = file_exists(path) ? csv_open_tabs(path, &csv) : STATUS_OK;
        free(path);
        TRY(status);
    }
    for (int i = 0; i < SIGNALS && csv.row_count > 0; i++) {
        if (column_of(&csv.rows[0], signals[i][0]) >= 0) {
            b->signal_tracks[i] = b->track_count;
            b->tracks[b->track_count++] =
                (writer_track_t){signals[i][1], false, 1, TRACK_SIGNAL, {0}};
        }
    }
    csv_close(&csv);
    return STATUS_OK;
}

static bool has_folder(const biovid_t *b, const char *name) {
    char *path = text_format("%s/%s", b->job->source, name);
    bool there = dir_exists(path);
    free(path);
    return there;
}

static status_t find_tracks(biovid_t *b, int64_t side) {
    b->video = has_folder(b, "video");
    b->boxes = b->video && has_folder(b, "boxes");
    if (b->video) {
        b->tracks[b->track_count++] = (writer_track_t){
            "video", false, side * side * MEDIA_COLOURS, TRACK_PIXELS, {side, side, MEDIA_COLOURS}};
    }
    TRY(find_signals(b));
    if (b->track_count == 0) {
        return status_fail(STATUS_INPUT, "%s: neither video nor %s is there; put one there",
                           b->job->source, signal_folder(b));
    }
    b->tracks[b->track_count++] = (writer_track_t){"pain", true, 1, TRACK_FEATURES, {0}};
    return STATUS_OK;
}

/* --- one sample ------------------------------------------------------------------------------- */

static status_t check_times(const csv_t *csv, int64_t rows) {
    int time = column_of(&csv->rows[0], "time");
    double first = 0.0, last = 0.0;
    if (time < 0 || rows < 2) {
        return status_fail(STATUS_INPUT, "%s: no column time, or no rows; get it again", csv->path);
    }
    TRY(csv_number(csv, 1, time, &first));
    TRY(csv_number(csv, csv->row_count - 1, time, &last));
    double rate = 1e6 * (double)(rows - 1) / (last - first);
    if (!(fabs(rate / SIGNAL_HZ - 1.0) < 0.01)) {
        return status_fail(STATUS_INPUT, "%s: %.4g rows a second, not %d; get it again", csv->path,
                           rate, SIGNAL_HZ);
    }
    return STATUS_OK;
}

static status_t fill_signal(const csv_t *csv, int column, int64_t rows, float *values) {
    for (int64_t row = 0; row < rows; row++) {
        double value;
        TRY(csv_number(csv, row + 1, column, &value));
        values[row] = (float)value;
    }
    return STATUS_OK;
}

static status_t read_signals(const biovid_t *b, const sample_t *sample, media_recording_t *made) {
    char *path = path_of(b, signal_folder(b), sample, "_bio.csv");
    csv_t csv = {0};
    status_t status = csv_open_tabs(path, &csv);
    free(path);
    int64_t rows = csv.row_count - 1;
    if (status == STATUS_OK) {
        status = check_times(&csv, rows);
    }
    float *values[SIGNALS] = {NULL};
    for (int i = 0; i < SIGNALS && status == STATUS_OK; i++) {
        int column = b->signal_tracks[i] < 0 ? -1 : column_of(&csv.rows[0], signals[i][0]);
        if (b->signal_tracks[i] >= 0 && column < 0) {
            status = status_fail(STATUS_INPUT, "%s: no column %s; get it again", csv.path,
                                 signals[i][0]);
        } else if (column >= 0) {
            values[i] = alloc_zero(rows, sizeof(float));
            status = fill_signal(&csv, column, rows, values[i]);
        }
    }
    csv_close(&csv);
    for (int i = 0; i < SIGNALS; i++) { /* all of a table or none */
        if (status == STATUS_OK && values[i] != NULL) {
            media_set(made, b->signal_tracks[i], values[i], NULL, rows, SIGNAL_HZ, 0.0);
        } else {
            free(values[i]);
        }
    }
    return status;
}

static status_t read_video(const media_import_t *import, const biovid_t *b, const sample_t *sample,
                           media_recording_t *made) {
    char *path = path_of(b, "video", sample, ".mp4"), *framed = path_of(b, "boxes", sample, ".csv");
    archive_member_t *member = NULL;
    face_boxes_t boxes = {0};
    media_pictures_t pictures = {0};
    status_t status = archive_member_of_file(path, &member);
    if (status == STATUS_OK && b->boxes) {
        status = face_boxes_read(framed, import->rules.first_frame, &boxes);
    }
    if (status == STATUS_OK) {
        status = media_video(&import->rules, path, member, 0.0, b->boxes ? &boxes : NULL,
                             &made->notes, &pictures);
    }
    if (status == STATUS_OK) {
        media_set_pictures(made, 0, &pictures, 0.0);
    }
    face_boxes_free(&boxes);
    archive_member_close(member);
    free(framed);
    free(path);
    return status;
}

static status_t make(const media_import_t *import, int64_t item, media_recording_t *made) {
    const biovid_t *b = import->context;
    const sample_t *sample = &b->samples[item];
    if (b->video) {
        TRY(media_missing(import, read_video(import, b, sample, made), made));
    }
    if (b->track_count > b->video + 1) {
        TRY(media_missing(import, read_signals(b, sample, made), made));
    }
    float *label = alloc_zero(1, sizeof *label);
    *label = sample->label;
    media_set(made, b->track_count - 1, label, NULL, 1, 1.0 / label_length_s,
              b->job->values[LABEL_S]);
    return STATUS_OK;
}

static void describe(const media_import_t *import, int64_t item, const media_recording_t *made,
                     writer_recording_t *recording) {
    (void)made;
    const biovid_t *b = import->context;
    recording->name = b->samples[item].name;
    recording->session = recording->group = recording->split = "";
    recording->subject = b->samples[item].subject;
}

static status_t import_all(const import_job_t *job, biovid_t *b) {
    media_import_t import = {.context = b, .make = make, .describe = describe};
    TRY(read_samples(b));
    TRY(find_tracks(b, (int64_t)job->values[MEDIA_SIZE]));
    import.config = (writer_config_t){
        .out = job->out,
        .importer = "biovid",
        .source = "BioVid Heat Pain Database, part A",
        .licence = "by agreement with its authors",
        .terms = "research only; not to be passed on",
        .salt = job->salt,
        .subjects = b->subjects,
        .subject_count = b->subject_count,
        .recording_count = b->count,
        .shards = job->shards,
        .window = 4,
        .rate_hz = 1.0,
        .tracks = b->tracks,
        .track_count = b->track_count,
    };
    media_take_options(job->values, OPTIONS, "", &import); /* the writer looks at the people */
    import.rules.first_frame = (int64_t)job->values[FIRST_FRAME];
    return media_import_run(&import);
}

static status_t import_biovid(const import_job_t *job) {
    TRY(media_available());
    biovid_t b = {.job = job};
    status_t status = import_all(job, &b);
    free(b.samples);
    free(b.subjects);
    csv_close(&b.table);
    return status;
}

static bool recognises(const char *dir) {
    char *path = text_format("%s/starting_point/samples.csv", dir);
    bool there = file_exists(path);
    free(path);
    return there;
}

const importer_t importer_biovid = {
    .name = "biovid",
    .summary = "BioVid Heat Pain, part A, as distributed: signals, videos, samples.csv",
    .options = options,
    .option_count = OPTIONS,
    .recognises = recognises,
    .run = import_biovid,
};
