/* import.h - from raw files to a data directory: one row per importer. */
#ifndef JMT_IMPORT_H
#define JMT_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct import_option {
    const char *name;
    double value, min, max; /* value: the default */
    bool integer;
    const char *help;
} import_option_t;

typedef struct import_job {
    const char *source, *out; /* source: NULL for one that needs none */
    const char *salt;         /* decides the order of aliases */
    int64_t shards;           /* 0: by size */
    const double *values;     /* by option */
} import_job_t;

typedef struct importer {
    const char *name, *summary;
    const import_option_t *options;
    int option_count;
    bool (*recognises)(const char *dir); /* NULL: makes its data itself, needs no source */
    status_t (*run)(const import_job_t *job);
} importer_t;

/* All importers, in the order in which they are asked whether they recognise a directory. */
const importer_t *const *import_list(int *count_out);

/* The name of the importer that recognises dir; NULL if none. */
const char *import_recognise(const char *dir);

/* Writes the data directory `out` and the key file `out`.key. sets: "KEY=VALUE"; every importer
 * takes shards and salt besides its own options. */
status_t import_run(const char *importer, const char *source, const char *out,
                    const char *const *sets, int set_count) MUST_CHECK;

/* Raw media in the layout of a data set, for its importer: of nobody, with a best predictor that is
 * known (out/optimum.json). A row's source is never given. */
const importer_t *const *generator_list(int *count_out);
status_t generate_run(const char *layout, const char *out, const char *const *sets,
                      int set_count) MUST_CHECK;

#endif
