#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "data-sharding/dataset_writer.h"
#include "data-sharding/importers.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

/* A row of each file is the same window of 30 s, a number a second; labels_train.csv has its label
 * (0 load, 1 rest) and its person. The files of the challenge's test part have no labels. */
#define LABELS "labels_train.csv"
enum { SENSES = 4, LOAD = SENSES, TRACKS, WINDOW = 30, LABEL_COLUMNS = 2 };

static const writer_track_t tracks[TRACKS] = {
    {"gsr", false, 1}, {"hr", false, 1}, {"rr", false, 1}, {"temp", false, 1}, {"load", true, 1}};

typedef struct cogload {
    csv_t senses[SENSES], labels;
    const char **people;
    int64_t *person; /* by window */
    int64_t people_count;
} cogload_t;

static status_t open_table(const char *source, const char *name, int columns, csv_t *csv) {
    char *path = text_format("%s/%s", source, name);
    status_t status = csv_open(path, csv);
    free(path);
    TRY(status);
    for (int64_t i = 0; i < csv->row_count; i++) {
        if (csv->rows[i].count != columns) {
            return status_fail(STATUS_INPUT, "%s:%lld: %d fields, expected %d; get the file again",
                               csv->path, (long long)csv->rows[i].line, csv->rows[i].count,
                               columns);
        }
    }
    return STATUS_OK;
}

static status_t open_files(const char *source, cogload_t *cogload) {
    TRY(open_table(source, LABELS, LABEL_COLUMNS, &cogload->labels));
    for (int s = 0; s < SENSES; s++) {
        csv_t *csv = &cogload->senses[s];
        char *name = text_format("%s_train.csv", tracks[s].name);
        status_t status = open_table(source, name, WINDOW, csv);
        free(name);
        TRY(status);
        if (csv->row_count != cogload->labels.row_count) {
            return status_fail(STATUS_INPUT, "%s: %lld rows, but %s has %lld; get both again",
                               csv->path, (long long)csv->row_count, cogload->labels.path,
                               (long long)cogload->labels.row_count);
        }
    }
    return STATUS_OK;
}

static status_t find_people(cogload_t *cogload) {
    const csv_t *csv = &cogload->labels;
    cogload->people = alloc_zero(max_i64(csv->row_count, 1), sizeof *cogload->people);
    cogload->person = alloc_zero(max_i64(csv->row_count, 1), sizeof *cogload->person);
    for (int64_t i = 0; i < csv->row_count; i++) {
        const char *name;
        int64_t p = 0;
        TRY(csv_text(csv, i, 1, &name));
        if (name[0] == '\0') {
            return status_fail(STATUS_INPUT, "%s:%lld: names no user; repair the row", csv->path,
                               (long long)csv->rows[i].line);
        }
        while (p < cogload->people_count && strcmp(cogload->people[p], name) != 0) {
            p++;
        }
        cogload->people[p] = name;
        cogload->person[i] = p;
        cogload->people_count = max_i64(cogload->people_count, p + 1);
    }
    return STATUS_OK;
}

static status_t read_window(const cogload_t *cogload, int64_t row, float values[TRACKS][WINDOW]) {
    const csv_t *csv = &cogload->labels;
    int64_t rest;
    TRY(csv_integer(csv, row, 0, &rest));
    if (rest != 0 && rest != 1) {
        return status_fail(STATUS_INPUT, "%s:%lld: label %lld is neither 0 nor 1; repair the row",
                           csv->path, (long long)csv->rows[row].line, (long long)rest);
    }
    for (int t = 0; t < WINDOW; t++) {
        for (int s = 0; s < SENSES; s++) {
            double value;
            TRY(csv_number(&cogload->senses[s], row, t, &value));
            values[s][t] = (float)value;
        }
        values[LOAD][t] = rest == 0 ? 1.0f : 0.0f;
    }
    return STATUS_OK;
}

static status_t add_window(const cogload_t *cogload, int64_t row, dataset_writer_t *writer) {
    float values[TRACKS][WINDOW];
    writer_signal_t signals[TRACKS];
    TRY(read_window(cogload, row, values));
    for (int i = 0; i < TRACKS; i++) {
        signals[i] = (writer_signal_t){values[i], NULL, WINDOW, 1.0};
    }
    char *name = text_format("row %lld", (long long)cogload->labels.rows[row].line);
    writer_recording_t recording = {.name = name,
                                    .session = "",
                                    .group = "",
                                    .split = "",
                                    .subject = cogload->person[row],
                                    .signals = signals};
    status_t status = dataset_writer_add(writer, &recording);
    free(name);
    return status;
}

static status_t write_all(const import_job_t *job, const cogload_t *cogload) {
    writer_config_t config = {
        .out = job->out,
        .importer = "cogload",
        .source = "Cognitive Load Monitoring Challenge, UbiTtention at UbiComp 2020: its windows "
                  "with labels",
        .licence = "not stated",
        .terms = "those of the challenge's organisers",
        .salt = job->salt,
        .subjects = cogload->people,
        .subject_count = cogload->people_count,
        .recording_count = cogload->labels.row_count,
        .window = WINDOW,
        .shards = job->shards,
        .tracks = tracks,
        .track_count = TRACKS,
    };
    dataset_writer_t *writer = NULL;
    status_t status = dataset_writer_open(&config, &writer);
    for (int64_t i = 0; i < cogload->labels.row_count && status == STATUS_OK; i++) {
        status = add_window(cogload, i, writer);
    }
    if (status == STATUS_OK) {
        status = dataset_writer_publish(writer, "{\"load\": \"1 where the file's label is 0\"}");
    }
    dataset_writer_close(writer);
    return status;
}

static status_t import_cogload(const import_job_t *job) {
    cogload_t cogload = {0};
    status_t status = open_files(job->source, &cogload);
    if (status == STATUS_OK) {
        status = find_people(&cogload);
    }
    if (status == STATUS_OK) {
        status = write_all(job, &cogload);
    }
    for (int s = 0; s < SENSES; s++) {
        csv_close(&cogload.senses[s]);
    }
    csv_close(&cogload.labels);
    free(cogload.people);
    free(cogload.person);
    return status;
}

static bool recognises(const char *dir) {
    char *labels = text_format("%s/" LABELS, dir), *gsr = text_format("%s/gsr_train.csv", dir);
    bool both = file_exists(labels) && file_exists(gsr);
    free(labels);
    free(gsr);
    return both;
}

const importer_t importer_cogload = {
    .name = "cogload",
    .summary = "Cognitive load challenge of 2020: GSR, HR, RR, TEMP (1 Hz); load or rest, 30 s",
    .recognises = recognises,
    .run = import_cogload,
};
