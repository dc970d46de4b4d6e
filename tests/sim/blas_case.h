/* blas_case.h - one product by cuBLASLt, for tests; matrices by columns, as the library has
 * them. */
#ifndef JMT_TEST_BLAS_CASE_H
#define JMT_TEST_BLAS_CASE_H

#include <cublasLt.h>
#include <stdbool.h>

/* D[rows][columns] = A B over inner, `batch` times with matrices end to end. */
typedef struct product_case {
    uint64_t rows, columns, inner;
    bool transpose_a, transpose_b, tf32;
    cudaDataType_t in, out;
    cublasLtEpilogue_t epilogue;
    int32_t batch, chosen_batch; /* chosen_: what the algorithm is asked for; 0: as it is */
    uint64_t chosen_columns;
    float beta;
    uint32_t alignment; /* that pointers promise */
    void *a, *b, *d, *bias, *aux, *work;
    size_t work_bytes;
} product_case_t;

/* From the heuristic to the call; the first error. */
cublasStatus_t product_run(const product_case_t *product, cudaStream_t stream);

#endif
