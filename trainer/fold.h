/* fold.h - parameters that are computed from others (fold_t of graph.h). */
#ifndef JMT_FOLD_H
#define JMT_FOLD_H

#include "trainer/graph.h"

/* A graph's parameters in memory: parameter p at weights + offsets[p] elements of the state. */
typedef struct trained {
    const graph_t *graph;
    const int64_t *offsets;
    const void *weights;
} trained_t;

/* All of this is the host's: memory and tables (kernels_on_host). Row `begin` of the parameter of
 * this name; *width_out elements a row. It must be there. */
const void *trained_rows(const trained_t *trained, const kernels_t *kernels, const char *name,
                         int64_t begin, int64_t *width_out);

/* info: of the parameter, which is a folded one; weight: where it lies. */
void fold_parameter(const kernels_t *kernels, const trained_t *trained,
                    const parameter_info_t *info, void *weight);

/* All folded parameters of the graph itself; to be called whenever what they follow from has
 * changed. */
void fold_constants(const kernels_t *kernels, const graph_t *graph, const int64_t *offsets,
                    void *weights);

#endif
