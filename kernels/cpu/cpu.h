/* cpu.h - the operations that the cpu tables compute with code of their own. */
#ifndef JMT_KERNELS_CPU_CPU_H
#define JMT_KERNELS_CPU_CPU_H

#include "kernels/ref/rows.h"

/* In place, where a call costs more than a short row. */
static inline void copy(float *restrict to, const float *restrict from, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        to[i] = from[i];
    }
}

/* Products (product.h), and convolutions whose taps meet rows side by side in them. */
#define CPU_OP_PROTOTYPES(suffix)                                                                  \
    OP_PROTOTYPES(linear, suffix)                                                                  \
    void ROW_NAME(linear_prepare, suffix)(const op_plan_t *plan, const op_call_t *call);           \
    void ROW_NAME(linear_backward_tree,                                                            \
                  suffix)(const op_use_t *uses, int use_count, int shard_begin, int shard_end,     \
                          void *const d_weight[OP_WEIGHTS_MAX], void *scratch);                    \
    OP_PROTOTYPES(temporal_conv, suffix)                                                           \
    OP_PROTOTYPES(conv, suffix)                                                                    \
    void ROW_NAME(conv_prepare, suffix)(const op_plan_t *plan, const op_call_t *call);             \
    void ROW_NAME(conv_backward_tree,                                                              \
                  suffix)(const op_use_t *uses, int use_count, int shard_begin, int shard_end,     \
                          void *const d_weight[OP_WEIGHTS_MAX], void *scratch);                    \
    void ROW_NAME(plan_close, suffix)(op_plan_t * plan);                                           \
    void ROW_NAME(temporal_conv_plan_close, suffix)(op_plan_t * plan);

#endif
