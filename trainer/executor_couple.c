/* executor_couple.c - where all shards of a batch meet in the middle of the graph: the operation
 * says something of each local shard, the owner of the executor brings what the others say, and the
 * canonical tree over all shards makes totals of it, the same on every rank. */
#include <stdlib.h>
#include <string.h>

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
    size_t each = (size_t)most * sizeof(double);
    size_t local = (size_t)executor->config.shard_count * each;
    TRY(mirror_open(device, local, "sums of shards", &executor->shard_sums));
    TRY(mirror_open(device, each, "sums of a batch", &executor->totals));
    executor->all_sums = alloc_zero(batch_shards(executor) * most, sizeof(double));
    executor->scratch_bytes += local + each + (size_t)batch_shards(executor) * each;
    for (int i = 0; i < executor->graph->node_count; i++) {
        executor->calls[i].totals = executor->totals.there;
    }
    return STATUS_OK;
}

void executor_close_coupling(executor_t *executor) {
    mirror_close(&executor->shard_sums);
    mirror_close(&executor->totals);
    free(executor->all_sums);
}

/* In the order of comm/tree.h; the total is left in the first. */
static void total(pass_t pass, double *sums, int shards, int64_t count) {
    if (shards > 1) {
        int left = tree_split(shards);
        double *right = sums + left * count;
        total(pass, sums, left, count);
        total(pass, right, shards - left, count);
        op_sums_add(pass, count, sums, right);
    }
}

status_t executor_couple(executor_t *executor, int node, pass_t pass) {
    const executor_config_t *config = &executor->config;
    const op_call_t *call = &executor->calls[node];
    int64_t count = executor->sum_counts[node];
    if (count == 0 || !call->scalars->training) {
        return STATUS_OK;
    }
    REQUIRE(config->backward);
    size_t each = (size_t)count * sizeof(double), local = (size_t)config->shard_count * each;
    config->kernels->ops[executor->graph->nodes[node].kind].sums(executor->ops[node], call, pass,
                                                                 executor->shard_sums.there);
    mirror_read_part(&executor->shard_sums, 0, local);
    if (config->gather != NULL) {
        TRY(config->gather(config->gather_context, executor->shard_sums.host, count,
                           executor->all_sums));
    } else {
        memcpy(executor->all_sums, executor->shard_sums.host, local);
    }
    total(pass, executor->all_sums, batch_shards(executor), count);
    memcpy(executor->totals.host, executor->all_sums, each);
    mirror_write(&executor->totals);
    return STATUS_OK;
}
