/* product_onednn.h - one matrix product by oneDNN: dst[m,n] = left[m,k] right[k,n], and perhaps
 * bias and relu. Primitive and memory objects are made once; a run only points them at its data. */
#ifndef JMT_KERNELS_CPU_PRODUCT_ONEDNN_H
#define JMT_KERNELS_CPU_PRODUCT_ONEDNN_H

#include <dnnl.h>

#include "kernels/kernels.h"

#define TRY_DNNL(call)                                                                             \
    do {                                                                                           \
        dnnl_status_t dnnl_status_ = (call);                                                       \
        if (dnnl_status_ != dnnl_success) {                                                        \
            return status_fail(STATUS_UNAVAILABLE,                                                 \
                               "oneDNN refuses a linear operation (%s: %d); use backend ref",      \
                               #call, (int)dnnl_status_);                                          \
        }                                                                                          \
    } while (0)

typedef struct operand {
    int64_t rows, cols, row_stride, col_stride;
} operand_t;

typedef struct product {
    dnnl_primitive_t primitive; /* NULL: never asked for */
    dnnl_memory_t left, right, bias, dst, scratch;
    int64_t scratch_bytes; /* the scratch memory a run wants, at any alignment */
} product_t;

/* `product` is zeroed by the caller, who closes it also after a failure. */
status_t product_open(dnnl_engine_t engine, operand_t left, operand_t right, operand_t dst,
                      bool with_bias, bool relu, product_t *product) MUST_CHECK;
void product_close(product_t *product); /* leaves it zeroed */

/* bias: NULL where there is none. */
void product_run(const product_t *product, dnnl_stream_t stream, const void *left,
                 const void *right, const void *bias, void *dst, void *scratch);

#endif
