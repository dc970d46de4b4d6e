/* dnn_case.h - convolutions by cuDNN's graph interface, for tests: one operation, or forward with
 * bias and ReLU behind it. */
#ifndef JMT_TEST_DNN_CASE_H
#define JMT_TEST_DNN_CASE_H

#include <cudnn.h>
#include <stdbool.h>

typedef enum conv_kind { CONV_FORWARD, CONV_DATA, CONV_FILTER, CONV_BIAS_RELU } conv_kind_t;

typedef struct conv_shape { /* channels last */
    int spatial;
    int64_t n, c, k, groups, in[3], filter[3], pad[3], stride[3], dilation[3];
    cudnnDataType_t type;
} conv_shape_t;

enum { CONV_DESCRIPTORS = 24 };

typedef struct conv {
    cudnnBackendDescriptor_t all[CONV_DESCRIPTORS], plan;
    int count;
    conv_kind_t kind;
    int64_t work_bytes;
} conv_t;

int64_t conv_out(const conv_shape_t *shape, int dimension); /* points of the output */
/* CUDNN_STATUS_SUCCESS, or the first error. conv_close in any case. */
cudnnStatus_t conv_open(conv_t *conv, cudnnHandle_t handle, conv_kind_t kind,
                        const conv_shape_t *shape);
/* bias: of CONV_BIAS_RELU. */
cudnnStatus_t conv_run(const conv_t *conv, cudnnHandle_t handle, void *x, void *w, void *y,
                       void *bias, void *work);
void conv_close(conv_t *conv);

#endif
