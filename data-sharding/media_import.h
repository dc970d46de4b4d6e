/* media_import.h - recordings read by several threads at once and written in order, for importers
 * whose recordings take long to read. */
#ifndef JMT_MEDIA_IMPORT_H
#define JMT_MEDIA_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "data-sharding/dataset_writer.h"
#include "data-sharding/import.h"
#include "data-sharding/media_tracks.h"
#include "data-sharding/notes.h"

enum { IMPORT_TRACKS_MAX = 64 };

/* What was read of a recording; the signals' memory is in values and valid, or in steps files. */
typedef struct media_recording {
    writer_signal_t signals[IMPORT_TRACKS_MAX];
    float *values[IMPORT_TRACKS_MAX];
    uint8_t *valid[IMPORT_TRACKS_MAX];
    uint8_t marks[IMPORT_TRACKS_MAX]; /* the importer's own */
    char *where;                      /* before what is wrong with the recording; NULL: nothing */
    notes_t notes;
} media_recording_t;

/* A signal of numbers, whose memory the recording takes over. valid NULL: all. */
void media_set(media_recording_t *made, int track, float *values, uint8_t *valid, int64_t steps,
               double rate_hz, double start_s);
void media_set_sound(media_recording_t *made, int track, const media_sound_t *sound,
                     double start_s);
void media_set_pictures(media_recording_t *made, int track, const media_pictures_t *pictures,
                        double start_s);

typedef struct media_import {
    writer_config_t config; /* for dataset_writer_open */
    bool skip_empty;        /* a recording of which nothing could be read is left out */
    int threads;
    media_rules_t rules; /* store is found here */
    char key[SHA256_TEXT_BYTES];
    void *context;
    sound_noise_t noise; /* of importers that read sound: media_take_noise */
    media_ears_t ears;   /* made here */
    /* On any thread; what it leaves in made is freed also where it fails. */
    status_t (*make)(const struct media_import *import, int64_t item, media_recording_t *made);
    /* In order, on one thread: who it is, and anything that has to be counted. */
    void (*describe)(const struct media_import *import, int64_t item, const media_recording_t *made,
                     writer_recording_t *recording_out);
} media_import_t;

/* All recordings, then tells what was left out. */
status_t media_import_run(media_import_t *import) MUST_CHECK;

/* Unless `strict`, what cannot be read is noted and taken as missing. */
status_t media_missing(const media_import_t *import, status_t status,
                       media_recording_t *made) MUST_CHECK;

/* Options that all importers of raw media have; in this order, before their own. */
enum { MEDIA_SIZE, MEDIA_MARGIN, MEDIA_STRICT, MEDIA_THREADS, MEDIA_RESUME, MEDIA_OPTIONS };
#define MEDIA_OPTION_ROWS                                                                          \
    [MEDIA_SIZE] =                                                                                 \
        {"size",         112,  MEDIA_SIDE_MIN,                                                     \
         MEDIA_SIDE_MAX, true, "width and height of pictures; others are brought to it"},          \
    [MEDIA_MARGIN] = {"margin", 0.3,                                                               \
                      -0.5,     4,                                                                 \
                      false,    "around a box, as a part of its longer side, half at each end"},   \
    [MEDIA_STRICT] = {"strict",                                                                    \
                      0,                                                                           \
                      0,                                                                           \
                      1,                                                                           \
                      true,                                                                        \
                      "1: the first damaged file ends the import; 0: it is taken as missing, and " \
                      "counted at the end"},                                                       \
    [MEDIA_THREADS] = {"threads", 0,    0,                                                         \
                       1024,      true, "recordings read at once; 0: one for each processor"},     \
    [MEDIA_RESUME] = {"resume",                                                                    \
                      0,                                                                           \
                      0,                                                                           \
                      1,                                                                           \
                      true,                                                                        \
                      "1: keep the whole shards of an import that is stopped, and go on behind "   \
                      "them"}

/* Options of those that read sound. What is done is the fact noise_db of dataset.json. */
#define NOISE_DB_OPTION                                                                            \
    {                                                                                              \
        "noise_db", SOUND_NOISE_DB_MAX, -SOUND_NOISE_DB_MAX, SOUND_NOISE_DB_MAX, false,            \
            "Gaussian noise on the sound of each file, so many dB below it; 200: none"             \
    }
#define NOISE_SEED_OPTION                                                                          \
    { "noise_seed", 0, 0, 1e9, true, "of noise_db; the same noise at every level" }

/* rules, threads and the key to resume by, from the values of all options; files: text that changes
 * with what the source holds. config is set already. */
void media_take_options(const double *values, int count, const char *files, media_import_t *import);

#endif
