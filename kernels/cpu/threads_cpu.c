#include <omp.h>

#include "kernels/cpu/parts.h"

enum { WORK_MIN = 1 << 17 }; /* below, waking a thread takes longer */

status_t kernels_set_threads(int threads) {
    if (threads < 1 || threads > omp_get_thread_limit()) {
        return status_fail(STATUS_INPUT, "threads is %d; 1 to %d are possible here", threads,
                           omp_get_thread_limit());
    }
    omp_set_num_threads(threads);
    return STATUS_OK;
}

int parts_most(void) { return omp_get_max_threads(); }

void parts_run(part_t run, const op_plan_t *plan, const op_call_t *call, int64_t items,
               int64_t work) {
    if (omp_get_max_threads() == 1 || work < WORK_MIN || items < 2) {
        run(plan, call, 0, items, 0);
        return;
    }
#pragma omp parallel
    {
        int64_t part = omp_get_thread_num(), parts = omp_get_num_threads();
        run(plan, call, items * part / parts, items * (part + 1) / parts, (int)part);
    }
}
