/* run_table.h - finished runs side by side: one row for each model, mean and spread over seeds.
 *
 * A run is a directory of `jmt train` that holds evaluation.json (`jmt evaluate ... --out`), or
 * each seed of a directory of `jmt cv`, by its pooled scores; both in one table are refused. What
 * was scored, how it was selected and what a reader must know is taken from the evaluation. Runs
 * are of one row if their marks and their configurations are the same but for the seed and for what
 * decides no result (paths, threads, devices, logging). A row is named after the model, or after
 * the modality of a unimodal one; rows that share that name add the settings in which they differ
 * ("jmt token=mean"). Runs on different data or splits (split.*), or two of one row with one seed,
 * are refused. */
#ifndef JMT_RUN_TABLE_H
#define JMT_RUN_TABLE_H

#include "kernels/base/status.h"

typedef struct run_table run_table_t;

status_t run_table_open(const char *const *runs, int run_count, run_table_t **table_out) MUST_CHECK;
void run_table_close(run_table_t *table); /* NULL allowed */

/* Control rows that the table lacks, "majority, clock": of majority, labels permuted within person,
 * clock, and stimulus where recordings have groups. "": none. Caller frees. */
char *run_table_missing(const run_table_t *table);

/* The object of summary.json (surface.md): data, split, selected_on, seeds[], missing_controls,
 * models.NAME.{model,marks,settings} and models.NAME.METRIC.{mean,std,values[]}; std is the
 * sample's, null for one run. Caller frees. */
char *run_table_json(const run_table_t *table);

/* The same for people: "md" | "csv" | "latex", with what selected the checkpoint, the
 * number of runs and of labels (n), mean and spread. Caller
 * frees. */
status_t run_table_text(const run_table_t *table, const char *format, char **text_out) MUST_CHECK;

#endif
