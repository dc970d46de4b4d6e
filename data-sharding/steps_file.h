/* steps_file.h - the steps of a track that do not fit into memory, on disk until they go into a
 * shard: a file without a name, gone with the last who has it open. One thread at a time. */
#ifndef JMT_STEPS_FILE_H
#define JMT_STEPS_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/file.h"
#include "kernels/base/status.h"

typedef struct steps_file steps_file_t;

/* dir: where the disk has room for them. */
status_t steps_file_open(const char *dir, int64_t step_bytes, steps_file_t **file_out) MUST_CHECK;
void steps_file_close(steps_file_t *file); /* NULL allowed */

/* step: step_bytes; NULL: `count` steps that are not valid, all zero. */
status_t steps_file_add(steps_file_t *file, const void *step, int64_t count) MUST_CHECK;

int64_t steps_file_count(const steps_file_t *file);
int64_t steps_file_step_bytes(const steps_file_t *file);
const uint8_t *steps_file_valid(const steps_file_t *file); /* [count]; until the next add */
status_t steps_file_read(const steps_file_t *file, int64_t first, int64_t steps,
                         void *out) MUST_CHECK;

/* SHA-256 of all steps added so far; nothing is added after it. */
void steps_file_hash(steps_file_t *file, char text_out[SHA256_TEXT_BYTES]);

#endif
