#include "trainer/step_port.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/backbone.h"
#include "trainer/executor.h"
#include "trainer/fold.h"
#include "trainer/loss.h"
#include "trainer/mirror.h"
#include "trainer/models.h"
#include "trainer/predictor.h"

typedef struct port {
    const config_t *config;
    target_fit_t target_fit;
    const kernels_t *kernels, *host_kernels;
    const device_t *device;
    graph_t *graph;
    executor_t *executor;
    int64_t batch, length;
    int shards;
    int64_t *offsets; /* by parameter, tightly packed */
    mirror_t weights, gradients;
    dtype_t state; /* of weights, gradients, targets, results */
    size_t element_bytes;
} port_t;

static double element(const tensor_t *tensor, int64_t i) {
    switch (tensor->type) {
    case TENSOR_F32:
        return ((const float *)tensor->data)[i];
    case TENSOR_F64:
        return ((const double *)tensor->data)[i];
    case TENSOR_U8:
        return ((const uint8_t *)tensor->data)[i];
    default:
        return (double)((const int64_t *)tensor->data)[i];
    }
}

static void store(const port_t *port, void *memory, int64_t i, double value) {
    dtype_set(port->state, memory, i, value);
}

static void shape_text(char text[96], int rank, const int64_t *dims) {
    size_t used = (size_t)snprintf(text, 96, "[");
    for (int d = 0; d < rank && used < 80; d++) {
        used += (size_t)snprintf(text + used, 96 - used, "%s%lld", d > 0 ? "," : "",
                                 (long long)dims[d]);
    }
    snprintf(text + used, 96 - used, "]");
}

/* The tensor of this name with exactly this shape. */
static status_t want(const tensor_set_t *set, const char *name, int rank, const int64_t *dims,
                     const tensor_t **tensor_out) {
    const tensor_t *tensor = tensor_set_find(set, name);
    if (tensor == NULL) {
        return status_fail(STATUS_INPUT, "tensor %s is missing", name);
    }
    if (tensor->rank != rank || memcmp(tensor->dims, dims, (size_t)rank * sizeof *dims) != 0) {
        char got[96], wanted[96];
        shape_text(got, tensor->rank, tensor->dims);
        shape_text(wanted, rank, dims);
        return status_fail(STATUS_INPUT, "tensor %s is %s; %s is expected", name, got, wanted);
    }
    *tensor_out = tensor;
    return STATUS_OK;
}

static status_t load_weights(port_t *port, const tensor_set_t *weights) {
    int count = graph_parameter_count(port->graph);
    int64_t elements = 0;
    port->offsets = alloc_zero(count, sizeof *port->offsets);
    for (int p = 0; p < count; p++) {
        port->offsets[p] = elements;
        elements += graph_parameter_info(port->graph, p).count;
    }
    size_t bytes = (size_t)elements * port->element_bytes;
    TRY(mirror_open(port->device, bytes, "weights", &port->weights));
    TRY(mirror_open(port->device, bytes, "gradients", &port->gradients));
    for (int p = 0; p < count; p++) {
        parameter_info_t info = graph_parameter_info(port->graph, p);
        const tensor_t *tensor = NULL;
        if (info.fold != NULL) {
            continue;
        }
        TRY(want(weights, info.name, info.rank, info.dims, &tensor));
        for (int64_t i = 0; i < info.count; i++) {
            store(port, port->weights.host, port->offsets[p] + i, element(tensor, i));
        }
    }
    fold_constants(port->host_kernels, port->graph, port->offsets, port->weights.host);
    mirror_write(&port->weights);
    for (int i = 0; i < weights->count; i++) {
        bool known = false;
        for (int p = 0; p < count && !known; p++) {
            parameter_info_t info = graph_parameter_info(port->graph, p);
            known = info.fold == NULL && strcmp(info.name, weights->tensors[i].name) == 0;
        }
        if (!known) {
            return status_fail(STATUS_INPUT, "weight %s is not of this model",
                               weights->tensors[i].name);
        }
    }
    return STATUS_OK;
}

static status_t load_inputs(port_t *port, const tensor_set_t *batch) {
    for (int m = 0; m < graph_input_count(port->graph); m++) {
        char name[160];
        int64_t dims[3] = {port->batch, port->length, graph_input_dim(port->graph, m)};
        const tensor_t *tensor = NULL, *mask = NULL;
        snprintf(name, sizeof name, "mask/%s", graph_input_name(port->graph, m));
        if (tensor_set_find(batch, name) != NULL) {
            TRY(want(batch, name, 2, dims, &mask));
        }
        uint8_t *valid = executor_mask(port->executor, m);
        for (int64_t i = 0; i < port->batch * port->length; i++) {
            valid[i] = mask == NULL || element(mask, i) != 0.0;
        }
        snprintf(name, sizeof name, "input/%s", graph_input_name(port->graph, m));
        TRY(want(batch, name, 3, dims, &tensor));
        char *x = executor_input(port->executor, m);
        for (int64_t i = 0; i < tensor_count(tensor); i++) {
            bool given = valid[i / dims[2]] != 0;
            double value = given ? element(tensor, i) : 0.0;
            if (!isfinite(value)) {
                return status_fail(STATUS_INPUT,
                                   "tensor %s is not finite at element %lld where the "
                                   "mask says valid",
                                   name, (long long)i);
            }
            dtype_set(port->kernels->dtype, x, i, value);
        }
    }
    return STATUS_OK;
}

/* Element i of all shards' rows, one after the other. */
static int64_t place_of(matrix_t x, int64_t i) {
    int64_t row = i / x.cols;
    return row / x.rows * x.shard_stride + row % x.rows * x.row_stride + i % x.cols;
}

/* Loss sum cotangent * output. */
static double apply_cotangent(port_t *port, int output, const tensor_t *cotangent) {
    dtype_t dtype = port->kernels->dtype;
    matrix_t x = executor_fetch(port->executor, executor_output(port->executor, output));
    double loss = 0.0;
    for (int64_t i = 0; i < tensor_count(cotangent); i++) {
        loss += element(cotangent, i) * dtype_get(dtype, x.data, place_of(x, i));
    }
    matrix_t d = executor_fetch(port->executor, executor_output_gradient(port->executor, output));
    for (int64_t i = 0; i < tensor_count(cotangent); i++) {
        dtype_set(dtype, d.data, place_of(d, i), element(cotangent, i));
    }
    executor_store(port->executor);
    return loss;
}

static status_t check_labels(const tensor_t *tensor, const target_config_t *target) {
    int64_t classes = target_classes(target);
    for (int64_t i = 0; classes > 0 && i < tensor_count(tensor); i++) {
        double y = element(tensor, i);
        if (!isnan(y) && !(y >= 0.0 && y < (double)classes && y == floor(y))) {
            return status_fail(STATUS_INPUT,
                               "tensor target/%s has the label %g at element %lld; 0 to %lld is "
                               "expected, or NaN for none",
                               target->name, y, (long long)i, (long long)classes - 1);
        }
    }
    return STATUS_OK;
}

/* sums: of each shard, then their total. */
static double apply_loss(port_t *port, int output, const void *target, const mirror_t *sums) {
    loss_call_t call = loss_call_of(port->config, &port->target_fit, output);
    call.device = port->device;
    call.x = executor_output(port->executor, output);
    call.d_x = executor_output_gradient(port->executor, output);
    call.target = target;
    call.shard_end = port->shards;
    call.sums_stride = LOSS_SUMS;
    double *total = (double *)sums->there + port->shards * LOSS_SUMS;
    size_t at = (size_t)(port->shards * LOSS_SUMS) * sizeof *total;
    port->kernels->loss_sums(&call, sums->there);
    port->kernels->sums_total(port->device, PASS_BACKWARD_DATA, LOSS_SUMS, port->shards,
                              sums->there, total);
    port->kernels->loss_gradient(&call, total);
    mirror_read_part(sums, at, LOSS_SUMS * sizeof *total);
    return call.weight * loss_value(&call, (double *)sums->host + port->shards * LOSS_SUMS);
}

static status_t run_output(port_t *port, const tensor_set_t *batch, int output, double *loss) {
    const char *target_name = graph_output_name(port->graph, output);
    int64_t columns = graph_output_columns(port->graph, output);
    int64_t dims[3] = {port->batch, port->length, columns};
    char name[160];
    const tensor_t *tensor = NULL;
    snprintf(name, sizeof name, "cotangent/%s", target_name);
    if (tensor_set_find(batch, name) != NULL) {
        TRY(want(batch, name, columns > 1 ? 3 : 2, dims, &tensor));
        *loss += apply_cotangent(port, output, tensor);
        return STATUS_OK;
    }
    snprintf(name, sizeof name, "target/%s", target_name);
    TRY(want(batch, name, 2, dims, &tensor));
    TRY(check_labels(tensor, &port->config->targets[output]));
    mirror_t target = {0}, sums = {0};
    status_t status = mirror_open(port->device, (size_t)tensor_count(tensor) * port->element_bytes,
                                  "labels", &target);
    if (status == STATUS_OK) {
        status = mirror_open(port->device, (size_t)(port->shards + 1) * LOSS_SUMS * sizeof(double),
                             "loss sums", &sums);
    }
    if (status == STATUS_OK) {
        for (int64_t i = 0; i < tensor_count(tensor); i++) {
            store(port, target.host, i, element(tensor, i));
        }
        mirror_write(&target);
        *loss += apply_loss(port, output, target.there, &sums);
    }
    mirror_close(&target);
    mirror_close(&sums);
    return status;
}

static tensor_t *add_result(const port_t *port, tensor_set_t *result, const char *prefix,
                            const char *name, int rank, const int64_t *dims) {
    char *full = text_format("%s%s", prefix, name);
    tensor_type_t type = port->state == DTYPE_F64 ? TENSOR_F64 : TENSOR_F32;
    tensor_t *tensor = tensor_set_add(result, full, type, rank, dims);
    free(full);
    return tensor;
}

/* `rows` of all shards, one after the other. */
static void copy_matrix(const port_t *port, tensor_t *tensor, matrix_t there, int64_t rows) {
    matrix_t x = executor_fetch(port->executor, there);
    for (int64_t i = 0; i < rows * x.cols; i++) {
        store(port, tensor->data, i, dtype_get(port->kernels->dtype, x.data, place_of(x, i)));
    }
}

static void collect_outputs(const port_t *port, tensor_set_t *result) {
    for (int o = 0; o < graph_output_count(port->graph); o++) {
        int64_t dims[3] = {port->batch, port->length, graph_output_columns(port->graph, o)};
        tensor_t *tensor = add_result(port, result, "output/", graph_output_name(port->graph, o),
                                      dims[2] > 1 ? 3 : 2, dims);
        copy_matrix(port, tensor, executor_output(port->executor, o), port->batch * port->length);
    }
}

static void collect(const port_t *port, double loss, tensor_set_t *result) {
    int64_t one = 1;
    store(port, add_result(port, result, "", "loss", 1, &one)->data, 0, loss);
    collect_outputs(port, result);
    mirror_read(&port->gradients);
    for (int p = 0; p < graph_parameter_count(port->graph); p++) {
        parameter_info_t info = graph_parameter_info(port->graph, p);
        if (info.role == PARAMETER_FIXED) {
            continue;
        }
        const char *prefix = info.role == PARAMETER_RUNNING ? "statistics/" : "grad/";
        tensor_t *tensor = add_result(port, result, prefix, info.name, info.rank, info.dims);
        for (int64_t i = 0; i < info.count; i++) {
            double sum = dtype_get(port->state, port->gradients.host, port->offsets[p] + i);
            store(port, tensor->data, i, info.role == PARAMETER_RUNNING ? sum / port->shards : sum);
        }
    }
    for (int m = 0; m < graph_input_count(port->graph); m++) {
        int64_t dims[3] = {port->batch, port->length, graph_input_dim(port->graph, m)};
        tensor_t *tensor =
            add_result(port, result, "grad/input/", graph_input_name(port->graph, m), 3, dims);
        matrix_t gradient = executor_input_gradient(port->executor, m);
        copy_matrix(port, tensor, gradient, gradient.rows * port->shards);
    }
}

/* Whether `name` is PREFIX and the name of an input (or of an output) of the graph. */
static bool names_one(const char *name, const char *prefix, int count, const graph_t *graph,
                      const char *(*name_at)(const graph_t *graph, int index)) {
    size_t length = strlen(prefix);
    bool found = false;
    for (int i = 0; i < count && strncmp(name, prefix, length) == 0; i++) {
        found |= strcmp(name + length, name_at(graph, i)) == 0;
    }
    return found;
}

/* A misspelt mask must not pass for a missing one; nor may a cotangent hide a target. */
static status_t check_names(const port_t *port, const tensor_set_t *batch) {
    const graph_t *graph = port->graph;
    int inputs = graph_input_count(graph), outputs = graph_output_count(graph);
    for (int i = 0; i < batch->count; i++) {
        const char *name = batch->tensors[i].name;
        bool cotangent = names_one(name, "cotangent/", outputs, graph, graph_output_name);
        if (!cotangent && !names_one(name, "target/", outputs, graph, graph_output_name) &&
            !names_one(name, "input/", inputs, graph, graph_input_name) &&
            !names_one(name, "mask/", inputs, graph, graph_input_name)) {
            return status_fail(STATUS_INPUT,
                               "tensor %s of the batch is not of this model; leave it out or "
                               "correct its name",
                               name);
        }
        name_t target = name_of("target/%s", cotangent ? strchr(name, '/') + 1 : "");
        if (cotangent && tensor_set_find(batch, target.text) != NULL) {
            return status_fail(STATUS_INPUT, "the batch has both %s and %s; give one of them", name,
                               target.text);
        }
    }
    return STATUS_OK;
}

static status_t run(port_t *port, const tensor_set_t *weights, const tensor_set_t *batch,
                    tensor_set_t *result) {
    TRY(check_names(port, batch));
    TRY(load_weights(port, weights));
    executor_state_t state = {.offsets = port->offsets,
                              .weights = port->weights.there,
                              .part_count = 1,
                              .parts = {port->gradients.there},
                              .part_leaves = {{0, port->shards}}};
    executor_bind(port->executor, &state);
    TRY(load_inputs(port, batch));
    step_scalars_t scalars = {
        .seed = (uint64_t)port->config->seed, .training = true, .drops_nothing = true};
    TRY(executor_forward(port->executor, &scalars));
    double loss = 0.0;
    for (int o = 0; o < graph_output_count(port->graph); o++) {
        TRY(run_output(port, batch, o, &loss));
    }
    TRY(executor_backward(port->executor, &scalars, NULL, NULL));
    collect(port, loss, result);
    return port->device->check(port->device);
}

/* B and L from the first modality's input, D from each. */
static status_t batch_shape(port_t *port, const tensor_set_t *batch,
                            int64_t dims[CONFIG_MODALITIES_MAX]) {
    const config_t *config = port->config;
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    if (count == 0) {
        return status_fail(STATUS_INPUT, "the model has no modalities; add a section modalities");
    }
    for (int m = 0; m < count; m++) {
        const modality_config_t *modality = &config->modalities[indices[m]];
        name_t name = name_of("input/%s", modality->name);
        const tensor_t *x = tensor_set_find(batch, name.text);
        if (x == NULL || x->rank != 3 || x->dims[0] < 1 || x->dims[1] < 1 || x->dims[2] < 1) {
            return status_fail(STATUS_INPUT,
                               "tensor %s is missing from the batch or has another shape; "
                               "[B,L,D] is expected",
                               name.text);
        }
        if (m == 0) {
            port->batch = x->dims[0];
            port->length = x->dims[1];
        }
        dims[m] = modality->dim != 0 ? modality_model_dim(modality, modality->dim) : x->dims[2];
    }
    return STATUS_OK;
}

static status_t open_port(config_t *config, const kernels_t *kernels, const tensor_set_t *batch,
                          int64_t dims[CONFIG_MODALITIES_MAX], port_t *port) {
    *port = (port_t){.config = config,
                     .kernels = kernels,
                     .state = kernels->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32,
                     .element_bytes = dtype_state_bytes(kernels->dtype)};
    TRY(kernels_on_host(kernels, &port->host_kernels));
    TRY(device_open(kernels->device, 0, 1, &port->device));
    port->device->set_strict(port->device, strcmp(config->precision, "f32_strict") == 0);
    TRY(batch_shape(port, batch, dims));
    TRY(target_fit_open(config, NULL, &port->target_fit));
    config->data.window = port->length;
    return model_build(config, dims, &port->graph);
}

static void close_port(port_t *port) {
    graph_close(port->graph);
    free(port->offsets);
    mirror_close(&port->weights);
    mirror_close(&port->gradients);
    device_close(port->device);
}

static status_t hand_over(status_t status, tensor_set_t *result, tensor_set_t *result_out) {
    if (status != STATUS_OK) {
        tensor_set_free(result);
        return status;
    }
    *result_out = *result;
    return STATUS_OK;
}

static status_t open_executor(port_t *port, int shards) {
    if (shards < 1 || shards > STEP_PORT_SHARDS_MAX || port->batch % shards != 0) {
        return status_fail(
            STATUS_INPUT,
            "a batch of %lld samples cannot be cut into %d shards; give a divisor of "
            "it, at most %d",
            (long long)port->batch, shards, STEP_PORT_SHARDS_MAX);
    }
    port->shards = shards;
    executor_config_t config = {.kernels = port->kernels,
                                .device = port->device,
                                .samples_per_shard = port->batch / shards,
                                .shard_count = shards,
                                .backward = true,
                                .input_gradients = true};
    return executor_open(port->graph, &config, &port->executor);
}

status_t step_port(config_t *config, const kernels_t *kernels, int shards,
                   const tensor_set_t *weights, const tensor_set_t *batch,
                   tensor_set_t *result_out) {
    port_t port;
    int64_t dims[CONFIG_MODALITIES_MAX];
    tensor_set_t result = {0};
    status_t status = open_port(config, kernels, batch, dims, &port);
    if (status == STATUS_OK) {
        status = open_executor(&port, shards);
    }
    if (status == STATUS_OK) {
        status = run(&port, weights, batch, &result);
    }
    executor_close(port.executor);
    close_port(&port);
    return hand_over(status, &result, result_out);
}

/* Slots behind the batch, where it does not fill its last group. */
static void clear_inputs(port_t *port) {
    for (int m = 0; m < graph_input_count(port->graph); m++) {
        int64_t rows = executor_samples(port->executor) * port->length;
        int64_t elements = rows * graph_input_dim(port->graph, m);
        memset(executor_mask(port->executor, m), 0, (size_t)rows);
        memset(executor_input(port->executor, m), 0,
               (size_t)elements * dtype_bytes(port->kernels->dtype));
    }
}

static status_t predict(port_t *port, predictor_t *predictor, const tensor_set_t *weights,
                        const tensor_set_t *batch, tensor_set_t *result) {
    port->executor = predictor_executor(predictor);
    TRY(check_names(port, batch));
    TRY(load_weights(port, weights));
    predictor_load(predictor, port->graph, port->offsets, port->weights.host);
    clear_inputs(port);
    TRY(load_inputs(port, batch));
    predictor_run(predictor);
    collect_outputs(port, result);
    return STATUS_OK;
}

status_t step_port_predict(config_t *config, const kernels_t *kernels, const tensor_set_t *weights,
                           const tensor_set_t *batch, tensor_set_t *result_out) {
    port_t port;
    int64_t dims[CONFIG_MODALITIES_MAX];
    predictor_t *predictor = NULL;
    tensor_set_t result = {0};
    status_t status = open_port(config, kernels, batch, dims, &port);
    if (status == STATUS_OK) {
        int64_t samples = predictor_samples(config, port.length);
        status = predictor_open(config, dims, kernels, port.device, samples,
                                (int)div_up(port.batch, samples), &predictor);
    }
    if (status == STATUS_OK) {
        status = predict(&port, predictor, weights, batch, &result);
    }
    predictor_close(predictor);
    close_port(&port);
    return hand_over(status, &result, result_out);
}
