/* backend.h - what the files of kernels/cuda share, on the host: the device that all work is queued
 * on, its errors, and products by cuBLASLt. C11, and C++ for the .cu files. */
#ifndef JMT_KERNELS_CUDA_BACKEND_H
#define JMT_KERNELS_CUDA_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "kernels/cuda.h"
#include "kernels/ref/rows.h"

/* Of one device_t. Everything is queued on the one stream, in the order of the calls: its own, but
 * for what is diverted. */
typedef struct cuda_context {
    device_t device;
    int index; /* as CUDA counts the devices that this process sees */
    cudaStream_t stream, own;
    cudaStream_t ahead; /* of copies ahead */
    cudaEvent_t begun, brought;
    cublasLtHandle_t products;
    cudnnHandle_t convolutions;
    cudnnBackendDescriptor_t described; /* not NULL: no GPU; plan convolutions for this one */
    bool tf32;                          /* products of float by TF32 */
    void *product_workspace;
    size_t product_workspace_bytes; /* what the plans so far need at most */
    void **workspaces;              /* [workspace_count]: it, and what it was before */
    int workspace_count;
    int *flag, *flag_host; /* an answer that the host waits for; pinned */
    cudaEvent_t *marks;    /* [mark_count], with times; NULL: nobody asked for them */
    int mark_count;
} cuda_context_t;

static inline cuda_context_t *cuda_context_of(const device_t *device) {
    return (cuda_context_t *)device->context;
}

/* STATUS_UNAVAILABLE or STATUS_FAILED with the line "what: the error; a remedy". */
status_t cuda_status(cudaError_t error, const char *what) MUST_CHECK;
status_t cuda_product_status(cublasStatus_t error, const char *what) MUST_CHECK;
status_t cuda_convolution_status(cudnnStatus_t error, const char *what) MUST_CHECK;

/* Of calls that never fail: an error is ours, or the device is lost. */
#define CUDA_REQUIRE(call)                                                                         \
    do {                                                                                           \
        cudaError_t error_ = (call);                                                               \
        if (error_ != cudaSuccess) {                                                               \
            panic(__FILE__, __LINE__, cudaGetErrorString(error_));                                 \
        }                                                                                          \
    } while (0)

/* Every plan of this backend begins with it. */
struct op_plan {
    op_description_t description;
    cuda_context_t *context;
};

/* `bytes`: of the plan's own struct, which begins with an op_plan. */
void *cuda_plan_open(const op_description_t *description, size_t bytes);
void plan_close_cuda(op_plan_t *plan);

/* The most shards that one call runs over. */
static inline int64_t plan_shards(const op_description_t *description) {
    return max_i64(description->shard_count, 1);
}

static inline bool all_rows_alike(const op_description_t *description) {
    bool alike = true;
    for (int i = 0; i < description->input_count; i++) {
        alike = alike && description->in[i].rows == description->out.rows &&
                description->in[i].cols == description->out.cols;
    }
    return alike;
}

/* A part of a call's workspace, at a multiple of 256 bytes from its beginning. */
static inline int64_t region_add(int64_t *bytes, int64_t count) {
    int64_t at = *bytes;
    *bytes += align_up(count, 256);
    return at;
}

static inline void *region_at(const op_call_t *call, int64_t at) {
    return (char *)call->workspace + at;
}

static inline int64_t floats_of(int64_t bytes) { return (bytes + 3) / 4; }

extern const device_recorder_t cuda_recorder; /* recording.c */

/* --- products (product.c) -------------------------------------------------------------------- */

/* C[m,n] = A[m,k] B[k,n] (+ what was in C), by row; a_transposed: A is stored as [k,m]. */
typedef struct product_shape {
    int64_t m, n, k;
    bool a_transposed, b_transposed;
    int64_t a_row, b_row, c_row; /* from row to row as stored, elements */
    dtype_t in, out;
    bool bias; /* a vector of n of type `out` is added to each row of C */
    bool relu;
    int64_t most; /* products of a call, at most */
} product_shape_t;

typedef struct product product_t;

/* A fixed algorithm for this shape; which one does not depend on how many such products a call
 * makes, and each element is summed in one order. */
status_t product_open(cuda_context_t *context, const product_shape_t *shape,
                      product_t **product_out) MUST_CHECK;
void product_close(product_t *product); /* NULL allowed */

/* `batch` products; a_next: elements from one A to the next, 0 if all use the same. */
typedef struct product_call {
    const void *a, *b;
    void *c;
    const void *bias;
    int64_t batch, a_next, b_next, c_next;
    bool add; /* to what is in C */
} product_call_t;
void product_run(const product_t *product, const product_call_t *call);

/* --- convolutions (convolution.c) ------------------------------------------------------------ */

typedef enum { CONVOLVE, CONVOLVE_DATA, CONVOLVE_FILTER } convolve_t;

/* Of the samples of one shard. Tensors are packed, channels last, at multiples of 16 bytes; filters
 * are [out, size 0, size 1, size 2, in/groups]. */
typedef struct convolution_shape {
    convolve_t what;
    int64_t samples, in, out, groups; /* in, out: columns */
    op_axis_t axis[OP_AXES];
    dtype_t dtype; /* of all three tensors */
} convolution_shape_t;

typedef struct convolution convolution_t;

/* The first plan that cuDNN proposes whose sums go in a fixed order, at full precision. */
status_t convolution_open(cuda_context_t *context, const convolution_shape_t *shape,
                          convolution_t **convolution_out) MUST_CHECK;
void convolution_close(convolution_t *convolution);                    /* NULL allowed */
int64_t convolution_workspace_bytes(const convolution_t *convolution); /* NULL: 0 */
/* x, y: of one shard; which of the three is written is the shape's. */
void convolution_run(const convolution_t *convolution, void *x, void *filter, void *y,
                     void *workspace);

/* --- launches that several operations use (flat.cu, sums.cu) --------------------------------- */

/* to = from as bf16, rounded to nearest. */
void cuda_round_bf16(cuda_context_t *context, void *to, const float *from, int64_t count);

/* total = the canonical tree over n leaves (comm/tree.h), each `stride` floats after the other. */
void cuda_tree_sum(cuda_context_t *context, float *total, const float *leaves, int64_t stride,
                   int n, int64_t count);

#ifdef __cplusplus
}
#endif

#endif
