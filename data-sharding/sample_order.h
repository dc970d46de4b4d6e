/* sample_order.h - which sample is where in which batch: pure functions of (seed, epoch), so they
 * do not depend on ranks, timing, or where a run was resumed. */
#ifndef JMT_SAMPLE_ORDER_H
#define JMT_SAMPLE_ORDER_H

#include <stdint.h>

/* order[0..count-1]: the samples of this epoch in the order they are trained on. */
void sample_order(uint64_t seed, int64_t epoch, int64_t count, int64_t *order);

/* Batches per epoch; the last one is padded, never dropped. */
int64_t sample_batches(int64_t count, int64_t batch);

#endif
