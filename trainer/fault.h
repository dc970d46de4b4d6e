/* fault.h - JMT_FAULT=kill|stop|nan|enospc:RANK:STEP: planted faults, so that recovery is tested as
 * a user would meet it. nan: what that rank says of its loss in that step is not a number. */
#ifndef JMT_FAULT_H
#define JMT_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef enum { FAULT_NONE, FAULT_KILL, FAULT_STOP, FAULT_NAN, FAULT_ENOSPC } fault_kind_t;

typedef struct fault {
    fault_kind_t kind; /* FAULT_NONE unless it is for this rank */
    int64_t step;
} fault_t;

status_t fault_parse(int rank, int ranks, fault_t *fault_out) MUST_CHECK;
/* Before step `step` (1 is the first): kill and stop happen here. */
void fault_strike(const fault_t *fault, int64_t step);

#endif
