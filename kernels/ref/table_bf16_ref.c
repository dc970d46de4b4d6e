#include "kernels/ref/rounded.h"

ROUNDED_PROTOTYPES(ref_f32)
TABLE_PROTOTYPES(ref_f32)

const kernels_t kernels_ref_bf16 = ROUNDED_TABLE("ref", ref_f32, ref_f32);
