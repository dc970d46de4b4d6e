#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/op_bench.h"
#include "launch/bench.h"
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

static status_t time_operation(bench_t *bench, const kernels_t *kernels,
                               const operation_t *operation) {
    op_bench_t *op = NULL;
    TRY(op_bench_open(kernels, &operation->description, (int)bench->config->virtual_shards, &op));
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
        status = time_operation(bench, kernels, &list.items[i]);
    }
    operation_list_free(&list);
    return status;
}

/* --- losses ----------------------------------------------------------------------------------- */

static void time_loss(bench_t *bench, const kernels_t *kernels, loss_kind_t kind) {
    static const char *const names[] = {"loss_ccc", "loss_mse", "loss_cross_entropy",
                                        "loss_binary"};
    enum { CLASSES = 4, CALLS = 100 };
    int64_t rows = bench->config->batch * bench->config->data.window;
    int64_t cols = kind == LOSS_CROSS_ENTROPY ? CLASSES : 1;
    size_t bytes = (size_t)(rows * cols) * dtype_bytes(kernels->dtype);
    void *x = alloc_aligned(bytes), *d_x = alloc_aligned(bytes);
    float *target = alloc_aligned((size_t)rows * sizeof(float));
    for (int64_t i = 0; i < rows; i++) {
        dtype_set(kernels->dtype, x, i * cols, (double)(i % 7) - 3.0);
        target[i] = (float)(i % 2);
    }
    loss_call_t call = {.kind = kind,
                        .weight = 1.0,
                        .x = {x, rows, cols, cols, rows * cols},
                        .target = target,
                        .d_x = {d_x, rows, cols, cols, rows * cols}};
    for (int i = 0; i < bench->rounds; i++) {
        double sums[LOSS_SUMS], begin_s = clock_s();
        for (int k = 0; k < CALLS; k++) {
            kernels->loss_sums(&call, sums);
            kernels->loss_gradient(&call, sums);
        }
        bench->ms[i] = 1e3 * (clock_s() - begin_s) / CALLS;
    }
    char *shape = text_format("%lldx%lld", (long long)rows, (long long)cols);
    double read = 2.0 * (double)bytes + 2.0 * (double)rows * (double)sizeof(float);
    bench_add_work(bench, names[kind], shape, 0.0, read, (double)bytes);
    free(shape);
    free(x);
    free(d_x);
    free(target);
}

/* --- what runs over the flat state ------------------------------------------------------------ */

typedef struct flat {
    const kernels_t *kernels;
    int64_t count;
    float *weight, *gradient, *m, *v;
} flat_t;

static void run_sgd(const flat_t *flat) {
    optimizer_call_t call = {.kind = OPTIMIZER_SGD,
                             .learning_rate = 1e-9,
                             .momentum = 0.9,
                             .nesterov = true,
                             .update_index = 2,
                             .gradient_scale = 1.0,
                             .weight = flat->weight,
                             .gradient = flat->gradient,
                             .m = flat->m,
                             .count = flat->count};
    flat->kernels->optimizer_update(&call);
}

static void run_adam(const flat_t *flat) {
    optimizer_call_t call = {.kind = OPTIMIZER_ADAM,
                             .learning_rate = 1e-9,
                             .beta1 = 0.9,
                             .beta2 = 0.999,
                             .epsilon = 1e-8,
                             .update_index = 2,
                             .gradient_scale = 1.0,
                             .weight = flat->weight,
                             .gradient = flat->gradient,
                             .m = flat->m,
                             .v = flat->v,
                             .count = flat->count};
    flat->kernels->optimizer_update(&call);
}

static void run_sum_squares(const flat_t *flat) {
    volatile double sink = flat->kernels->sum_squares(flat->gradient, flat->count);
    (void)sink;
}

static void run_all_finite(const flat_t *flat) {
    volatile bool sink = flat->kernels->all_finite(flat->gradient, flat->count);
    (void)sink;
}

static void run_add(const flat_t *flat) {
    flat->kernels->add(flat->m, flat->gradient, flat->weight, flat->count);
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

static void time_flat(bench_t *bench, const kernels_t *kernels, int64_t count) {
    size_t bytes = (size_t)count * sizeof(float);
    flat_t flat = {.kernels = kernels, .count = count};
    float **arrays[] = {&flat.weight, &flat.gradient, &flat.m, &flat.v};
    for (int i = 0; i < ARRAY_LEN(arrays); i++) {
        float *array = *arrays[i] = alloc_aligned(bytes);
        for (int64_t j = 0; j < count; j++) {
            array[j] = (float)(j % 11) * 0.01f;
        }
    }
    char *shape = text_format("%lld", (long long)count);
    for (int row = 0; row < ARRAY_LEN(flat_rows); row++) {
        flat_rows[row].run(&flat);
        for (int i = 0; i < bench->rounds; i++) {
            double begin_s = clock_s();
            flat_rows[row].run(&flat);
            bench->ms[i] = 1e3 * (clock_s() - begin_s);
        }
        bench_add_work(bench, flat_rows[row].name, shape, 0.0, flat_rows[row].reads * (double)bytes,
                       flat_rows[row].writes * (double)bytes);
    }
    free(shape);
    for (int i = 0; i < ARRAY_LEN(arrays); i++) {
        free(*arrays[i]);
    }
}

static status_t time_all(bench_t *bench) {
    int64_t dims[CONFIG_MODALITIES_MAX];
    const kernels_t *kernels = NULL;
    const device_t *device = NULL;
    graph_t *graph = NULL;
    TRY(bench_limits(bench));
    TRY(trainer_kernels(bench->config, &kernels, &device));
    TRY(random_dims(bench->config, dims));
    TRY(model_build(bench->config, dims, &graph));
    status_t status = time_operations(bench, kernels, device, graph);
    for (int kind = LOSS_CCC; kind <= LOSS_BINARY && status == STATUS_OK; kind++) {
        time_loss(bench, kernels, (loss_kind_t)kind);
    }
    if (status == STATUS_OK) {
        time_flat(bench, kernels, graph_parameter_elements(graph));
    }
    graph_close(graph);
    return status;
}

status_t bench_kernels(bench_t *bench) { return comm_agree(bench->comm, time_all(bench), NULL); }
