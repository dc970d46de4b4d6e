/* raw_import.h - imports of a test's source, and everything that they wrote of a recording. */
#ifndef JMT_RAW_IMPORT_H
#define JMT_RAW_IMPORT_H

#include "data-sharding/dataset_internal.h"

/* PLACE/source to PLACE/data, which is removed before. */
status_t run_import(const char *importer, const char *place, const char *const *sets,
                    int set_count) MUST_CHECK;
/* set: NULL, none. */
void expect_refused(const char *importer, const char *place, const char *set, const char *error);

dataset_t *open_data(const char *place); /* PLACE/data */
/* PLACE/data of BioVid: windows of four tokens of skin conductance, a second apart, each of so many
 * readings; and of folds (dataset_config_t) the one. */
dataset_t *open_gsr(const char *place, int64_t readings, int64_t folds, int64_t fold);

/* Everything of one recording's track. */
typedef struct taken {
    const shard_track_t *track;
    shard_span_t span;
    void *values;
    uint8_t *valid;
} taken_t;

taken_t take(const dataset_t *dataset, int64_t recording, const char *name, bool is_target);
void taken_free(taken_t *taken);
const uint8_t *picture(const taken_t *taken, int64_t step);

/* What is heard follows the time; a constant of the transform is taken from the middle. */
void check_voice(const taken_t *taken, int number, double slack);

#endif
