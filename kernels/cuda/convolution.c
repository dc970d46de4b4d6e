/* Convolutions by cuDNN's backend graph interface. */
#include "kernels/cuda/backend.h"

typedef cudnnBackendDescriptor_t descriptor_t;
enum { ID_X = 'x', ID_FILTER = 'w', ID_Y = 'y', PARTS_MAX = 8, PROPOSALS_MAX = 32, DIMS_MAX = 5 };
enum { NOTES_MAX = 16 };

struct convolution {
    cuda_context_t *context;
    dtype_t dtype;
    descriptor_t plan;
    descriptor_t parts[PARTS_MAX]; /* what the plan is made of */
    int part_count;
    int64_t workspace_bytes;
};

typedef struct attribute {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count;
    const void *values;
} attribute_t;

/* A finalized descriptor, to be destroyed by the caller also when this fails. */
static cudnnStatus_t make(descriptor_t *out, cudnnBackendDescriptorType_t type,
                          const attribute_t *attributes, int count) {
    cudnnStatus_t error = cudnnBackendCreateDescriptor(type, out);
    for (int i = 0; i < count && error == CUDNN_STATUS_SUCCESS; i++) {
        const attribute_t *a = &attributes[i];
        error = cudnnBackendSetAttribute(*out, a->name, a->type, a->count, a->values);
    }
    return error != CUDNN_STATUS_SUCCESS ? error : cudnnBackendFinalize(*out);
}
#define MAKE(out, type, attributes) make(out, type, attributes, ARRAY_LEN(attributes))

static descriptor_t *next_part(convolution_t *c) {
    REQUIRE(c->part_count < PARTS_MAX);
    return &c->parts[c->part_count++];
}

/* --- the graph ------------------------------------------------------------------------------- */

/* cuDNN's kernels know two axes and three: one axis is two of which the first is 1 wide. */
static int axes_of(const op_axis_t *axis) {
    bool plain = axis->in == 1 && axis->out == 1 && axis->size == 1 && axis->stride == 1 &&
                 axis->before == 0;
    return plain ? OP_AXES - 1 : OP_AXES;
}

/* dims: samples, columns, then the axes; packed by row. */
static cudnnStatus_t tensor(convolution_t *c, descriptor_t *out, int64_t id, dtype_t dtype,
                            const int64_t *dims, int rank) {
    int64_t stride[DIMS_MAX], step = dims[1], alignment = 16;
    cudnnDataType_t type = dtype == DTYPE_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    for (int i = rank; i-- > 2;) {
        stride[i] = step;
        step *= dims[i];
    }
    stride[0] = step;
    stride[1] = 1;
    const attribute_t attributes[] = {
        {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type},
        {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, rank, dims},
        {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, rank, stride},
        {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id},
        {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment},
    };
    descriptor_t *part = next_part(c);
    cudnnStatus_t error = MAKE(part, CUDNN_BACKEND_TENSOR_DESCRIPTOR, attributes);
    *out = *part;
    return error;
}

typedef struct tensors {
    descriptor_t x, filter, y;
} tensors_t;

static cudnnStatus_t open_tensors(convolution_t *c, const convolution_shape_t *s, int axes,
                                  tensors_t *out) {
    int64_t x[DIMS_MAX] = {s->samples, s->in}, y[DIMS_MAX] = {s->samples, s->out};
    int64_t filter[DIMS_MAX] = {s->out, s->in / s->groups};
    for (int i = 0; i < axes; i++) {
        const op_axis_t *axis = &s->axis[OP_AXES - axes + i];
        x[2 + i] = axis->in;
        y[2 + i] = axis->out;
        filter[2 + i] = axis->size;
    }
    cudnnStatus_t error = tensor(c, &out->x, ID_X, s->dtype, x, axes + 2);
    error = error != 0 ? error : tensor(c, &out->filter, ID_FILTER, s->dtype, filter, axes + 2);
    return error != 0 ? error : tensor(c, &out->y, ID_Y, s->dtype, y, axes + 2);
}

static cudnnStatus_t open_window(convolution_t *c, const convolution_shape_t *s, int64_t axes,
                                 descriptor_t *out) {
    int64_t before[OP_AXES], after[OP_AXES], dilation[OP_AXES], stride[OP_AXES];
    cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    for (int i = 0; i < axes; i++) {
        const op_axis_t *axis = &s->axis[OP_AXES - axes + i];
        int64_t reach = (axis->out - 1) * axis->stride + (axis->size - 1) * axis->dilation + 1;
        before[i] = axis->before;
        after[i] = max_i64(reach - axis->in - axis->before, 0);
        dilation[i] = axis->dilation;
        stride[i] = axis->stride;
    }
    const attribute_t attributes[] = {
        {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes},
        {CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums},
        {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode},
        {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, axes, before},
        {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, axes, after},
        {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, axes, dilation},
        {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, axes, stride},
    };
    descriptor_t *part = next_part(c);
    cudnnStatus_t error = MAKE(part, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, attributes);
    *out = *part;
    return error;
}

static const struct names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t window, x, filter, y, alpha, beta;
} names_of[] = {
    [CONVOLVE] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [CONVOLVE_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [CONVOLVE_FILTER] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

static cudnnStatus_t open_graph(convolution_t *c, const convolution_shape_t *s,
                                descriptor_t *graph_out) {
    const struct names *names = &names_of[s->what];
    tensors_t t = {NULL};
    descriptor_t window = NULL;
    int axes = axes_of(s->axis);
    float one = 1.0f, zero = 0.0f;
    cudnnStatus_t error = open_tensors(c, s, axes, &t);
    error = error != 0 ? error : open_window(c, s, axes, &window);
    if (error != CUDNN_STATUS_SUCCESS) {
        return error;
    }
    const attribute_t node[] = {
        {names->window, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &window},
        {names->x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &t.x},
        {names->filter, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &t.filter},
        {names->y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &t.y},
        {names->alpha, CUDNN_TYPE_FLOAT, 1, &one},
        {names->beta, CUDNN_TYPE_FLOAT, 1, &zero},
    };
    descriptor_t *operation = next_part(c);
    error = MAKE(operation, names->type, node);
    if (error != CUDNN_STATUS_SUCCESS) {
        return error;
    }
    const attribute_t graph[] = {
        {CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, operation},
        {CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &c->context->convolutions},
    };
    descriptor_t *part = next_part(c);
    int count = c->context->described == NULL ? ARRAY_LEN(graph) : 1;
    error = make(part, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, graph, count);
    *graph_out = *part;
    return error;
}

/* --- the plan -------------------------------------------------------------------------------- */

/* Whether an engine's note says what we do not want: sums in no fixed order, or in less than float;
 * factors of less than what is stored; and by tensor cores, which read floats as TF32, where floats
 * are to be multiplied strictly. */
static bool is_refused(const convolution_t *c, cudnnBackendNumericalNote_t note) {
    return note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
           note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
           note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
           (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && c->dtype == DTYPE_F32 && !c->context->tf32);
}

static bool is_admitted(const convolution_t *c, descriptor_t proposal) {
    descriptor_t engine = NULL;
    cudnnBackendNumericalNote_t notes[NOTES_MAX];
    int64_t count = 0;
    bool admitted =
        cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) == 0 &&
        cudnnBackendGetAttribute(proposal, CUDNN_ATTR_ENGINECFG_ENGINE,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine) == 0 &&
        cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                 CUDNN_TYPE_NUMERICAL_NOTE, NOTES_MAX, &count, notes) == 0;
    for (int64_t i = 0; admitted && i < count; i++) {
        admitted = !is_refused(c, notes[i]);
    }
    (void)cudnnBackendDestroyDescriptor(engine);
    return admitted;
}

static bool take(convolution_t *c, descriptor_t proposal) {
    cuda_context_t *context = c->context;
    const attribute_t here = {CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                              &context->convolutions};
    const attribute_t described = {CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &context->described};
    const attribute_t attributes[] = {
        context->described == NULL ? here : described,
        {CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &proposal},
    };
    int64_t count = 0;
    if (is_admitted(c, proposal) &&
        MAKE(&c->plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, attributes) == 0 &&
        cudnnBackendGetAttribute(c->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                 CUDNN_TYPE_INT64, 1, &count, &c->workspace_bytes) == 0) {
        return true;
    }
    if (c->plan != NULL) {
        (void)cudnnBackendDestroyDescriptor(c->plan);
        c->plan = NULL;
    }
    return false;
}

static bool take_first(convolution_t *c, descriptor_t graph, cudnnBackendHeurMode_t mode) {
    const attribute_t attributes[] = {
        {CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph},
        {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode},
        {CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
         &c->context->described},
    };
    int attribute_count = ARRAY_LEN(attributes) - (c->context->described == NULL ? 1 : 0);
    descriptor_t heuristic = NULL, proposals[PROPOSALS_MAX] = {NULL};
    int64_t count = 0;
    bool taken = false;
    if (make(&heuristic, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, attributes, attribute_count) == 0) {
        bool created = true;
        for (int i = 0; i < PROPOSALS_MAX; i++) {
            created = created && cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                                                              &proposals[i]) == 0;
        }
        if (created && cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                CUDNN_TYPE_BACKEND_DESCRIPTOR, PROPOSALS_MAX,
                                                &count, proposals) == 0) {
            for (int64_t i = 0; i < count && !taken; i++) {
                taken = take(c, proposals[i]);
                if (taken) {
                    *next_part(c) = proposals[i];
                    proposals[i] = NULL;
                }
            }
        }
    }
    for (int i = 0; i < PROPOSALS_MAX; i++) {
        if (proposals[i] != NULL) {
            (void)cudnnBackendDestroyDescriptor(proposals[i]);
        }
    }
    if (heuristic != NULL) {
        (void)cudnnBackendDestroyDescriptor(heuristic);
    }
    return taken;
}

status_t convolution_open(cuda_context_t *context, const convolution_shape_t *shape,
                          convolution_t **convolution_out) {
    convolution_t *c = alloc_zero(1, sizeof *c);
    c->context = context;
    c->dtype = shape->dtype;
    descriptor_t graph = NULL;
    cudnnStatus_t error = open_graph(c, shape, &graph);
    if (error == CUDNN_STATUS_SUCCESS && (take_first(c, graph, CUDNN_HEUR_MODE_A) ||
                                          take_first(c, graph, CUDNN_HEUR_MODE_FALLBACK))) {
        *convolution_out = c;
        return STATUS_OK;
    }
    convolution_close(c);
    return status_fail(STATUS_UNAVAILABLE,
                       "cuDNN has no plan for a convolution of %lld to %lld columns in %lld "
                       "groups over %lld x %lld x %lld (status %d); use backend: cpu",
                       (long long)shape->in, (long long)shape->out, (long long)shape->groups,
                       (long long)shape->axis[0].in, (long long)shape->axis[1].in,
                       (long long)shape->axis[2].in, (int)error);
}

void convolution_close(convolution_t *convolution) {
    if (convolution == NULL) {
        return;
    }
    if (convolution->plan != NULL) {
        (void)cudnnBackendDestroyDescriptor(convolution->plan);
    }
    while (convolution->part_count > 0) {
        descriptor_t part = convolution->parts[--convolution->part_count];
        if (part != NULL) {
            (void)cudnnBackendDestroyDescriptor(part);
        }
    }
    free(convolution);
}

int64_t convolution_workspace_bytes(const convolution_t *convolution) {
    return convolution == NULL ? 0 : convolution->workspace_bytes;
}

void convolution_run(const convolution_t *convolution, void *x, void *filter, void *y,
                     void *workspace) {
    const int64_t ids[] = {ID_X, ID_FILTER, ID_Y};
    void *const data[] = {x, filter, y};
    const attribute_t attributes[] = {
        {CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ARRAY_LEN(ids), ids},
        {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, ARRAY_LEN(ids), data},
        {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace},
    };
    descriptor_t pack = NULL;
    cudnnStatus_t error = MAKE(&pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, attributes);
    REQUIRE(error == CUDNN_STATUS_SUCCESS);
    error = cudnnBackendExecute(convolution->context->convolutions, convolution->plan, pack);
    REQUIRE(error == CUDNN_STATUS_SUCCESS);
    (void)cudnnBackendDestroyDescriptor(pack);
}
