/* sim_matmul.h - what a cublasLtMatmul is made of; private to sim_cublaslt*.c. */
#ifndef JMT_SIM_MATMUL_H
#define JMT_SIM_MATMUL_H

#include <cublasLt.h>
#include <stdbool.h>

#include "sim_number.h"
#include "simgpu.h"

/* These two lie in the opaque structs of the header. Matrices are by columns. */
typedef struct sim_layout {
    sim_number_t type;
    int32_t batch, order;
    uint64_t rows, columns;
    int64_t ld, stride; /* elements */
} sim_layout_t;

typedef struct sim_matmul_form {
    int32_t transpose_a, transpose_b;
    uint32_t epilogue;
    sim_number_t bias_type; /* SIM_NO_NUMBER: that of the result */
    void *bias, *aux;       /* aux: of RELU, a bit an element */
    int64_t bias_stride, aux_ld, aux_stride;
    bool tf32;
} sim_matmul_form_t;

typedef struct sim_matmul {
    sim_op_t op;
    sim_matmul_form_t form;
    sim_layout_t a, b, c, d;
    const void *a_data, *b_data, *c_data;
    void *d_data, *work;
    size_t work_bytes;
    float alpha, beta;
    bool any_order; /* parts of a sum are added as they come */
} sim_matmul_t;

bool sim_matmul_run(sim_op_t *op);

#endif
