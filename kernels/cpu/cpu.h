/* cpu.h - what the rest of kernels/ may ask of the folder that knows oneDNN. */
#ifndef JMT_KERNELS_CPU_CPU_H
#define JMT_KERNELS_CPU_CPU_H

#include "kernels/kernels.h"

/* Holds oneDNN to this instruction set. oneDNN accepts one choice per process: a second, different
 * one is STATUS_FAILED. */
status_t onednn_set_isa(const char *isa) MUST_CHECK;

const char *onednn_version(void);

status_t linear_plan_onednn(const op_description_t *description, op_plan_t **plan_out,
                            op_needs_t *needs_out);
void linear_plan_close_onednn(op_plan_t *plan);
void linear_forward_onednn(const op_plan_t *plan, const op_call_t *call);
void linear_backward_data_onednn(const op_plan_t *plan, const op_call_t *call);
void linear_backward_weights_onednn(const op_plan_t *plan, const op_call_t *call);

#endif
