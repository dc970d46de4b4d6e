/* steps_file.h - the steps of a track of pictures until they go into a shard. As many as a store
 * has memory for stay there; the rest lies on disk, in one file without a name for all of them,
 * gone with its store. */
#ifndef JMT_STEPS_FILE_H
#define JMT_STEPS_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/file.h"
#include "kernels/base/status.h"

typedef struct steps_store steps_store_t;
typedef struct steps_file steps_file_t;

enum { STEPS_MEMORY_BYTES = 256 << 20 };

/* dir: where the disk has room for the rest. Thread-safe; a steps file is of one thread at a time.
 * Closed after all of its files. */
steps_store_t *steps_store_open(const char *dir, int64_t memory_bytes);
void steps_store_close(steps_store_t *store); /* NULL allowed */

steps_file_t *steps_file_open(steps_store_t *store, int64_t step_bytes);
void steps_file_close(steps_file_t *file); /* NULL allowed */

/* step: step_bytes; NULL: `count` steps that are not valid, all zero. */
status_t steps_file_add(steps_file_t *file, const void *step, int64_t count) MUST_CHECK;

int64_t steps_file_count(const steps_file_t *file);
int64_t steps_file_step_bytes(const steps_file_t *file);
const uint8_t *steps_file_valid(const steps_file_t *file); /* [count]; until the next add */
status_t steps_file_read(const steps_file_t *file, int64_t first, int64_t steps,
                         void *out) MUST_CHECK;

/* The same without a copy where memory holds them; else in `buffer`. */
status_t steps_file_view(const steps_file_t *file, int64_t first, int64_t steps, void *buffer,
                         const void **data_out) MUST_CHECK;

/* Nothing is added after it, and the file stays for a while: memory that it does not use is the
 * store's again. */
void steps_file_trim(steps_file_t *file);

/* SHA-256 of all steps added so far; nothing is added after it. */
void steps_file_hash(steps_file_t *file, char text_out[SHA256_TEXT_BYTES]);

#endif
