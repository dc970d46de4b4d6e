/* shard_trailer.h - the checksums behind HDF5's end, and reading through them.
 *
 * The ranges follow each other from byte 0 to HDF5's last byte, so that every byte of the file is
 * either in a range or in the trailer, which has its own checksum. */
#ifndef JMT_SHARD_TRAILER_H
#define JMT_SHARD_TRAILER_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef enum { RANGE_STRUCTURE, RANGE_BULK } range_kind_t;

typedef struct trailer_range {
    uint64_t offset, bytes, hash, kind; /* as in the file */
} trailer_range_t;

typedef struct trailer {
    char *data; /* the trailer's bytes */
    int64_t bytes;
    int64_t range_count;
    const trailer_range_t *ranges; /* within data */
} trailer_t;

/* Small enough that a window costs little more than its own bytes, large enough that the checksums
 * are no burden: 32 bytes in 16,384. */
enum { RANGE_BYTES_MAX = 1 << 14 };

/* Pictures are read one by one: each begins a range, or as many as fit into one share it. */
static inline int64_t range_pictures(int64_t picture_bytes) {
    int64_t fit = RANGE_BYTES_MAX / picture_bytes;
    return fit > 1 ? fit : 1;
}

uint64_t range_hash(const void *data, size_t bytes);

/* Hashes those ranges from `first` on that end in the `bytes` bytes of the file at `offset`, which
 * hold them whole; data: these bytes. Returns the first range behind them. */
int64_t trailer_hash(trailer_range_t *ranges, int64_t first, int64_t count, int64_t offset,
                     int64_t bytes, const void *data);

/* Hashes the file and appends its trailer. bulk: sorted, not overlapping, offset and bytes set, and
 * the hash where it is known already, else 0; what lies between becomes structure ranges. */
status_t trailer_append(int fd, const char *path, const trailer_range_t *bulk,
                        int64_t bulk_count) MUST_CHECK;

/* Reads the trailer and checks it against itself and the file's length. */
status_t trailer_read(int fd, const char *path, trailer_t *trailer_out) MUST_CHECK;
void trailer_free(trailer_t *trailer);

/* STATUS_FAILED where the range's bytes do not match its checksum. */
status_t trailer_check(const trailer_t *trailer, int fd, const char *path, int64_t range,
                       void *buffer) MUST_CHECK; /* buffer: RANGE_BYTES_MAX bytes */

/* Bytes of the file, from ranges that were read whole and match. Thread-safe. */
status_t trailer_pread(const trailer_t *trailer, int fd, const char *path, int64_t offset,
                       int64_t bytes, void *out) MUST_CHECK;

#endif
