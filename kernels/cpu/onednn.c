#include <dnnl.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

typedef struct isa_limit {
    const char *isa;
    dnnl_cpu_isa_t limit;
    int most; /* largest dnnl_get_effective_cpu_isa() that keeps the promise */
} isa_limit_t;

static const isa_limit_t isa_limits[] = {
    {"generic", dnnl_cpu_isa_sse41, dnnl_cpu_isa_sse41},
    {"avx2", dnnl_cpu_isa_avx2, dnnl_cpu_isa_avx2},
    {"avx512", dnnl_cpu_isa_all, -1},
};

status_t onednn_set_isa(const char *isa) {
    for (size_t i = 0; i < sizeof isa_limits / sizeof isa_limits[0]; i++) {
        const isa_limit_t *row = &isa_limits[i];
        if (strcmp(row->isa, isa) != 0) {
            continue;
        }
        if (dnnl_set_max_cpu_isa(row->limit) == dnnl_success) {
            return STATUS_OK;
        }
        int effective = (int)dnnl_get_effective_cpu_isa();
        bool kept = row->most < 0 ? effective >= dnnl_cpu_isa_avx512_core : effective == row->most;
        if (kept) {
            return STATUS_OK;
        }
        return status_fail(STATUS_FAILED,
                           "oneDNN already runs with another instruction set, not %s; set JMT_ISA "
                           "before the program starts",
                           isa);
    }
    return status_fail(STATUS_FAILED, "oneDNN knows no instruction set %s", isa);
}

const char *onednn_version(void) {
    return "onednn " TEXT(DNNL_VERSION_MAJOR) "." TEXT(DNNL_VERSION_MINOR) "." TEXT(
        DNNL_VERSION_PATCH);
}
