/* generators.h - the rows of jmt shard --generate, and what they share. */
#ifndef JMT_GENERATORS_H
#define JMT_GENERATORS_H

#include <jansson.h>
#include <stdio.h>

#include "data-sharding/import.h"

extern const importer_t generator_affwild2, generator_biovid;

/* A text file below out, whose folder is there. */
status_t generate_begin(const char *out, const char *name, FILE **file_out) MUST_CHECK;
/* That path could not be written. */
status_t generate_full(const char *path) MUST_CHECK;
/* out/optimum.json: what was asked for, and what can be told at best. Takes optimum over. */
status_t generate_optimum(const char *out, const importer_t *generator, const double *values,
                          json_t *optimum) MUST_CHECK;

#endif
