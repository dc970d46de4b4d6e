#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cuda.h"
#include "kernels/ref/rows.h"

const char *op_kind_name(op_kind_t kind) {
#define OP_NAME_(name) #name,
    static const char *const names[] = {OP_LIST(OP_NAME_)};
    return names[kind];
}

static bool is_largest(op_kind_t kind, const op_attributes_t *attributes) {
    return kind == OP_select_token && attributes->token_rule == TOKEN_MAX;
}

bool op_backward_data_reads_in(op_kind_t kind, const op_attributes_t *attributes) {
    return kind == OP_attention || kind == OP_add_layernorm || kind == OP_l2_normalize ||
           kind == OP_softmax_gate || kind == OP_batch_norm || kind == OP_correlate ||
           kind == OP_prelu || is_largest(kind, attributes);
}

/* Where the derivative is seen in the result. */
bool op_backward_reads_out(op_kind_t kind, const op_attributes_t *attributes) {
    return kind == OP_relu || kind == OP_leaky_relu || kind == OP_tanh ||
           is_largest(kind, attributes) || attributes->activation == ACTIVATION_RELU;
}

static bool machine_has(const char *isa) {
    if (strcmp(isa, "avx512") == 0) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    }
    if (strcmp(isa, "avx2") == 0) {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
    return __builtin_cpu_supports("sse4.1");
}

static const char *const isa_names[] = {"avx512", "avx2", "generic"}; /* best first */
enum { ISA_COUNT = 3 };

status_t kernels_isa(const char **isa_out) {
    const char *wanted = getenv("JMT_ISA");
    bool any = wanted == NULL || wanted[0] == '\0';
    for (int i = 0; i < ISA_COUNT; i++) {
        if (any && machine_has(isa_names[i])) {
            *isa_out = isa_names[i];
            return STATUS_OK;
        }
        if (any || strcmp(wanted, isa_names[i]) != 0) {
            continue;
        }
        if (!machine_has(isa_names[i])) {
            return status_fail(STATUS_UNAVAILABLE,
                               "JMT_ISA=%s: this processor does not have it; unset JMT_ISA to take "
                               "the best it has",
                               wanted);
        }
        *isa_out = isa_names[i];
        return STATUS_OK;
    }
    if (any) {
        return status_fail(STATUS_UNAVAILABLE, "this processor lacks SSE4.1; use backend ref");
    }
    return status_fail(STATUS_INPUT, "JMT_ISA=%s is unknown; use generic, avx2 or avx512", wanted);
}

static bool has_pairs(void) { return __builtin_cpu_supports("avx512bf16"); }

static status_t cpu_table(dtype_t dtype, const kernels_t **kernels_out) {
    const char *isa;
    bool bf16 = dtype == DTYPE_BF16;
    TRY(kernels_isa(&isa));
    if (strcmp(isa, "avx512") == 0) {
        const kernels_t *rounded = has_pairs() ? &kernels_cpu_pairs_bf16 : &kernels_cpu_avx512_bf16;
        *kernels_out = bf16 ? rounded : &kernels_cpu_avx512;
    } else if (strcmp(isa, "avx2") == 0) {
        *kernels_out = bf16 ? &kernels_cpu_avx2_bf16 : &kernels_cpu_avx2;
    } else {
        *kernels_out = bf16 ? &kernels_cpu_generic_bf16 : &kernels_cpu_generic;
    }
    return STATUS_OK;
}

static const kernels_t *ref_table(dtype_t dtype) {
    return dtype == DTYPE_F64    ? &kernels_ref_f64
           : dtype == DTYPE_BF16 ? &kernels_ref_bf16
                                 : &kernels_ref_f32;
}

status_t kernels_for(const char *backend, dtype_t dtype, const kernels_t **kernels_out) {
    if (strcmp(backend, "ref") == 0) {
        *kernels_out = ref_table(dtype);
        return STATUS_OK;
    }
    if (strcmp(backend, "cpu") == 0) {
        if (dtype == DTYPE_F64) {
            return status_fail(STATUS_UNAVAILABLE, "backend cpu does not compute in float64; use "
                                                   "backend ref");
        }
        return cpu_table(dtype, kernels_out);
    }
    if (strcmp(backend, "cuda") == 0) {
        return cuda_kernels(dtype, kernels_out);
    }
    return status_fail(STATUS_INPUT, "unknown backend \"%s\"; use cpu, cuda or ref", backend);
}

status_t kernels_on_host(const kernels_t *kernels, const kernels_t **host_out) {
    bool host = strcmp(kernels->device, "cpu") == 0;
    if (host && kernels->dtype != DTYPE_BF16) {
        *host_out = kernels;
        return STATUS_OK;
    }
    return kernels_for(strcmp(kernels->backend, "ref") == 0 ? "ref" : "cpu", DTYPE_F32, host_out);
}

/* The products' own number: to be raised when an order of additions changes. */
const char *kernels_library_version(const char *backend) {
    return strcmp(backend, "cpu") == 0    ? "products 7"
           : strcmp(backend, "cuda") == 0 ? cuda_library_version()
                                          : "none";
}
