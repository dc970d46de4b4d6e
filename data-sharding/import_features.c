#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "data-sharding/dataset_writer.h"
#include "data-sharding/importers.h"
#include "data-sharding/matrix_csv.h"
#include "data-sharding/matrix_file.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "kernels/base/log.h"

#define MANIFEST     "manifest.csv"
#define LABEL_PREFIX "label:"
enum { RECORDING, SUBJECT, GROUP, MODALITY, RATE, PATH, DATASET, COLUMNS, TRACKS_MAX = 64 };
static const char *const headers[COLUMNS] = {"recording", "subject", "group",  "modality",
                                             "rate_hz",   "path",    "dataset"};

typedef struct names {
    const char **items;
    int64_t count;
} names_t;

/* What the files of a modality have in common; rows are those of the manifest. */
typedef struct kind {
    char *names;            /* of the columns; NULL: no file has any */
    int64_t row, names_row; /* whose file said how wide it is, whose had the names */
    bool unsure;            /* of the width: that file was empty */
    int64_t frame_row;      /* whose file has the lowest frame; 0: none counts frames */
    int64_t lowest;         /* the first frame of any of them */
    int64_t files, no_rows; /* how many there are, and how many of them are empty */
} kind_t;

enum { OPTION_HEADER, OPTION_FIRST_FRAME, OPTIONS };
static const import_option_t options[OPTIONS] = {
    [OPTION_HEADER] = {"header", -1, -1, 1, true,
                       "a first row of a .csv that reads 0,1,...,n-1 or has words and numbers: 1 "
                       "names, 0 numbers, -1 refused"},
    [OPTION_FIRST_FRAME] = {"first_frame", -1, -1, 1, true,
                            "of columns called frame that nowhere have frame 0: they count from 0 "
                            "or 1, -1 refused"},
};

typedef struct features {
    const char *source;
    matrix_rules_t rules; /* first_frame -1: not said */
    csv_t manifest;
    names_t recordings, subjects, modalities;
    writer_track_t tracks[TRACKS_MAX];
    kind_t kinds[TRACKS_MAX];
} features_t;

static const char *cell(const features_t *f, int64_t row, int column) {
    const csv_row_t *r = &f->manifest.rows[row];
    return column < r->count ? r->fields[column] : "";
}

static int64_t find_name(const names_t *names, const char *name) {
    for (int64_t i = names->count - 1; i >= 0; i--) {
        if (strcmp(names->items[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

static void add_name(names_t *names, const char *name) {
    if (find_name(names, name) < 0) {
        names->items = array_grow(names->items, names->count, sizeof *names->items);
        names->items[names->count++] = name;
    }
}

static status_t refuse(const features_t *f, int64_t row, const char *why) {
    return status_fail(STATUS_INPUT, "%s:%lld: %s", f->manifest.path,
                       (long long)f->manifest.rows[row].line, why);
}

/* A recording has one subject and one group, and each modality once. */
static status_t check_row(const features_t *f, int64_t row) {
    int count = f->manifest.rows[row].count;
    if (count != f->manifest.rows[0].count) {
        return refuse(f, row, "another number of fields than the header; repair the row");
    }
    if (cell(f, row, RECORDING)[0] == '\0' || cell(f, row, SUBJECT)[0] == '\0' ||
        cell(f, row, PATH)[0] == '\0') {
        return refuse(f, row, "recording, subject and path must be given; fill them in");
    }
    double rate;
    TRY(csv_number(&f->manifest, row, RATE, &rate));
    if (!(rate > 0.0)) {
        return refuse(f, row, "rate_hz must be above 0; use 1 where a row is an event");
    }
    for (int64_t i = 1; i < row; i++) {
        if (strcmp(cell(f, i, RECORDING), cell(f, row, RECORDING)) != 0) {
            continue;
        }
        if (strcmp(cell(f, i, SUBJECT), cell(f, row, SUBJECT)) != 0 ||
            strcmp(cell(f, i, GROUP), cell(f, row, GROUP)) != 0) {
            return refuse(f, row,
                          "the recording has another subject or group above; give it one of each");
        }
        if (strcmp(cell(f, i, MODALITY), cell(f, row, MODALITY)) == 0) {
            return refuse(f, row,
                          "the recording has this modality already; remove one of the rows");
        }
    }
    return STATUS_OK;
}

static char *path_of(const features_t *f, int64_t row) {
    const char *path = cell(f, row, PATH);
    return path[0] == '/' ? text_copy(path) : text_format("%s/%s", f->source, path);
}

/* Puts the manifest's line before what is wrong with the file that it names. */
static status_t at_row(status_t status, const features_t *f, int64_t row) {
    return status == STATUS_OK ? status
                               : status_prefix(status, "%s:%lld", f->manifest.path,
                                               (long long)f->manifest.rows[row].line);
}

/* A modality that has frame 0 somewhere counts from 0, whatever first_frame says. */
static status_t read_row(const features_t *f, int64_t row, const kind_t *kind, matrix_t *matrix) {
    char *path = path_of(f, row);
    bool later = kind->frame_row > 0 && kind->lowest > 0 && f->rules.first_frame == 1;
    const matrix_rules_t rules = {f->rules.header, later};
    status_t status = matrix_read(path, cell(f, row, DATASET), &rules, matrix);
    free(path);
    return at_row(status, f, row);
}

static status_t check_width(const features_t *f, int64_t row, int64_t columns) {
    int64_t track = find_name(&f->modalities, cell(f, row, MODALITY));
    if (columns == f->tracks[track].dim) {
        return STATUS_OK;
    }
    return status_fail(
        STATUS_INPUT,
        "%s:%lld: %s has %lld columns, but %s has %lld; files of one modality must be "
        "equally wide",
        f->manifest.path, (long long)f->manifest.rows[row].line, cell(f, row, PATH),
        (long long)columns, cell(f, f->kinds[track].row, PATH), (long long)f->tracks[track].dim);
}

/* All headers of a modality name the same columns in the same order. */
static status_t check_names(const features_t *f, int64_t row, const char *names, kind_t *kind) {
    if (names == NULL) {
        return STATUS_OK;
    }
    if (kind->names == NULL) {
        kind->names = text_copy(names);
        kind->names_row = row;
    }
    const char *here = names, *there = kind->names;
    for (int column = 1;; column++) {
        int bytes = (int)strcspn(here, ","), other = (int)strcspn(there, ",");
        bool ends = here[bytes] == '\0' || there[other] == '\0';
        if (bytes != other || strncmp(here, there, (size_t)bytes + ends) != 0) {
            return status_fail(
                STATUS_INPUT,
                "%s:%lld: %s has the column \"%.*s\" where %s has \"%.*s\" (number %d); write "
                "the columns alike and in one order",
                f->manifest.path, (long long)f->manifest.rows[row].line, cell(f, row, PATH), bytes,
                here, cell(f, kind->names_row, PATH), other, there, column);
        }
        if (ends) {
            return STATUS_OK;
        }
        here += bytes + 1;
        there += other + 1;
    }
}

/* The first rows of a CSV file: how wide it is, its names, and where its frames begin. */
static status_t look_at_csv(const features_t *f, int64_t row, kind_t *kind, int64_t *columns_out) {
    matrix_head_t head = {0};
    char *path = path_of(f, row);
    status_t status = at_row(matrix_csv_head(path, &f->rules, &head), f, row);
    free(path);
    if (status == STATUS_OK && !kind->unsure) {
        status = check_width(f, row, head.columns);
    }
    if (status == STATUS_OK) {
        status = check_names(f, row, head.names, kind);
    }
    if (status == STATUS_OK && head.frame >= 0 &&
        (kind->frame_row == 0 || head.frame < kind->lowest)) {
        kind->frame_row = row;
        kind->lowest = head.frame;
    }
    *columns_out = head.columns;
    matrix_head_free(&head);
    return status;
}

static status_t new_track(features_t *f, int64_t row) {
    const char *name = cell(f, row, MODALITY);
    if (f->modalities.count == TRACKS_MAX) {
        return refuse(f, row, "more than 64 modalities and labels; join or drop some");
    }
    size_t prefix = strlen(LABEL_PREFIX);
    bool label = name[0] != '\0' && strncmp(name, LABEL_PREFIX, prefix) == 0;
    f->tracks[f->modalities.count] = (writer_track_t){label ? name + prefix : name, label, 0};
    f->kinds[f->modalities.count] = (kind_t){.unsure = true};
    add_name(&f->modalities, name);
    return STATUS_OK;
}

/* The first file of each modality that is not empty says how wide it is. */
static status_t find_track(features_t *f, int64_t row) {
    if (find_name(&f->modalities, cell(f, row, MODALITY)) < 0) {
        TRY(new_track(f, row));
    }
    int64_t track = find_name(&f->modalities, cell(f, row, MODALITY)), columns = 0;
    kind_t *kind = &f->kinds[track];
    const char *dot = strrchr(cell(f, row, PATH), '.');
    bool csv = dot != NULL && strcmp(dot, ".csv") == 0, empty = false;
    if (csv) {
        TRY(look_at_csv(f, row, kind, &columns));
    } else if (kind->unsure) {
        matrix_t matrix;
        TRY(read_row(f, row, kind, &matrix));
        columns = matrix.columns;
        empty = matrix.rows == 0;
        matrix_free(&matrix);
    }
    if (!kind->unsure) {
        return STATUS_OK; /* other files are read, and measured, later */
    }
    if (f->tracks[track].is_target && columns != 1 && !empty) {
        return status_fail(
            STATUS_INPUT,
            "%s:%lld: %s has %lld columns, but a label has one; give each column its "
            "own label:NAME",
            f->manifest.path, (long long)f->manifest.rows[row].line, cell(f, row, PATH),
            (long long)columns);
    }
    f->tracks[track].dim = columns;
    kind->row = row;
    kind->unsure = empty;
    return STATUS_OK;
}

/* Whether frames count from 0 or 1 would shift everything by one: it is not guessed. */
static status_t check_frames(const features_t *f) {
    for (int64_t i = 0; i < f->modalities.count && f->rules.first_frame < 0; i++) {
        const kind_t *kind = &f->kinds[i];
        if (kind->frame_row > 0 && kind->lowest > 0) {
            return status_fail(
                STATUS_INPUT,
                "%s:%lld: the frames of %s begin at %lld, and no %s has frame 0; say "
                "how they count by --set first_frame=1 (as OpenFace does) or --set "
                "first_frame=0",
                f->manifest.path, (long long)f->manifest.rows[kind->frame_row].line,
                cell(f, kind->frame_row, PATH), (long long)kind->lowest, f->modalities.items[i]);
        }
    }
    return STATUS_OK;
}

static status_t read_manifest(features_t *f) {
    const csv_t *csv = &f->manifest;
    if (csv->row_count < 2) {
        return status_fail(STATUS_INPUT, "%s: no rows below the header; add one for each file",
                           csv->path);
    }
    for (int c = 0; c < COLUMNS; c++) {
        bool there = c < csv->rows[0].count;
        if (there ? strcmp(cell(f, 0, c), headers[c]) != 0 : c != DATASET) {
            return refuse(f, 0,
                          "the header must be recording,subject,group,modality,rate_hz,path[,"
                          "dataset]; write it so");
        }
    }
    for (int64_t row = 1; row < csv->row_count; row++) {
        TRY(check_row(f, row));
        TRY(find_track(f, row));
        add_name(&f->recordings, cell(f, row, RECORDING));
        add_name(&f->subjects, cell(f, row, SUBJECT));
    }
    return check_frames(f);
}

/* A file without rows is as none: the modality is missing in the recording. */
static status_t add_signal(features_t *f, int64_t row, matrix_t *matrices,
                           writer_signal_t *signals) {
    int64_t track = find_name(&f->modalities, cell(f, row, MODALITY));
    matrix_t *m = &matrices[track];
    kind_t *kind = &f->kinds[track];
    TRY(read_row(f, row, kind, m));
    kind->files++;
    if (m->rows == 0) {
        kind->no_rows++;
        return STATUS_OK;
    }
    TRY(check_width(f, row, m->columns));
    double rate;
    TRY(csv_number(&f->manifest, row, RATE, &rate));
    signals[track] = (writer_signal_t){m->values, m->valid, m->rows, rate, 0.0};
    return STATUS_OK;
}

static status_t add_recording(features_t *f, int64_t index, dataset_writer_t *writer) {
    matrix_t matrices[TRACKS_MAX] = {0};
    writer_signal_t signals[TRACKS_MAX] = {0};
    writer_recording_t recording = {f->recordings.items[index], "", "", "", -1, signals};
    status_t status = STATUS_OK;
    int64_t last = 0;
    for (int64_t row = 1; row < f->manifest.row_count && status == STATUS_OK; row++) {
        if (strcmp(cell(f, row, RECORDING), recording.name) == 0) {
            last = row;
            recording.subject = find_name(&f->subjects, cell(f, row, SUBJECT));
            recording.group = cell(f, row, GROUP);
            status = add_signal(f, row, matrices, signals);
        }
    }
    if (status == STATUS_OK) {
        status = dataset_writer_add(writer, &recording);
        status = status == STATUS_INPUT ? at_row(status, f, last) : status;
    }
    for (int i = 0; i < TRACKS_MAX; i++) {
        matrix_free(&matrices[i]);
    }
    return status;
}

static void tell_empty(const features_t *f) {
    for (int64_t i = 0; i < f->modalities.count; i++) {
        const kind_t *kind = &f->kinds[i];
        if (kind->no_rows > 0) {
            log_warning("%s: %lld of %lld files have no rows; it is missing in those recordings",
                        f->modalities.items[i], (long long)kind->no_rows, (long long)kind->files);
        }
    }
}

static status_t write_all(const import_job_t *job, features_t *f) {
    writer_config_t config = {
        .out = job->out,
        .importer = "features",
        .source = "features listed in a manifest",
        .licence = "not stated",
        .terms = "those of the source",
        .salt = job->salt,
        .subjects = f->subjects.items,
        .subject_count = f->subjects.count,
        .recording_count = f->recordings.count,
        .shards = job->shards,
        .tracks = f->tracks,
        .track_count = (int)f->modalities.count,
    };
    dataset_writer_t *writer = NULL;
    status_t status = dataset_writer_open(&config, &writer);
    for (int64_t i = 0; i < f->recordings.count && status == STATUS_OK; i++) {
        status = add_recording(f, i, writer);
    }
    if (status == STATUS_OK) {
        status = dataset_writer_publish(writer, NULL);
    }
    dataset_writer_close(writer);
    if (status == STATUS_OK) {
        tell_empty(f);
    }
    return status;
}

static status_t import_features(const import_job_t *job) {
    features_t f = {
        .source = job->source,
        .rules = {(int)job->values[OPTION_HEADER], (int64_t)job->values[OPTION_FIRST_FRAME]}};
    char *path = text_format("%s/%s", job->source, MANIFEST);
    status_t status = csv_open(path, &f.manifest);
    free(path);
    if (status == STATUS_OK) {
        status = read_manifest(&f);
    }
    if (status == STATUS_OK) {
        status = write_all(job, &f);
    }
    for (int64_t i = 0; i < f.modalities.count; i++) {
        free(f.kinds[i].names);
    }
    csv_close(&f.manifest);
    free(f.recordings.items);
    free(f.subjects.items);
    free(f.modalities.items);
    return status;
}

static bool recognises(const char *dir) {
    char *path = text_format("%s/%s", dir, MANIFEST);
    bool there = file_exists(path);
    free(path);
    return there;
}

const importer_t importer_features = {
    .name = "features",
    .summary = "any features: manifest.csv lists .csv, .npy, .npz and HDF5 files with their rates",
    .options = options,
    .option_count = OPTIONS,
    .recognises = recognises,
    .run = import_features,
};
