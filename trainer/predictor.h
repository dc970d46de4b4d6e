/* predictor.h - a trained model made ready to predict: the forward half of its graph alone, with
 * attention folded where layers.h says so (and evaluation.fold_attention does not forbid it).
 *
 *   predictor_open(config, dims, kernels, device, 1, 1, &p)      once: one sequence at a time
 *   predictor_load(p, graph, offsets, weights)                   once for each model
 *   executor_input / executor_mask of predictor_executor(p)              written by the caller
 *   predictor_run(p)                                             allocates nothing
 *   executor_output of it                                        what was predicted
 */
#ifndef JMT_PREDICTOR_H
#define JMT_PREDICTOR_H

#include "configs/config.h"
#include "trainer/executor.h"

typedef struct predictor predictor_t;

/* Samples that are computed together: one, or of models without a backbone as many short ones as
 * have 16 rows. What a sample is predicted to be depends on nothing else. */
int64_t predictor_samples(const config_t *config, int64_t window);

/* For `shards` times samples_per_shard samples at once. dims: as for model_build. */
status_t predictor_open(const config_t *config, const int64_t *dims, const kernels_t *kernels,
                        const device_t *device, int64_t samples_per_shard, int shards,
                        predictor_t **predictor_out) MUST_CHECK;
/* The same of a graph built to predict (graph_predict), whose parameters the trained model has. It
 * is taken over, also after an error. */
status_t predictor_open_graph(graph_t *graph, const kernels_t *kernels, const device_t *device,
                              int64_t samples_per_shard, int shards,
                              predictor_t **predictor_out) MUST_CHECK;
void predictor_close(predictor_t *predictor); /* NULL allowed */

/* Takes over the weights of a trained model, a graph by model_build of the same configuration:
 * parameter p at weights + offsets[p] elements, on the host. They are copied and folded; what is
 * done to them afterwards has no effect until they are loaded again. */
void predictor_load(predictor_t *predictor, const graph_t *trained, const int64_t *offsets,
                    const void *weights);

executor_t *predictor_executor(predictor_t *predictor); /* owned by the predictor */
void predictor_run(predictor_t *predictor);

/* Whether any attention of this configuration is folded when it predicts, and multiply-accumulates
 * of one sample then. */
status_t predictor_describe(const config_t *config, const int64_t *dims, bool *folded_out,
                            int64_t *macs_out) MUST_CHECK;

#endif
