/* flat_state.h - the learned state as one flat array: which element is where, in which chunk and
 * bucket.
 *
 * Tensors lie in the order in which backward completes them, each aligned to 64 bytes; chunks never
 * straddle tensors; a bucket closes at BUCKET_ELEMENTS, so it can travel while backward goes on.
 * Behind them lie the constants: what has no gradient, in no chunk, the same on all ranks. A pure
 * function of the graph: the same on every rank. */
#ifndef JMT_FLAT_STATE_H
#define JMT_FLAT_STATE_H

#include "comm/reduce.h"
#include "trainer/executor.h"

enum { BUCKET_ELEMENTS = 1 << 20, FLAT_ALIGNMENT = 16 };

typedef struct flat_state {
    int64_t elements;  /* in chunks, padding included */
    int64_t constants; /* behind them */
    int64_t *offsets;  /* by parameter */
    chunk_t *chunks;   /* tensor = parameter index */
    int64_t chunk_count;
    bucket_t *buckets;
    int bucket_count;
    int *bucket_after_unit; /* by completion unit: bucket complete with it, or -1 */
} flat_state_t;

status_t flat_state_make(const graph_t *graph, flat_state_t *flat_out) MUST_CHECK;
void flat_state_free(flat_state_t *flat);
reduce_layout_t flat_state_layout(const flat_state_t *flat, int shards);

/* Whether this parameter lies among the constants. */
bool flat_state_is_constant(const flat_state_t *flat, parameter_t parameter);

/* Weights as the seed makes them (jmt.md 1.9): independent of everything but seed and name. What
 * follows from them is not filled in. */
void flat_state_init(const flat_state_t *flat, const graph_t *graph, uint64_t seed, float *weights);

#endif
