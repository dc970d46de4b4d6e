#include "data-sharding/import_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/media_import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/log.h"

enum { MARK_FILE = 1, MARK_NO_ROWS = 2 };

/* --- one row ---------------------------------------------------------------------------------- */

/* The member that a row names: a file, or a file in an archive. label is the caller's to free. */
static status_t open_member(const manifest_rows_t *rows, int64_t row, char **label_out,
                            archive_member_t **member_out) {
    char *path = row_path(rows, row, COLUMN_PATH);
    const char *name = row_cell(rows, row, COLUMN_DATASET);
    const archive_t *archive = row_archive(rows, path);
    status_t status = STATUS_OK;
    if (archive != NULL) {
        int64_t index = archive_find(archive, name);
        *label_out = text_format("%s/%s", path, name);
        status = index >= 0
                     ? archive_member_open(archive, index, member_out)
                     : status_fail(STATUS_INPUT, "%s: no file \"%s\" in it; name one as dataset",
                                   path, name);
    } else {
        *label_out = text_copy(path);
        status = archive_member_of_file(path, member_out);
    }
    free(path);
    return status;
}

static status_t read_video(const media_import_t *import, int64_t row, const face_boxes_t *boxes,
                           media_recording_t *made, media_pictures_t *pictures) {
    const manifest_rows_t *rows = import->context;
    char *label = NULL;
    archive_member_t *member = NULL;
    status_t status = open_member(rows, row, &label, &member);
    if (status == STATUS_OK) {
        status = media_video(&import->rules, label, member, row_number(rows, row, COLUMN_RATE),
                             boxes, &made->notes, pictures);
    }
    archive_member_close(member);
    free(label);
    return status;
}

static status_t read_images(const media_import_t *import, int64_t row, const face_boxes_t *boxes,
                            media_recording_t *made, media_pictures_t *pictures) {
    const manifest_rows_t *rows = import->context;
    char *path = row_path(rows, row, COLUMN_PATH);
    const char *folder = row_cell(rows, row, COLUMN_DATASET);
    char *prefix = text_format("%s%s", folder, folder[0] != '\0' ? "/" : "");
    const archive_t *archive = row_archive(rows, path);
    archive_t *own = NULL;
    pictures->rate_hz = row_number(rows, row, COLUMN_RATE);
    status_t status = archive == NULL ? archive_open(path, &own) : STATUS_OK;
    if (status == STATUS_OK && pictures->rate_hz == 0.0) {
        status =
            status_fail(STATUS_INPUT, "%s: files of pictures state no rate; give rate_hz", path);
    }
    if (status == STATUS_OK) {
        double rate_hz = pictures->rate_hz;
        status = media_images(&import->rules, own != NULL ? own : archive, prefix, boxes, 0,
                              &made->notes, pictures);
        pictures->rate_hz = rate_hz;
    }
    archive_close(own);
    free(prefix);
    free(path);
    return status;
}

static status_t read_pictures(const media_import_t *import, int64_t row, media_recording_t *made) {
    const manifest_rows_t *rows = import->context;
    bool framed = row_cell(rows, row, COLUMN_BOXES)[0] != '\0';
    const char *path = row_cell(rows, row, COLUMN_PATH);
    const char *within = row_cell(rows, row, COLUMN_DATASET);
    face_boxes_t boxes = {0};
    media_pictures_t pictures = {0};
    if (framed) {
        char *file = row_path(rows, row, COLUMN_BOXES);
        status_t status = face_boxes_read(file, import->rules.first_frame, &boxes);
        free(file);
        TRY(status);
    }
    bool video = media_is_video(media_is_archive(path) ? within : path);
    status_t status =
        (video ? read_video : read_images)(import, row, framed ? &boxes : NULL, made, &pictures);
    face_boxes_free(&boxes);
    if (status == STATUS_OK) {
        media_set_pictures(made, (int)row_track(rows, row), &pictures,
                           row_number(rows, row, COLUMN_START));
    }
    return status;
}

static status_t read_sound(const media_import_t *import, int64_t row, media_recording_t *made) {
    const manifest_rows_t *rows = import->context;
    char *label = NULL;
    archive_member_t *member = NULL;
    media_sound_t sound = {0};
    status_t status = open_member(rows, row, &label, &member);
    if (status == STATUS_OK) {
        track_kind_t kind = rows->tracks[row_track(rows, row)].kind;
        status = media_sound(&import->ears, kind, label, member, &sound);
    }
    archive_member_close(member);
    free(label);
    TRY(status);
    media_set_sound(made, (int)row_track(rows, row), &sound, row_number(rows, row, COLUMN_START));
    return STATUS_OK;
}

/* A table without rows is as none: the modality is missing in the recording. */
static status_t read_table(const media_import_t *import, int64_t row, media_recording_t *made) {
    const manifest_rows_t *rows = import->context;
    int track = (int)row_track(rows, row);
    matrix_t m = {0};
    TRY(row_read(rows, row, &m));
    made->marks[track] = MARK_FILE;
    if (m.rows == 0) {
        made->marks[track] |= MARK_NO_ROWS;
        matrix_free(&m);
        return STATUS_OK;
    }
    double rate = m.rate_hz > 0.0 ? m.rate_hz : row_number(rows, row, COLUMN_RATE);
    double start = m.start_s + row_number(rows, row, COLUMN_START);
    media_set(made, track, m.values, m.valid, m.rows, rate, start);
    return STATUS_OK;
}

/* Damaged media may be taken as missing; what is wrong with a table is an error. */
static status_t read_row(const media_import_t *import, int64_t row, media_recording_t *made) {
    const manifest_rows_t *rows = import->context;
    switch (rows->kinds[row_track(rows, row)].kind) {
    case ROW_VIDEO:
        return media_missing(import, row_status(read_pictures(import, row, made), rows, row), made);
    case ROW_AUDIO:
    case ROW_VGGISH:
        return media_missing(import, row_status(read_sound(import, row, made), rows, row), made);
    default:
        return read_table(import, row, made);
    }
}

/* --- one recording ---------------------------------------------------------------------------- */

/* Labels that go on when nothing else is there any more are often those of another recording. */
static void look_at_ends(const manifest_rows_t *rows, const char *recording,
                         media_recording_t *made) {
    double labels = 0.0, others = -INFINITY;
    for (int i = 0; i < (int)rows->modalities.count; i++) {
        const writer_signal_t *s = &made->signals[i];
        int64_t steps = s->pictures != NULL ? steps_file_count(s->pictures) : s->steps;
        double end = steps == 0 ? -INFINITY : s->start_s + (double)steps / s->rate_hz;
        if (rows->tracks[i].is_target) {
            labels = fmax(labels, end);
        } else {
            others = fmax(others, end);
        }
    }
    if (isfinite(others) && labels > others + 1.0) {
        char *text = text_format("%s, by %.3g s", recording, labels - others);
        notes_add(&made->notes, "recordings whose labels go on after all else has ended", 1, text);
        free(text);
    }
}

static status_t make(const media_import_t *import, int64_t item, media_recording_t *made) {
    const manifest_rows_t *rows = import->context;
    const char *name = rows->recordings.items[item];
    int64_t last = 0;
    for (int64_t row = row_first(rows, item); row > 0; row = row_next(rows, row)) {
        TRY(read_row(import, row, made));
        last = row;
    }
    made->where =
        text_format("%s:%lld", rows->manifest.path, (long long)rows->manifest.rows[last].line);
    if (rows->media) {
        look_at_ends(rows, name, made);
    }
    return STATUS_OK;
}

static void describe(const media_import_t *import, int64_t item, const media_recording_t *made,
                     writer_recording_t *recording) {
    manifest_rows_t *rows = import->context;
    recording->name = rows->recordings.items[item];
    recording->session = recording->split = recording->group = "";
    recording->group = row_cell(rows, row_first(rows, item), COLUMN_GROUP);
    recording->subject = row_subject(rows, row_first(rows, item));
    for (int64_t i = 0; i < rows->modalities.count; i++) {
        rows->kinds[i].files += (made->marks[i] & MARK_FILE) != 0;
        rows->kinds[i].no_rows += (made->marks[i] & MARK_NO_ROWS) != 0;
    }
}

static void tell_empty(const manifest_rows_t *rows) {
    for (int64_t i = 0; i < rows->modalities.count; i++) {
        const row_track_t *kind = &rows->kinds[i];
        if (kind->no_rows > 0) {
            log_warning("%s: %lld of %lld files have no rows; it is missing in those recordings",
                        rows->modalities.items[i], (long long)kind->no_rows,
                        (long long)kind->files);
        }
    }
}

/* HDF5 is called from one thread alone. */
status_t import_rows(const import_job_t *job, manifest_rows_t *rows, media_import_t *import) {
    import->config.out = job->out;
    import->config.licence = "not stated";
    import->config.terms = "those of the source";
    import->config.salt = job->salt;
    import->config.subjects = rows->subjects.items;
    import->config.subject_count = rows->subjects.count;
    import->config.recording_count = rows->recordings.count;
    import->config.shards = job->shards;
    import->config.tracks = rows->tracks;
    import->config.track_count = (int)rows->modalities.count;
    import->threads = rows->has_hdf5 ? 1 : import->threads;
    import->context = rows;
    import->make = make;
    import->describe = describe;
    TRY(media_import_run(import));
    tell_empty(rows);
    return STATUS_OK;
}
