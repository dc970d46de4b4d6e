/* generation.h - who may change the checkpoints of a run directory. Each start of a run takes the
 * next number of ROOT/generation. Processes of an earlier start that still live find a larger one
 * and fail before they change anything. Rank 0 only. */
#ifndef JMT_GENERATION_H
#define JMT_GENERATION_H

#include <stdint.h>

#include "kernels/base/status.h"

status_t generation_take(const char *root, int64_t *generation_out) MUST_CHECK;

/* From here to generation_unlock() no other start can begin to change ROOT. STATUS_FAILED: a later
 * start has taken over. */
status_t generation_lock(const char *root, int64_t generation, int *lock_out) MUST_CHECK;
void generation_unlock(int lock);

#endif
