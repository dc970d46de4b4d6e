#include "data-sharding/manifest_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/log_mel.h"
#include "data-sharding/matrix_csv.h"
#include "data-sharding/media_tracks.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

#define MANIFEST "manifest.csv"
static const char *const headers[COLUMN_COUNT] = {
    "recording", "subject", "group", "modality", "rate_hz", "path", "dataset", "start_s", "boxes"};
/* By row_kind_t. */
static const char *const prefixes[] = {"", "label:", "signal:", "video:", "audio:", "vggish:"};

const char *row_cell(const manifest_rows_t *f, int64_t row, manifest_column_t column) {
    const csv_row_t *r = &f->manifest.rows[row];
    int at = f->columns[column];
    return at >= 0 && at < r->count ? r->fields[at] : "";
}

int64_t row_first(const manifest_rows_t *f, int64_t recording) { return f->first_rows[recording]; }
int64_t row_next(const manifest_rows_t *f, int64_t row) { return f->next_rows[row]; }

/* Behind the other rows of its recording. */
static void chain(manifest_rows_t *f, int64_t row) {
    int64_t r = name_add(&f->recordings, row_cell(f, row, COLUMN_RECORDING));
    if (f->first_rows[r] == 0) {
        f->first_rows[r] = row;
    } else {
        f->next_rows[f->last_rows[r]] = row;
    }
    f->last_rows[r] = row;
}

static status_t refuse(const manifest_rows_t *f, int64_t row, const char *why) {
    return status_fail(STATUS_INPUT, "%s:%lld: %s", f->manifest.path,
                       (long long)f->manifest.rows[row].line, why);
}

static bool is_sound(row_kind_t kind) { return kind == ROW_AUDIO || kind == ROW_VGGISH; }
static bool is_media(row_kind_t kind) { return kind == ROW_VIDEO || is_sound(kind); }

static status_t check_numbers(const manifest_rows_t *f, int64_t row, row_kind_t kind) {
    double rate = 0.0, start = 0.0;
    bool none = row_cell(f, row, COLUMN_RATE)[0] == '\0';
    bool own = is_media(kind);
    if (is_sound(kind) && !none) {
        return refuse(f, row, "sound has its own rate; leave rate_hz empty");
    }
    if (!none || !f->media) {
        TRY(csv_number(&f->manifest, row, f->columns[COLUMN_RATE], &rate));
        if (!(rate > 0.0)) {
            return refuse(f, row, "rate_hz must be above 0; use 1 where a row is an event");
        }
    }
    const char *dot = strrchr(row_cell(f, row, COLUMN_PATH), '.');
    if (none && !own && f->media && (dot == NULL || strcmp(dot, ".csv") != 0)) {
        return refuse(f, row, "rate_hz may be empty beside a .csv with a column of times alone");
    }
    if (row_cell(f, row, COLUMN_START)[0] != '\0') {
        TRY(csv_number(&f->manifest, row, f->columns[COLUMN_START], &start));
    }
    if (row_cell(f, row, COLUMN_BOXES)[0] != '\0' && kind != ROW_VIDEO) {
        return refuse(f, row, "boxes frame pictures; leave them out, or write video:NAME");
    }
    return STATUS_OK;
}

static row_kind_t kind_of(const char *modality) {
    for (int i = ARRAY_LEN(prefixes) - 1; i > 0; i--) {
        if (strncmp(modality, prefixes[i], strlen(prefixes[i])) == 0) {
            return (row_kind_t)i;
        }
    }
    return ROW_FEATURES;
}

/* A recording has one subject and one group, and each modality once. */
static status_t check_row(const manifest_rows_t *f, int64_t row) {
    int count = f->manifest.rows[row].count;
    if (count != f->manifest.rows[0].count) {
        return refuse(f, row, "another number of fields than the header; repair the row");
    }
    if (row_cell(f, row, COLUMN_RECORDING)[0] == '\0' ||
        row_cell(f, row, COLUMN_SUBJECT)[0] == '\0' || row_cell(f, row, COLUMN_PATH)[0] == '\0') {
        return refuse(f, row, "recording, subject and path must be given; fill them in");
    }
    row_kind_t kind = kind_of(row_cell(f, row, COLUMN_MODALITY));
    if (!f->media && kind != ROW_FEATURES && kind != ROW_LABEL) {
        return refuse(f, row, "raw media is read by another importer; use jmt shard media");
    }
    TRY(check_numbers(f, row, kind));
    int64_t recording = name_find(&f->recordings, row_cell(f, row, COLUMN_RECORDING));
    for (int64_t i = recording < 0 ? 0 : row_first(f, recording); i > 0; i = row_next(f, i)) {
        if (strcmp(row_cell(f, i, COLUMN_SUBJECT), row_cell(f, row, COLUMN_SUBJECT)) != 0 ||
            strcmp(row_cell(f, i, COLUMN_GROUP), row_cell(f, row, COLUMN_GROUP)) != 0) {
            return refuse(f, row,
                          "the recording has another subject or group above; give it one of each");
        }
        if (strcmp(row_cell(f, i, COLUMN_MODALITY), row_cell(f, row, COLUMN_MODALITY)) == 0) {
            return refuse(f, row,
                          "the recording has this modality already; remove one of the rows");
        }
    }
    return STATUS_OK;
}

char *row_path(const manifest_rows_t *f, int64_t row, manifest_column_t column) {
    const char *path = row_cell(f, row, column);
    return path[0] == '/' ? text_copy(path) : text_format("%s/%s", f->source, path);
}

double row_number(const manifest_rows_t *f, int64_t row, manifest_column_t column) {
    const char *text = row_cell(f, row, column);
    return text[0] == '\0' ? 0.0 : strtod(text, NULL); /* check_row has looked at it */
}

int64_t row_track(const manifest_rows_t *f, int64_t row) {
    return name_find(&f->modalities, row_cell(f, row, COLUMN_MODALITY));
}

int64_t row_subject(const manifest_rows_t *f, int64_t row) {
    return name_find(&f->subjects, row_cell(f, row, COLUMN_SUBJECT));
}

status_t row_status(status_t status, const manifest_rows_t *f, int64_t row) {
    return status == STATUS_OK ? status
                               : status_prefix(status, "%s:%lld", f->manifest.path,
                                               (long long)f->manifest.rows[row].line);
}

/* A modality that has frame 0 somewhere counts from 0, whatever first_frame says. */
static status_t read_row(const manifest_rows_t *f, int64_t row, const row_track_t *kind,
                         matrix_t *matrix) {
    char *path = row_path(f, row, COLUMN_PATH);
    bool later = kind->frame_row > 0 && kind->lowest > 0 && f->rules.first_frame == 1;
    const matrix_rules_t rules = {f->rules.header, later, row_cell(f, row, COLUMN_RATE)[0] == '\0',
                                  row_number(f, row, COLUMN_RATE)};
    status_t status = matrix_read(path, row_cell(f, row, COLUMN_DATASET), &rules, matrix);
    free(path);
    return row_status(status, f, row);
}

static status_t check_width(const manifest_rows_t *f, int64_t row, int64_t columns) {
    int64_t track = name_find(&f->modalities, row_cell(f, row, COLUMN_MODALITY));
    if (columns == f->tracks[track].dim) {
        return STATUS_OK;
    }
    return status_fail(
        STATUS_INPUT,
        "%s:%lld: %s has %lld columns, but %s has %lld; files of one modality must be "
        "equally wide",
        f->manifest.path, (long long)f->manifest.rows[row].line, row_cell(f, row, COLUMN_PATH),
        (long long)columns, row_cell(f, f->kinds[track].row, COLUMN_PATH),
        (long long)f->tracks[track].dim);
}

/* All headers of a modality name the same columns in the same order. */
static status_t check_names(const manifest_rows_t *f, int64_t row, const char *names,
                            row_track_t *kind) {
    if (names == NULL) {
        return STATUS_OK;
    }
    if (kind->names == NULL) {
        kind->names = text_copy(names);
        kind->names_row = row;
    }
    const char *here = names, *there = kind->names;
    for (int column = 1;; column++) {
        int bytes = (int)strcspn(here, ","), other = (int)strcspn(there, ",");
        bool ends = here[bytes] == '\0' || there[other] == '\0';
        if (bytes != other || strncmp(here, there, (size_t)bytes + ends) != 0) {
            return status_fail(
                STATUS_INPUT,
                "%s:%lld: %s has the column \"%.*s\" where %s has \"%.*s\" (number %d); write "
                "the columns alike and in one order",
                f->manifest.path, (long long)f->manifest.rows[row].line,
                row_cell(f, row, COLUMN_PATH), bytes, here,
                row_cell(f, kind->names_row, COLUMN_PATH), other, there, column);
        }
        if (ends) {
            return STATUS_OK;
        }
        here += bytes + 1;
        there += other + 1;
    }
}

/* The first rows of a CSV file: how wide it is, its names, and where its frames begin. */
static status_t look_at_csv(const manifest_rows_t *f, int64_t row, row_track_t *kind,
                            int64_t *columns_out) {
    matrix_head_t head = {0};
    const matrix_rules_t rules = {f->rules.header, f->rules.first_frame,
                                  row_cell(f, row, COLUMN_RATE)[0] == '\0',
                                  row_number(f, row, COLUMN_RATE)};
    char *path = row_path(f, row, COLUMN_PATH);
    status_t status = row_status(matrix_csv_head(path, &rules, &head), f, row);
    free(path);
    if (status == STATUS_OK && f->media && !rules.timed && head.names != NULL &&
        matrix_names_time(head.names)) {
        status = refuse(f, row,
                        "its column of times would be a feature; leave rate_hz empty, and the "
                        "rate is taken from it, or remove the column");
    }
    if (status == STATUS_OK && !kind->unsure) {
        status = check_width(f, row, head.columns);
    }
    if (status == STATUS_OK) {
        status = check_names(f, row, head.names, kind);
    }
    if (status == STATUS_OK && head.frame >= 0 &&
        (kind->frame_row == 0 || head.frame < kind->lowest)) {
        kind->frame_row = row;
        kind->lowest = head.frame;
    }
    *columns_out = head.columns;
    matrix_head_free(&head);
    return status;
}

static status_t new_track(manifest_rows_t *f, int64_t row) {
    const char *modality = row_cell(f, row, COLUMN_MODALITY);
    row_kind_t kind = kind_of(modality);
    const char *name = modality + strlen(prefixes[kind]);
    static const track_kind_t kinds[] = {[ROW_SIGNAL] = TRACK_SIGNAL,
                                         [ROW_VIDEO] = TRACK_PIXELS,
                                         [ROW_AUDIO] = TRACK_LOG_MEL,
                                         [ROW_VGGISH] = TRACK_VGGISH_MEL};
    if (f->modalities.count == TRACKS_MAX) {
        return refuse(f, row, "more than 64 modalities and labels; join or drop some");
    }
    writer_track_t track = {name, kind == ROW_LABEL, 0, kinds[kind], {0}};
    for (int64_t i = 0; i < f->modalities.count; i++) {
        if (f->tracks[i].is_target == track.is_target && strcmp(f->tracks[i].name, name) == 0) {
            return refuse(f, row,
                          "another kind of modality has this name; call one of them otherwise");
        }
    }
    if (kind == ROW_VIDEO) {
        track.dim = f->side * f->side * MEDIA_COLOURS;
        track.shape[0] = track.shape[1] = f->side;
        track.shape[2] = MEDIA_COLOURS;
    } else if (is_sound(kind)) {
        track.dim = LOG_MEL_BANDS;
    }
    f->tracks[f->modalities.count] = track;
    f->kinds[f->modalities.count] = (row_track_t){.kind = kind, .unsure = true};
    name_add(&f->modalities, modality);
    return STATUS_OK;
}

const archive_t *row_archive(const manifest_rows_t *f, const char *path) {
    for (int i = 0; i < f->archive_count; i++) {
        if (strcmp(f->archives[i].path, path) == 0) {
            return f->archives[i].archive;
        }
    }
    return NULL;
}

/* What a row of media names must be there; archives are opened once. */
static status_t check_media(manifest_rows_t *f, int64_t row) {
    char *path = row_path(f, row, COLUMN_PATH);
    char *boxes = row_path(f, row, COLUMN_BOXES);
    status_t status = STATUS_OK;
    if (!file_exists(path) && !dir_exists(path)) {
        status = status_fail(STATUS_INPUT, "%s: no such file or folder; correct the path", path);
    } else if (row_cell(f, row, COLUMN_BOXES)[0] != '\0' && !file_exists(boxes)) {
        status = status_fail(STATUS_INPUT, "%s: no such file; correct the path", boxes);
    } else if (media_is_archive(path) && file_exists(path) && row_archive(f, path) == NULL) {
        archive_t *archive = NULL;
        status = archive_open(path, &archive);
        if (status == STATUS_OK) {
            f->archives = array_grow(f->archives, f->archive_count, sizeof *f->archives);
            f->archives[f->archive_count++] = (row_archive_t){text_copy(path), archive};
        }
    }
    free(boxes);
    free(path);
    return row_status(status, f, row);
}

/* The first file of each modality that is not empty says how wide it is. */
static status_t find_track(manifest_rows_t *f, int64_t row) {
    if (name_find(&f->modalities, row_cell(f, row, COLUMN_MODALITY)) < 0) {
        TRY(new_track(f, row));
    }
    int64_t track = row_track(f, row), columns = 0;
    row_track_t *kind = &f->kinds[track];
    if (is_media(kind->kind)) {
        return check_media(f, row);
    }
    const char *dot = strrchr(row_cell(f, row, COLUMN_PATH), '.');
    bool csv = dot != NULL && strcmp(dot, ".csv") == 0, empty = false;
    f->has_hdf5 |= dot != NULL && (strcmp(dot, ".h5") == 0 || strcmp(dot, ".hdf5") == 0 ||
                                   strcmp(dot, ".csd") == 0);
    if (csv) {
        TRY(look_at_csv(f, row, kind, &columns));
    } else if (kind->unsure) {
        matrix_t matrix;
        TRY(read_row(f, row, kind, &matrix));
        columns = matrix.columns;
        empty = matrix.rows == 0;
        matrix_free(&matrix);
    }
    if (!kind->unsure) {
        return STATUS_OK; /* other files are read, and measured, later */
    }
    if (f->tracks[track].is_target && columns != 1 && !empty) {
        return status_fail(
            STATUS_INPUT,
            "%s:%lld: %s has %lld columns, but a label has one; give each column its "
            "own label:NAME",
            f->manifest.path, (long long)f->manifest.rows[row].line, row_cell(f, row, COLUMN_PATH),
            (long long)columns);
    }
    f->tracks[track].dim = columns;
    kind->row = row;
    kind->unsure = empty;
    return STATUS_OK;
}

/* Whether frames count from 0 or 1 would shift everything by one: it is not guessed. */
static status_t check_frames(const manifest_rows_t *f) {
    for (int64_t i = 0; i < f->modalities.count && f->rules.first_frame < 0; i++) {
        const row_track_t *kind = &f->kinds[i];
        if (kind->frame_row > 0 && kind->lowest > 0) {
            return status_fail(
                STATUS_INPUT,
                "%s:%lld: the frames of %s begin at %lld, and no %s has frame 0; say "
                "how they count by --set first_frame=1 (as OpenFace does) or --set "
                "first_frame=0",
                f->manifest.path, (long long)f->manifest.rows[kind->frame_row].line,
                row_cell(f, kind->frame_row, COLUMN_PATH), (long long)kind->lowest,
                f->modalities.items[i]);
        }
    }
    return STATUS_OK;
}

/* The first six columns are fixed; others have a name that the importer knows, once. */
static status_t find_columns(manifest_rows_t *f) {
    const csv_row_t *header = &f->manifest.rows[0];
    int last = f->media ? COLUMN_COUNT : COLUMN_DATASET + 1;
    bool good = header->count > COLUMN_PATH;
    for (int c = 0; c < COLUMN_COUNT; c++) {
        f->columns[c] = -1;
    }
    for (int at = 0; at < header->count && good; at++) {
        int column = at <= COLUMN_PATH ? at : COLUMN_DATASET;
        while (at > COLUMN_PATH && column < last &&
               strcmp(header->fields[at], headers[column]) != 0) {
            column++;
        }
        good = column < last && strcmp(header->fields[at], headers[column]) == 0 &&
               f->columns[column] < 0;
        if (good) {
            f->columns[column] = at;
        }
    }
    if (good) {
        return STATUS_OK;
    }
    return refuse(f, 0,
                  f->media
                      ? "the header must be recording,subject,group,modality,rate_hz,path, and "
                        "then any of dataset,start_s,boxes; write it so"
                      : "the header must be recording,subject,group,modality,rate_hz,path[,"
                        "dataset]; write it so");
}

static status_t read_manifest(manifest_rows_t *f) {
    const csv_t *csv = &f->manifest;
    if (csv->row_count < 2) {
        return status_fail(STATUS_INPUT, "%s: no rows below the header; add one for each file",
                           csv->path);
    }
    TRY(find_columns(f));
    f->first_rows = alloc_zero(csv->row_count, sizeof *f->first_rows);
    f->last_rows = alloc_zero(csv->row_count, sizeof *f->last_rows);
    f->next_rows = alloc_zero(csv->row_count, sizeof *f->next_rows);
    for (int64_t row = 1; row < csv->row_count; row++) {
        TRY(check_row(f, row));
        TRY(find_track(f, row));
        chain(f, row);
        name_add(&f->subjects, row_cell(f, row, COLUMN_SUBJECT));
    }
    return check_frames(f);
}

status_t row_read(const manifest_rows_t *f, int64_t row, matrix_t *m) {
    TRY(read_row(f, row, &f->kinds[row_track(f, row)], m));
    status_t status = m->rows == 0 ? STATUS_OK : check_width(f, row, m->columns);
    if (status != STATUS_OK) {
        matrix_free(m);
    }
    return status;
}

status_t manifest_rows_open(manifest_rows_t *f) {
    char *path = text_format("%s/%s", f->source, MANIFEST);
    status_t status = csv_open(path, &f->manifest);
    free(path);
    return status == STATUS_OK ? read_manifest(f) : status;
}

void manifest_rows_close(manifest_rows_t *f) {
    for (int64_t i = 0; i < f->modalities.count; i++) {
        free(f->kinds[i].names);
    }
    for (int i = 0; i < f->archive_count; i++) {
        archive_close(f->archives[i].archive);
        free(f->archives[i].path);
    }
    free(f->archives);
    csv_close(&f->manifest);
    name_table_free(&f->recordings);
    name_table_free(&f->subjects);
    name_table_free(&f->modalities);
    free(f->first_rows);
    free(f->last_rows);
    free(f->next_rows);
}

/* A manifest that names raw media anywhere is of the importer `media`. */
bool manifest_rows_here(const char *dir, bool media) {
    char *path = text_format("%s/%s", dir, MANIFEST);
    csv_t csv = {0};
    bool there = file_exists(path), raw = false;
    if (there && csv_open(path, &csv) == STATUS_OK) {
        for (int64_t row = 1; row < csv.row_count; row++) {
            raw |= csv.rows[row].count > COLUMN_MODALITY &&
                   kind_of(csv.rows[row].fields[COLUMN_MODALITY]) > ROW_LABEL;
        }
        csv_close(&csv);
    }
    free(path);
    return there && raw == media;
}
