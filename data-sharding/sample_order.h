/* sample_order.h - which sample is where in which batch: pure functions of (seed, epoch), block
 * also of batch and virtual shards, so they do not depend on ranks, timing, or where a run was
 * resumed.
 *
 * global: one permutation of all samples. block: reading stays local. Files in a drawn order,
 * each with its samples in theirs, are one sequence, which begins at a drawn sample. It is cut into
 * a run for each virtual shard, as long as what the shard is given in an epoch, and each run is
 * mixed within windows:
 *
 *   | file 3 | file 0    | file 2  | file 1 |      drawn files, one after the other
 *   |   shard 0    |   shard 1    |  shard 2  |    runs
 *   |window|window |window|window |window|wi.|     mixed in themselves
 *
 * So a window of w samples touches files that follow each other, and all shards together touch
 * (files + shards) pairs of a file and a shard at most, where global touches nearly all. */
#ifndef JMT_SAMPLE_ORDER_H
#define JMT_SAMPLE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sample_order_config {
    uint64_t seed;
    int64_t count; /* samples, at most */
    bool block;    /* else global, and the rest is not read */
    int64_t batch;
    int64_t shards;  /* virtual ones; divides batch */
    int64_t window;  /* samples of one shard */
    const int *file; /* [count]: of each sample, 0..files-1 */
    int files;
} sample_order_config_t;

typedef struct sample_order sample_order_t;

sample_order_t *sample_order_open(const sample_order_config_t *config);
void sample_order_close(sample_order_t *order); /* NULL allowed */

/* samples[0..count-1]: the first `count` samples, in the order in which this epoch trains on them.
 * Allocates nothing. */
void sample_order_epoch(sample_order_t *order, int64_t epoch, int64_t count, int64_t *samples);

/* Batches per epoch; the last one is padded, never dropped. */
int64_t sample_batches(int64_t count, int64_t batch);

#endif
