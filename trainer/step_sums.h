/* step_sums.h - what ranks tell each other between forward and backward: the loss sums of every
 * shard, and a few words per rank (failed? asked to stop? samples, CPU time); and what is this
 * step's own. It lies on the device; the host reads it once a step. */
#ifndef JMT_STEP_SUMS_H
#define JMT_STEP_SUMS_H

#include "trainer/trainer.h"

typedef struct step_sums {
    int rank, ranks, shards, targets;
    const kernels_t *kernels;
    const device_t *device;
    /* By rank: [its shards][targets][LOSS_SUMS], then its words; behind all of them the totals,
     * [targets][LOSS_SUMS], and a step_now_t. */
    mirror_t told;
    mirror_t failed_at;                            /* by rank: its WORD_FAILED in told */
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

/* This step's own: for the host to write and, after step_sums_read, to read; and on the device,
 * where step_sums_write_now brings it. */
step_now_t *step_sums_now(step_sums_t *sums);
step_now_t *step_sums_device_now(step_sums_t *sums);
void step_sums_write_now(step_sums_t *sums);
/* What is judged by: totals, words, now. */
void step_sums_judge(step_sums_t *sums, judge_call_t *call_out);

/* Brings all of that to the host, waited for; what follows is what was read. */
void step_sums_read(step_sums_t *sums);
double step_sums_word(const step_sums_t *sums, int rank, int word);

#endif
