/* Devices that know no way between ranks. */
#include "comm/reduce_internal.h"

static status_t refuse(reduce_t *reduce) {
    return status_fail(STATUS_UNAVAILABLE,
                       "device %s on %d ranks takes NCCL, which is not in this build; start one "
                       "rank, or use device: cpu",
                       reduce->device->name, reduce->comm->size);
}

static void pass(reduce_t *reduce) { (void)reduce; }

/* Nothing is called of what did not open. */
const reduce_way_t reduce_none = {.open = refuse, .close = pass};
