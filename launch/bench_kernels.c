#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/op_bench.h"
#include "launch/bench.h"
#include "trainer/mirror.h"
#include "trainer/models.h"
#include "trainer/operation_list.h"
#include "trainer/random_data.h"

/* --- the operations of the model -------------------------------------------------------------- */

static void time_pass(bench_t *bench, op_bench_t *op, const operation_t *operation, pass_t pass,
                      const char *kind) {
    char shape[OP_SHAPE_BYTES];
    op_shape_text(&operation->description, (int)bench->config->virtual_shards, shape);
    for (int i = 0; i < bench->rounds; i++) {
        bench->ms[i] = 1e3 * op_bench_round(op, pass);
    }
    op_work_t work = op_bench_work(op, pass);
    char *name = text_format("%s.%s", kind, pass_name(pass));
    bench_add_work(bench, name, shape, work.flop, work.read_bytes, work.written_bytes);
    free(name);
    json_t *result = json_array_get(bench->results, json_array_size(bench->results) - 1);
    json_object_set_new(result, "uses", json_integer(operation->uses));
}

static status_t time_operation(bench_t *bench, const kernels_t *kernels, const device_t *device,
                               const operation_t *operation) {
    op_bench_t *op = NULL;
    TRY(op_bench_open(kernels, device, &operation->description, (int)bench->config->virtual_shards,
                      &op));
    for (int pass = 0; pass < PASS_COUNT; pass++) {
        if (op_bench_has(op, (pass_t)pass)) {
            time_pass(bench, op, operation, (pass_t)pass,
                      op_kind_name(operation->description.kind));
        }
    }
    op_bench_close(op);
    return STATUS_OK;
}

static status_t list_operations(const config_t *config, const kernels_t *kernels,
                                const device_t *device, graph_t *graph, operation_list_t *list) {
    int64_t samples = config->batch / config->virtual_shards, length = config->data.window;
    executor_config_t executor_config = {.kernels = kernels,
                                         .device = device,
                                         .samples_per_shard = samples,
                                         .shard_count = (int)config->virtual_shards,
                                         .backward = true};
    executor_t *executor = NULL;
    TRY(executor_open(graph, &executor_config, &executor));
    operation_list_open(executor, samples * length, config->model.dim, length, list);
    executor_close(executor);
    return STATUS_OK;
}

static status_t time_operations(bench_t *bench, const kernels_t *kernels, const device_t *device,
                                graph_t *graph) {
    operation_list_t list = {0};
    TRY(list_operations(bench->config, kernels, device, graph, &list));
    status_t status = STATUS_OK;
    for (int i = 0; i < list.count && status == STATUS_OK; i++) {
        status = time_operation(bench, kernels, device, &list.items[i]);
    }
    operation_list_free(&list);
    return status;
}

/* --- losses ----------------------------------------------------------------------------------- */

typedef struct loss_memory { /* of a loss, by what it is for */
    mirror_t x, d_x, target, sums;
} loss_memory_t;

static status_t open_loss(const kernels_t *kernels, const device_t *device, int64_t rows,
                          int64_t cols, loss_memory_t *m) {
    size_t bytes = (size_t)(rows * cols) * dtype_bytes(kernels->dtype);
    TRY(mirror_open(device, bytes, "a loss", &m->x));
    TRY(mirror_open(device, bytes, "a loss", &m->d_x));
    TRY(mirror_open(device, (size_t)rows * sizeof(float), "a loss", &m->target));
    TRY(mirror_open(device, LOSS_SUMS * sizeof(double), "a loss", &m->sums));
    for (int64_t i = 0; i < rows; i++) {
        dtype_set(kernels->dtype, m->x.host, i * cols, (double)(i % 7) - 3.0);
        ((float *)m->target.host)[i] = (float)(i % 2);
    }
    mirror_write(&m->x);
    mirror_write(&m->target);
    return STATUS_OK;
}

static void close_loss(loss_memory_t *m) {
    mirror_close(&m->x);
    mirror_close(&m->d_x);
    mirror_close(&m->target);
    mirror_close(&m->sums);
}

static void run_loss(bench_t *bench, const kernels_t *kernels, const loss_call_t *call,
                     const mirror_t *sums) {
    enum { CALLS = 100 };
    for (int i = 0; i < bench->rounds; i++) {
        double begin_s = clock_s();
        for (int k = 0; k < CALLS; k++) {
            kernels->loss_sums(call, sums->there);
            kernels->loss_gradient(call, sums->there);
        }
        call->device->synchronize(call->device);
        bench->ms[i] = 1e3 * (clock_s() - begin_s) / CALLS;
    }
}

static status_t time_loss(bench_t *bench, const kernels_t *kernels, const device_t *device,
                          loss_kind_t kind) {
    static const char *const names[] = {"loss_ccc", "loss_mse", "loss_cross_entropy",
                                        "loss_binary"};
    enum { CLASSES = 4 };
    int64_t rows = bench->config->batch * bench->config->data.window;
    int64_t cols = kind == LOSS_CROSS_ENTROPY ? CLASSES : 1;
    loss_memory_t memory = {0};
    status_t status = open_loss(kernels, device, rows, cols, &memory);
    if (status == STATUS_OK) {
        loss_call_t call = {.device = device,
                            .kind = kind,
                            .weight = 1.0,
                            .x = {memory.x.there, rows, cols, cols, rows * cols},
                            .target = memory.target.there,
                            .d_x = {memory.d_x.there, rows, cols, cols, rows * cols},
                            .shard_end = 1};
        run_loss(bench, kernels, &call, &memory.sums);
        char *shape = text_format("%lldx%lld", (long long)rows, (long long)cols);
        double bytes = (double)memory.x.bytes;
        double read = 2.0 * bytes + 2.0 * (double)rows * (double)sizeof(float);
        bench_add_work(bench, names[kind], shape, 0.0, read, bytes);
        free(shape);
    }
    close_loss(&memory);
    return status;
}

/* --- what runs over the flat state ------------------------------------------------------------ */

enum { FLAT_WEIGHT, FLAT_GRADIENT, FLAT_M, FLAT_V, FLAT_ARRAYS };

typedef struct flat {
    const kernels_t *kernels;
    const device_t *device;
    int64_t count, span_count;
    mirror_t array[FLAT_ARRAYS], spans, partials;
} flat_t;

static void run_optimizer(const flat_t *flat, optimizer_call_t call) {
    call.device = flat->device;
    call.learning_rate = 1e-9;
    call.update_index = 2;
    call.gradient_scale = 1.0;
    call.weight = flat->array[FLAT_WEIGHT].there;
    call.gradient = flat->array[FLAT_GRADIENT].there;
    call.m = flat->array[FLAT_M].there;
    call.v = flat->array[FLAT_V].there;
    call.spans = flat->spans.there;
    call.span_count = flat->span_count;
    flat->kernels->optimizer_update(&call);
}

static void run_sgd(const flat_t *flat) {
    run_optimizer(flat,
                  (optimizer_call_t){.kind = OPTIMIZER_SGD, .momentum = 0.9, .nesterov = true});
}

static void run_adam(const flat_t *flat) {
    run_optimizer(flat, (optimizer_call_t){
                            .kind = OPTIMIZER_ADAM, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8});
}

static void run_sum_squares(const flat_t *flat) {
    flat->kernels->sum_squares_spans(flat->device, flat->array[FLAT_GRADIENT].there,
                                     flat->spans.there, flat->span_count, flat->partials.there);
}

static void run_all_finite(const flat_t *flat) {
    volatile bool sink =
        flat->kernels->all_finite(flat->device, flat->array[FLAT_GRADIENT].there, flat->count);
    (void)sink;
}

static void run_add(const flat_t *flat) {
    flat->kernels->add(flat->device, flat->array[FLAT_M].there, flat->array[FLAT_GRADIENT].there,
                       flat->array[FLAT_WEIGHT].there, flat->count);
}

static const struct flat_row {
    const char *name;
    void (*run)(const flat_t *flat);
    int reads, writes; /* arrays */
} flat_rows[] = {
    {"optimizer_sgd", run_sgd, 3, 2},
    {"optimizer_adam", run_adam, 4, 3},
    {"sum_squares", run_sum_squares, 1, 0},
    {"all_finite", run_all_finite, 1, 0},
    {"add", run_add, 2, 1},
};

static status_t open_flat(flat_t *flat) {
    const device_t *device = flat->device;
    flat->span_count = div_up(flat->count, CHUNK_ELEMENTS);
    for (int i = 0; i < FLAT_ARRAYS; i++) {
        mirror_t *array = &flat->array[i];
        TRY(mirror_open(device, (size_t)flat->count * sizeof(float), "the flat state", array));
        for (int64_t j = 0; j < flat->count; j++) {
            ((float *)array->host)[j] = (float)(j % 11) * 0.01f;
        }
        mirror_write(array);
    }
    size_t spans = (size_t)flat->span_count;
    TRY(mirror_open(device, spans * sizeof(optimizer_span_t), "the flat state", &flat->spans));
    TRY(mirror_open(device, spans * sizeof(double), "the flat state", &flat->partials));
    for (int64_t i = 0; i < flat->span_count; i++) {
        int64_t at = i * CHUNK_ELEMENTS, count = min_i64(CHUNK_ELEMENTS, flat->count - at);
        ((optimizer_span_t *)flat->spans.host)[i] =
            (optimizer_span_t){.offset = at, .state = at, .count = (int32_t)count};
    }
    mirror_write(&flat->spans);
    return STATUS_OK;
}

static double flat_s(const flat_t *flat, const struct flat_row *row) {
    flat->device->synchronize(flat->device);
    double begin_s = clock_s();
    row->run(flat);
    flat->device->synchronize(flat->device);
    return clock_s() - begin_s;
}

static status_t time_flat(bench_t *bench, const kernels_t *kernels, const device_t *device,
                          int64_t count) {
    flat_t flat = {.kernels = kernels, .device = device, .count = count};
    double bytes = (double)count * (double)sizeof(float);
    status_t status = open_flat(&flat);
    char *shape = text_format("%lld", (long long)count);
    for (int i = 0; i < ARRAY_LEN(flat_rows) && status == STATUS_OK; i++) {
        const struct flat_row *row = &flat_rows[i];
        row->run(&flat);
        for (int round = 0; round < bench->rounds; round++) {
            bench->ms[round] = 1e3 * flat_s(&flat, row);
        }
        bench_add_work(bench, row->name, shape, 0.0, row->reads * bytes, row->writes * bytes);
    }
    free(shape);
    for (int i = 0; i < FLAT_ARRAYS; i++) {
        mirror_close(&flat.array[i]);
    }
    mirror_close(&flat.spans);
    mirror_close(&flat.partials);
    return status;
}

static status_t time_graph(bench_t *bench, const kernels_t *kernels, const device_t *device,
                           graph_t *graph) {
    TRY(time_operations(bench, kernels, device, graph));
    for (int kind = LOSS_CCC; kind <= LOSS_BINARY; kind++) {
        TRY(time_loss(bench, kernels, device, (loss_kind_t)kind));
    }
    return time_flat(bench, kernels, device, graph_parameter_elements(graph));
}

static status_t time_all(bench_t *bench) {
    int64_t dims[CONFIG_MODALITIES_MAX];
    const kernels_t *kernels = NULL;
    const device_t *device = NULL;
    graph_t *graph = NULL;
    TRY(bench_limits(bench));
    TRY(random_dims(bench->config, dims));
    TRY(model_build(bench->config, dims, &graph));
    status_t status = trainer_kernels(bench->config, bench->comm, &kernels, &device);
    if (status == STATUS_OK) {
        status = time_graph(bench, kernels, device, graph);
        device_close(device);
    }
    graph_close(graph);
    return status;
}

status_t bench_kernels(bench_t *bench) { return comm_agree(bench->comm, time_all(bench), NULL); }
