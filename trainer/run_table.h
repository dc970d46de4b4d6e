/* run_table.h - finished runs side by side: one row for each model, mean and spread over seeds.
 *
 * A run is a directory of `jmt train` that holds evaluation.json (`jmt evaluate ... --out`), or
 * each seed of a directory of `jmt cv`, by its pooled scores; both in one table are refused. What
 * was scored, with which settings, how it was selected and what a reader must know is taken from
 * the evaluation alone. Runs are of one row if their marks and their configurations are the same
 * but for what a table averages (DIFFER_IN_ROW of config.h). A row is named after the model, or
 * after the modality of a unimodal one; rows that share that name add the settings in which they
 * differ ("jmt token=mean"). Runs on different data or splits (split.*), or two of one row with one
 * seed, are refused. */
#ifndef JMT_RUN_TABLE_H
#define JMT_RUN_TABLE_H

#include <stdbool.h>

#include "kernels/base/status.h"

typedef struct run_table run_table_t;

status_t run_table_open(const char *const *runs, int run_count, run_table_t **table_out) MUST_CHECK;
void run_table_close(run_table_t *table); /* NULL allowed */

/* What is shown of an evaluation, in this order, where it has it. */
enum { TABLE_COLUMNS = 16 };
typedef struct run_column {
    const char *metric;
    int dispense; /* where there is no room the highest goes first; 0: none; 3 is marks, 5 runs */
} run_column_t;
const run_column_t *run_table_column(int column);
bool run_table_has(const run_table_t *table, int column); /* some row has it */

typedef struct run_row {
    const char *label, *marks;
    int run_count;
} run_row_t;
int run_table_row_count(const run_table_t *table);
run_row_t run_table_row(const run_table_t *table, int row);
typedef struct run_spread {
    int count;        /* 0: the row has it not */
    double mean, std; /* std: NaN unless count > 1 */
    double low, high; /* of the mean, had other people been asked; NaN: not known */
} run_spread_t;
run_spread_t run_table_spread(const run_table_t *table, int row, int column);

/* Whether some row has an interval; then each row stands somewhere by that of the metric that
 * checkpoints were selected on, else of the first shown: "first" alone above all others, "none" if
 * its interval and that of the row with the best mean overlap, which ranks neither, "behind"; "":
 * it has no interval. */
bool run_table_has_intervals(const run_table_t *table);
const char *run_table_rank(const run_table_t *table, int row);

const char *run_table_split(const run_table_t *table);
const char *run_table_data(const run_table_t *table); /* where it lies */
/* What selected the checkpoints: "valid ccc", "last", "step 7"; caller frees. */
char *run_table_selected(const run_table_t *table);

/* Control rows that the table lacks, "majority, clock": of majority, labels permuted within person,
 * clock, and stimulus where recordings have groups. "": none. Caller frees. */
char *run_table_missing(const run_table_t *table);

/* The object of summary.json: data, split, selected_on, seeds[], missing_controls,
 * models.NAME.{model,marks,settings} and models.NAME.METRIC.{mean,std,values[]}; std is the
 * sample's, null for one run. Caller frees. */
char *run_table_json(const run_table_t *table);

/* The same for people: "md" | "csv" | "latex", with what selected the checkpoint, the
 * number of runs and of labels (n), mean and spread. Caller
 * frees. */
status_t run_table_text(const run_table_t *table, const char *format, char **text_out) MUST_CHECK;

#endif
