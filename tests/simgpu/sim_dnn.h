/* sim_dnn.h - a graph of cuDNN's as the simulator runs it; private to sim_cudnn*.c and
 * sim_convolution.c. */
#ifndef JMT_SIM_DNN_H
#define JMT_SIM_DNN_H

#include <cudnn.h>

#include "sim_number.h"
#include "simgpu.h"

enum { SIM_DIMS = 5, SIM_NODES = 8, SIM_TENSORS = 16, SIM_SPATIAL = 3 };

typedef struct sim_tensor {
    sim_number_t type;
    int64_t uid, alignment_bytes;
    int dims;
    int64_t dim[SIM_DIMS], stride[SIM_DIMS]; /* N, C, spatial..., in elements */
    bool is_virtual;                         /* only between operations */
    char *data;
    float *value; /* while it runs: dense, in the order N, spatial..., C */
} sim_tensor_t;

typedef enum sim_node_kind { SIM_FORWARD, SIM_DATA, SIM_FILTER, SIM_POINTWISE } sim_node_kind_t;

/* Tensors are indices into the graph's. Of a convolution x, w, y; of a pointwise operation x, w
 * (second operand; -1: none), y. */
typedef struct sim_node {
    sim_node_kind_t kind;
    int x, w, y;
    int spatial;
    int64_t pad[SIM_SPATIAL], stride[SIM_SPATIAL], dilation[SIM_SPATIAL];
    int mode; /* cudnnPointwiseMode_t */
    float alpha, beta;
} sim_node_t;

enum { SIM_NO_NOTE = -1 };

typedef struct sim_dnn_graph {
    sim_node_t nodes[SIM_NODES];
    sim_tensor_t tensors[SIM_TENSORS];
    int node_count, tensor_count;
    int note; /* cudnnBackendNumericalNote_t: what the plan's engine does to its numbers */
} sim_dnn_graph_t;

int64_t sim_tensor_count(const sim_tensor_t *tensor); /* elements */
int sim_node_output(const sim_node_t *node);          /* which of x, w, y it writes */

/* Computes the output's value (allocated, zeroed) from the values of the others. */
void sim_convolve(const sim_node_t *node, sim_tensor_t *tensors);
void sim_pointwise(const sim_node_t *node, sim_tensor_t *tensors);

#endif
