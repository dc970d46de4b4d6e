/* ordered_work.h - items made by several threads at once and taken in order by the caller.
 *
 * At most 2 x threads items are under way or wait to be taken, so that what was made early does not
 * pile up behind one that takes long. */
#ifndef JMT_ORDERED_WORK_H
#define JMT_ORDERED_WORK_H

#include <stdint.h>

#include "kernels/base/status.h"

typedef struct ordered_work {
    int64_t begin, count; /* items begin..count-1 */
    int threads;          /* at least 1; 1: no thread but the caller's */
    void *context;
    /* Item `item`, on any thread; what it makes depends on the item alone. *made_out is the
     * taker's, or drop's. */
    status_t (*make)(void *context, int64_t item, void **made_out);
    /* On the caller's thread, in order. What was made is its own, also where it fails. */
    status_t (*take)(void *context, int64_t item, void *made);
    void (*drop)(void *context, void *made); /* what nobody takes after a failure */
} ordered_work_t;

/* The first failure in the order of items ends it, with its text. */
status_t ordered_work_run(const ordered_work_t *work) MUST_CHECK;

/* Processors that this process may use. */
int ordered_work_processors(void);

#endif
