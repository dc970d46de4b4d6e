/* loss.h - a configuration's targets as losses over the graph's outputs. */
#ifndef JMT_LOSS_H
#define JMT_LOSS_H

#include "configs/config.h"
#include "kernels/kernels.h"
#include "trainer/target_fit.h"

/* Kind, form and weights of target `target` (= output of the same index); x, d_x and target are
 * left for the caller. Valid as long as `fit`. */
loss_call_t loss_call_of(const config_t *config, const target_fit_t *fit, int target);

#endif
