/* The cpu tables for bf16. */
#include "kernels/cpu/cpu.h"
#include "kernels/ref/rounded.h"

CPU_OP_PROTOTYPES(cpu_pairs)
OP_PROTOTYPES(batch_norm, cpu_pairs)
SUMS_PROTOTYPE(batch_norm, cpu_pairs)
OP_PROTOTYPES(relu, cpu_pairs)
OP_PROTOTYPES(sum, cpu_pairs)
ROUNDED_PROTOTYPES(cpu_generic)
ROUNDED_PROTOTYPES(cpu_avx2)
ROUNDED_PROTOTYPES(cpu_avx512)
TABLE_PROTOTYPES(ref_f32)
TABLE_PROTOTYPES(cpu_avx2)
TABLE_PROTOTYPES(cpu_avx512)

const kernels_t kernels_cpu_generic_bf16 = ROUNDED_TABLE("cpu", cpu_generic, ref_f32);
const kernels_t kernels_cpu_avx2_bf16 = ROUNDED_TABLE("cpu", cpu_avx2, cpu_avx2);
const kernels_t kernels_cpu_avx512_bf16 = ROUNDED_TABLE("cpu", cpu_avx512, cpu_avx512);

/* With AVX512-BF16. What has no code of its own yet is rounded from AVX-512's floats. */
const kernels_t kernels_cpu_pairs_bf16 = {
    .backend = "cpu",
    .dtype = DTYPE_BF16,
    .pairs = true,
    .ops = {[OP_linear] = {linear_plan_cpu_pairs, plan_close_cpu_pairs, linear_prepare_cpu_pairs,
                           linear_forward_cpu_pairs, linear_backward_data_cpu_pairs,
                           linear_backward_weights_cpu_pairs, linear_backward_tree_cpu_pairs},
            [OP_conv] = {conv_plan_cpu_pairs, plan_close_cpu_pairs, conv_prepare_cpu_pairs,
                         conv_forward_cpu_pairs, conv_backward_data_cpu_pairs,
                         conv_backward_weights_cpu_pairs, conv_backward_tree_cpu_pairs},
            OP_ROW(batch_norm, cpu_pairs) OP_ROW(relu, cpu_pairs) OP_ROW(sum, cpu_pairs)
                ROUNDED_ROW(attention, cpu_avx512) ROUNDED_ROW(add_layernorm, cpu_avx512)
                    ROUNDED_ROW(dropout, cpu_avx512) ROUNDED_COMMON(cpu_avx512) OP_SUMS(cpu_pairs)},
    ROUNDED_REST(cpu_avx512, cpu_avx512),
};
