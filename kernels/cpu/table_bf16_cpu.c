/* The cpu tables for bf16. */
#include "kernels/cpu/cpu.h"
#include "kernels/ref/rounded.h"

ROUNDED_PROTOTYPES(cpu_generic)
ROUNDED_PROTOTYPES(cpu_avx2)
ROUNDED_PROTOTYPES(cpu_avx512)
TABLE_PROTOTYPES(ref_f32)
TABLE_PROTOTYPES(cpu_avx2)
TABLE_PROTOTYPES(cpu_avx512)

const kernels_t kernels_cpu_generic_bf16 = ROUNDED_TABLE("cpu", cpu_generic, ref_f32);
const kernels_t kernels_cpu_avx2_bf16 = ROUNDED_TABLE("cpu", cpu_avx2, cpu_avx2);
const kernels_t kernels_cpu_avx512_bf16 = ROUNDED_TABLE("cpu", cpu_avx512, cpu_avx512);
