/* run_table.h - finished runs side by side: one row for each model, mean and spread over seeds.
 *
 * A run is a directory of `jmt train` that holds evaluation.json (`jmt evaluate ... --out`), or
 * each seed of a directory of `jmt cv`, by its pooled scores; both in one table are refused. Runs
 * of one model differ in their seeds alone; the row is named after the model, or after the modality
 * of a unimodal one. Runs on different data, or two with one model and seed, are refused. */
#ifndef JMT_RUN_TABLE_H
#define JMT_RUN_TABLE_H

#include "kernels/base/status.h"

typedef struct run_table run_table_t;

status_t run_table_open(const char *const *runs, int run_count, run_table_t **table_out) MUST_CHECK;
void run_table_close(run_table_t *table); /* NULL allowed */

/* The object of summary.json (surface.md): data, split, selected_on, seeds[], and
 * models.NAME.METRIC.{mean,std,values[]}; std is the sample's, null for one run. Caller frees. */
char *run_table_json(const run_table_t *table);

/* The same for people: "md" | "csv" | "latex", with what selected the checkpoint, the
 * number of runs and of labels (n), mean and spread. Caller
 * frees. */
status_t run_table_text(const run_table_t *table, const char *format, char **text_out) MUST_CHECK;

#endif
