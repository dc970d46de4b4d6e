/* batch.h - samples from a dataset into the executor's inputs, standardised; their labels
 * beside. Batches of a stream are made ahead on a thread of their own (prefetch.h). */
#ifndef JMT_BATCH_H
#define JMT_BATCH_H

#include "configs/config.h"
#include "data-sharding/dataset.h"
#include "data-sharding/prefetch.h"
#include "kernels/trace.h"
#include "trainer/backbone.h"
#include "trainer/corruption.h"
#include "trainer/executor.h"
#include "trainer/mirror.h"
#include "trainer/standardize.h"

typedef struct batch_place {    /* memory of one batch, by modality and by target */
    float **features;           /* [slots, length, dim]; NULL of a modality that goes as bytes */
    uint8_t **pixels;           /* of one that does: [slots, length, clip, dim of the data], */
    picture_change_t **changes; /* [slots, length] */
    uint8_t **masks;            /* [slots, length] */
    float **target;             /* [slots, length]; NaN: no valid label */
    char *whole; /* pinned, where the device is not the host: all of it, features of its type */
} batch_place_t;

typedef struct batch_stream {
    split_t split;
    const int64_t *order; /* samples by position, not to change before batch_stop; NULL: in order */
    int64_t begin;        /* position in the first slot of the first batch */
    int64_t stride;       /* positions from one batch to the next */
    int64_t end;          /* slots of positions from here on are empty: masked, without labels */
    int64_t count;        /* batches */
    double modality_dropout; /* probability that each modality of a sample is hidden */
    bool augments;           /* clips are changed as their modality says */
    uint64_t seed, step;     /* of both; step of the first batch */
} batch_stream_t;

typedef struct batch {
    const dataset_t *dataset;
    const standardize_t *standardize;
    executor_t *executor;
    int64_t slots; /* samples: all local shards */
    int64_t length;
    int modality_count, target_count;
    int stream_count;
    int stream_of[CONFIG_MODALITIES_MAX]; /* by modality: what modality dropout hides as one */
    const int64_t *dims;                  /* by modality: of a step of the model, clip * dim */
    const modality_config_t *modality[CONFIG_MODALITIES_MAX];
    modality_info_t info[CONFIG_MODALITIES_MAX];
    feed_t feed[CONFIG_MODALITIES_MAX];
    dataset_scratch_t *scratch; /* of reads: one at a time, also on the reader's thread */
    batch_place_t direct;       /* the executor's inputs if these are float, and labels */
    bool staged;                /* they are not: direct has memory of its own */
    float **target;             /* of the last batch, for the host */
    /* Where the device is not the host: what came, and what comes while it is worked on; where in
     * them what is. */
    char *current, *arriving;
    size_t feature_at[CONFIG_MODALITIES_MAX], mask_at[CONFIG_MODALITIES_MAX];
    size_t change_at[CONFIG_MODALITIES_MAX];
    bool as_bytes[CONFIG_MODALITIES_MAX]; /* pixels that become numbers on the device */
    size_t target_at[CONFIG_TARGETS_MAX], whole_bytes;
    bool holds;   /* a place that is, or has been, on its way */
    bool is_sent; /* the one behind it, too */
    /* Control row: labels instead of the data's own, [samples, length] by target; NULL: none. */
    float **labels[SPLIT_COUNT];
    int ahead;               /* batches */
    batch_place_t *places;   /* [ahead] */
    corruption_t corruption; /* of every sample (batch_corrupt) */
    /* Of training samples, by modality: `none` behind the last; seeds are the stream's. */
    corruption_t corrupts[CONFIG_MODALITIES_MAX][CORRUPTION_COUNT];
    prefetch_t *prefetch;
    batch_stream_t stream;
    int64_t next; /* position of the next batch */
    /* [slots]: of each sample of the last batch the steps that it has, and from the first label to
     * the last. Kept where the host computes. */
    step_range_t *there, *labelled;
    trace_t *trace; /* who is told of reading; set before the first stream; NULL: nobody */
} batch_t;

/* config->data.prefetch batches are made before they are needed; 0: none, and no thread. *batch_out
 * must stay where it is. */
status_t batch_open(executor_t *executor, const graph_t *graph, const dataset_t *dataset,
                    const standardize_t *standardize, const int64_t *dims, const config_t *config,
                    batch_t *batch_out) MUST_CHECK;
void batch_close(batch_t *batch);

/* STATUS_INPUT: a kind that this modality cannot be made worse by. */
status_t batch_takes(const batch_t *batch, int m, corruption_kind_t kind) MUST_CHECK;

/* What so many batches ahead take; far: of a device that is not the host. */
size_t batch_ahead_bytes(const graph_t *graph, const config_t *config, bool far, int64_t ahead);

/* Begins a stream; the one before, if any, ends. Between it and batch_stop, or the last batch_next,
 * statistics, labels and order are read on another thread. */
void batch_start(batch_t *batch, const batch_stream_t *stream);
/* The stream's next batch into the executor's inputs, `target`, `there` and `labelled`, and its
 * samples that are not empty. On a device that is not the host: the one before must have been
 * waited for. What went wrong in making a batch is said when that batch is asked for. */
status_t batch_next(batch_t *batch, int64_t *samples_out) MUST_CHECK;
/* Sends the stream's next batch ahead, if it has been made: to be called when what works on the
 * present one has been called. On the host: nothing. */
void batch_look_ahead(batch_t *batch);
/* Labels of the batch on the device: [slots, length]; the same address for every batch. */
const void *batch_device_target(const batch_t *batch, int target);
void batch_stop(batch_t *batch);

/* Control row: from here on the valid labels of this split are dealt out in a keyed order, all
 * targets of a step together. within_person: among the labels of each person alone, so that what
 * can be learnt of people stays. Reads the whole split; not during a stream. */
status_t batch_permute_labels(batch_t *batch, split_t split, bool within_person,
                              uint64_t seed) MUST_CHECK;

/* Every sample from here on is made worse so; not during a stream. */
status_t batch_corrupt(batch_t *batch, const corruption_t *corruption) MUST_CHECK;

/* One sample alone, not during a stream. sample < 0: an empty slot. */
status_t batch_fill(const batch_t *batch, const batch_place_t *place, split_t split, int64_t slot,
                    int64_t sample) MUST_CHECK;
/* Not during a stream either: of one modality at `steps` steps of any recording, whatever its
 * split, from `first` on, what a sample would hold there. features: [length, dims[m]], mask:
 * [length]; steps behind are masked. */
status_t batch_fill_stretch(const batch_t *batch, int m, int64_t recording, int64_t first,
                            int64_t steps, float *features, uint8_t *mask) MUST_CHECK;

#endif
