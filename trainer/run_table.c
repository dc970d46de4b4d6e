#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/run_table_internal.h"

static const run_column_t columns[TABLE_COLUMNS] = {{"accuracy", 0},
                                                    {"uar", 2},
                                                    {"f1_macro", 8},
                                                    {"f1_weighted", 9},
                                                    {"f1_positive", 12},
                                                    {"mae", 1},
                                                    {"rmse", 7},
                                                    {"r", 4},
                                                    {"ccc", 0},
                                                    {"ccc_per_sequence", 6},
                                                    {"rmse_post", 11},
                                                    {"ccc_post", 3},
                                                    {"ccc_per_sequence_post", 10},
                                                    {"rmse_frames", 14},
                                                    {"ccc_frames", 0},
                                                    {"ccc_per_sequence_frames", 13}};

const run_column_t *run_table_column(int column) { return &columns[column]; }

/* --- reading --------------------------------------------------------------------------------- */

/* missing: what to do where there is no such file. */
static status_t read_json(const char *run, const char *name, const char *missing,
                          json_t **object_out) {
    char *text = NULL, *path = text_format("%s/%s", run, name);
    json_error_t error;
    status_t status = file_exists(path)
                          ? file_read(path, &text, NULL)
                          : status_fail(STATUS_INPUT, "%s is missing; %s", path, missing);
    free(path);
    TRY(status);
    *object_out = json_loads(text, 0, &error);
    free(text);
    if (json_is_object(*object_out)) {
        return STATUS_OK;
    }
    json_decref(*object_out);
    *object_out = NULL;
    return status_fail(STATUS_INPUT, "%s/%s is damaged: %s; write it again", run, name, error.text);
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* As it was scored, whatever has become of config.yaml since. file: that says so. */
static status_t read_config(const char *run, const char *file, const char *remedy, const json_t *of,
                            config_t **config_out) {
    const char *yaml = text_of(of, "config");
    if (yaml[0] == '\0') {
        return status_fail(STATUS_INPUT,
                           "%s/%s does not say what was scored: it is of an older version; %s", run,
                           file, remedy);
    }
    char *place = text_format("%s/%s", run, file);
    status_t status = config_parse_stored(yaml, place, NULL, 0, config_out);
    free(place);
    return status;
}

/* --- what belongs together ------------------------------------------------------------------- */

static status_t same(const char *run, const char *what, char **kept, const char *value) {
    if (*kept == NULL) {
        *kept = text_copy(value);
    }
    if (strcmp(*kept, value) != 0) {
        return status_fail(
            STATUS_INPUT,
            "%s: its %s is '%s', that of the runs before it '%s'; make a table of each", run, what,
            value, *kept);
    }
    return STATUS_OK;
}

/* Rows of one table are of the same people in the same parts. */
static status_t same_split(const char *run, const config_t *first, const config_t *config) {
    int count = 0;
    char **keys = config_differences(first, config, &count);
    status_t status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        if (strncmp(keys[i], "split.", 6) == 0 &&
            strcmp(keys[i], "split.allow_subject_overlap") != 0) {
            char *kept = config_value(first, keys[i]), *value = config_value(config, keys[i]);
            status = same(run, keys[i], &kept, value);
            free(kept);
            free(value);
        }
    }
    names_free(keys, count);
    return status;
}

static bool same_settings(const config_t *a, const config_t *b) {
    char *difference = config_difference(a, b, DIFFER_IN_ROW);
    bool equal = difference == NULL;
    free(difference);
    return equal;
}

/* --- rows ------------------------------------------------------------------------------------ */

/* Takes config over. */
static row_t *find_row(run_table_t *table, const char *name, const char *marks, config_t *config) {
    for (int i = 0; i < table->row_count; i++) {
        const row_t *row = &table->rows[i];
        if (strcmp(row->name, name) == 0 && strcmp(row->marks, marks) == 0 &&
            same_settings(row->config, config)) {
            config_free(config);
            return &table->rows[i];
        }
    }
    table->rows = array_grow(table->rows, table->row_count, sizeof *table->rows);
    table->rows[table->row_count] =
        (row_t){.name = text_copy(name), .marks = text_copy(marks), .config = config};
    return &table->rows[table->row_count++];
}

static status_t add_values(row_t *row, const char *run, json_int_t seed, const json_t *evaluation) {
    const json_t *metrics = json_object_get(evaluation, "metrics");
    for (int i = 0; i < row->run_count; i++) {
        if (row->seeds[i] == seed) {
            return status_fail(STATUS_INPUT,
                               "%s: %s has a run with seed %lld already; leave one out", run,
                               row->name, (long long)seed);
        }
    }
    row->seeds = array_grow(row->seeds, row->run_count, sizeof *row->seeds);
    row->counts = array_grow(row->counts, row->run_count, sizeof *row->counts);
    row->counts[row->run_count] = json_integer_value(json_object_get(evaluation, "n"));
    row->values = array_grow(row->values, row->run_count, sizeof *row->values);
    row->seeds[row->run_count] = seed;
    for (int c = 0; c < TABLE_COLUMNS; c++) {
        json_t *value = json_object_get(metrics, columns[c].metric);
        row->values[row->run_count][c] = json_is_number(value) ? json_number_value(value) : NAN;
    }
    row->run_count++;
    return STATUS_OK;
}

/* of: evaluation.json, or the summary.json of jmt cv. */
static status_t check_run(run_table_t *table, const char *run, const json_t *of,
                          const char *training_data, const char *path, const config_t *config) {
    TRY(same(run, "data", &table->identity, text_of(of, "data")));
    TRY(same(run, "training data", &table->training_data, training_data));
    TRY(same(run, "split", &table->split, text_of(of, "split")));
    TRY(same(run, "selected on", &table->selected_on, text_of(of, "selected_on")));
    if (table->data == NULL) {
        table->data = text_copy(path);
    }
    return table->row_count > 0 ? same_split(run, table->rows[0].config, config) : STATUS_OK;
}

static status_t add_run(run_table_t *table, const char *run, const json_t *manifest,
                        const json_t *evaluation) {
    const char *name = text_of(manifest, "row");
    json_t *seed = json_object_get(evaluation, "seed"),
           *marks = json_object_get(evaluation, "marks");
    json_t *metrics = json_object_get(evaluation, "metrics");
    config_t *config = NULL;
    if (name[0] == '\0') {
        return status_fail(STATUS_INPUT, "%s is no run of jmt train; give run directories", run);
    }
    bool whole = json_is_integer(seed) && json_is_string(marks) && json_is_object(metrics);
    TRY(read_config(run, "evaluation.json", "write it again by jmt evaluate ... --out",
                    whole ? evaluation : NULL, &config));
    status_t status = check_run(table, run, evaluation, text_of(evaluation, "training_data"),
                                text_of(evaluation, "data_path"), config);
    if (status != STATUS_OK) {
        config_free(config);
        return status;
    }
    row_t *row = find_row(table, name, json_string_value(marks), config);
    return add_values(row, run, json_integer_value(seed), evaluation);
}

/* A directory of jmt cv: the pooled scores of each seed are a run. */
static status_t add_cv(run_table_t *table, const char *run, const json_t *summary) {
    const char *name = text_of(summary, "row"), *data = text_of(summary, "data");
    json_t *by_seed = json_object_get(summary, "by_seed");
    config_t *config = NULL;
    if (name[0] == '\0' || json_array_size(by_seed) == 0) {
        return status_fail(STATUS_INPUT, "%s/summary.json is not of jmt cv; give its directory",
                           run);
    }
    TRY(read_config(run, "summary.json", "the same jmt cv again writes it anew", summary, &config));
    status_t status = check_run(table, run, summary, data, run, config);
    if (status != STATUS_OK) {
        config_free(config);
        return status;
    }
    row_t *row = find_row(table, name, text_of(summary, "marks"), config);
    for (size_t i = 0; i < json_array_size(by_seed); i++) {
        json_t *evaluation = json_array_get(by_seed, i);
        json_int_t seed = json_integer_value(json_object_get(evaluation, "seed"));
        TRY(add_values(row, run, seed, evaluation));
    }
    return STATUS_OK;
}

static status_t read_run(const char *run, json_t **manifest_out, json_t **evaluation_out) {
    TRY(read_json(run, "manifest.json", "give directories of jmt train, or of a finished jmt cv",
                  manifest_out));
    const char *chosen = text_of(*manifest_out, "selected_on");
    bool best = strcmp(chosen, "last") != 0 && chosen[0] != '\0';
    char *missing = text_format("make it by jmt evaluate %s/checkpoints/%s%s --out "
                                "%s/evaluation.json",
                                run, best ? "best-" : "last", best ? chosen : "", run);
    status_t status = read_json(run, "evaluation.json", missing, evaluation_out);
    free(missing);
    return status;
}

static status_t add_directory(run_table_t *table, const char *run) {
    json_t *first = NULL, *evaluation = NULL;
    char *path = text_format("%s/summary.json", run);
    bool cv = file_exists(path);
    free(path);
    status_t status =
        cv ? read_json(run, "summary.json", "", &first) : read_run(run, &first, &evaluation);
    if (status == STATUS_OK) {
        status = cv ? add_cv(table, run, first) : add_run(table, run, first, evaluation);
    }
    json_decref(first);
    json_decref(evaluation);
    return status;
}

/* --- names ----------------------------------------------------------------------------------- */

/* The last part of a key where no other key ends so: "token"; NAME.KEY of an entry. */
static const char *short_key(const char *key) {
    const char *dot = strrchr(key, '.'), *first = strchr(key, '.');
    if (dot == NULL) {
        return key;
    }
    if (strncmp(key, "modalities.", 11) == 0 || strncmp(key, "targets.", 8) == 0) {
        return first + 1;
    }
    int ends = 0;
    for (int i = 0; config_key(i) != NULL; i++) {
        const char *other = strrchr(config_key(i), '.');
        ends += strcmp(other != NULL ? other + 1 : config_key(i), dot + 1) == 0;
    }
    return ends > 1 ? key : dot + 1;
}

/* Keys that are not alike in all rows of this name, into the first one's settings. */
static void collect_keys(const run_table_t *table, int first, json_t *keys) {
    for (int i = first + 1; i < table->row_count; i++) {
        if (strcmp(table->rows[i].name, table->rows[first].name) != 0) {
            continue;
        }
        int count = 0;
        char **found = config_differences(table->rows[first].config, table->rows[i].config, &count);
        for (int k = 0; k < count; k++) {
            if (!config_may_differ(table->rows[first].config, found[k], DIFFER_IN_ROW)) {
                json_object_set_new(keys, found[k], json_null());
            }
        }
        names_free(found, count);
    }
}

static void name_row(row_t *row, json_t *keys) {
    const char *key;
    json_t *unused;
    row->label = text_copy(row->name);
    row->settings = json_object();
    json_object_foreach(keys, key, unused) {
        char *value = config_value(row->config, key);
        const char *shown = value != NULL ? value : "none";
        char *longer = text_format("%s %s=%s", row->label, short_key(key), shown);
        json_object_set_new(row->settings, key, json_string(shown));
        free(row->label);
        row->label = longer;
        free(value);
    }
}

static void name_rows(run_table_t *table) {
    for (int first = 0; first < table->row_count; first++) {
        if (table->rows[first].label != NULL) {
            continue;
        }
        json_t *keys = json_object();
        collect_keys(table, first, keys);
        for (int i = first; i < table->row_count; i++) {
            if (strcmp(table->rows[i].name, table->rows[first].name) == 0) {
                name_row(&table->rows[i], keys);
            }
        }
        json_decref(keys);
    }
}

status_t run_table_open(const char *const *runs, int run_count, run_table_t **table_out) {
    run_table_t *table = alloc_zero(1, sizeof *table);
    status_t status = STATUS_OK;
    for (int i = 0; i < run_count && status == STATUS_OK; i++) {
        status = add_directory(table, runs[i]);
    }
    if (status != STATUS_OK) {
        run_table_close(table);
        return status;
    }
    name_rows(table);
    *table_out = table;
    return STATUS_OK;
}

void run_table_close(run_table_t *table) {
    if (table == NULL) {
        return;
    }
    for (int i = 0; i < table->row_count; i++) {
        free(table->rows[i].name);
        free(table->rows[i].marks);
        free(table->rows[i].label);
        json_decref(table->rows[i].settings);
        config_free(table->rows[i].config);
        free(table->rows[i].seeds);
        free(table->rows[i].counts);
        free(table->rows[i].values);
    }
    free(table->rows);
    free(table->data);
    free(table->identity);
    free(table->training_data);
    free(table->split);
    free(table->selected_on);
    free(table);
}
