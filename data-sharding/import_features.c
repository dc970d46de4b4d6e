#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "data-sharding/dataset_writer.h"
#include "data-sharding/importers.h"
#include "data-sharding/matrix_file.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

#define MANIFEST     "manifest.csv"
#define LABEL_PREFIX "label:"
enum { RECORDING, SUBJECT, GROUP, MODALITY, RATE, PATH, DATASET, COLUMNS, TRACKS_MAX = 64 };
static const char *const headers[COLUMNS] = {"recording", "subject", "group",  "modality",
                                             "rate_hz",   "path",    "dataset"};

typedef struct names {
    const char **items;
    int64_t count;
} names_t;

typedef struct features {
    const char *source;
    csv_t manifest;
    names_t recordings, subjects, modalities;
    writer_track_t tracks[TRACKS_MAX];
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
        return refuse(f, row, "recording, subject and path must be given");
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
            return refuse(f, row, "the recording has another subject or group above");
        }
        if (strcmp(cell(f, i, MODALITY), cell(f, row, MODALITY)) == 0) {
            return refuse(f, row, "the recording has this modality already");
        }
    }
    return STATUS_OK;
}

static status_t read_row(const features_t *f, int64_t row, matrix_t *matrix) {
    const char *path = cell(f, row, PATH);
    char *whole = path[0] == '/' ? text_copy(path) : text_format("%s/%s", f->source, path);
    status_t status = matrix_read(whole, cell(f, row, DATASET), matrix);
    free(whole);
    return status;
}

/* The first file of each modality says how wide it is. */
static status_t find_track(features_t *f, int64_t row) {
    const char *name = cell(f, row, MODALITY);
    if (find_name(&f->modalities, name) >= 0) {
        return STATUS_OK;
    }
    if (f->modalities.count == TRACKS_MAX) {
        return refuse(f, row, "more than 64 modalities and labels");
    }
    matrix_t matrix;
    TRY(read_row(f, row, &matrix));
    size_t prefix = strlen(LABEL_PREFIX);
    bool label = strncmp(name, LABEL_PREFIX, prefix) == 0;
    f->tracks[f->modalities.count] =
        (writer_track_t){label ? name + prefix : name, label, matrix.columns};
    add_name(&f->modalities, name);
    matrix_free(&matrix);
    return STATUS_OK;
}

static status_t read_manifest(features_t *f) {
    const csv_t *csv = &f->manifest;
    if (csv->row_count < 2) {
        return status_fail(STATUS_INPUT, "%s: no rows below the header", csv->path);
    }
    for (int c = 0; c < COLUMNS; c++) {
        bool there = c < csv->rows[0].count;
        if (there ? strcmp(cell(f, 0, c), headers[c]) != 0 : c != DATASET) {
            return refuse(f, 0,
                          "the header must be "
                          "recording,subject,group,modality,rate_hz,path[,dataset]");
        }
    }
    for (int64_t row = 1; row < csv->row_count; row++) {
        TRY(check_row(f, row));
        TRY(find_track(f, row));
        add_name(&f->recordings, cell(f, row, RECORDING));
        add_name(&f->subjects, cell(f, row, SUBJECT));
    }
    return STATUS_OK;
}

static status_t add_signal(const features_t *f, int64_t row, matrix_t *matrices,
                           writer_signal_t *signals) {
    int64_t track = find_name(&f->modalities, cell(f, row, MODALITY));
    matrix_t *m = &matrices[track];
    TRY(read_row(f, row, m));
    if (m->columns != f->tracks[track].dim) {
        return status_fail(STATUS_INPUT, "%s:%lld: %s has %lld columns, the first %s has %lld",
                           f->manifest.path, (long long)f->manifest.rows[row].line,
                           cell(f, row, PATH), (long long)m->columns, cell(f, row, MODALITY),
                           (long long)f->tracks[track].dim);
    }
    double rate;
    TRY(csv_number(&f->manifest, row, RATE, &rate));
    signals[track] = (writer_signal_t){m->values, m->valid, m->rows, rate, 0.0};
    return STATUS_OK;
}

static status_t add_recording(const features_t *f, int64_t index, dataset_writer_t *writer) {
    matrix_t matrices[TRACKS_MAX] = {0};
    writer_signal_t signals[TRACKS_MAX] = {0};
    writer_recording_t recording = {f->recordings.items[index], "", "", "", -1, signals};
    status_t status = STATUS_OK;
    for (int64_t row = 1; row < f->manifest.row_count && status == STATUS_OK; row++) {
        if (strcmp(cell(f, row, RECORDING), recording.name) == 0) {
            recording.subject = find_name(&f->subjects, cell(f, row, SUBJECT));
            recording.group = cell(f, row, GROUP);
            status = add_signal(f, row, matrices, signals);
        }
    }
    if (status == STATUS_OK) {
        status = dataset_writer_add(writer, &recording);
    }
    for (int i = 0; i < TRACKS_MAX; i++) {
        matrix_free(&matrices[i]);
    }
    return status;
}

static status_t write_all(const import_job_t *job, const features_t *f) {
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
    return status;
}

static status_t import_features(const import_job_t *job) {
    features_t f = {.source = job->source};
    char *path = text_format("%s/%s", job->source, MANIFEST);
    status_t status = csv_open(path, &f.manifest);
    free(path);
    if (status == STATUS_OK) {
        status = read_manifest(&f);
    }
    if (status == STATUS_OK) {
        status = write_all(job, &f);
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
    .summary = "any features: manifest.csv lists .csv, .npy and HDF5 files with their rates",
    .recognises = recognises,
    .run = import_features,
};
