/* checkpoint.h - a checkpoint exists or it does not.
 *
 * A directory step-NNNNNNNN with
 *   manifest.json            format, step, position, seed, V, fingerprint, configuration, data identity,
 *                            tensors with their dims, and SHA-256 of every other file
 *   manifest.sha256          64 hex digits and a newline: SHA-256 of manifest.json
 *   part-NNNNN.safetensors   one per rank that wrote it: the runs of tensors whose chunks it owned,
 *                            named TENSOR@FIRST_ELEMENT; TENSOR is weights/NAME or optimizer/STATE/NAME
 *   statistics.safetensors   means and scales of the features
 * It is written beside (.writing-...), every file and the directory synced, agreed on, and renamed into
 * place once. Every bit of every file counts: a flipped one is found before anything is used. */
#ifndef JMT_CHECKPOINT_H
#define JMT_CHECKPOINT_H

#include "trainer/trainer.h"

/* Collective. Writes trainer's state to ROOT/step-NNNNNNNN (no-op if it is there) and points ROOT/last
 * to it. enospc: pretend that this rank's disk is full (tests). */
status_t checkpoint_write(trainer_t *trainer, const char *root, bool enospc) MUST_CHECK;

/* Rank 0 only: ROOT/NAME becomes a link to step-NNNNNNNN (replaced atomically). */
status_t checkpoint_link(const char *root, const char *name, int64_t step) MUST_CHECK;
/* Rank 0 only: removes all but the newest `keep` and those that a link names, and leftovers of killed
 * writers. Un-publishes by renaming before it deletes. */
status_t checkpoint_prune(const char *root, int64_t keep) MUST_CHECK;

typedef struct checkpoint {
    progress_t progress;
    int64_t updates;
    int64_t seed, virtual_shards, parameters;
    char *fingerprint;   /* JSON */
    char *config_yaml;
    char *data_identity; /* of the dataset it was trained on */
    tensor_set_t tensors;    /* weights/NAME, optimizer/STATE/NAME, whole, PyTorch's layout */
    tensor_set_t statistics;
} checkpoint_t;

/* Verifies every file, then reads everything. STATUS_INPUT: no checkpoint there; STATUS_FAILED: damaged,
 * naming the file. path may be a step directory, a link, or a run directory (its checkpoints/last). */
status_t checkpoint_read(const char *path, checkpoint_t *checkpoint_out) MUST_CHECK;
void checkpoint_free(checkpoint_t *checkpoint);
/* The directory that `path` means; caller frees. */
status_t checkpoint_resolve(const char *path, char **directory_out) MUST_CHECK;

/* Local: weights, and for training the own slices of the optimiser state and the progress. */
status_t checkpoint_restore(const checkpoint_t *checkpoint, trainer_t *trainer) MUST_CHECK;

/* Collective: a trainer for evaluation alone, with this checkpoint's weights and statistics. */
status_t trainer_open_checkpoint(const config_t *config, comm_t *comm, const char *data_path,
                                 const checkpoint_t *checkpoint, trainer_t **trainer_out) MUST_CHECK;

#endif
