/* executor_couple.c - where all shards of a batch meet in the middle of the graph: the operation
 * says something of each local shard, the owner of the executor brings what the others say, and the
 * canonical tree over all shards makes totals of it, the same on every rank. */
#include "kernels/base/bytes.h"
#include "trainer/executor_internal.h"

static int batch_shards(const executor_t *executor) {
    return executor->config.gather != NULL ? executor->config.batch_shards
                                           : executor->config.shard_count;
}

status_t executor_open_coupling(executor_t *executor) {
    int64_t most = 0;
    for (int i = 0; i < executor->graph->node_count; i++) {
        most = max_i64(most, executor->sum_counts[i]);
    }
    if (most == 0 || !executor->config.backward) { /* nobody trains */
        return STATUS_OK;
    }
    const device_t *device = executor->config.device;
    size_t each = (size_t)most * sizeof(double), all = (size_t)batch_shards(executor) * each;
    void *memory = NULL;
    TRY(device->alloc(device, all, "sums of shards", &memory));
    executor->all_sums = memory;
    TRY(device->alloc(device, each, "sums of a batch", &memory));
    executor->totals = memory;
    executor->scratch_bytes += all + each;
    for (int i = 0; i < executor->graph->node_count; i++) {
        executor->calls[i].totals = executor->totals;
    }
    return STATUS_OK;
}

void executor_close_coupling(executor_t *executor) {
    const device_t *device = executor->config.device;
    device->release(device, executor->all_sums);
    device->release(device, executor->totals);
}

status_t executor_couple(executor_t *executor, int node, pass_t pass) {
    const executor_config_t *config = &executor->config;
    const op_call_t *call = &executor->calls[node];
    int64_t count = executor->sum_counts[node];
    if (count == 0 || !call->scalars->training) {
        return STATUS_OK;
    }
    REQUIRE(config->backward);
    int first = config->gather != NULL ? config->shard_first : 0;
    config->kernels->ops[executor->graph->nodes[node].kind].sums(
        executor->ops[node], call, pass, executor->all_sums + first * count);
    if (config->gather != NULL) {
        TRY(config->gather(config->gather_context, executor->all_sums, count));
    }
    config->kernels->sums_total(config->device, pass, count, batch_shards(executor),
                                executor->all_sums, executor->totals);
    return STATUS_OK;
}
