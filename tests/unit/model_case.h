/* model_case.h - a small model with weights, samples and labels that are fixed functions of their
 * global index, so that any part of the batch can be computed anywhere and compared. */
#ifndef JMT_TESTS_MODEL_CASE_H
#define JMT_TESTS_MODEL_CASE_H

#include "comm/tree.h"
#include "trainer/executor.h"
#include "trainer/models.h"

enum { CASE_LENGTH = 5, CASE_MODALITIES_MAX = 3, CASE_OUTPUTS_MAX = 2 };

/* Settings of `model:` (YAML flow) of every model, with the awkward variants; ends with NULL. Odd
 * sizes, two heads, two layers. */
extern const char *const case_models[];
bool case_mixes_samples(const char *model); /* of a shard: the published mistake */

typedef struct model_case {
    const char *model;
    config_t *config;
    graph_t *graph;
    const kernels_t *kernels;
    const device_t *device;
    int64_t *offsets; /* by parameter, tightly packed */
    int64_t elements;
    char *weights;
    int64_t dims[CASE_MODALITIES_MAX]; /* by graph input */
} model_case_t;

model_case_t case_open(const char *model, const char *backend, dtype_t dtype);
model_case_t case_open_heads(const char *model, int heads, const char *backend, dtype_t dtype);
void case_close(model_case_t *c);

double case_wave(uint64_t stream, int64_t i); /* uniform in [-1, 1) */
void case_put(const model_case_t *c, void *memory, int64_t i, double value);
double case_get(const model_case_t *c, const void *memory, int64_t i);

typedef struct case_run {
    const model_case_t *model;
    executor_t *executor;
    tree_node_t shards;
    int64_t samples_per_shard;
    step_scalars_t scalars;
} case_run_t;

typedef struct case_options {
    bool forward_only, input_gradients, private_buffers;
} case_options_t;

case_run_t case_run_open(const model_case_t *c, tree_node_t shards, int64_t samples_per_shard,
                         case_options_t options);
void case_run_close(case_run_t *run);

/* Sample `sample` into local slot `slot`: some steps are missing; modality 1 of every third sample
 * as a whole; every fifth sample has nothing at all. */
void case_fill_slot(case_run_t *run, int64_t slot, int64_t sample);
void case_fill(case_run_t *run); /* the samples of its shards */

/* The whole loss of the local shards as if they were the batch: sums, value, gradient. Some labels
 * are missing. */
double case_loss(case_run_t *run);

/* Gradient of each of the cover's parts of the run, one after the other in memory the caller
 * frees. */
typedef struct case_parts {
    int count;
    tree_node_t leaves[TREE_NODES_MAX];
    char *gradient[TREE_NODES_MAX];
} case_parts_t;
/* Forward, d loss / d output = a fixed wave, backward; twice, since nothing may be left over.
 * Appends. */
void case_gradients(const model_case_t *c, int total_shards, int64_t samples_per_shard,
                    tree_node_t run, case_options_t options, case_parts_t *parts);
void case_parts_free(case_parts_t *parts);
void case_wave_gradient(case_run_t *run); /* that wave */

#endif
