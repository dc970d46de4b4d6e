/* batch.h - samples from a dataset into the executor's inputs, standardised; their labels
 * beside. */
#ifndef JMT_BATCH_H
#define JMT_BATCH_H

#include "configs/config.h"
#include "data-sharding/dataset.h"
#include "trainer/executor.h"
#include "trainer/standardize.h"

typedef struct batch {
    const dataset_t *dataset;
    const standardize_t *standardize;
    executor_t *executor;
    int64_t slots; /* samples: all local shards */
    int64_t length;
    int modality_count, target_count;
    int stream_count;
    int stream_of[CONFIG_MODALITIES_MAX]; /* by modality: what modality dropout hides as one */
    const int64_t *dims;                  /* by modality */
    float **target;                       /* by target: [slots, length]; NaN: no valid label */
    /* Control row: labels instead of the data's own, [samples, length] by target; NULL: none. */
    float **labels[SPLIT_COUNT];
} batch_t;

void batch_open(executor_t *executor, const graph_t *graph, const dataset_t *dataset,
                const standardize_t *standardize, const int64_t *dims, const config_t *config,
                batch_t *batch_out);
void batch_close(batch_t *batch);

/* Control row: from here on the valid labels of this split are dealt out in a keyed order, all
 * targets of a step together. within_person: among the labels of each person alone, so that what
 * can be learnt of people stays. Reads the whole split. */
status_t batch_permute_labels(batch_t *batch, split_t split, bool within_person,
                              uint64_t seed) MUST_CHECK;

/* sample < 0: an empty slot, masked and without labels. */
status_t batch_fill(batch_t *batch, split_t split, int64_t slot, int64_t sample) MUST_CHECK;

/* Hides each modality of the sample in this slot with this probability, keyed by (seed, step,
 * sample); of those that have a valid step one always stays. Two that are made one stream go
 * together. */
void batch_drop_modalities(batch_t *batch, int64_t slot, int64_t sample, uint64_t seed,
                           uint64_t step, double probability);

#endif
