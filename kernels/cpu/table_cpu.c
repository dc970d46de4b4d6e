/* The cpu tables, one per instruction set: the fastest implementation of each operation. What has
 * no implementation of its own is the reference, compiled for wider vectors. */
#include "kernels/cpu/cpu.h"

#define CPU_PROTOTYPES(isa_suffix)                                                                 \
    OP_PROTOTYPES(attention, isa_suffix)                                                           \
    OP_PROTOTYPES(add_layernorm, isa_suffix)                                                       \
    OP_PROTOTYPES(relu, isa_suffix)                                                                \
    OP_PROTOTYPES(leaky_relu, isa_suffix)                                                          \
    OP_PROTOTYPES(prelu, isa_suffix)                                                               \
    OP_PROTOTYPES(pool, isa_suffix)                                                                \
    OP_PROTOTYPES(batch_norm, isa_suffix)                                                          \
    OP_PROTOTYPES(l2_normalize, isa_suffix)                                                        \
    OP_PROTOTYPES(mask_rows, isa_suffix)                                                           \
    OP_PROTOTYPES(concat, isa_suffix)                                                              \
    OP_PROTOTYPES(select_token, isa_suffix)                                                        \
    OP_PROTOTYPES(dropout, isa_suffix)                                                             \
    OP_PROTOTYPES(sum, isa_suffix)                                                                 \
    OP_PROTOTYPES(tanh, isa_suffix)                                                                \
    OP_PROTOTYPES(softmax_gate, isa_suffix)                                                        \
    OP_PROTOTYPES(add_rows, isa_suffix)                                                            \
    OP_PROTOTYPES(fill_rows, isa_suffix)                                                           \
    OP_PROTOTYPES(add_waves, isa_suffix)                                                           \
    OP_PROTOTYPES(mix_rows, isa_suffix)                                                            \
    OP_PROTOTYPES(correlate, isa_suffix)                                                           \
    SUMS_PROTOTYPE(batch_norm, isa_suffix)                                                         \
    TABLE_PROTOTYPES(isa_suffix)

/* products: the suffix of what cpu.h names; the plain table takes the rest from the reference. */
#define CPU_TABLE(isa_suffix, products)                                                            \
    {                                                                                              \
        .backend = "cpu", .dtype = DTYPE_F32,                                                      \
        .ops = {[OP_linear] = {ROW_NAME(linear_plan, products), ROW_NAME(plan_close, isa_suffix),  \
                               ROW_NAME(linear_prepare, products),                                 \
                               ROW_NAME(linear_forward, products),                                 \
                               ROW_NAME(linear_backward_data, products),                           \
                               ROW_NAME(linear_backward_weights, products),                        \
                               ROW_NAME(linear_backward_tree, products)},                          \
                [OP_temporal_conv] = {ROW_NAME(temporal_conv_plan, products),                      \
                                      ROW_NAME(temporal_conv_plan_close, products), NULL,          \
                                      ROW_NAME(temporal_conv_forward, products),                   \
                                      ROW_NAME(temporal_conv_backward_data, products),             \
                                      ROW_NAME(temporal_conv_backward_weights, products)},         \
                [OP_conv] = {ROW_NAME(conv_plan, products), ROW_NAME(plan_close, isa_suffix),      \
                             ROW_NAME(conv_prepare, products), ROW_NAME(conv_forward, products),   \
                             ROW_NAME(conv_backward_data, products),                               \
                             ROW_NAME(conv_backward_weights, products),                            \
                             ROW_NAME(conv_backward_tree, products)},                              \
                OP_ROW(attention, isa_suffix) OP_ROW(add_layernorm, isa_suffix) OP_ROW(            \
                    relu, isa_suffix) OP_ROW(leaky_relu, isa_suffix) OP_ROW(prelu, isa_suffix)     \
                    OP_ROW(pool, isa_suffix) OP_ROW(batch_norm, isa_suffix)                        \
                        OP_ROW(l2_normalize, isa_suffix) OP_ROW(mask_rows, isa_suffix)             \
                            OP_ROW(concat, isa_suffix) OP_ROW(select_token, isa_suffix)            \
                                OP_ROW(dropout, isa_suffix) OP_ROW(sum, isa_suffix) OP_ROW(        \
                                    tanh, isa_suffix) OP_ROW(softmax_gate, isa_suffix)             \
                                    OP_ROW(add_rows, isa_suffix) OP_ROW(fill_rows, isa_suffix)     \
                                        OP_ROW(add_waves, isa_suffix) OP_ROW(mix_rows, isa_suffix) \
                                            OP_ROW(correlate, isa_suffix) OP_SUMS(isa_suffix)},    \
        TABLE_REST(isa_suffix),                                                                    \
    }

CPU_PROTOTYPES(ref_f32)
CPU_PROTOTYPES(cpu_avx2)
CPU_PROTOTYPES(cpu_avx512)
CPU_OP_PROTOTYPES(cpu_generic)
CPU_OP_PROTOTYPES(cpu_avx2)
CPU_OP_PROTOTYPES(cpu_avx512)

const kernels_t kernels_cpu_generic = CPU_TABLE(ref_f32, cpu_generic);
const kernels_t kernels_cpu_avx2 = CPU_TABLE(cpu_avx2, cpu_avx2);
const kernels_t kernels_cpu_avx512 = CPU_TABLE(cpu_avx512, cpu_avx512);
