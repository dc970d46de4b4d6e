/* Convolutions through cuDNN's backend graph interface, from C. */
#include "sample_libraries.h"
#include <string.h>

typedef cudnnBackendDescriptor_t descriptor;
struct attr {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t n;
    const void *v;
};

/* A finalized descriptor in *out; 0 when all went well. */
static int make(struct conv *c, descriptor *out, cudnnBackendDescriptorType_t type,
                const struct attr *a, int n) {
    int e = cudnnBackendCreateDescriptor(type, out);
    if (e)
        return e;
    c->all[c->n++] = *out;
    for (int i = 0; i < n && !e; i++)
        e = cudnnBackendSetAttribute(*out, a[i].name, a[i].type, a[i].n, a[i].v);
    return e ? e : (int)cudnnBackendFinalize(*out);
}
#define MAKE(c, out, type, ...)                                                                    \
    make(c, out, type, (const struct attr[]){__VA_ARGS__},                                         \
         (int)(sizeof(const struct attr[]){__VA_ARGS__} / sizeof(struct attr)))

/* dims come as N, C, spatial...; memory is channels last. */
static int tensor(struct conv *c, descriptor *out, int64_t uid, const struct conv_shape *s,
                  int64_t n, int64_t ch, const int64_t *space) {
    int64_t dim[5] = {n, ch}, stride[5] = {0, 1}, step = ch, align = 16, rank = s->spatial + 2;
    for (int i = s->spatial; i-- > 0; step *= space[i])
        dim[i + 2] = space[i], stride[i + 2] = step;
    stride[0] = step;
    return MAKE(c, out, CUDNN_BACKEND_TENSOR_DESCRIPTOR,
                {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &s->type},
                {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, rank, dim},
                {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, rank, stride},
                {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid},
                {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align});
}
int conv_make(struct conv *c, cudnnHandle_t h, enum conv_kind kind, const struct conv_shape *s) {
    static const struct {
        cudnnBackendDescriptorType_t type;
        cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
    } op[] = {
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};
    descriptor x, w, y, conv, node, graph, heur, cfg[4];
    int64_t out[3], unit[3] = {1, 1, 1}, d = s->spatial, got = 0;
    float one = 1, zero = 0;
    cudnnDataType_t f32 = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    cudnnBackendHeurMode_t heuristic = CUDNN_HEUR_MODE_A;
    int e;
    memset(c, 0, sizeof *c);
    for (int i = 0; i < s->spatial; i++)
        out[i] = (s->in[i] + 2 * s->pad[i] - s->filter[i]) / s->stride[i] + 1;
    if ((e = tensor(c, &x, 'x', s, s->n, s->c, s->in)) ||
        (e = tensor(c, &w, 'w', s, s->k, s->c, s->filter)) ||
        (e = tensor(c, &y, 'y', s, s->n, s->k, out)))
        return e;
    if ((e = MAKE(c, &conv, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
                  {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &d},
                  {CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &f32},
                  {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode},
                  {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, d, s->pad},
                  {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, d, s->pad},
                  {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, d, unit},
                  {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, d, s->stride})) ||
        (e = MAKE(c, &node, op[kind].type, {op[kind].conv, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv},
                  {op[kind].x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x},
                  {op[kind].w, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &w},
                  {op[kind].y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y},
                  {op[kind].alpha, CUDNN_TYPE_FLOAT, 1, &one},
                  {op[kind].beta, CUDNN_TYPE_FLOAT, 1, &zero})) ||
        (e = MAKE(c, &graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
                  {CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &node},
                  {CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &h})) ||
        (e = MAKE(c, &heur, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR,
                  {CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph},
                  {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &heuristic})))
        return e;
    for (int i = 0; i < 4; i++)
        cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &cfg[i]);
    e = cudnnBackendGetAttribute(heur, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                 4, &got, cfg);
    for (int i = 0, done = 0; i < got && !done && !e; i++) { /* the first engine that builds */
        struct conv one_plan = {0};
        done = !MAKE(
            &one_plan, &c->plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
            {CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &h},
            {CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &cfg[i]});
        if (done)
            e = cudnnBackendGetAttribute(c->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                         CUDNN_TYPE_INT64, 1, &got, &c->work);
    }
    return e; /* the prototype keeps the unused engine configurations */
}
int conv_run(const struct conv *c, cudnnHandle_t h, void *x, void *w, void *y, void *work) {
    struct conv keep = {0};
    descriptor pack;
    int64_t uid[] = {'x', 'w', 'y'};
    void *p[] = {x, w, y};
    int e = MAKE(&keep, &pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
                 {CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, uid},
                 {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, p},
                 {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &work});
    e = e ? e : (int)cudnnBackendExecute(h, c->plan, pack);
    cudnnBackendDestroyDescriptor(pack);
    return e;
}
void conv_free(struct conv *c) {
    while (c->n)
        cudnnBackendDestroyDescriptor(c->all[--c->n]);
    cudnnBackendDestroyDescriptor(c->plan);
}
