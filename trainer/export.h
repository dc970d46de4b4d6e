/* export.h - learned tensors for others: bare names, PyTorch's layout, and in the metadata the
 * order of their creation (jmt.md, appendix A) and, of a checkpoint, who was trained on. */
#ifndef JMT_EXPORT_H
#define JMT_EXPORT_H

#include "trainer/checkpoint.h"
#include "trainer/graph.h"
#include "trainer/safetensors.h"

/* The graph's parameters as they lie in `weights`, parameter p at offsets[p]; the weights outlive
 * the set. Caller frees the set. */
void export_parameters(const graph_t *graph, const int64_t *offsets, const float *weights,
                       tensor_set_t *set_out);

/* The weights that a run of this configuration begins with: those of its seed, and of its files. */
status_t export_initial(const config_t *config, tensor_set_t *set_out) MUST_CHECK;

/* The weights of a checkpoint; with_optimizer: its state too, as optimizer/STATE/NAME. */
status_t export_checkpoint(const checkpoint_t *checkpoint, bool with_optimizer,
                           tensor_set_t *set_out) MUST_CHECK;

/* The bare name of a weight of a checkpoint; NULL: the tensor is of the optimiser. */
const char *export_weight_name(const tensor_t *tensor);

#endif
