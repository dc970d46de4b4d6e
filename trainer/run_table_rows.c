/* run_table_rows.c - what the rows say: mean and spread, what selected them, which controls are
 * missing; and all of it as JSON. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/metrics.h"
#include "trainer/run_table_internal.h"

/* --- mean and spread ------------------------------------------------------------------------- */

run_spread_t run_table_spread(const run_table_t *table, int row_index, int column) {
    const row_t *row = &table->rows[row_index];
    run_spread_t s = {.std = NAN};
    for (int i = 0; i < row->run_count; i++) {
        if (!isnan(row->values[i][column])) {
            s.mean += row->values[i][column];
            s.count++;
        }
    }
    s.mean = s.count > 0 ? s.mean / s.count : NAN;
    double squares = 0.0;
    for (int i = 0; i < row->run_count; i++) {
        double distance = row->values[i][column] - s.mean;
        squares += isnan(distance) ? 0.0 : distance * distance;
    }
    if (s.count > 1) {
        s.std = sqrt(squares / (s.count - 1));
    }
    s.low = row->low[column];
    s.high = row->high[column];
    return s;
}

static bool has_interval(const run_table_t *table, int row, int column) {
    return !isnan(table->rows[row].low[column]);
}

bool run_table_has_intervals(const run_table_t *table) {
    for (int i = 0; i < table->row_count * TABLE_COLUMNS; i++) {
        if (has_interval(table, i / TABLE_COLUMNS, i % TABLE_COLUMNS)) {
            return true;
        }
    }
    return false;
}

/* Of those with an interval; -1: none has one. */
static int best_row(const run_table_t *table, int column, bool higher) {
    int best = -1;
    double best_mean = 0.0;
    for (int i = 0; i < table->row_count; i++) {
        double mean = run_table_spread(table, i, column).mean;
        bool better = best < 0 || (higher ? mean > best_mean : mean < best_mean);
        if (has_interval(table, i, column) && better) {
            best = i;
            best_mean = mean;
        }
    }
    return best;
}

static bool overlap(const row_t *a, const row_t *b, int column) {
    return a->low[column] <= b->high[column] && b->low[column] <= a->high[column];
}

/* Of what checkpoints were selected on, where that is shown; else the first. */
static int ranking_column(const run_table_t *table) {
    int first = TABLE_COLUMNS;
    const char *chosen_by = table->selected_on, *end = chosen_by + strcspn(chosen_by, ";");
    for (const char *c = chosen_by; c < end; c++) { /* of one target: its metric */
        chosen_by = *c == '.' ? c + 1 : chosen_by;
    }
    size_t length = (size_t)(end - chosen_by);
    for (int c = TABLE_COLUMNS - 1; c >= 0; c--) {
        first = run_table_has(table, c) ? c : first;
    }
    for (int c = 0; c < TABLE_COLUMNS; c++) {
        const char *metric = run_table_column(c)->metric;
        bool chosen = strlen(metric) == length && strncmp(metric, chosen_by, length) == 0;
        if (chosen && run_table_has(table, c)) {
            return c;
        }
    }
    return first;
}

const char *run_table_rank(const run_table_t *table, int row) {
    int column = ranking_column(table);
    metric_t metric = METRIC_accuracy;
    if (column == TABLE_COLUMNS || !has_interval(table, row, column) ||
        !metric_find(run_table_column(column)->metric, &metric)) {
        return "";
    }
    int best = best_row(table, column, metric_higher_is_better(metric));
    if (row != best) {
        return overlap(&table->rows[row], &table->rows[best], column) ? "none" : "behind";
    }
    for (int i = 0; i < table->row_count; i++) {
        if (i != best && has_interval(table, i, column) &&
            overlap(&table->rows[i], &table->rows[best], column)) {
            return "none";
        }
    }
    return "first";
}

bool run_table_has(const run_table_t *table, int column) {
    for (int i = 0; i < table->row_count; i++) {
        if (run_table_spread(table, i, column).count > 0) {
            return true;
        }
    }
    return false;
}

/* --- what a reader is told ------------------------------------------------------------------- */

int run_table_row_count(const run_table_t *table) { return table->row_count; }

run_row_t run_table_row(const run_table_t *table, int row) {
    const row_t *of = &table->rows[row];
    return (run_row_t){of->label, of->marks, of->run_count};
}

const char *run_table_split(const run_table_t *table) { return table->split; }
const char *run_table_data(const run_table_t *table) { return table->data; }

char *run_table_selected(const run_table_t *table) {
    bool chosen = strcmp(table->selected_on, "last") != 0 &&
                  strncmp(table->selected_on, "step ", 5) != 0; /* by validation people */
    return text_format("%s%s", chosen ? "valid " : "", table->selected_on);
}

/* --- controls -------------------------------------------------------------------------------- */

static void miss(char **text, const char *name) {
    char *longer = text_format("%s%s%s", *text, (*text)[0] != '\0' ? ", " : "", name);
    free(*text);
    *text = longer;
}

char *run_table_missing(const run_table_t *table) {
    bool majority = false, within = false, clock = false, stimulus = false, groups = false;
    for (int i = 0; i < table->row_count; i++) {
        const row_t *row = &table->rows[i];
        majority |= strcmp(row->name, "majority") == 0;
        within |= strstr(row->name, "(labels permuted within person)") != NULL;
        clock |= strcmp(row->name, "clock") == 0;
        stimulus |= strcmp(row->name, "stimulus") == 0;
        groups |= strstr(row->marks, "stimuli") != NULL;
    }
    static const char *const names[] = {"majority", "labels permuted within person", "clock",
                                        "stimulus"};
    bool there[] = {majority, within, clock, stimulus || !groups};
    char *text = text_copy("");
    for (int i = 0; i < ARRAY_LEN(names); i++) {
        if (!there[i]) {
            miss(&text, names[i]);
        }
    }
    return text;
}

/* --- JSON ------------------------------------------------------------------------------------ */

static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *row_object(const run_table_t *table, int row_index) {
    const row_t *row = &table->rows[row_index];
    json_t *object = json_pack("{s:s, s:s, s:O}", "model", row->name, "marks", row->marks,
                               "settings", row->settings);
    for (int c = 0; c < TABLE_COLUMNS; c++) {
        run_spread_t s = run_table_spread(table, row_index, c);
        if (s.count == 0) {
            continue;
        }
        json_t *values = json_array();
        for (int i = 0; i < row->run_count; i++) {
            json_array_append_new(values, number(row->values[i][c]));
        }
        json_object_set_new(object, run_table_column(c)->metric,
                            json_pack("{s:o, s:o, s:o}", "mean", number(s.mean), "std",
                                      number(s.std), "values", values));
        if (!isnan(s.low)) {
            json_object_set_new(json_object_get(object, run_table_column(c)->metric), "interval",
                                json_pack("[f, f]", s.low, s.high));
        }
    }
    if (run_table_rank(table, row_index)[0] != '\0') {
        json_object_set_new(object, "ranking", json_string(run_table_rank(table, row_index)));
    }
    return object;
}

static int compare_seeds(const void *a, const void *b) {
    json_int_t x = *(const json_int_t *)a, y = *(const json_int_t *)b;
    return (x > y) - (x < y);
}

static json_t *all_seeds(const run_table_t *table) {
    json_int_t *seeds = NULL;
    int count = 0;
    for (int i = 0; i < table->row_count; i++) {
        for (int j = 0; j < table->rows[i].run_count; j++) {
            seeds = array_grow(seeds, count, sizeof *seeds);
            seeds[count++] = table->rows[i].seeds[j];
        }
    }
    if (count > 0) {
        qsort(seeds, (size_t)count, sizeof *seeds, compare_seeds);
    }
    json_t *array = json_array();
    for (int i = 0; i < count; i++) {
        if (i == 0 || seeds[i] != seeds[i - 1]) {
            json_array_append_new(array, json_integer(seeds[i]));
        }
    }
    free(seeds);
    return array;
}

char *run_table_json(const run_table_t *table) {
    json_t *models = json_object();
    for (int i = 0; i < table->row_count; i++) {
        const row_t *row = &table->rows[i];
        bool taken = json_object_get(models, row->label) != NULL;
        char *key = taken ? text_format("%s [%s]", row->label, row->marks) : text_copy(row->label);
        json_object_set_new(models, key, row_object(table, i));
        free(key);
    }
    char *missing = run_table_missing(table);
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:s}", "data", table->data, "identity",
                  table->identity, "split", table->split, "selected_on", table->selected_on,
                  "seeds", all_seeds(table), "models", models, "missing_controls", missing);
    free(missing);
    char *text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17));
    json_decref(object);
    return text;
}
