/* step_sums.h - what ranks tell each other between forward and backward: the loss sums of every
 * shard, and a few words per rank (failed? asked to stop? samples, CPU time). It lies on the
 * device; the host reads it once a step. */
#ifndef JMT_STEP_SUMS_H
#define JMT_STEP_SUMS_H

#include "trainer/trainer.h"

typedef struct step_sums {
    int rank, ranks, shards, targets;
    const kernels_t *kernels;
    const device_t *device;
    /* By rank: [its shards][targets][LOSS_SUMS], then its words; behind all of them the totals,
     * [targets][LOSS_SUMS]. */
    mirror_t told;
    int64_t *begins;                               /* by rank, and of the totals: in told */
    double *sums;                                  /* on the device: as told, without words */
    double *rank_samples, *rank_flop, *rank_cpu_s; /* [ranks] */
    bool poisoned; /* the next to be told are not numbers (trainer_poison) */
} step_sums_t;

enum { WORD_FAILED, WORD_STOP, WORD_SAMPLES, WORD_FLOP, WORD_CPU_S, WORD_COUNT };

status_t step_sums_open(const trainer_t *trainer, step_sums_t **sums_out) MUST_CHECK;
void step_sums_close(step_sums_t *sums);

/* Where a target's sums of local shard 0 go, on the device, and from shard to shard. */
double *step_sums_device(step_sums_t *sums, int target);
int64_t step_sums_stride(const step_sums_t *sums);
double *step_sums_words(step_sums_t *sums); /* of this rank, for the host to write */
/* Collective: what all ranks tell, and totals of the loss sums: each component by the canonical
 * tree over all V shards. On the device. */
status_t step_sums_gather(step_sums_t *sums, reduce_t *reduce) MUST_CHECK;
double *step_sums_device_total(step_sums_t *sums, int target);

/* Brings all of that to the host, waited for; what follows is what was read. */
void step_sums_read(step_sums_t *sums);
const double *step_sums_total(const step_sums_t *sums, int target);
double step_sums_word(const step_sums_t *sums, int rank, int word);

#endif
