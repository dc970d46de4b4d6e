/* shard.h - one shard: an HDF5 file of whole recordings with a trailer of checksums (FORMAT.md).
 *
 * A track is a modality (dim features a step) or a target (dim 1); every recording holds a run of
 * steps of every track. Missing, truncated, foreign or newer files are STATUS_INPUT; bytes that do
 * not match their checksum are STATUS_FAILED. */
#ifndef JMT_SHARD_H
#define JMT_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

enum { SHARD_VERSION = 2 };

typedef struct shard_span {
    int64_t offset, length; /* steps of the track */
    double rate_hz;         /* of this recording; utterances count as 1 */
    double start_s;         /* of step 0, on the recording's own clock */
} shard_span_t;

typedef struct shard_track {
    char *name;
    bool is_target;
    int64_t dim, steps;
    shard_span_t *spans;         /* [recording_count] */
    float *values;               /* [steps, dim]; NULL in a shard that was opened and not loaded */
    uint8_t *valid;              /* [steps]; NULL likewise */
    int64_t values_at, valid_at; /* offsets in the file */
} shard_track_t;

typedef struct shard_recording {
    char *name, *subject, *session, *group;
    char *split; /* "train" | "test" | "" */
    char *source_hash;
} shard_recording_t;

typedef struct shard_content {
    char *importer, *source, *licence, *terms;
    int64_t recording_count;
    shard_recording_t *recordings;
    int track_count;
    shard_track_t *tracks;
} shard_content_t;

void shard_content_free(shard_content_t *content);

/* Writes beside and renames: old or new, never half. */
status_t shard_write(const char *path, const shard_content_t *content) MUST_CHECK;

typedef struct shard shard_t;

/* The trailer and the structure part are verified before HDF5 sees the file. */
status_t shard_open(const char *path, shard_t **shard_out) MUST_CHECK;
void shard_close(shard_t *shard);
const shard_content_t *shard_content(const shard_t *shard);
const shard_track_t *shard_track(const shard_t *shard, const char *name, bool is_target);

/* The bytes that the trailer is, for identities. */
const void *shard_trailer(const shard_t *shard, int64_t *bytes_out);

/* Steps first..first+steps-1 of a track, from blocks whose checksums match. Thread-safe. */
status_t shard_read_values(const shard_t *shard, const shard_track_t *track, int64_t first,
                           int64_t steps, float *values_out) MUST_CHECK;
status_t shard_read_valid(const shard_t *shard, const shard_track_t *track, int64_t first,
                          int64_t steps, uint8_t *valid_out) MUST_CHECK;

/* Moves the content with all values into memory; the shard may be closed afterwards. */
status_t shard_load(shard_t *shard, shard_content_t *content_out) MUST_CHECK;

#endif
