/* shard_ahead.h - pictures that lie at their place in a shard before the rest of it is known.
 *
 * The values of one track begin at SHARD_AHEAD_AT of the file and are appended recording by
 * recording. Once all are there, shard_write (shard.h) makes the rest of the shard beside it, for a
 * track of as many steps, and puts it around them. */
#ifndef JMT_SHARD_AHEAD_H
#define JMT_SHARD_AHEAD_H

#include <stdint.h>

#include "data-sharding/steps_file.h"
#include "kernels/base/status.h"

/* Arrays of at least SHARD_AHEAD_LEAST bytes begin at multiples of SHARD_AHEAD_AT
 * (h5_create_aligned); the first of them at that itself, as less stands before it. */
enum { SHARD_AHEAD_AT = 1 << 16, SHARD_AHEAD_LEAST = 1 << 20 };

typedef struct shard_ahead shard_ahead_t;

/* Makes PATH, which close removes unless it has been renamed. */
status_t shard_ahead_open(const char *path, int64_t step_bytes,
                          shard_ahead_t **ahead_out) MUST_CHECK;
void shard_ahead_close(shard_ahead_t *ahead); /* NULL allowed */

status_t shard_ahead_add(shard_ahead_t *ahead, const steps_file_t *steps) MUST_CHECK;
status_t shard_ahead_read(const shard_ahead_t *ahead, int64_t first, int64_t steps,
                          void *out) MUST_CHECK;

/* What the file FD has but for these values goes around them. */
status_t shard_ahead_graft(const shard_ahead_t *ahead, int fd, const char *path) MUST_CHECK;
/* The checksum of range `block` of the values (shard_trailer.h); 0: it is not known. */
uint64_t shard_ahead_hash(const shard_ahead_t *ahead, int64_t block);
const char *shard_ahead_path(const shard_ahead_t *ahead);

#endif
