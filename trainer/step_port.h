/* step_port.h - one forward and backward on given numbers: the port for checks from outside
 * (`jmt step`). Opens no data; dropout off; B, L and D come from the batch. */
#ifndef JMT_STEP_PORT_H
#define JMT_STEP_PORT_H

#include "configs/config.h"
#include "kernels/kernels.h"
#include "trainer/graph.h"
#include "trainer/safetensors.h"

/* batch: input/MODALITY [B,L,D], mask/MODALITY [B,L] U8 (absent: all valid), and target/NAME [B,L]
 * (NaN: invalid) or cotangent/NAME [B,L] or [B,L,C]. result: output/NAME, loss, grad/PARAMETER,
 * grad/input/MODALITY, float, or double with F64. A tensor that the model does not know is refused.
 * config->data.window is set to L. The batch is cut into so many virtual shards. */
enum { STEP_PORT_SHARDS_MAX = 64 };
status_t step_port(config_t *config, const kernels_t *kernels, int shards,
                   const tensor_set_t *weights, const tensor_set_t *batch,
                   tensor_set_t *result_out) MUST_CHECK;

/* What `jmt evaluate` computes of the same numbers: output/NAME alone. */
status_t step_port_predict(config_t *config, const kernels_t *kernels, const tensor_set_t *weights,
                           const tensor_set_t *batch, tensor_set_t *result_out) MUST_CHECK;

#endif
