/* executor_host.c - what the host writes to and reads from an executor. Where the device is the
 * host that is the executor's own memory; elsewhere there is a copy of it on the host. */
#include <stdlib.h>

#include "kernels/base/bytes.h"
#include "trainer/executor_internal.h"

enum { HOST_ALIGNMENT = 64 };

static matrix_t input_matrix(const executor_t *executor, int input) {
    value_t value = executor->graph->inputs[input].value;
    return executor_matrix(executor, executor->plan->values[value]);
}

static mask_t input_mask(const executor_t *executor, int input) {
    return executor->masks[executor->graph->inputs[input].mask];
}

/* From a matrix's first element to behind its last, over all local shards. */
static size_t span_bytes(const executor_t *executor, matrix_t matrix) {
    int64_t last = (executor->config.shard_count - 1) * matrix.shard_stride +
                   (matrix.rows - 1) * matrix.row_stride + matrix.cols;
    return (size_t)last * dtype_bytes(executor_dtype(executor));
}

/* --- the batch ------------------------------------------------------------------------------- */

status_t executor_open_host(executor_t *executor) {
    const device_t *device = executor->config.device;
    const graph_t *graph = executor->graph;
    if (device->host) {
        return STATUS_OK;
    }
    int64_t bytes = 0, most = 0;
    executor->host_at = alloc_zero(2 * graph->input_count, sizeof *executor->host_at);
    executor->taken_from = alloc_zero(2 * graph->input_count, sizeof *executor->taken_from);
    executor->pictures = alloc_zero(graph->input_count, sizeof *executor->pictures);
    for (int i = 0; i < graph->input_count; i++) {
        executor->host_at[i] = bytes;
        bytes += align_up((int64_t)span_bytes(executor, input_matrix(executor, i)), HOST_ALIGNMENT);
        executor->host_at[graph->input_count + i] = bytes;
        int64_t mask = input_mask(executor, i).count * executor->config.shard_count;
        bytes += align_up(mask, HOST_ALIGNMENT);
    }
    void *memory = NULL;
    TRY(device->alloc_pinned(device, (size_t)bytes, "a batch", &memory));
    executor->host = memory;
    for (int o = 0; o < graph->output_count; o++) {
        most = max_i64(most, (int64_t)span_bytes(executor, executor_output(executor, o)));
    }
    TRY(device->alloc_pinned(device, (size_t)most, "predictions", &memory));
    executor->fetched = memory;
    executor->fetched_bytes = (size_t)most;
    return STATUS_OK;
}

void executor_close_host(executor_t *executor) {
    const device_t *device = executor->config.device;
    device->release_pinned(device, executor->host);
    device->release_pinned(device, executor->fetched);
    free(executor->host_at);
    free(executor->taken_from);
    free(executor->pictures);
}

void *executor_input(executor_t *executor, int input) {
    return executor->host != NULL ? executor->host + executor->host_at[input]
                                  : input_matrix(executor, input).data;
}

uint8_t *executor_mask(executor_t *executor, int input) {
    int64_t place = executor->graph->input_count + input;
    return executor->host != NULL ? (uint8_t *)executor->host + executor->host_at[place]
                                  : input_mask(executor, input).data;
}

void executor_take_from(executor_t *executor, const void *const *inputs, const void *const *masks) {
    int count = executor->graph->input_count;
    REQUIRE(executor->taken_from != NULL);
    for (int i = 0; i < count; i++) {
        executor->taken_from[i] = inputs[i];
        executor->taken_from[count + i] = masks[i];
    }
}

void executor_take_pictures(executor_t *executor, int input, const pictures_call_t *pictures) {
    matrix_t x = input_matrix(executor, input);
    REQUIRE(executor->pictures != NULL);
    executor->pictures[input] = pictures != NULL ? *pictures : (pictures_call_t){0};
    executor->pictures[input].device = executor->config.device;
    executor->pictures[input].dtype = executor_dtype(executor);
    executor->pictures[input].out = x.data;
}

static void bring(const executor_t *executor, void *to, const void *host, int place, size_t bytes) {
    const device_t *device = executor->config.device;
    if (executor->taken_from[place] != NULL) {
        device->copy(device, to, executor->taken_from[place], bytes);
    } else {
        device->copy_in(device, to, host, bytes);
    }
}

void executor_bring_batch(executor_t *executor) {
    int count = executor->graph->input_count;
    for (int i = 0; executor->host != NULL && i < count; i++) {
        matrix_t x = input_matrix(executor, i);
        mask_t mask = input_mask(executor, i);
        if (executor->pictures[i].bytes != NULL) {
            executor->config.kernels->pictures(&executor->pictures[i]);
        } else {
            bring(executor, x.data, executor_input(executor, i), i, span_bytes(executor, x));
        }
        bring(executor, mask.data, executor_mask(executor, i), count + i,
              (size_t)(mask.count * executor->config.shard_count));
    }
}

/* --- what was computed ----------------------------------------------------------------------- */

matrix_t executor_fetch(executor_t *executor, matrix_t matrix) {
    const device_t *device = executor->config.device;
    executor->fetched_from = matrix;
    if (device->host) {
        return matrix;
    }
    size_t bytes = span_bytes(executor, matrix);
    if (bytes > executor->fetched_bytes) { /* no output: for checks from outside */
        void *memory = NULL;
        device->release_pinned(device, executor->fetched);
        REQUIRE(device->alloc_pinned(device, bytes, "gradients", &memory) == STATUS_OK);
        executor->fetched = memory;
        executor->fetched_bytes = bytes;
    }
    device->copy_out(device, executor->fetched, matrix.data, bytes);
    matrix.data = executor->fetched;
    return matrix;
}

void executor_store(executor_t *executor) {
    const device_t *device = executor->config.device;
    matrix_t to = executor->fetched_from;
    if (!device->host) {
        device->copy_in(device, to.data, executor->fetched, span_bytes(executor, to));
        device->synchronize(device); /* the next fetch overwrites it */
    }
}

void executor_read_row(const executor_t *executor, matrix_t fetched, int64_t row, float *to) {
    dtype_t dtype = executor_dtype(executor);
    int64_t from =
        row / fetched.rows * fetched.shard_stride + row % fetched.rows * fetched.row_stride;
    const char *data = fetched.data;
    dtype_to_float(dtype, to, data + (size_t)from * dtype_bytes(dtype), fetched.cols);
}
