#include "data-sharding/import_rows.h"
#include "data-sharding/importers.h"

enum { OPTION_HEADER, OPTION_FIRST_FRAME, OPTIONS };
static const import_option_t options[OPTIONS] = {
    [OPTION_HEADER] = HEADER_OPTION,
    [OPTION_FIRST_FRAME] = {"first_frame", -1, -1, 1, true,
                            "of columns called frame that nowhere have frame 0: they count from 0 "
                            "or 1, -1 refused"},
};

static status_t import_features(const import_job_t *job) {
    manifest_rows_t rows = {.source = job->source,
                            .rules = {.header = (int)job->values[OPTION_HEADER],
                                      .first_frame = (int64_t)job->values[OPTION_FIRST_FRAME]}};
    media_import_t import = {
        .config = {.importer = "features", .source = "features listed in a manifest"}};
    status_t status = manifest_rows_open(&rows);
    if (status == STATUS_OK) {
        status = import_rows(job, &rows, &import);
    }
    manifest_rows_close(&rows);
    return status;
}

static bool recognises(const char *dir) { return manifest_rows_here(dir, false); }

const importer_t importer_features = {
    .name = "features",
    .summary =
        "any features: manifest.csv lists .csv, .npy, .npz, HDF5, .pt, .pkl, .arff and .csd files "
        "with their rates",
    .options = options,
    .option_count = OPTIONS,
    .recognises = recognises,
    .run = import_features,
};
