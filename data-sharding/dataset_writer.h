/* dataset_writer.h - what importers write into: recordings become shards, people become aliases.
 *
 * Everything is built in OUT.tmp and published by one rename; OUT.key is written beside. */
#ifndef JMT_DATASET_WRITER_H
#define JMT_DATASET_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "data-sharding/steps_file.h"
#include "data-sharding/track_kind.h"
#include "kernels/base/status.h"

typedef struct writer_track {
    const char *name;
    bool is_target;
    int64_t dim;
    track_kind_t kind;
    int64_t shape[3]; /* of pixels: height, width, channels, whose product is dim */
} writer_track_t;

typedef struct writer_config {
    const char *out, *importer, *source, *licence, *terms, *salt;
    const char *const *subjects; /* names, in the order of their first recording */
    int64_t subject_count, recording_count;
    int64_t window; /* that the data is meant to be cut by, in steps; 0: any */
    double rate_hz; /* of those steps; 0: that of the targets */
    int64_t shards; /* 0: as many as keep each near 256 MiB */
    const writer_track_t *tracks;
    int track_count;
    /* Not NULL: what OUT.tmp holds of an import of this key and config that was stopped is kept,
     * and dataset_writer_begin says where to go on. Also where this one fails it is kept. */
    const char *resume_key;
} writer_config_t;

typedef struct writer_signal {
    const float *values;  /* [steps, dim] */
    const uint8_t *valid; /* [steps]; NULL: all */
    int64_t steps;
    double rate_hz;
    double start_s; /* of step 0, on a clock that all signals of the recording share */
    /* Pixels, instead of the first three: their steps piece by piece. dataset_writer_add takes it
     * over, also where it fails. NULL: the recording has none. */
    steps_file_t *pictures;
} writer_signal_t;

typedef struct writer_recording {
    const char *name, *session, *group, *split;
    int64_t subject;                /* index into subjects */
    const writer_signal_t *signals; /* by track */
    int64_t item;                   /* of the importer's list; for resume_key alone */
} writer_recording_t;

typedef struct dataset_writer dataset_writer_t;

status_t dataset_writer_open(const writer_config_t *config,
                             dataset_writer_t **writer_out) MUST_CHECK;
status_t dataset_writer_add(dataset_writer_t *writer,
                            const writer_recording_t *recording) MUST_CHECK;

/* The first item of the importer's list that is not in a shard yet; 0 without resume_key. */
int64_t dataset_writer_begin(const dataset_writer_t *writer);

/* Where steps files of the recordings to come belong: in memory, or on the disk of the data. */
steps_store_t *dataset_writer_store(const dataset_writer_t *writer);

/* facts: a JSON object for dataset.json, or NULL. Publishes; the writer is still to be closed. */
status_t dataset_writer_publish(dataset_writer_t *writer, const char *facts) MUST_CHECK;
void dataset_writer_close(dataset_writer_t *writer); /* unpublished work is removed */

#endif
