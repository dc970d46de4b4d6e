/* prefetch.h - items made ahead of their use by one reader thread, in a ring of places.
 *
 *   reader   fill(place 0) fill(place 1) | waits: all places are full | fill(place 0) ...
 *   caller        prefetch_next -> place 0, uses it ... prefetch_give_back --^
 *
 * The reader fills places in order and touches nothing else; a place between prefetch_next and
 * prefetch_give_back is the caller's, every other one the reader's. Only prefetch_next and
 * prefetch_stop wait. Whose memory the places are, and what an item is, fill alone knows. All calls
 * come from one thread; after opening nothing allocates. */
#ifndef JMT_PREFETCH_H
#define JMT_PREFETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

/* Makes item `item` (counted from 0 at prefetch_start) in place `place`; may read files and write
 * the place. What it makes depends on the item alone. */
typedef status_t (*prefetch_fill_t)(void *context, int place, int64_t item);

typedef struct prefetch prefetch_t;

/* places: items that can be ready at once. 0: no thread; prefetch_next makes the item itself, in
 * place 0. */
status_t prefetch_open(int places, prefetch_fill_t fill, void *context,
                       prefetch_t **prefetch_out) MUST_CHECK;
void prefetch_close(prefetch_t *prefetch); /* NULL allowed; stops first */

/* From here on items 0..count-1 are made; what fill reads must not change until they are all taken
 * or prefetch_stop. Nothing may be under way. */
void prefetch_start(prefetch_t *prefetch, int64_t count);

/* The next item's place, when it is made. A failure to make it comes here, with its text, and comes
 * again if asked again: nothing is made behind it. */
status_t prefetch_next(prefetch_t *prefetch, int *place_out) MUST_CHECK;
/* Whether the item behind the one that prefetch_next gave, or else the next, has been made, without
 * failure: its place, to be read until prefetch_stop or until it is given back. */
bool prefetch_ready(prefetch_t *prefetch, int *place_out);
void prefetch_give_back(prefetch_t *prefetch); /* the place that prefetch_next gave last */

/* Waits for the fill that runs, and forgets what was made and not taken. */
void prefetch_stop(prefetch_t *prefetch);

#endif
