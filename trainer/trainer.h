/* trainer.h - everything a training step needs, opened in order and closed in reverse.
 *
 * One step: fill -> forward -> loss sums (all shards, to all ranks) -> loss gradient -> backward,
 * each bucket published as it completes -> tree finished on the own slices -> norm -> judged by
 * loss, norm and what ranks said -> update of the own slices, if it is to be -> weights shared ->
 * looked at, which is where a step fails. After opening nothing allocates, but for a device that
 * records its second step. All calls are collective. */
#ifndef JMT_TRAINER_H
#define JMT_TRAINER_H

#include "data-sharding/sample_order.h"
#include "trainer/batch.h"
#include "trainer/evaluate.h"
#include "trainer/optimizer.h"
#include "trainer/predictor.h"
#include "trainer/weights_init.h"

typedef struct progress { /* where a run stands: part of a checkpoint */
    int64_t step;         /* optimiser steps done */
    int64_t epoch;        /* current, from 0 */
    int64_t batch;        /* batches of it done */
    int64_t best_step;    /* -1: none yet */
    double best_value;
    int64_t bad_epochs;            /* validations without improvement */
    double bests[CONFIG_BEST_MAX]; /* of the metrics of checkpoint.best; NaN: none yet */
} progress_t;

typedef struct trainer {
    const config_t *config;
    comm_t *comm;
    const kernels_t *kernels;
    const kernels_t *host_kernels; /* kernels_on_host */
    const device_t *device;
    dataset_t *dataset;
    int64_t dims[CONFIG_MODALITIES_MAX];
    const char *modality_names[CONFIG_MODALITIES_MAX];
    const char *target_names[CONFIG_TARGETS_MAX];
    int modality_count;
    standardize_t standardize;
    target_fit_t target_fit;
    graph_t *graph;
    flat_state_t flat;
    reduce_t *reduce; /* training only, like the optimizer */
    /* Flat state order, on the host. When training those on the device count: what the host reads
     * it reads after trainer_read_state, and what it writes is given by trainer_write_state. */
    float *weights;
    mirror_t mirror;        /* of the reduction's, when training */
    float *own_weights;     /* when not */
    predictor_t *predictor; /* not when training */
    executor_t *executor;   /* its, or the one that trains */
    optimizer_t *optimizer;
    batch_t batch;
    trace_t *trace;                       /* NULL: nobody watches */
    int shards, shard_first, shard_count; /* V; local run */
    int64_t samples_per_shard;
    int64_t *shard_begins; /* by rank, and V: of what ranks say of their shards */
    int64_t train_count;   /* samples trained on in an epoch */
    sample_order_t *sample_order;
    int64_t *order;      /* of the current epoch */
    int64_t order_epoch; /* whose stream runs; -1: none */
    struct step_sums *sums;
    bool has_stepped;
    device_recording_t *recording; /* of what every step calls; NULL: not yet, or no recorder */
    progress_t progress;
    char initial_hash[65]; /* of the weights that it began with, as `jmt export CONFIG` has them */
    weights_origin_t origin; /* of those that the seed did not make */
} trainer_t;

/* Weights and optimiser state from the device, waited for, and to it. Where the device is the host,
 * or nothing is trained, they are there. */
void trainer_read_state(trainer_t *trainer);
void trainer_write_state(trainer_t *trainer);

/* Whoever writes all weights outside of a step writes them here, between two agreements, and then
 * ends it: trainer->weights; where ranks of a host have them in common and another one writes them
 * (reduce_writes_weights), memory of this rank's own that comes to nothing: so that all ranks go
 * one way, find the same errors and know the same of what they wrote. */
float *trainer_begin_weights(trainer_t *trainer);
void trainer_end_weights(trainer_t *trainer, float *weights);
/* From here on what the trainer does is told: at most `slices` of each track are kept, and ranges
 * are shown to a profiler that is attached. Between two steps, before the first batch is read. */
status_t trainer_trace(trainer_t *trainer, int64_t slices) MUST_CHECK;

/* for_training false: forward only, no optimiser, no reduction; the
 * caller fills trainer->weights. standardize and target_fit NULL: fitted here; else taken over (and
 * freed). */
status_t trainer_open(const config_t *config, comm_t *comm, const char *data_path,
                      const standardize_t *standardize, const target_fit_t *target_fit,
                      bool for_training, trainer_t **trainer_out) MUST_CHECK;
void trainer_close(trainer_t *trainer); /* NULL allowed */

/* Seeded initial weights (and constants from the labels for `majority`), then those of the files
 * that the configuration names. files false: without, for a checkpoint is to follow. */
status_t trainer_init_weights(trainer_t *trainer, bool files) MUST_CHECK;
/* Who will have been trained on (trained_on.h); caller frees. */
char *trainer_trained_on(const trainer_t *trainer);

typedef struct step_result {
    double loss, learning_rate, grad_norm;
    int64_t samples;     /* real ones, over all ranks */
    double data_wait_ms; /* this rank, like the parts of the step that follow */
    double forward_ms, backward_ms, update_ms; /* with the loss; gradients; sum, norm, weights */
    reduce_times_t reduce;
    bool stop;                                           /* some rank was asked to stop */
    const double *rank_samples, *rank_flop, *rank_cpu_s; /* [size] */
} step_result_t;

/* For tests of what is not finite: this rank's loss sums of the next step are not numbers. */
void trainer_poison(trainer_t *trainer);

/* One optimiser step on batch progress.batch of epoch progress.epoch; advances step and batch.
 * stop: this rank was signalled. */
status_t trainer_step(trainer_t *trainer, bool stop, step_result_t *result_out) MUST_CHECK;

/* Begins to read the batches of the current epoch that are not done, if it has not yet. The step
 * does it too; what is done in between is time that it need not wait. */
void trainer_read_ahead(trainer_t *trainer);

int64_t trainer_batches(const trainer_t *trainer); /* per epoch */
/* Executed multiply-adds x 2 of one sample in a training step: forward, and backward twice that. */
double trainer_flop_per_sample(const trainer_t *trainer);

/* doing: as for evaluate_split. */
status_t trainer_evaluate(trainer_t *trainer, split_t split, const char *doing,
                          evaluation_t **evaluation_out) MUST_CHECK;

/* Backend, device, ISA, library versions, threads, precision, V: equal fingerprints promise equal
 * bits. JSON object text; caller frees. */
status_t trainer_fingerprint(const config_t *config, const kernels_t *kernels,
                             const device_t *device, char **text_out) MUST_CHECK;
status_t trainer_check_ranks(const config_t *config, int ranks) MUST_CHECK; /* R <= V */
/* Collective, for those who train in groups of their own: every rank has a device, and no two one
 * that only one may have. */
status_t trainer_check_devices(const config_t *config, comm_t *comm) MUST_CHECK;
/* The device is this process's, of comm's on this host (NULL: it is alone), and to be closed. */
status_t trainer_kernels(const config_t *config, const comm_t *comm, const kernels_t **kernels_out,
                         const device_t **device_out) MUST_CHECK;

#endif
