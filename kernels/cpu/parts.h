/* parts.h - an operation's items (rows, heads, ...) dealt to the threads of this rank. */
#ifndef JMT_KERNELS_CPU_PARTS_H
#define JMT_KERNELS_CPU_PARTS_H

#include "kernels/kernels.h"

/* Items [begin, end) of a call; `part` counts from 0 to parts_most() - 1. */
typedef void (*part_t)(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                       int part);

/* Parts of a call at most: asked when planning, for workspace. */
int parts_most(void);

/* Runs `run` for runs of consecutive items, together 0 to items - 1, side by side where they are
 * worth it: each item must be computed alike whoever has it. work: of all, in multiplications. */
void parts_run(part_t run, const op_plan_t *plan, const op_call_t *call, int64_t items,
               int64_t work);

#endif
