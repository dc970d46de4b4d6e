/* step_sums.h - what ranks tell each other between forward and backward: the loss sums of every
 * shard, and a few words per rank (failed? asked to stop? samples, CPU time). */
#ifndef JMT_STEP_SUMS_H
#define JMT_STEP_SUMS_H

#include "trainer/trainer.h"

typedef struct step_sums {
    int ranks, shards, targets;
    mirror_t sums;      /* of this rank, as `mine` */
    double *mine, *all; /* [local shards][targets][LOSS_SUMS], then the words */
    double *column;     /* [shards] */
    double *rank_samples, *rank_flop, *rank_cpu_s; /* [ranks] */
    size_t *lengths, *offsets;
    int mine_shards;
} step_sums_t;

enum { WORD_FAILED, WORD_STOP, WORD_SAMPLES, WORD_FLOP, WORD_CPU_S, WORD_COUNT };

status_t step_sums_open(const trainer_t *trainer, step_sums_t **sums_out) MUST_CHECK;
void step_sums_close(step_sums_t *sums);

/* Where a target's sums of local shard 0 go, on the device, and from shard to shard. */
double *step_sums_device(step_sums_t *sums, int target);
int64_t step_sums_stride(const step_sums_t *sums);
double *step_sums_words(step_sums_t *sums);
void step_sums_read(step_sums_t *sums); /* from the device, before they are gathered; waits */
status_t step_sums_gather(step_sums_t *sums, comm_t *comm) MUST_CHECK;
/* Global sums of a target: each component by the canonical tree over all V shards. */
void step_sums_total(step_sums_t *sums, int target, double total_out[LOSS_SUMS]);
double step_sums_word(const step_sums_t *sums, int rank, int word);

#endif
