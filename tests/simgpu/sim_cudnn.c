/* cuDNN's graph interface: descriptors are bags of attributes; a plan keeps what its graph means,
 * and executing it puts that into the handle's stream. */
#include <stdio.h>
#include <stdlib.h>

#include "sim_dnn_run.h"

enum { ATTRIBUTES = 16, ATTRIBUTE_BYTES = 256 };

typedef struct attribute {
    cudnnBackendAttributeName_t name;
    int64_t count;
    _Alignas(8) char bytes[ATTRIBUTE_BYTES];
} attribute_t;

typedef struct bag {
    cudnnBackendDescriptorType_t type;
    bool is_final, has_run; /* has_run: a plan */
    int count;
    attribute_t attributes[ATTRIBUTES];
    sim_dnn_graph_t *graph; /* of a plan */
} bag_t;

struct cudnnContext {
    cudaStream_t stream;
};

static char last_error[300];

static cudnnStatus_t refuse(cudnnStatus_t status, const char *why) {
    snprintf(last_error, sizeof last_error, "%s", why);
    return status;
}

/* --- attributes ----------------------------------------------------------------------------- */

static size_t size_of(cudnnBackendAttributeType_t type) {
    switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
        return 1;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_FRACTION:
        return 8;
    default:
        return 4;
    }
}

static const attribute_t *find(const bag_t *bag, cudnnBackendAttributeName_t name) {
    for (int i = 0; i < bag->count; i++) {
        if (bag->attributes[i].name == name) {
            return &bag->attributes[i];
        }
    }
    return NULL;
}

static const void *need(const bag_t *bag, cudnnBackendAttributeName_t name) {
    const attribute_t *attribute = find(bag, name);
    if (attribute == NULL) {
        sim_report(NULL, "cuDNN: a descriptor of type %d lacks attribute %d", (int)bag->type,
                   (int)name);
    }
    return attribute->bytes;
}

static int need_int(const bag_t *bag, cudnnBackendAttributeName_t name) {
    return *(const int *)need(bag, name);
}

static int64_t need_int64(const bag_t *bag, cudnnBackendAttributeName_t name) {
    return *(const int64_t *)need(bag, name);
}

static const bag_t *need_bag(const bag_t *bag, cudnnBackendAttributeName_t name) {
    return *(bag_t *const *)need(bag, name);
}

static float float_or(const bag_t *bag, cudnnBackendAttributeName_t name, float otherwise) {
    const attribute_t *attribute = find(bag, name);
    return attribute == NULL ? otherwise : *(const float *)(const void *)attribute->bytes;
}

/* --- from bags to a graph ------------------------------------------------------------------- */

static sim_tensor_t tensor_of(const bag_t *bag) {
    int type = need_int(bag, CUDNN_ATTR_TENSOR_DATA_TYPE);
    sim_tensor_t tensor = {.type = type == CUDNN_DATA_FLOAT      ? SIM_F32
                                   : type == CUDNN_DATA_BFLOAT16 ? SIM_BF16
                                                                 : SIM_NO_NUMBER};
    const void *dim = need(bag, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const attribute_t *is_virtual = find(bag, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
    tensor.dims = (int)find(bag, CUDNN_ATTR_TENSOR_DIMENSIONS)->count;
    if (tensor.type == SIM_NO_NUMBER || tensor.dims > SIM_DIMS || tensor.dims < 3) {
        sim_report(NULL, "cuDNN: tensor type %d with %d dimensions is not simulated", type,
                   tensor.dims);
    }
    memcpy(tensor.dim, dim, sizeof *tensor.dim * (size_t)tensor.dims);
    memcpy(tensor.stride, need(bag, CUDNN_ATTR_TENSOR_STRIDES),
           sizeof *tensor.stride * (size_t)tensor.dims);
    tensor.uid = need_int64(bag, CUDNN_ATTR_TENSOR_UNIQUE_ID);
    tensor.alignment_bytes = need_int64(bag, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
    tensor.is_virtual = is_virtual != NULL && is_virtual->bytes[0] != 0;
    return tensor;
}

static int add_tensor(sim_dnn_graph_t *graph, const bag_t *bag) {
    sim_tensor_t tensor = tensor_of(bag);
    for (int i = 0; i < graph->tensor_count; i++) {
        if (graph->tensors[i].uid == tensor.uid) {
            return i;
        }
    }
    if (graph->tensor_count == SIM_TENSORS) {
        sim_report(NULL, "cuDNN: a graph of more than %d tensors is not simulated", SIM_TENSORS);
    }
    graph->tensors[graph->tensor_count] = tensor;
    return graph->tensor_count++;
}

static const struct kind {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t form, x, w, y, alpha, beta;
} kinds[] = {
    [SIM_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [SIM_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [SIM_FILTER] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
    [SIM_POINTWISE] = {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
                       CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
                       CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                       CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1,
                       CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2},
};

static int kind_of(const bag_t *bag) {
    for (int kind = SIM_FORWARD; kind <= SIM_POINTWISE; kind++) {
        if (kinds[kind].type == bag->type) {
            return kind;
        }
    }
    return -1;
}

static bool read_convolution(sim_node_t *node, const bag_t *form, const sim_tensor_t *tensors) {
    const sim_tensor_t *x = &tensors[node->x], *w = &tensors[node->w], *y = &tensors[node->y];
    node->spatial = (int)need_int64(form, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS);
    if (node->spatial < 1 || node->spatial > SIM_SPATIAL || x->dims != node->spatial + 2 ||
        w->dims != x->dims || y->dims != x->dims || x->dim[0] != y->dim[0] ||
        w->dim[0] != y->dim[1] || x->dim[1] % w->dim[1] != 0 ||
        w->dim[0] % (x->dim[1] / w->dim[1]) != 0) {
        return false;
    }
    size_t bytes = sizeof(int64_t) * (size_t)node->spatial;
    memcpy(node->pad, need(form, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS), bytes);
    memcpy(node->stride, need(form, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES), bytes);
    memcpy(node->dilation, need(form, CUDNN_ATTR_CONVOLUTION_DILATIONS), bytes);
    const int64_t *post = need(form, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
    if (need_int(form, CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION ||
        need_int(form, CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT) {
        return false;
    }
    for (int i = 0; i < node->spatial; i++) {
        int64_t reach = node->dilation[i] * (w->dim[i + 2] - 1) + 1;
        int64_t room = x->dim[i + 2] + node->pad[i] + post[i] - reach;
        if (room < 0 || y->dim[i + 2] != room / node->stride[i] + 1) {
            return false;
        }
    }
    return true;
}

static bool read_pointwise(sim_node_t *node, const bag_t *form, const sim_tensor_t *tensors) {
    const sim_tensor_t *y = &tensors[node->y];
    node->mode = need_int(form, CUDNN_ATTR_POINTWISE_MODE);
    bool has_two = node->mode == CUDNN_POINTWISE_ADD || node->mode == CUDNN_POINTWISE_MUL;
    if (!has_two && node->mode != CUDNN_POINTWISE_RELU_FWD &&
        node->mode != CUDNN_POINTWISE_IDENTITY) {
        sim_report(NULL, "cuDNN: pointwise mode %d is not simulated", node->mode);
    }
    if (has_two != (node->w >= 0)) {
        return false;
    }
    int operands[] = {node->x, node->w};
    for (int i = 0; i < (has_two ? 2 : 1); i++) {
        const sim_tensor_t *operand = &tensors[operands[i]];
        for (int d = 0; d < y->dims; d++) {
            if (operand->dims != y->dims ||
                (operand->dim[d] != y->dim[d] && operand->dim[d] != 1)) {
                return false;
            }
        }
    }
    return true;
}

static bool add_node(sim_dnn_graph_t *graph, const bag_t *bag) {
    int index = kind_of(bag);
    if (index < 0) {
        sim_report(NULL, "cuDNN: operation %d is not simulated", (int)bag->type);
    }
    const struct kind *kind = &kinds[index];
    sim_node_t *node = &graph->nodes[graph->node_count++];
    *node = (sim_node_t){.kind = (sim_node_kind_t)index};
    node->x = add_tensor(graph, need_bag(bag, kind->x));
    node->w = find(bag, kind->w) == NULL ? -1 : add_tensor(graph, need_bag(bag, kind->w));
    node->y = add_tensor(graph, need_bag(bag, kind->y));
    node->alpha = float_or(bag, kind->alpha, 1);
    node->beta = float_or(bag, kind->beta, index == SIM_POINTWISE ? 1 : 0);
    const bag_t *form = need_bag(bag, kind->form);
    if (index == SIM_POINTWISE) {
        return read_pointwise(node, form, graph->tensors);
    }
    if (node->alpha != 1 || node->beta != 0) {
        sim_report(NULL, "cuDNN: a convolution with alpha %g and beta %g is not simulated",
                   (double)node->alpha, (double)node->beta);
    }
    return node->w >= 0 && read_convolution(node, form, graph->tensors);
}

/* Virtual tensors must be written before they are read, others come from outside. */
static bool is_connected(const sim_dnn_graph_t *graph) {
    bool written[SIM_TENSORS] = {false};
    for (int i = 0; i < graph->node_count; i++) {
        const sim_node_t *node = &graph->nodes[i];
        int output = sim_node_output(node), all[] = {node->x, node->w, node->y};
        for (int j = 0; j < 3; j++) {
            if (all[j] >= 0 && all[j] != output && graph->tensors[all[j]].is_virtual &&
                !written[all[j]]) {
                return false;
            }
        }
        written[output] = true;
    }
    return true;
}

static bool read_graph(sim_dnn_graph_t *graph, const bag_t *bag) {
    const attribute_t *operations = find(bag, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    memset(graph, 0, sizeof *graph);
    if (operations == NULL || operations->count > SIM_NODES) {
        sim_report(NULL, "cuDNN: a graph has 1 to %d operations", SIM_NODES);
    }
    bag_t *const *bags = (bag_t *const *)(const void *)operations->bytes;
    for (int64_t i = 0; i < operations->count; i++) {
        if (!add_node(graph, bags[i])) {
            return false;
        }
    }
    return is_connected(graph);
}

/* --- descriptors ---------------------------------------------------------------------------- */

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t *out) {
    bag_t *bag = calloc(1, sizeof *bag);
    if (bag == NULL) {
        return CUDNN_STATUS_ALLOC_FAILED;
    }
    bag->type = type;
    *out = bag;
    sim_count_live(1, "cuDNN descriptor", SIM_PC);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
    bag_t *bag = descriptor;
    if (bag != NULL) {
        free(bag->graph);
        sim_count_live(-1, "cuDNN descriptor", NULL);
    }
    free(bag);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void *value) {
    bag_t *bag = descriptor;
    size_t bytes = size_of(type) * (size_t)count;
    if (bag->is_final || bag->count == ATTRIBUTES || bytes > ATTRIBUTE_BYTES) {
        return refuse(CUDNN_STATUS_BAD_PARAM, "the descriptor is final, or has too much in it");
    }
    attribute_t *attribute = &bag->attributes[bag->count++];
    attribute->name = name;
    attribute->count = count;
    memcpy(attribute->bytes, value, bytes);
    return CUDNN_STATUS_SUCCESS;
}

/* Engines by what they warn of, in the order in which they are proposed where several are asked
 * for; who asks for one gets the last. */
static const int notes[] = {
    CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION,
    CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, CUDNN_NUMERICAL_NOTE_TENSOR_CORE, SIM_NO_NOTE};
enum { ENGINES = sizeof notes / sizeof *notes };

static int64_t engine_of(const bag_t *bag) {
    return need_int64(bag, CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
}

static const bag_t *graph_of_plan(const bag_t *plan) {
    return need_bag(need_bag(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG),
                    CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
    bag_t *bag = descriptor;
    sim_dnn_graph_t graph = {0};
    if (kind_of(bag) >= 0 && !add_node(&graph, bag)) {
        return refuse(CUDNN_STATUS_BAD_PARAM, "the tensors do not fit the operation");
    }
    if (bag->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR && !read_graph(&graph, bag)) {
        return refuse(CUDNN_STATUS_BAD_PARAM, "the operations of the graph do not fit together");
    }
    if (bag->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
        if (sim_fails("cudnnBackendFinalize of a plan")) {
            return refuse(CUDNN_STATUS_NOT_SUPPORTED, "SIMGPU_FAILS");
        }
        bag->graph = calloc(1, sizeof *bag->graph);
        if (bag->graph == NULL || !read_graph(bag->graph, graph_of_plan(bag))) {
            return refuse(CUDNN_STATUS_BAD_PARAM, "no plan");
        }
        bag->graph->note = notes[engine_of(need_bag(bag, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG))];
    }
    bag->is_final = true;
    return CUDNN_STATUS_SUCCESS;
}

/* An engine's configuration and the engine itself hold the graph and its number. */
static cudnnStatus_t give_engine(bag_t *to, const bag_t *from, int64_t engine) {
    to->count = 0;
    to->is_final = false;
    cudnnStatus_t status = cudnnBackendSetAttribute(
        to, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
        need(from, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH));
    if (status == CUDNN_STATUS_SUCCESS) {
        status = cudnnBackendSetAttribute(to, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1,
                                          &engine);
    }
    to->is_final = true;
    return status;
}

static cudnnStatus_t propose(const bag_t *heuristic, int64_t wanted, bag_t **out,
                             int64_t *count_out) {
    bool all = wanted >= ENGINES;
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    *count_out = all ? ENGINES : 1;
    for (int i = 0; i < *count_out && wanted > 0 && status == CUDNN_STATUS_SUCCESS; i++) {
        status = give_engine(out[i], heuristic, all ? i : ENGINES - 1);
    }
    return status;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t wanted,
                                       int64_t *count_out, void *out) {
    bag_t *bag = descriptor;
    (void)type;
    if (!bag->is_final) {
        return refuse(CUDNN_STATUS_BAD_PARAM, "the descriptor is not final");
    }
    int64_t count = 1;
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        status = propose(bag, out == NULL ? 0 : wanted, out, &count);
        break;
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        if (out != NULL && wanted > 0) {
            status = give_engine(*(bag_t **)out, bag, engine_of(bag));
        }
        break;
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
        *(int64_t *)out = engine_of(bag);
        break;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        count = notes[engine_of(bag)] != SIM_NO_NOTE;
        if (count > 0 && out != NULL && wanted > 0) {
            memcpy(out, &notes[engine_of(bag)], sizeof *notes);
        }
        break;
    case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
        count = 0;
        break;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        *(int64_t *)out = (int64_t)sim_dnn_work_bytes(bag->graph);
        break;
    default:
        sim_report(SIM_PC, "cuDNN: reading attribute %d is not simulated", (int)name);
    }
    if (count_out != NULL) {
        *count_out = count;
    }
    return status;
}

/* --- handles, running ----------------------------------------------------------------------- */

cudnnStatus_t cudnnCreate(cudnnHandle_t *out) {
    int device;
    if (cudaGetDevice(&device) != cudaSuccess || sim_fails(__func__)) {
        return CUDNN_STATUS_NOT_INITIALIZED;
    }
    *out = calloc(1, sizeof **out);
    return *out != NULL ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_ALLOC_FAILED;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
    free(handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

size_t cudnnGetVersion(void) { return CUDNN_VERSION; }

const char *cudnnGetErrorString(cudnnStatus_t status) {
    return status == CUDNN_STATUS_SUCCESS ? "CUDNN_STATUS_SUCCESS" : "a cuDNN error";
}

void cudnnGetLastErrorString(char *out, size_t size) { snprintf(out, size, "%s", last_error); }

static void bind(sim_dnn_graph_t *graph, const bag_t *pack, const void *pc) {
    const attribute_t *uids = find(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    char *const *data = need(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    need(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    for (int i = 0; i < graph->tensor_count; i++) {
        sim_tensor_t *tensor = &graph->tensors[i];
        for (int64_t j = 0; j < uids->count; j++) {
            if (((const int64_t *)(const void *)uids->bytes)[j] == tensor->uid) {
                tensor->data = data[j];
            }
        }
        if (tensor->data == NULL && !tensor->is_virtual) {
            sim_report(pc, "cuDNN: tensor %lld has no pointer in the variant pack",
                       (long long)tensor->uid);
        }
        if ((uintptr_t)tensor->data % (size_t)tensor->alignment_bytes != 0) {
            sim_report(pc, "cuDNN: tensor %lld is not aligned to %lld bytes as it says",
                       (long long)tensor->uid, (long long)tensor->alignment_bytes);
        }
    }
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack) {
    bag_t *of = plan;
    if (!of->is_final || !((const bag_t *)pack)->is_final) {
        return refuse(CUDNN_STATUS_BAD_PARAM, "the plan or the pack is not final");
    }
    sim_dnn_graph_t graph = *of->graph;
    void *work = *(void *const *)need(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    if (!sim_is_device(work)) {
        sim_report(SIM_PC, "cuDNN: the plan needs a workspace of %zu bytes, and gets %p",
                   sim_dnn_work_bytes(&graph), work);
    }
    if (!of->has_run && sim_capture_of(sim_stream_of(handle->stream)) != NULL) {
        sim_report(SIM_PC, "cuDNN: a plan is executed for the first time, and in a capture");
    }
    of->has_run = true;
    bind(&graph, pack, SIM_PC);
    sim_dnn_enqueue(&graph, work, handle->stream);
    return CUDNN_STATUS_SUCCESS;
}
