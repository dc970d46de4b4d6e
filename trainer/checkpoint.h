/* checkpoint.h - a checkpoint exists or it does not.
 *
 * A directory step-NNNNNNNN with
 *   manifest.json            format, generation, step, position, seed, V, fingerprint,
 *                            configuration, data identity, who was trained on (trained_on.h),
 *                            the files that it began with (weights_init.h),
 *                            tensors with their dims, and SHA-256 of every other file
 *   manifest.sha256          64 hex digits and a newline: SHA-256 of manifest.json
 *   part-NNNNN.safetensors   one per rank that wrote it: the runs of tensors whose chunks it owned,
 *                            named TENSOR@FIRST_ELEMENT; TENSOR is weights/NAME or
 *                            optimizer/STATE/NAME
 *   statistics.safetensors   means and scales of the features
 * It is written beside (.writing-GENERATION-STEP), every file and the directory synced, agreed on,
 * and renamed into place once; deleting begins by renaming. Every bit of every file counts: a
 * flipped one is found before anything is used. */
#ifndef JMT_CHECKPOINT_H
#define JMT_CHECKPOINT_H

#include "trainer/trainer.h"

typedef struct checkpoint_order {
    const char *root;   /* RUN/checkpoints */
    int64_t generation; /* of generation.h */
    char *const *best;  /* names of further links beside `last` */
    int best_count;
    int64_t keep; /* newest ones that stay, besides those that a link names */
    bool enospc;  /* pretend that this rank's disk is full (tests) */
} checkpoint_order_t;

/* Collective. Writes the trainer's state to ROOT/step-NNNNNNNN, in place of one that is there,
 * points the links to it, and removes what need not be kept. After an error everything is as it
 * was. */
status_t checkpoint_write(trainer_t *trainer, const checkpoint_order_t *order) MUST_CHECK;

typedef struct checkpoint {
    progress_t progress;
    int64_t updates;
    int64_t seed, virtual_shards, parameters;
    int64_t train_count; /* samples of an epoch */
    char *fingerprint;   /* JSON */
    char *config_yaml;
    char *data_identity;  /* of the dataset it was trained on */
    char *trained_on;     /* trained_on.h; "": an older program's, which did not say */
    char *init_files;     /* weights_origin_t.files */
    char *initial_hash;   /* trainer_t.initial_hash; "": an older program's */
    tensor_set_t tensors; /* weights/NAME, optimizer/STATE/NAME, whole, PyTorch's layout */
    tensor_set_t statistics;
} checkpoint_t;

/* Verifies every file, then reads everything. STATUS_INPUT: no checkpoint there; STATUS_FAILED:
 * damaged, naming the file. path: as for checkpoint_resolve. */
status_t checkpoint_read(const char *path, checkpoint_t *checkpoint_out) MUST_CHECK;
/* The same, every file verified, without the optimiser's state: enough to evaluate. */
status_t checkpoint_read_weights(const char *path, checkpoint_t *checkpoint_out) MUST_CHECK;
void checkpoint_free(checkpoint_t *checkpoint);
/* The directory that `path` means: itself, a link, or of a run directory or its checkpoints/ what
 * `last` names, and the newest step if `last` names nothing. Caller frees. */
status_t checkpoint_resolve(const char *path, char **directory_out) MUST_CHECK;

/* Local: weights, and for training the own slices of the optimiser state and the progress. */
status_t checkpoint_restore(const checkpoint_t *checkpoint, trainer_t *trainer) MUST_CHECK;

/* Collective: a trainer for evaluation alone, with this checkpoint's weights and statistics. */
status_t trainer_open_checkpoint(const config_t *config, comm_t *comm, const char *data_path,
                                 const checkpoint_t *checkpoint,
                                 trainer_t **trainer_out) MUST_CHECK;

#endif
