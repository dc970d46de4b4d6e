/* import_rows.h - from the rows of a manifest to a data directory, for `features` and `media`;
 * private to data-sharding/. */
#ifndef JMT_IMPORT_ROWS_H
#define JMT_IMPORT_ROWS_H

#include "data-sharding/import.h"
#include "data-sharding/manifest_rows.h"
#include "data-sharding/media_import.h"

/* What both importers ask about first rows. */
#define HEADER_OPTION                                                                              \
    {                                                                                              \
        "header", -1, -1, 1, true,                                                                 \
            "a first row of a .csv that reads 0,1,...,n-1 or has words and numbers: 1 names, 0 "   \
            "numbers, "                                                                            \
            "-1 refused"                                                                           \
    }

/* rows: open. import: importer, source and the rules of media are set. */
status_t import_rows(const import_job_t *job, manifest_rows_t *rows,
                     media_import_t *import) MUST_CHECK;

#endif
