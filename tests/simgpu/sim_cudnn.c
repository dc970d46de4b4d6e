/* cuDNN's backend interface: descriptors are bags of attributes, and executing a plan interprets
 * the operations of its graph.  Convolutions of any rank, forward and both gradients. */
#include "sim_number.h"
#include "simgpu.h"
#include <cudnn.h>
#include <stdlib.h>

typedef cudnnBackendDescriptor_t descriptor;
struct attribute {
    cudnnBackendAttributeName_t name;
    int64_t count;
    char bytes[256];
};
struct bag {
    cudnnBackendDescriptorType_t type;
    bool final;
    int n;
    struct attribute a[16];
};
struct cudnnContext {
    cudaStream_t stream;
};
enum { DIMS = 8 };
struct tensor {
    enum number type;
    int64_t uid, n, dim[DIMS], stride[DIMS];
    char *p;
};

static size_t size_of(cudnnBackendAttributeType_t t) {
    return t == CUDNN_TYPE_BOOLEAN || t == CUDNN_TYPE_CHAR ? 1
           : t == CUDNN_TYPE_HANDLE || t == CUDNN_TYPE_INT64 || t == CUDNN_TYPE_DOUBLE ||
                   t == CUDNN_TYPE_VOID_PTR || t == CUDNN_TYPE_BACKEND_DESCRIPTOR ||
                   t == CUDNN_TYPE_FRACTION
               ? 8
               : 4;
}
static const struct attribute *find(const struct bag *b, cudnnBackendAttributeName_t name) {
    for (int i = 0; i < b->n; i++)
        if (b->a[i].name == name)
            return &b->a[i];
    return NULL;
}
static const void *need(const struct bag *b, cudnnBackendAttributeName_t name) {
    const struct attribute *a = find(b, name);
    if (!a)
        sim_report(NULL, "cuDNN: a descriptor of type %d lacks attribute %d", b->type, name);
    return a->bytes;
}
static const struct bag *bag_at(const struct bag *b, cudnnBackendAttributeName_t name) {
    return *(struct bag *const *)need(b, name);
}
static struct tensor tensor_of(const struct bag *b) {
    int type = *(const int *)need(b, CUDNN_ATTR_TENSOR_DATA_TYPE);
    struct tensor t = {.type = type == CUDNN_DATA_FLOAT      ? N_F32
                               : type == CUDNN_DATA_BFLOAT16 ? N_BF16
                                                             : N_NONE};
    const struct attribute *dims = find(b, CUDNN_ATTR_TENSOR_DIMENSIONS);
    need(b, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
    t.uid = *(const int64_t *)need(b, CUDNN_ATTR_TENSOR_UNIQUE_ID);
    t.n = dims ? dims->count : 0;
    memcpy(t.dim, need(b, CUDNN_ATTR_TENSOR_DIMENSIONS), sizeof *t.dim * (size_t)t.n);
    memcpy(t.stride, need(b, CUDNN_ATTR_TENSOR_STRIDES), sizeof *t.stride * (size_t)t.n);
    if (t.type == N_NONE || t.n > DIMS)
        sim_report(NULL, "cuDNN: tensor type %d with %ld dimensions is not simulated", type,
                   (long)t.n);
    return t;
}
static size_t span(const struct tensor *t) {
    int64_t last = 0;
    for (int i = 0; i < t->n; i++)
        last += (t->dim[i] - 1) * t->stride[i];
    return (size_t)(last + 1) * number_size(t->type);
}

/* ---- convolutions: one loop over (n, k, output point, c, filter point) serves all three ---- */
struct convolution {
    sim_op_t op;
    struct tensor x, w, y;
    int what, n;
    int64_t pad[DIMS], stride[DIMS], dilation[DIMS];
    double alpha, beta;
    void *work;
};
enum { FORWARD, DATA, FILTER };
static bool next(int64_t *at, const int64_t *dim, int n) {
    for (int i = n; i-- > 0; at[i] = 0)
        if (++at[i] < dim[i])
            return true;
    return false;
}
static bool run(sim_op_t *op) {
    struct convolution *c = (struct convolution *)op;
    struct tensor *out = c->what == FORWARD ? &c->y
                         : c->what == DATA  ? &c->x
                                            : &c->w,
                  *all[] = {&c->x, &c->w, &c->y};
    double *sum = calloc(span(out) / number_size(out->type), sizeof *sum);
    int64_t o[DIMS] = {0}, groups = c->x.dim[1] / c->w.dim[1], per = c->w.dim[0] / groups;
    for (int i = 0; i < 3; i++)
        if (all[i] != out || c->beta != 0)
            sim_touch(all[i]->p, span(all[i]), SIM_READ, op->name);
    do {
        int64_t f[DIMS] = {0}, y = 0;
        for (int i = 0; i < c->y.n; i++)
            y += o[i] * c->y.stride[i];
        f[0] = o[1];
        do {
            int64_t x = o[0] * c->x.stride[0] + (f[1] + o[1] / per * c->w.dim[1]) * c->x.stride[1],
                    w = o[1] * c->w.stride[0] + f[1] * c->w.stride[1];
            bool inside = true;
            for (int i = 2; i < c->x.n; i++) {
                int64_t at = o[i] * c->stride[i - 2] - c->pad[i - 2] + f[i] * c->dilation[i - 2];
                inside = inside && at >= 0 && at < c->x.dim[i];
                x += at * c->x.stride[i];
                w += f[i] * c->w.stride[i];
            }
            if (!inside)
                continue;
            double X = c->what == DATA ? 0 : number_load(c->x.type, c->x.p, (size_t)x),
                   W = c->what == FILTER ? 0 : number_load(c->w.type, c->w.p, (size_t)w);
            double Y = c->what == FORWARD ? 0 : number_load(c->y.type, c->y.p, (size_t)y);
            if (c->what == FORWARD)
                sum[y] += X * W;
            else if (c->what == DATA)
                sum[x] += Y * W;
            else
                sum[w] += Y * X;
        } while (next(f + 1, c->w.dim + 1, (int)c->w.n - 1));
    } while (next(o, c->y.dim, (int)c->y.n));
    int64_t at[DIMS] = {0};
    do {
        int64_t i = 0;
        for (int d = 0; d < out->n; d++)
            i += at[d] * out->stride[d];
        number_store(out->type, out->p, (size_t)i,
                     c->alpha * sum[i] +
                         (c->beta != 0 ? c->beta * number_load(out->type, out->p, (size_t)i) : 0));
    } while (next(at, out->dim, (int)out->n));
    free(sum);
    sim_touch(out->p, span(out), SIM_WRITE, op->name);
    return true;
}
static const struct {
    cudnnBackendDescriptorType_t type;
    const char *name;
    cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
} kinds[] = {[FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                          "cuDNN convolution forward",
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
             [DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                       "cuDNN convolution backward data",
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
             [FILTER] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                         "cuDNN convolution backward filter",
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};
static struct convolution *convolution_of(const struct bag *b) {
    int k = FORWARD;
    while (k <= FILTER && kinds[k].type != b->type)
        k++;
    if (k > FILTER)
        sim_report(NULL, "cuDNN: operation %d is not simulated", b->type);
    struct convolution *c = sim_op_new(sizeof *c, kinds[k].name, run, NULL);
    const struct bag *conv = bag_at(b, kinds[k].conv);
    c->what = k;
    c->x = tensor_of(bag_at(b, kinds[k].x));
    c->w = tensor_of(bag_at(b, kinds[k].w));
    c->y = tensor_of(bag_at(b, kinds[k].y));
    c->alpha = *(const float *)need(b, kinds[k].alpha);
    c->beta = *(const float *)need(b, kinds[k].beta);
    c->n = (int)*(const int64_t *)need(conv, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS);
    memcpy(c->pad, need(conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS), sizeof *c->pad * (size_t)c->n);
    memcpy(c->stride, need(conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
           sizeof *c->pad * (size_t)c->n);
    memcpy(c->dilation, need(conv, CUDNN_ATTR_CONVOLUTION_DILATIONS),
           sizeof *c->pad * (size_t)c->n);
    const int64_t *post = need(conv, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
    bool fits = c->x.n == c->n + 2 && c->w.n == c->x.n && c->y.n == c->x.n &&
                c->x.dim[0] == c->y.dim[0] && c->w.dim[0] == c->y.dim[1] &&
                c->x.dim[1] % c->w.dim[1] == 0;
    for (int i = 0; fits && i < c->n; i++)
        fits = c->y.dim[i + 2] ==
               (c->x.dim[i + 2] + c->pad[i] + post[i] - c->dilation[i] * (c->w.dim[i + 2] - 1) -
                1) / c->stride[i] +
                   1;
    return fits ? c : (free(c), NULL);
}

/* ---- the interface ---- */
cudnnStatus_t cudnnCreate(cudnnHandle_t *h) {
    return *h = calloc(1, sizeof **h), CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t h) { return free(h), CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t s) {
    return h->stream = s, CUDNN_STATUS_SUCCESS;
}
const char *cudnnGetErrorString(cudnnStatus_t s) {
    return s ? "simulated cuDNN error" : "no error";
}
size_t cudnnGetVersion(void) { return CUDNN_VERSION; }
cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, descriptor *d) {
    struct bag *b = calloc(1, sizeof *b);
    b->type = type;
    return *d = b, CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendDestroyDescriptor(descriptor d) { return free(d), CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnBackendSetAttribute(descriptor d, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n, const void *v) {
    struct bag *b = d;
    size_t bytes = size_of(type) * (size_t)n;
    if (b->final || b->n == 16 || bytes > sizeof b->a->bytes)
        return CUDNN_STATUS_BAD_PARAM;
    struct attribute *a = &b->a[b->n++];
    a->name = name;
    a->count = n;
    memcpy(a->bytes, v, bytes);
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendFinalize(descriptor d) {
    struct bag *b = d;
    for (int k = FORWARD; k <= FILTER; k++)
        if (b->type == kinds[k].type) {
            struct convolution *c = convolution_of(b);
            if (!c)
                return CUDNN_STATUS_BAD_PARAM;
            free(c);
        }
    return b->final = true, CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendGetAttribute(descriptor const d, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t want, int64_t *got,
                                       void *out) {
    struct bag *b = d;
    (void)type, (void)want;
    if (!b->final)
        return CUDNN_STATUS_BAD_PARAM;
    *got = 1;
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && out) { /* one engine, and it holds the graph */
        struct bag *cfg = *(struct bag **)out;
        cfg->final = true;
        cfg->n = 0;
        cudnnStatus_t s =
            (cfg->final = false,
             cudnnBackendSetAttribute(cfg, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                      need(b, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH)));
        return cfg->final = true, s;
    }
    if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)
        return *(int64_t *)out = 1024, CUDNN_STATUS_SUCCESS;
    return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBackendExecute(cudnnHandle_t h, descriptor plan, descriptor pack) {
    const struct bag *graph = bag_at(bag_at(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG),
                                     CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    const struct attribute *ops = find(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS),
                           *uids = find(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    for (int64_t i = 0; i < ops->count; i++) {
        struct convolution *c = convolution_of(((struct bag *const *)(const void *)ops->bytes)[i]);
        struct tensor *all[] = {&c->x, &c->w, &c->y};
        for (int t = 0; t < 3; t++) {
            for (int64_t u = 0; u < uids->count; u++)
                if (((const int64_t *)(const void *)uids->bytes)[u] == all[t]->uid)
                    all[t]->p =
                        ((char *const *)need(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS))[u];
            if (!all[t]->p)
                sim_report(__builtin_return_address(0),
                           "cuDNN: tensor %ld has no pointer in the variant pack",
                           (long)all[t]->uid);
        }
        sim_enqueue(h->stream, c);
    }
    return CUDNN_STATUS_SUCCESS;
}
