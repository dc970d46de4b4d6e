/* batch_fill.h - one sample into its slot of a batch: read, prepared, changed by chance, made
 * worse, as its stream and its modalities say. The rest of it is in batch.h. */
#ifndef JMT_BATCH_FILL_H
#define JMT_BATCH_FILL_H

#include "trainer/batch.h"

/* Of one modality: pixels, or numbers, of a step in the data. */
static inline int64_t tokens_given(const batch_t *batch, int m) {
    return batch->info[m].clip * batch->info[m].dim;
}

/* Of the present stream, in its `step`. sample < 0: an empty slot. On the reader's thread. */
status_t batch_fill_slot(const batch_t *batch, const batch_place_t *place, int64_t slot,
                         int64_t sample, uint64_t step) MUST_CHECK;

#endif
