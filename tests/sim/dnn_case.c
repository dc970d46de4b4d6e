#include "dnn_case.h"

#include <string.h>

typedef struct attribute {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count;
    const void *value;
} attribute_t;

static const struct kind {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t form, x, w, y, alpha, beta;
} kinds[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

/* A finalized descriptor in *out. */
static cudnnStatus_t make(conv_t *conv, cudnnBackendDescriptor_t *out,
                          cudnnBackendDescriptorType_t type, const attribute_t *attributes,
                          size_t count) {
    cudnnStatus_t status = cudnnBackendCreateDescriptor(type, out);
    if (status != CUDNN_STATUS_SUCCESS || conv->count == CONV_DESCRIPTORS) {
        return status != CUDNN_STATUS_SUCCESS ? status : CUDNN_STATUS_ALLOC_FAILED;
    }
    conv->all[conv->count++] = *out;
    for (size_t i = 0; i < count && status == CUDNN_STATUS_SUCCESS; i++) {
        status = cudnnBackendSetAttribute(*out, attributes[i].name, attributes[i].type,
                                          attributes[i].count, attributes[i].value);
    }
    return status != CUDNN_STATUS_SUCCESS ? status : cudnnBackendFinalize(*out);
}
#define MAKE(conv, out, type, ...)                                                                 \
    make(conv, out, type, (const attribute_t[]){__VA_ARGS__},                                      \
         sizeof(const attribute_t[]){__VA_ARGS__} / sizeof(attribute_t))
#define CHECK(call)                                                                                \
    do {                                                                                           \
        cudnnStatus_t status_ = (call);                                                            \
        if (status_ != CUDNN_STATUS_SUCCESS) {                                                     \
            return status_;                                                                        \
        }                                                                                          \
    } while (0)

/* Dimensions come as N, C, spatial...; memory is channels last. */
static cudnnStatus_t tensor(conv_t *conv, cudnnBackendDescriptor_t *out, int64_t uid,
                            const conv_shape_t *s, int64_t n, int64_t c, const int64_t *space,
                            bool is_virtual) {
    int64_t dim[5] = {n, c}, stride[5] = {0, 1}, step = c, alignment = 16, rank = s->spatial + 2;
    cudnnDataType_t type = is_virtual ? CUDNN_DATA_FLOAT : s->type;
    for (int i = s->spatial - 1; i >= 0; i--) {
        dim[i + 2] = space[i];
        stride[i + 2] = step;
        step *= space[i];
    }
    stride[0] = step;
    return MAKE(conv, out, CUDNN_BACKEND_TENSOR_DESCRIPTOR,
                {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type},
                {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, rank, dim},
                {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, rank, stride},
                {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid},
                {CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual},
                {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment});
}

int64_t conv_out(const conv_shape_t *s, int d) {
    return (s->in[d] + 2 * s->pad[d] - s->dilation[d] * (s->filter[d] - 1) - 1) / s->stride[d] + 1;
}

static cudnnStatus_t pointwise(conv_t *conv, cudnnBackendDescriptor_t *out,
                               cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x,
                               cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y) {
    cudnnBackendDescriptor_t form;
    cudnnDataType_t precision = CUDNN_DATA_FLOAT;
    CHECK(MAKE(conv, &form, CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
               {CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode},
               {CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &precision}));
    const attribute_t attributes[] = {
        {CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &form},
        {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x},
        {CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y},
        {CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &b}};
    return make(conv, out, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, attributes,
                b != NULL ? 4 : 3);
}

/* The operations of the graph; *count_out of them. */
static cudnnStatus_t operations(conv_t *conv, const conv_shape_t *s,
                                cudnnBackendDescriptor_t nodes[3], int64_t *count_out) {
    bool fused = conv->kind == CONV_BIAS_RELU;
    const struct kind *kind = &kinds[fused ? CONV_FORWARD : conv->kind];
    cudnnBackendDescriptor_t x, w, y, bias, added, last, form;
    cudnnDataType_t f32 = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t out[3] = {0}, one[3] = {1, 1, 1}, d = s->spatial;
    float alpha = 1, beta = 0;
    for (int i = 0; i < s->spatial; i++) {
        out[i] = conv_out(s, i);
    }
    CHECK(tensor(conv, &x, 'x', s, s->n, s->c, s->in, false));
    CHECK(tensor(conv, &w, 'w', s, s->k, s->c / s->groups, s->filter, false));
    CHECK(tensor(conv, &y, fused ? 'v' : 'y', s, s->n, s->k, out, fused));
    CHECK(MAKE(conv, &form, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
               {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &d},
               {CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &f32},
               {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode},
               {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, d, s->pad},
               {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, d, s->pad},
               {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, d, s->dilation},
               {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, d, s->stride}));
    CHECK(MAKE(conv, &nodes[0], kind->type, {kind->form, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &form},
               {kind->x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x},
               {kind->w, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &w},
               {kind->y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y},
               {kind->alpha, CUDNN_TYPE_FLOAT, 1, &alpha},
               {kind->beta, CUDNN_TYPE_FLOAT, 1, &beta}));
    *count_out = fused ? 3 : 1;
    if (!fused) {
        return CUDNN_STATUS_SUCCESS;
    }
    CHECK(tensor(conv, &bias, 'b', s, 1, s->k, one, false));
    CHECK(tensor(conv, &added, 'a', s, s->n, s->k, out, true));
    CHECK(tensor(conv, &last, 'y', s, s->n, s->k, out, false));
    CHECK(pointwise(conv, &nodes[1], CUDNN_POINTWISE_ADD, y, bias, added));
    return pointwise(conv, &nodes[2], CUDNN_POINTWISE_RELU_FWD, added, NULL, last);
}

cudnnStatus_t conv_open(conv_t *conv, cudnnHandle_t handle, conv_kind_t kind,
                        const conv_shape_t *s) {
    cudnnBackendDescriptor_t nodes[3], graph, heuristic, configuration;
    cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    int64_t count = 0, got = 0;
    memset(conv, 0, sizeof *conv);
    conv->kind = kind;
    CHECK(operations(conv, s, nodes, &count));
    CHECK(MAKE(conv, &graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
               {CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, nodes},
               {CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle}));
    CHECK(MAKE(conv, &heuristic, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR,
               {CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph},
               {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode}));
    CHECK(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configuration));
    conv->all[conv->count++] = configuration;
    CHECK(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &got, &configuration));
    CHECK(MAKE(conv, &conv->plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
               {CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle},
               {CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                &configuration}));
    return cudnnBackendGetAttribute(conv->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                    CUDNN_TYPE_INT64, 1, &got, &conv->work_bytes);
}

cudnnStatus_t conv_run(const conv_t *conv, cudnnHandle_t handle, void *x, void *w, void *y,
                       void *bias, void *work) {
    conv_t of_pack = {.count = 0};
    cudnnBackendDescriptor_t pack;
    int64_t uids[] = {'x', 'w', 'y', 'b'}, count = conv->kind == CONV_BIAS_RELU ? 4 : 3;
    void *data[] = {x, w, y, bias};
    cudnnStatus_t status =
        MAKE(&of_pack, &pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
             {CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, uids},
             {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, data},
             {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &work});
    if (status == CUDNN_STATUS_SUCCESS) {
        status = cudnnBackendExecute(handle, conv->plan, pack);
    }
    conv_close(&of_pack);
    return status;
}

void conv_close(conv_t *conv) {
    while (conv->count > 0) {
        cudnnBackendDestroyDescriptor(conv->all[--conv->count]);
    }
}
