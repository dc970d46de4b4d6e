#include "data-sharding/import_rows.h"
#include "data-sharding/importers.h"

enum {
    OPTION_HEADER = MEDIA_OPTIONS,
    OPTION_FIRST_FRAME,
    OPTION_NOISE,
    OPTION_NOISE_SEED,
    OPTIONS
};
static const import_option_t options[OPTIONS] = {
    MEDIA_OPTION_ROWS,
    [OPTION_HEADER] = HEADER_OPTION,
    [OPTION_FIRST_FRAME] = {"first_frame", -1, -1, 1, true,
                            "of pictures, boxes and columns called frame that have no frame 0: "
                            "they count from 0 or 1, -1 refused"},
    [OPTION_NOISE] = NOISE_DB_OPTION,
    [OPTION_NOISE_SEED] = NOISE_SEED_OPTION,
};

static bool has_sound(const manifest_rows_t *rows) {
    for (int64_t i = 0; i < rows->modalities.count; i++) {
        if (track_is_sound(rows->tracks[i].kind)) {
            return true;
        }
    }
    return false;
}

/* Whether more than files of pictures is to be read. A picture that turns out to be of another size
 * than the others asks later. */
static bool needs_all(const manifest_rows_t *rows) {
    for (int64_t i = 0; i < rows->recordings.count; i++) {
        for (int64_t row = row_first(rows, i); row > 0; row = row_next(rows, row)) {
            const char *path = row_cell(rows, row, COLUMN_PATH);
            const char *within = row_cell(rows, row, COLUMN_DATASET);
            bool is_video = media_is_video(media_is_archive(path) ? within : path);
            bool is_cut = row_cell(rows, row, COLUMN_BOXES)[0] != '\0';
            if (rows->kinds[row_track(rows, row)].kind == ROW_VIDEO && (is_video || is_cut)) {
                return true;
            }
        }
    }
    return has_sound(rows);
}

static status_t import_media(const import_job_t *job) {
    TRY(media_pictures_available());
    const double *values = job->values;
    manifest_rows_t rows = {.source = job->source,
                            .media = true,
                            .side = (int64_t)values[MEDIA_SIZE],
                            .rules = {.header = (int)values[OPTION_HEADER],
                                      .first_frame = (int64_t)values[OPTION_FIRST_FRAME]}};
    media_import_t import = {
        .config = {.importer = "media", .source = "media listed in a manifest"},
        .noise = sound_noise_of(values[OPTION_NOISE], values[OPTION_NOISE_SEED])};
    char digest[SHA256_TEXT_BYTES];
    status_t status = manifest_rows_open(&rows);
    if (status == STATUS_OK && needs_all(&rows)) {
        status = media_available();
    }
    if (status == STATUS_OK && import.noise.wanted && !has_sound(&rows)) {
        status = status_fail(STATUS_INPUT, "%s has no audio: or vggish: for noise_db; leave it out",
                             rows.manifest.path);
    }
    if (status == STATUS_OK) {
        status = sha256_file(rows.manifest.path, digest);
    }
    if (status == STATUS_OK) {
        media_take_options(values, OPTIONS, digest, &import);
        import.rules.first_frame = (int64_t)values[OPTION_FIRST_FRAME];
        status = import_rows(job, &rows, &import);
    }
    manifest_rows_close(&rows);
    return status;
}

static bool recognises(const char *dir) { return manifest_rows_here(dir, true); }

const importer_t importer_media = {
    .name = "media",
    .summary = "any videos, pictures, sound, signals and labels: manifest.csv lists the files",
    .options = options,
    .option_count = OPTIONS,
    .recognises = recognises,
    .run = import_media,
};
