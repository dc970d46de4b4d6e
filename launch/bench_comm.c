#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "launch/bench.h"
#include "trainer/flat_state.h"
#include "trainer/models.h"
#include "trainer/random_data.h"

typedef struct model_state { /* the learned state of the configuration's model */
    graph_t *graph;
    flat_state_t flat;
    reduce_layout_t layout;
    const kernels_t *kernels;
    const device_t *device;
} model_state_t;

static status_t open_state(const config_t *config, const comm_t *comm, model_state_t *state) {
    int64_t dims[CONFIG_MODALITIES_MAX];
    TRY(trainer_kernels(config, comm, &state->kernels, &state->device));
    TRY(random_dims(config, dims));
    TRY(model_build(config, dims, &state->graph));
    TRY(flat_state_make(state->graph, &state->flat));
    state->layout = flat_state_layout(&state->flat, (int)config->virtual_shards);
    return STATUS_OK;
}

static void close_state(model_state_t *state) {
    if (state->flat.offsets != NULL) {
        flat_state_free(&state->flat);
    }
    graph_close(state->graph);
    device_close(state->device);
}

/* Memory of a device that is not the host stays as it is: no cache has it. */
static void fill(const device_t *device, float *memory, size_t bytes) {
    if (device->host) {
        memset(memory, 0x3c, bytes); /* about 0.01 */
    }
}

/* As a step leaves them: gradients just written, weights of the own slices too. */
static void touch(const bench_t *bench, const model_state_t *state, reduce_t *reduce) {
    size_t bytes = (size_t)state->layout.elements * sizeof(float);
    const device_t *device = state->device;
    for (int i = 0; i < reduce_part_count(reduce); i++) {
        fill(device, reduce_part(reduce, i), bytes);
    }
    for (int b = 0; b < state->layout.bucket_count; b++) {
        bucket_t slice = reduce_slice(reduce, b, comm_rank(bench->comm));
        for (int64_t c = slice.chunk_begin; c < slice.chunk_end; c++) {
            const chunk_t *chunk = &state->layout.chunks[c];
            fill(device, reduce_weights(reduce) + chunk->offset,
                 (size_t)chunk->count * sizeof(float));
        }
    }
}

/* Gradients to sums on the own slices, then weights to everybody: milliseconds of each. */
static status_t one_round(bench_t *bench, const model_state_t *state, reduce_t *reduce,
                          double *reduce_ms_out, double *share_ms_out) {
    touch(bench, state, reduce);
    TRY(comm_barrier(bench->comm, "bench comm"));
    double begin_s = clock_s();
    for (int b = 0; b < state->layout.bucket_count; b++) {
        TRY(reduce_publish(reduce, b));
    }
    TRY(reduce_finish(reduce));
    state->device->synchronize(state->device);
    double middle_s = clock_s();
    TRY(reduce_share(reduce));
    state->device->synchronize(state->device);
    *reduce_ms_out = 1e3 * (middle_s - begin_s);
    *share_ms_out = 1e3 * (clock_s() - middle_s);
    return STATUS_OK;
}

static void add_result(bench_t *bench, const double *ms, const char *name, double bytes,
                       double read_bytes, double written_bytes) {
    memcpy(bench->ms, ms, (size_t)bench->rounds * sizeof *ms);
    char *shape = text_format("%.1f MB, ranks %d, hosts %d", 1e-6 * bytes, comm_size(bench->comm),
                              comm_host_count(bench->comm));
    if (read_bytes > 0.0) {
        bench_add_work(bench, name, shape, 0.0, read_bytes, written_bytes);
    } else { /* nothing that this rank moves */
        bench_add(bench, name, shape, 0.0);
    }
    free(shape);
}

/* A rank reads its slice of everybody's subtrees and writes the sum; then, where each has a copy of
 * the weights, it reads what it does not own, and keeps it. */
static status_t time_reduction(bench_t *bench, const model_state_t *state, bool fast) {
    enum { WARM = 2 };
    reduce_t *reduce = NULL;
    TRY(reduce_open(bench->comm, &state->layout, fast, state->device, state->kernels->add,
                    &reduce));
    double *ms = alloc_zero(2 * bench->rounds, sizeof *ms), *share_ms = ms + bench->rounds;
    status_t status = STATUS_OK;
    for (int i = -WARM; i < bench->rounds && status == STATUS_OK; i++) {
        double one = 0.0, two = 0.0;
        status = one_round(bench, state, reduce, &one, &two);
        if (i >= 0) {
            ms[i] = one;
            share_ms[i] = two;
        }
    }
    if (status == STATUS_OK) {
        double ranks = comm_size(bench->comm);
        double bytes = (double)state->layout.elements * (double)sizeof(float);
        double parts = reduce_part_count(reduce) * ranks;
        bool alone = comm_size(bench->comm) == 1;
        add_result(bench, ms, fast ? "reduce.fast" : "reduce.canonical", bytes,
                   alone ? 0.0 : parts * bytes / ranks, alone ? 0.0 : bytes / ranks);
        if (!fast) {
            double foreign = state->device->host ? 0.0 : bytes * (ranks - 1.0) / ranks;
            add_result(bench, share_ms, "share", bytes, foreign, foreign);
        }
    }
    free(ms);
    reduce_close(reduce);
    return status;
}

/* What a message of a few bytes takes to go round. */
static status_t time_small(bench_t *bench) {
    enum { CALLS = 100 };
    double mine = 0.0, *all = alloc_zero(comm_size(bench->comm), sizeof *all);
    status_t status = STATUS_OK;
    for (int i = 0; i < bench->rounds && status == STATUS_OK; i++) {
        double begin_s = clock_s();
        for (int k = 0; k < CALLS && status == STATUS_OK; k++) {
            status = comm_all_gather(bench->comm, &mine, sizeof mine, all, "bench comm");
        }
        bench->ms[i] = 1e3 * (clock_s() - begin_s) / CALLS;
    }
    free(all);
    if (status == STATUS_OK) {
        bench_add(bench, "all_gather", "8 bytes", 0.0);
    }
    return status;
}

status_t bench_comm(bench_t *bench) {
    model_state_t state = {0};
    status_t status = trainer_check_ranks(bench->config, comm_size(bench->comm));
    TRY(comm_agree(bench->comm, status, NULL));
    TRY(comm_barrier(bench->comm, "bench comm")); /* limits of memory that all ranks use at once */
    TRY(comm_agree(bench->comm, bench_limits(bench), "measure limits"));
    status = comm_agree(bench->comm, open_state(bench->config, bench->comm, &state), "build model");
    if (status == STATUS_OK) {
        status = time_reduction(bench, &state, false);
    }
    if (status == STATUS_OK && comm_size(bench->comm) > 1) {
        status = time_reduction(bench, &state, true);
    }
    if (status == STATUS_OK && comm_size(bench->comm) > 1) {
        status = time_small(bench);
    }
    close_state(&state);
    return status;
}
