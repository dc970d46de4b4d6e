/* sim_dnn_run.h - puts a graph of cuDNN's into a stream; private to sim_cudnn.c. */
#ifndef JMT_SIM_DNN_RUN_H
#define JMT_SIM_DNN_RUN_H

#include "sim_dnn.h"

/* Of its kind: a gradient asks for more than what is forward. */
size_t sim_dnn_work_bytes(const sim_dnn_graph_t *graph);
void sim_dnn_enqueue(const sim_dnn_graph_t *graph, void *work, cudaStream_t stream);

#endif
