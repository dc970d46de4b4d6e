#include "data-sharding/media_import.h"

#include <stdlib.h>
#include <string.h>

#include "data-sharding/ordered_work.h"
#include "kernels/base/bytes.h"

typedef struct run {
    media_import_t *import;
    dataset_writer_t *writer;
    notes_t notes;
} run_t;

void media_take_options(const double *values, int count, const char *files,
                        media_import_t *import) {
    sha256_t *hash = sha256_open();
    for (int i = 0; i < count; i++) {
        double value = i == MEDIA_THREADS || i == MEDIA_RESUME ? 0.0 : values[i];
        sha256_add(hash, &value, sizeof value);
    }
    sha256_add(hash, files, strlen(files));
    sha256_close(hash, import->key);
    import->config.resume_key = values[MEDIA_RESUME] != 0.0 ? import->key : NULL;
    import->rules = (media_rules_t){.side = (int)values[MEDIA_SIZE],
                                    .margin = values[MEDIA_MARGIN],
                                    .strict = values[MEDIA_STRICT] != 0.0};
    import->skip_empty = !import->rules.strict;
    import->threads = (int)values[MEDIA_THREADS];
}

void media_set(media_recording_t *made, int track, float *values, uint8_t *valid, int64_t steps,
               double rate_hz, double start_s) {
    made->values[track] = values;
    made->valid[track] = valid;
    made->signals[track] = (writer_signal_t){values, valid, steps, rate_hz, start_s, NULL};
}

void media_set_sound(media_recording_t *made, int track, const media_sound_t *sound,
                     double start_s) {
    media_set(made, track, sound->bands, NULL, sound->frames, MEDIA_SOUND_HZ,
              sound->start_s + start_s);
}

void media_set_pictures(media_recording_t *made, int track, const media_pictures_t *pictures,
                        double start_s) {
    made->signals[track] = (writer_signal_t){
        .rate_hz = pictures->rate_hz, .start_s = start_s, .pictures = pictures->steps};
}

status_t media_missing(const media_import_t *import, status_t status, media_recording_t *made) {
    if (status == STATUS_INPUT && !import->rules.strict) {
        notes_add(&made->notes, "files that cannot be read, taken as missing", 1, status_text());
        return STATUS_OK;
    }
    return status;
}

static void drop(void *context, void *item) {
    (void)context;
    media_recording_t *made = item;
    for (int i = 0; i < IMPORT_TRACKS_MAX; i++) {
        free(made->values[i]);
        free(made->valid[i]);
        steps_file_close(made->signals[i].pictures);
    }
    notes_free(&made->notes);
    free(made->where);
    free(made);
}

static status_t make(void *context, int64_t item, void **made_out) {
    const run_t *run = context;
    media_recording_t *made = alloc_zero(1, sizeof *made);
    status_t status = run->import->make(run->import, item, made);
    if (status != STATUS_OK) {
        drop(NULL, made);
        return status;
    }
    *made_out = made;
    return STATUS_OK;
}

static bool is_empty(const media_recording_t *made) {
    for (int i = 0; i < IMPORT_TRACKS_MAX; i++) {
        if (made->signals[i].steps > 0 || made->signals[i].pictures != NULL) {
            return false;
        }
    }
    return true;
}

static status_t take(void *context, int64_t item, void *taken) {
    run_t *run = context;
    media_recording_t *made = taken;
    writer_recording_t recording = {.signals = made->signals, .item = item};
    run->import->describe(run->import, item, made, &recording);
    notes_merge(&run->notes, &made->notes);
    status_t status = STATUS_OK;
    if (run->import->skip_empty && is_empty(made)) {
        notes_add(&run->notes, "recordings of which nothing is left, left out", 1, recording.name);
    } else {
        status = dataset_writer_add(run->writer, &recording);
        for (int i = 0; i < IMPORT_TRACKS_MAX; i++) {
            made->signals[i].pictures = NULL; /* the writer's now */
        }
        if (status == STATUS_INPUT && made->where != NULL) {
            status = status_prefix(status, "%s", made->where);
        }
    }
    drop(NULL, made);
    return status;
}

static status_t write_all(run_t *run) {
    media_import_t *import = run->import;
    import->rules.store = dataset_writer_store(run->writer);
    const ordered_work_t work = {.begin = dataset_writer_begin(run->writer),
                                 .count = import->config.recording_count,
                                 .threads = import->threads > 0 ? import->threads
                                                                : ordered_work_processors(),
                                 .context = run,
                                 .make = make,
                                 .take = take,
                                 .drop = drop};
    TRY(ordered_work_run(&work));
    char *facts = NULL;
    if (import->noise.wanted) {
        facts = text_format("{\"noise_db\": %.17g, \"noise_seed\": %lld}", import->noise.db,
                            (long long)import->noise.seed);
    }
    status_t status = dataset_writer_publish(run->writer, facts);
    free(facts);
    return status;
}

status_t media_import_run(media_import_t *import) {
    run_t run = {.import = import};
    TRY(dataset_writer_open(&import->config, &run.writer));
    import->ears = (media_ears_t){log_mel_open(), vggish_mel_open(), import->noise};
    status_t status = write_all(&run);
    dataset_writer_close(run.writer);
    if (status == STATUS_OK) {
        notes_tell(&run.notes);
    }
    notes_free(&run.notes);
    log_mel_close(import->ears.log_mel);
    vggish_mel_close(import->ears.vggish_mel);
    return status;
}
