#include <omp.h>

#include "kernels/kernels.h"

status_t kernels_set_threads(int threads) {
    if (threads < 1 || threads > omp_get_thread_limit()) {
        return status_fail(STATUS_INPUT, "threads is %d; 1 to %d are possible here", threads,
                           omp_get_thread_limit());
    }
    omp_set_num_threads(threads);
    return STATUS_OK;
}
