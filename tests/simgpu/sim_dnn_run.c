/* Running a graph of cuDNN's: inputs become dense floats, every operation computes, what is not
 * virtual is written back in its type. */
#include <stdlib.h>

#include "sim_dnn_run.h"

enum { WORK_BYTES = 1024 };

typedef struct dnn_op {
    sim_op_t op;
    sim_dnn_graph_t graph;
    void *work;
} dnn_op_t;

size_t sim_dnn_work_bytes(const sim_dnn_graph_t *graph) {
    return WORK_BYTES * (1 + (size_t)graph->nodes[0].kind);
}

int64_t sim_tensor_count(const sim_tensor_t *tensor) {
    int64_t count = 1;
    for (int d = 0; d < tensor->dims; d++) {
        count *= tensor->dim[d];
    }
    return count;
}

int sim_node_output(const sim_node_t *node) {
    return node->kind == SIM_DATA ? node->x : node->kind == SIM_FILTER ? node->w : node->y;
}

static size_t span_bytes(const sim_tensor_t *tensor) {
    int64_t last = 0;
    for (int d = 0; d < tensor->dims; d++) {
        last += (tensor->dim[d] - 1) * tensor->stride[d];
    }
    return (size_t)(last + 1) * sim_number_size(tensor->type);
}

/* Where in memory element i of the dense value lies. */
static size_t place(const sim_tensor_t *tensor, int64_t i) {
    int64_t at = i % tensor->dim[1] * tensor->stride[1];
    i /= tensor->dim[1];
    for (int d = tensor->dims - 1; d >= 2; d--) {
        at += i % tensor->dim[d] * tensor->stride[d];
        i /= tensor->dim[d];
    }
    return (size_t)(at + i * tensor->stride[0]);
}

static bool is_written(const sim_dnn_graph_t *graph, int tensor) {
    for (int i = 0; i < graph->node_count; i++) {
        if (sim_node_output(&graph->nodes[i]) == tensor) {
            return true;
        }
    }
    return false;
}

static float as_bf16(float x) { return sim_bits_float((uint32_t)sim_float_bf16(x) << 16); }

static float as_engine_reads(const sim_dnn_graph_t *graph, float x) {
    return graph->note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ? as_bf16(x)
           : graph->note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE       ? sim_float_tf32(x)
                                                                   : x;
}

/* Sums in no order differ in their last bits from run to run. */
static float as_engine_sums(const sim_dnn_graph_t *graph, float x) {
    return graph->note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC
               ? x * (1.0F + 0x1p-22F * (float)sim_random(4))
           : graph->note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ? as_bf16(x)
                                                                             : x;
}

static void load(const sim_dnn_graph_t *graph, int index, sim_tensor_t *tensor, const char *name) {
    int64_t count = sim_tensor_count(tensor);
    tensor->value = calloc((size_t)count, sizeof *tensor->value);
    if (tensor->value == NULL) {
        sim_report(NULL, "no memory for a tensor");
    }
    if (is_written(graph, index)) {
        return;
    }
    sim_touch(tensor->data, span_bytes(tensor), SIM_READ, name);
    for (int64_t i = 0; i < count; i++) {
        float x = (float)sim_number_load(tensor->type, tensor->data, place(tensor, i));
        tensor->value[i] = as_engine_reads(graph, x);
    }
}

static void store(const sim_dnn_graph_t *graph, const sim_tensor_t *tensor, const char *name) {
    sim_touch(tensor->data, span_bytes(tensor), SIM_WRITE, name);
    int64_t count = sim_tensor_count(tensor);
    for (int64_t i = 0; i < count; i++) {
        float x = as_engine_sums(graph, tensor->value[i]);
        sim_number_store(tensor->type, tensor->data, place(tensor, i), x);
    }
}

static bool run_graph(sim_op_t *op) {
    dnn_op_t *run = (dnn_op_t *)op;
    sim_dnn_graph_t *graph = &run->graph;
    size_t bytes = sim_dnn_work_bytes(graph);
    sim_touch(run->work, bytes, SIM_WRITE, "cuDNN workspace");
    sim_poison(run->work, bytes); /* what was there is gone */
    for (int i = 0; i < graph->tensor_count; i++) {
        load(graph, i, &graph->tensors[i], op->name);
    }
    for (int i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].kind == SIM_POINTWISE) {
            sim_pointwise(&graph->nodes[i], graph->tensors);
        } else {
            sim_convolve(&graph->nodes[i], graph->tensors);
        }
    }
    for (int i = 0; i < graph->tensor_count; i++) {
        if (is_written(graph, i) && !graph->tensors[i].is_virtual) {
            store(graph, &graph->tensors[i], op->name);
        }
        free(graph->tensors[i].value);
    }
    return true;
}

void sim_dnn_enqueue(const sim_dnn_graph_t *graph, void *work, cudaStream_t stream) {
    static const char *const names[] = {
        [SIM_FORWARD] = "cuDNN convolution forward",
        [SIM_DATA] = "cuDNN convolution backward data",
        [SIM_FILTER] = "cuDNN convolution backward filter",
        [SIM_POINTWISE] = "cuDNN pointwise operation",
    };
    dnn_op_t *run = sim_op_new(sizeof *run, names[graph->nodes[0].kind], run_graph, NULL);
    run->graph = *graph;
    run->work = work;
    sim_enqueue(stream, run);
}
