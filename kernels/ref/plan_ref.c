#include "kernels/ref/real.h"

op_plan_t *REAL(plan_open)(const op_description_t *description) {
    op_plan_t *plan = alloc_zero(1, sizeof *plan);
    plan->description = *description;
    return plan;
}

void REAL(plan_close)(op_plan_t *plan) { free(plan); }
