/* manifest_rows.h - manifest.csv of the importers `features` and `media`: a row for each file of
 * each recording, read, and checked against one another; private to data-sharding/. */
#ifndef JMT_MANIFEST_ROWS_H
#define JMT_MANIFEST_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "data-sharding/archive.h"
#include "data-sharding/csv.h"
#include "data-sharding/dataset_writer.h"
#include "data-sharding/matrix_file.h"
#include "data-sharding/name_table.h"

enum { TRACKS_MAX = 64 };

/* The first six in this order; the others where the importer reads them, in any. */
typedef enum {
    COLUMN_RECORDING,
    COLUMN_SUBJECT,
    COLUMN_GROUP,
    COLUMN_MODALITY,
    COLUMN_RATE,
    COLUMN_PATH,
    COLUMN_DATASET,
    COLUMN_START,
    COLUMN_BOXES,
    COLUMN_COUNT
} manifest_column_t;

/* By what stands before the name of a modality. */
typedef enum { ROW_FEATURES, ROW_LABEL, ROW_SIGNAL, ROW_VIDEO, ROW_AUDIO, ROW_VGGISH } row_kind_t;

/* What the files of a modality have in common; rows are those of the manifest. */
typedef struct row_track {
    row_kind_t kind;
    char *names;            /* of the columns; NULL: no file has any */
    int64_t row, names_row; /* whose file said how wide it is, whose had the names */
    bool unsure;            /* of the width: that file was empty */
    int64_t frame_row;      /* whose file has the lowest frame; 0: none counts frames */
    int64_t lowest;         /* the first frame of any of them */
    int64_t files, no_rows; /* how many there are, and how many of them are empty */
} row_track_t;

typedef struct row_archive {
    char *path;
    archive_t *archive;
} row_archive_t;

typedef struct manifest_rows {
    const char *source;
    bool media;           /* raw media may stand in it */
    int64_t side;         /* of pictures */
    matrix_rules_t rules; /* first_frame -1: not said */
    csv_t manifest;
    int columns[COLUMN_COUNT]; /* of the file; -1: not there */
    name_table_t recordings, subjects, modalities;
    int64_t *first_rows, *last_rows; /* by recording */
    int64_t *next_rows;              /* by row: the recording's next one; 0: none */
    writer_track_t tracks[TRACKS_MAX];
    row_track_t kinds[TRACKS_MAX];
    row_archive_t *archives; /* .zip and .tar files that rows name, open */
    int archive_count;
    bool has_hdf5;
} manifest_rows_t;

/* Opens SOURCE/manifest.csv; source, media, side and rules are set. Close it also if it fails. */
status_t manifest_rows_open(manifest_rows_t *rows) MUST_CHECK;
void manifest_rows_close(manifest_rows_t *rows);
bool manifest_rows_here(const char *dir, bool media); /* whether there is one, of this importer */

const char *row_cell(const manifest_rows_t *rows, int64_t row, manifest_column_t column);
/* A recording's rows in order: for (row = row_first(f, item); row > 0; row = row_next(f, row)). */
int64_t row_first(const manifest_rows_t *rows, int64_t recording);
int64_t row_next(const manifest_rows_t *rows, int64_t row);
int64_t row_track(const manifest_rows_t *rows, int64_t row);
int64_t row_subject(const manifest_rows_t *rows, int64_t row);
char *row_path(const manifest_rows_t *rows, int64_t row, manifest_column_t column);
const archive_t *row_archive(const manifest_rows_t *rows, const char *path); /* NULL: none */
double row_number(const manifest_rows_t *rows, int64_t row, manifest_column_t column);

/* The table of a row, as wide as its modality; no rows: as none. Thread-safe but for HDF5. */
status_t row_read(const manifest_rows_t *rows, int64_t row, matrix_t *matrix_out) MUST_CHECK;

/* Puts the manifest's line before what is wrong with the file that it names. */
status_t row_status(status_t status, const manifest_rows_t *rows, int64_t row) MUST_CHECK;

#endif
