/* shard.h - one shard: an HDF5 file of whole recordings with a trailer of checksums (FORMAT.md).
 *
 * A track is a modality (dim numbers a step) or a target (dim 1); every recording holds a run of
 * steps of every track. Missing, truncated, foreign or newer files are STATUS_INPUT; bytes that do
 * not match their checksum are STATUS_FAILED. */
#ifndef JMT_SHARD_H
#define JMT_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "data-sharding/shard_ahead.h"
#include "data-sharding/track_kind.h"
#include "kernels/base/status.h"

enum { SHARD_VERSION = 3, SHARD_VERSION_OLDEST = 2 };

typedef struct shard_span {
    int64_t offset, length; /* steps of the track */
    double rate_hz;         /* of this recording; utterances count as 1 */
    double start_s;         /* of step 0, on the recording's own clock */
} shard_span_t;

typedef struct shard_track {
    char *name;
    bool is_target;
    int64_t dim, steps;
    track_kind_t kind;
    int64_t shape[3];    /* of pixels: height, width, channels, whose product is dim */
    shard_span_t *spans; /* [recording_count] */
    /* [steps, dim], float; NULL in a shard that was opened, and where shard_source_t has them. */
    float *values;
    uint8_t *valid;              /* [steps]; NULL in a shard that was opened */
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

static inline int64_t shard_step_bytes(const shard_track_t *track) {
    return track->dim * (int64_t)track_element_bytes(track->kind);
}

/* Where the values of tracks come from whose `values` are NULL, some steps at a time. */
typedef struct shard_source {
    status_t (*read)(void *context, int track, int64_t first, int64_t steps, void *values_out);
    void *context;
    /* Not NULL: those of track `ahead_track` lie there, in a file of the same folder, which becomes
     * the shard. */
    shard_ahead_t *ahead;
    int ahead_track;
} shard_source_t;

/* Writes beside and renames: old or new, never half. source: NULL where no track needs it. */
status_t shard_write(const char *path, const shard_content_t *content,
                     const shard_source_t *source) MUST_CHECK;

typedef struct shard shard_t;

/* The trailer and the structure part are verified before HDF5 sees the file. */
status_t shard_open(const char *path, shard_t **shard_out) MUST_CHECK;
void shard_close(shard_t *shard);
const shard_content_t *shard_content(const shard_t *shard);
const shard_track_t *shard_track(const shard_t *shard, const char *name, bool is_target);

/* The bytes that the trailer is, for identities. */
const void *shard_trailer(const shard_t *shard, int64_t *bytes_out);

/* Steps first..first+steps-1 of a track, from blocks whose checksums match; values_out: as wide as
 * the track's elements. Thread-safe. */
status_t shard_read_values(const shard_t *shard, const shard_track_t *track, int64_t first,
                           int64_t steps, void *values_out) MUST_CHECK;
status_t shard_read_valid(const shard_t *shard, const shard_track_t *track, int64_t first,
                          int64_t steps, uint8_t *valid_out) MUST_CHECK;

#endif
