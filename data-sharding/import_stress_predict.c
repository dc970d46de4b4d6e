#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/csv.h"
#include "data-sharding/dataset_writer.h"
#include "data-sharding/importers.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "kernels/base/log.h"

/* One row a second of TABLE: participant, heart rate, respiration rate, Unix time, label; beside
 * it the wrist band's own files of skin conductance and temperature, which begin earlier. */
#define TABLE "Processed_data/Improved_All_Combined_hr_rsp_binary.csv"
enum { HR, RR, EDA, TEMP, STRESS, TRACKS };
enum { TABLE_SENSES = 2, COLUMN_TIME = 3, COLUMN_LABEL = 4, COLUMNS };
static const char *const column_names[COLUMNS] = {"Participant", "HR", "respr", "Time(sec)",
                                                  "Label"};
static const double band_hz = 4.0; /* of conductance and temperature, always */
static const double late_s = 10.0; /* real files end up to 4 s before the labels do */
enum { WINDOW = 60, MIXED_ABOVE = 6, MIXED_BELOW = 54 }; /* label mean in (0.1, 0.9) */

static const writer_track_t tracks[TRACKS] = {
    {"hr", false, 1}, {"rr", false, 1}, {"eda", false, 1}, {"temp", false, 1}, {"stress", true, 1}};
static const char *const band_files[TRACKS] = {[EDA] = "EDA.csv", [TEMP] = "TEMP.csv"};

enum { OPTION_ALL_LABELS, OPTIONS };
static const import_option_t options[OPTIONS] = {
    {"all_labels", 0, 0, 1, true,
     "1: every second's own label; 0: labels of the reference windows of 60 s alone"},
};

typedef struct stress {
    csv_t table;
    char **people;   /* S02 ... */
    int64_t *begins; /* first row of each, and the end */
    int64_t people_count;
    int64_t empty[TABLE_SENSES], windows;
    bool all_labels;
} stress_t;

static status_t check_time(const csv_t *csv, int64_t row) {
    int64_t before, now;
    TRY(csv_integer(csv, row - 1, COLUMN_TIME, &before));
    TRY(csv_integer(csv, row, COLUMN_TIME, &now));
    if (now != before + 1) {
        return status_fail(STATUS_INPUT,
                           "%s:%lld: time %lld does not follow %lld by one second, so that rows "
                           "are no windows of 60 s; sort and fill the file",
                           csv->path, (long long)csv->rows[row].line, (long long)now,
                           (long long)before);
    }
    return STATUS_OK;
}

static status_t check_header(const csv_t *csv) {
    if (csv->row_count < 2) {
        return status_fail(STATUS_INPUT, "%s: no rows below a header; get the file again",
                           csv->path);
    }
    for (int c = 0; c < COLUMNS; c++) {
        const char *name = c < csv->rows[0].count ? csv->rows[0].fields[c] : "";
        if (strcmp(name, column_names[c]) != 0 || csv->rows[0].count != COLUMNS) {
            return status_fail(STATUS_INPUT,
                               "%s:1: column %d of %d is \"%s\", expected \"%s\" of %d; get the "
                               "file again",
                               csv->path, c + 1, csv->rows[0].count, name, column_names[c],
                               COLUMNS);
        }
    }
    return STATUS_OK;
}

static status_t find_people(stress_t *stress) {
    const csv_t *csv = &stress->table;
    TRY(check_header(csv));
    stress->people = alloc_zero(csv->row_count, sizeof *stress->people);
    stress->begins = alloc_zero(csv->row_count + 1, sizeof *stress->begins);
    int64_t latest = -1;
    for (int64_t i = 1; i < csv->row_count; i++) {
        int64_t number;
        TRY(csv_integer(csv, i, 0, &number));
        if (i > 1 && number == latest) {
            TRY(check_time(csv, i));
            continue;
        }
        char *name = text_format("S%02lld", (long long)number);
        for (int64_t p = 0; p < stress->people_count; p++) {
            if (strcmp(stress->people[p], name) == 0) {
                free(name);
                return status_fail(STATUS_INPUT,
                                   "%s:%lld: participant %lld again after another one; sort the "
                                   "file by participant and time",
                                   csv->path, (long long)csv->rows[i].line, (long long)number);
            }
        }
        latest = number;
        stress->begins[stress->people_count] = i;
        stress->people[stress->people_count++] = name;
    }
    stress->begins[stress->people_count] = csv->row_count;
    return STATUS_OK;
}

/* A sense of the table; an empty cell is not valid. */
static status_t read_column(stress_t *stress, int64_t begin, int sense, writer_signal_t *signal,
                            float *values, uint8_t *valid) {
    for (int64_t i = 0; i < signal->steps; i++) {
        const char *text;
        double value = 0.0;
        TRY(csv_text(&stress->table, begin + i, 1 + sense, &text));
        valid[i] = text[0] != '\0';
        if (valid[i] != 0) {
            TRY(csv_number(&stress->table, begin + i, 1 + sense, &value));
        }
        values[i] = (float)value;
        stress->empty[sense] += valid[i] == 0;
    }
    return STATUS_OK;
}

/* Blocks of 60 rows are the reference windows, of one label each; mixed ones and the incomplete
 * last one are none. Their seconds keep their own labels, not valid. */
static status_t read_labels(stress_t *stress, int64_t begin, int64_t steps, float *values,
                            uint8_t *valid) {
    for (int64_t i = 0; i < steps; i++) {
        int64_t label;
        TRY(csv_integer(&stress->table, begin + i, COLUMN_LABEL, &label));
        if (label != 0 && label != 1) {
            return status_fail(STATUS_INPUT,
                               "%s:%lld: label %lld is neither 0 nor 1; repair the row",
                               stress->table.path, (long long)stress->table.rows[begin + i].line,
                               (long long)label);
        }
        values[i] = (float)label;
        valid[i] = stress->all_labels;
    }
    for (int64_t first = 0; first + WINDOW <= steps && !stress->all_labels; first += WINDOW) {
        int sum = 0;
        for (int64_t i = first; i < first + WINDOW; i++) {
            sum += values[i] > 0.5f;
        }
        if (sum <= MIXED_ABOVE || sum >= MIXED_BELOW) {
            for (int64_t i = first; i < first + WINDOW; i++) {
                values[i] = sum >= MIXED_BELOW ? 1.0f : 0.0f;
                valid[i] = 1;
            }
            stress->windows++;
        }
    }
    return STATUS_OK;
}

/* Line 1: Unix time of the first sample, line 2: rate, then one sample a line. */
static status_t read_band(const char *path, double zero_s, writer_signal_t *signal_out,
                          float **values_out) {
    csv_t csv;
    double start = 0.0, rate = 0.0;
    TRY(csv_open(path, &csv));
    status_t status = STATUS_OK;
    if (csv.row_count < 3) {
        status = status_fail(STATUS_INPUT, "%s: no samples; get the file again", path);
    } else {
        status = csv_number(&csv, 0, 0, &start);
    }
    if (status == STATUS_OK) {
        status = csv_number(&csv, 1, 0, &rate);
    }
    if (status == STATUS_OK && rate != band_hz) {
        status =
            status_fail(STATUS_INPUT, "%s:2: rate %g, but the band's is %g Hz; get the file again",
                        path, rate, band_hz);
    }
    int64_t steps = max_i64(csv.row_count - 2, 0);
    float *values = alloc_zero(max_i64(steps, 1), sizeof *values);
    for (int64_t i = 0; i < steps && status == STATUS_OK; i++) {
        double value = 0.0;
        status = csv_number(&csv, i + 2, 0, &value);
        values[i] = (float)value;
    }
    csv_close(&csv);
    if (status != STATUS_OK) {
        free(values);
        return status;
    }
    *signal_out = (writer_signal_t){values, NULL, steps, rate, start - zero_s};
    *values_out = values;
    return STATUS_OK;
}

/* A file of another day, or a torn one: the person's labels would have nothing beside them. */
static status_t check_overlap(const char *path, const writer_signal_t *signal, int64_t labelled) {
    double end = signal->start_s + (double)signal->steps / signal->rate_hz;
    double covered = fmin(end, (double)labelled) - fmax(signal->start_s, 0.0);
    if (!(covered > 0.0)) {
        return status_fail(STATUS_INPUT,
                           "%s: its %lld samples run from second %.0f to %.0f of the person's %lld "
                           "labelled seconds, so cover none; get the file again",
                           path, (long long)signal->steps, signal->start_s, end,
                           (long long)labelled);
    }
    if (covered < (double)labelled - late_s) {
        log_warning("%s: its %lld samples cover %.0f of the person's %lld labelled seconds; the "
                    "others are masked",
                    path, (long long)signal->steps, covered, (long long)labelled);
    }
    return STATUS_OK;
}

static status_t read_person(const char *source, stress_t *stress, int64_t person,
                            writer_signal_t signals[TRACKS], float *values[TRACKS],
                            uint8_t *valid[TRACKS]) {
    int64_t begin = stress->begins[person], zero_s;
    int64_t steps = stress->begins[person + 1] - begin;
    TRY(csv_integer(&stress->table, begin, COLUMN_TIME, &zero_s));
    for (int i = 0; i < TRACKS; i++) {
        if (band_files[i] != NULL) {
            char *path =
                text_format("%s/Raw_data/%s/%s", source, stress->people[person], band_files[i]);
            status_t status = read_band(path, (double)zero_s, &signals[i], &values[i]);
            if (status == STATUS_OK) {
                status = check_overlap(path, &signals[i], steps);
            }
            free(path);
            TRY(status);
            continue;
        }
        values[i] = alloc_zero(steps, sizeof(float));
        valid[i] = alloc_zero(steps, 1);
        signals[i] = (writer_signal_t){values[i], valid[i], steps, 1.0, 0.0};
        if (i != STRESS) {
            TRY(read_column(stress, begin, i, &signals[i], values[i], valid[i]));
        }
    }
    return read_labels(stress, begin, steps, values[STRESS], valid[STRESS]);
}

static status_t add_person(const char *source, stress_t *stress, int64_t person,
                           dataset_writer_t *writer) {
    float *values[TRACKS] = {0};
    uint8_t *valid[TRACKS] = {0};
    writer_signal_t signals[TRACKS] = {0};
    status_t status = read_person(source, stress, person, signals, values, valid);
    if (status == STATUS_OK) {
        writer_recording_t row = {.name = stress->people[person],
                                  .session = "",
                                  .group = "",
                                  .split = "",
                                  .subject = person,
                                  .signals = signals};
        status = dataset_writer_add(writer, &row);
    }
    for (int i = 0; i < TRACKS; i++) {
        free(values[i]);
        free(valid[i]);
    }
    return status;
}

static status_t publish(const stress_t *stress, dataset_writer_t *writer) {
    char *facts = text_format("{\"empty_hr\": %lld, \"empty_rr\": %lld, \"labels\": \"%s\", "
                              "\"reference_windows\": %lld}",
                              (long long)stress->empty[HR], (long long)stress->empty[RR],
                              stress->all_labels ? "of every second"
                                                 : "of blocks of 60 s, mean outside (0.1, 0.9)",
                              (long long)stress->windows);
    status_t status = dataset_writer_publish(writer, facts);
    free(facts);
    return status;
}

static status_t write_all(const import_job_t *job, stress_t *stress) {
    writer_config_t config = {
        .out = job->out,
        .importer = "stress-predict",
        .source = "Stress-Predict (Iqbal et al., Sensors 2022, 22(21):8135): wrist band and "
                  "respiration of 34 people with labels",
        .licence = "MIT",
        .terms = "cite Iqbal et al. 2022",
        .salt = job->salt,
        .subjects = (const char *const *)stress->people,
        .subject_count = stress->people_count,
        .recording_count = stress->people_count,
        .window = WINDOW,
        .shards = job->shards,
        .tracks = tracks,
        .track_count = TRACKS,
    };
    dataset_writer_t *writer = NULL;
    status_t status = dataset_writer_open(&config, &writer);
    for (int64_t i = 0; i < stress->people_count && status == STATUS_OK; i++) {
        status = add_person(job->source, stress, i, writer);
    }
    if (status == STATUS_OK) {
        status = publish(stress, writer);
    }
    dataset_writer_close(writer);
    return status;
}

static status_t import_stress_predict(const import_job_t *job) {
    stress_t stress = {.all_labels = job->values[OPTION_ALL_LABELS] != 0.0};
    char *path = text_format("%s/%s", job->source, TABLE);
    status_t status = csv_open(path, &stress.table);
    free(path);
    if (status == STATUS_OK) {
        status = find_people(&stress);
    }
    if (status == STATUS_OK) {
        status = write_all(job, &stress);
    }
    for (int64_t i = 0; i < stress.people_count; i++) {
        free(stress.people[i]);
    }
    csv_close(&stress.table);
    free(stress.people);
    free(stress.begins);
    return status;
}

static bool recognises(const char *dir) {
    char *path = text_format("%s/%s", dir, TABLE);
    bool there = file_exists(path);
    free(path);
    return there;
}

const importer_t importer_stress_predict = {
    .name = "stress-predict",
    .summary = "Stress-Predict: HR, RR (1 Hz), EDA, TEMP (4 Hz); stress or rest, windows of 60 s",
    .options = options,
    .option_count = OPTIONS,
    .recognises = recognises,
    .run = import_stress_predict,
};
