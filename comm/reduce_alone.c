/* One rank on a device of its own: its part is the whole tree, and the weights are all its own. */
#include "comm/reduce_internal.h"

static status_t open_alone(reduce_t *reduce) {
    const device_t *device = reduce->device;
    size_t weights = (size_t)(reduce->layout.elements + reduce->layout.constants) * sizeof(float);
    size_t part = (size_t)reduce->layout.elements * sizeof(float);
    void *memory = NULL;
    REQUIRE(reduce->part_count == 1);
    TRY(device->alloc(device, weights, "weights", &memory));
    reduce->weights = memory;
    TRY(device->alloc(device, part, "gradients", &memory));
    reduce->parts[0] = memory;
    return STATUS_OK;
}

static void close_alone(reduce_t *reduce) {
    reduce->device->release(reduce->device, reduce->weights);
    reduce->device->release(reduce->device, reduce->parts[0]);
}

static status_t publish(reduce_t *reduce, int bucket) {
    (void)reduce, (void)bucket;
    return STATUS_OK;
}

static status_t pass(reduce_t *reduce) {
    (void)reduce;
    return STATUS_OK;
}

static int moved(reduce_t *reduce) {
    (void)reduce;
    return 0;
}

const reduce_way_t reduce_alone = {open_alone, close_alone, publish, pass, pass,
                                   moved,      NULL,        NULL,    NULL};
