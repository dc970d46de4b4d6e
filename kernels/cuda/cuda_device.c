/* The GPU as a device_t, and its tables. */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/ranges.h"
#include "kernels/cuda/tables.h"

/* --- errors ---------------------------------------------------------------------------------- */

static const char *remedy_of(cudaError_t error) {
    switch (error) {
    case cudaErrorMemoryAllocation:
        return "use a smaller batch or more GPUs";
    case cudaErrorNoDevice:
        return "run on a machine with a GPU (Slurm: --gpus-per-task=1), look at "
               "CUDA_VISIBLE_DEVICES, or use device: cpu";
    default:
        return "run `jmt doctor`, or use device: cpu";
    }
}

/* CUDA's own words for both are of a driver that is too old. */
static status_t driver_missing(const char *what) {
    int driver = 0;
    (void)cudaDriverGetVersion(&driver);
    if (driver == 0) {
        return status_fail(STATUS_UNAVAILABLE,
                           "%s: this machine has no NVIDIA driver (libcuda.so.1); run on one with "
                           "a GPU, or use device: cpu",
                           what);
    }
    return status_fail(STATUS_UNAVAILABLE,
                       "%s: the NVIDIA driver is for CUDA %d.%d and this build for %d.%d; install "
                       "a newer driver, or use device: cpu",
                       what, driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                       CUDART_VERSION % 1000 / 10);
}

status_t cuda_status(cudaError_t error, const char *what) {
    if (error == cudaSuccess) {
        return STATUS_OK;
    }
    if (error == cudaErrorInsufficientDriver || error == cudaErrorStubLibrary) {
        return driver_missing(what);
    }
    return status_fail(error == cudaErrorNoDevice ? STATUS_UNAVAILABLE : STATUS_FAILED,
                       "%s: %s; %s", what, cudaGetErrorString(error), remedy_of(error));
}

status_t cuda_product_status(cublasStatus_t error, const char *what) {
    return error == CUBLAS_STATUS_SUCCESS
               ? STATUS_OK
               : status_fail(STATUS_FAILED, "%s: cuBLASLt status %d; run `jmt doctor`", what,
                             (int)error);
}

status_t cuda_convolution_status(cudnnStatus_t error, const char *what) {
    return error == CUDNN_STATUS_SUCCESS
               ? STATUS_OK
               : status_fail(STATUS_FAILED, "%s: cuDNN status %d; run `jmt doctor`", what,
                             (int)error);
}

/* --- memory ---------------------------------------------------------------------------------- */

static void gpu_set_strict(const device_t *device, bool strict) {
    cuda_context_of(device)->tf32 = !strict;
}

static status_t gpu_alloc(const device_t *device, size_t bytes, const char *what,
                          void **memory_out) {
    void *memory = NULL;
    size_t least = bytes > 0 ? bytes : 1;
    cudaError_t error = cudaMalloc(&memory, least);
    if (error != cudaSuccess) {
        (void)cudaGetLastError(); /* an answer, and no state */
        return status_fail(STATUS_FAILED, "cannot allocate %zu bytes of GPU memory for %s: %s; %s",
                           bytes, what, cudaGetErrorString(error), remedy_of(error));
    }
    TRY(cuda_status(cudaMemsetAsync(memory, 0, least, cuda_context_of(device)->stream), what));
    *memory_out = memory;
    return STATUS_OK;
}

static void gpu_release(const device_t *device, void *memory) {
    (void)device;
    CUDA_REQUIRE(cudaFree(memory));
}

static status_t gpu_alloc_pinned(const device_t *device, size_t bytes, const char *what,
                                 void **memory_out) {
    (void)device;
    void *memory = NULL;
    size_t least = bytes > 0 ? bytes : 1;
    TRY(cuda_status(cudaMallocHost(&memory, least), what));
    memset(memory, 0, least);
    *memory_out = memory;
    return STATUS_OK;
}

static void gpu_synchronize(const device_t *device) {
    CUDA_REQUIRE(cudaStreamSynchronize(cuda_context_of(device)->stream));
}

static void gpu_release_pinned(const device_t *device, void *memory) {
    if (memory != NULL) {
        gpu_synchronize(device);
        CUDA_REQUIRE(cudaFreeHost(memory));
    }
}

static void copy(const device_t *device, void *to, const void *from, size_t bytes,
                 enum cudaMemcpyKind kind) {
    if (bytes > 0) {
        CUDA_REQUIRE(cudaMemcpyAsync(to, from, bytes, kind, cuda_context_of(device)->stream));
    }
}

static void gpu_copy_in(const device_t *device, void *to, const void *host, size_t bytes) {
    copy(device, to, host, bytes, cudaMemcpyHostToDevice);
}

static void gpu_copy_out(const device_t *device, void *host, const void *from, size_t bytes) {
    copy(device, host, from, bytes, cudaMemcpyDeviceToHost);
    gpu_synchronize(device);
}

static void gpu_copy(const device_t *device, void *to, const void *from, size_t bytes) {
    copy(device, to, from, bytes, cudaMemcpyDeviceToDevice);
}

static void follow(cudaStream_t stream, cudaEvent_t event, cudaStream_t recorded_on) {
    CUDA_REQUIRE(cudaEventRecord(event, recorded_on));
    CUDA_REQUIRE(cudaStreamWaitEvent(stream, event, 0));
}

static void gpu_ahead_begin(const device_t *device) {
    cuda_context_t *context = cuda_context_of(device);
    follow(context->ahead, context->begun, context->stream);
}

static void gpu_copy_ahead(const device_t *device, void *to, const void *pinned, size_t bytes) {
    if (bytes > 0) {
        CUDA_REQUIRE(cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice,
                                     cuda_context_of(device)->ahead));
    }
}

static void gpu_ahead_end(const device_t *device) {
    cuda_context_t *context = cuda_context_of(device);
    follow(context->stream, context->brought, context->ahead);
}

static void gpu_fill_zero(const device_t *device, void *memory, size_t bytes) {
    if (bytes > 0) {
        CUDA_REQUIRE(cudaMemsetAsync(memory, 0, bytes, cuda_context_of(device)->stream));
    }
}

static status_t gpu_check(const device_t *device) {
    cudaError_t error = cudaStreamQuery(cuda_context_of(device)->stream);
    return cuda_status(error == cudaErrorNotReady ? cudaSuccess : error, "the GPU has failed");
}

/* --- times ----------------------------------------------------------------------------------- */

static void marks_close(cuda_context_t *context) {
    for (int i = 0; i < context->mark_count; i++) {
        (void)cudaEventDestroy(context->marks[i]);
    }
    free(context->marks);
    context->marks = NULL;
    context->mark_count = 0;
}

static status_t gpu_marks_open(const device_t *device, int count) {
    cuda_context_t *context = cuda_context_of(device);
    marks_close(context);
    context->marks = alloc_zero(count, sizeof(cudaEvent_t));
    while (context->mark_count < count) {
        TRY(cuda_status(cudaEventCreate(&context->marks[context->mark_count]), "open marks"));
        context->mark_count++;
    }
    return STATUS_OK;
}

static void gpu_mark(const device_t *device, int mark, void *stream) {
    const cuda_context_t *context = cuda_context_of(device);
    CUDA_REQUIRE(cudaEventRecord(context->marks[mark], stream != NULL ? stream : context->stream));
}

static bool gpu_marks_ms(const device_t *device, int from, int to, double *ms_out) {
    const cuda_context_t *context = cuda_context_of(device);
    float ms = 0.0f;
    cudaError_t error = cudaEventElapsedTime(&ms, context->marks[from], context->marks[to]);
    *ms_out = (double)ms;
    if (error != cudaSuccess) {
        (void)cudaGetLastError(); /* an answer, and no state */
    }
    return error == cudaSuccess;
}

/* --- opening --------------------------------------------------------------------------------- */

static void context_close(cuda_context_t *context) {
    marks_close(context);
    for (int i = 0; i < context->workspace_count; i++) {
        (void)cudaFree(context->workspaces[i]);
    }
    free(context->workspaces);
    (void)cudaFree(context->flag);
    if (context->flag_host != NULL) {
        (void)cudaFreeHost(context->flag_host);
    }
    if (context->convolutions != NULL) {
        (void)cudnnDestroy(context->convolutions);
    }
    if (context->products != NULL) {
        (void)cublasLtDestroy(context->products);
    }
    if (context->begun != NULL) {
        (void)cudaEventDestroy(context->begun);
    }
    if (context->brought != NULL) {
        (void)cudaEventDestroy(context->brought);
    }
    if (context->ahead != NULL) {
        (void)cudaStreamDestroy(context->ahead);
    }
    if (context->own != NULL) {
        (void)cudaStreamDestroy(context->own);
    }
    free(context);
}

static void gpu_close(const device_t *device) {
    gpu_synchronize(device);
    context_close(cuda_context_of(device));
}

static void *gpu_stream(const device_t *device) { return cuda_context_of(device)->own; }

static void gpu_divert(const device_t *device, void *stream) {
    cuda_context_t *context = cuda_context_of(device);
    context->stream = stream != NULL ? stream : context->own;
}

static void describe(cuda_context_t *context, const struct cudaDeviceProp *properties) {
    device_t *device = &context->device;
    (void)snprintf(device->kind, sizeof device->kind, "%.48s, sm_%d%d", properties->name,
                   properties->major, properties->minor);
    for (size_t i = 0; i < sizeof properties->uuid.bytes; i++) {
        (void)snprintf(device->id + 2 * i, sizeof device->id - 2 * i, "%02x",
                       (unsigned)(unsigned char)properties->uuid.bytes[i]);
    }
}

static status_t context_open(cuda_context_t *context) {
    struct cudaDeviceProp properties;
    TRY(cuda_status(cudaSetDevice(context->index), "cannot use the GPU"));
    TRY(cuda_status(cudaGetDeviceProperties(&properties, context->index), "cannot use the GPU"));
    describe(context, &properties);
    TRY(cuda_status(cudaStreamCreateWithFlags(&context->own, cudaStreamNonBlocking),
                    "cannot use the GPU"));
    context->stream = context->own;
    TRY(cuda_status(cudaStreamCreateWithFlags(&context->ahead, cudaStreamNonBlocking),
                    "cannot use the GPU"));
    TRY(cuda_status(cudaEventCreateWithFlags(&context->begun, cudaEventDisableTiming),
                    "cannot use the GPU"));
    TRY(cuda_status(cudaEventCreateWithFlags(&context->brought, cudaEventDisableTiming),
                    "cannot use the GPU"));
    TRY(cuda_product_status(cublasLtCreate(&context->products), "cannot open cuBLASLt"));
    TRY(cuda_convolution_status(cudnnCreate(&context->convolutions), "cannot open cuDNN"));
    TRY(cuda_convolution_status(cudnnSetStream(context->convolutions, context->stream),
                                "cannot open cuDNN"));
    void *flag = NULL, *flag_host = NULL;
    TRY(cuda_status(cudaMalloc(&flag, sizeof *context->flag), "cannot use the GPU"));
    context->flag = flag;
    TRY(cuda_status(cudaMallocHost(&flag_host, sizeof *context->flag), "cannot use the GPU"));
    context->flag_host = flag_host;
    return STATUS_OK;
}

/* Of those that this process sees; a launcher that shows each process its own shows one. */
static status_t choose(int local_index, int local_count, int *index_out) {
    int visible = 0;
    TRY(cuda_status(cudaGetDeviceCount(&visible), "no GPU can be used"));
    if (visible == 0) {
        return cuda_status(cudaErrorNoDevice, "no GPU can be used");
    }
    if (visible > 1 && visible < local_count) {
        return status_fail(STATUS_UNAVAILABLE,
                           "%d processes on this host and %d GPUs; start at most one process for "
                           "each GPU",
                           local_count, visible);
    }
    *index_out = visible == 1 ? 0 : local_index;
    return STATUS_OK;
}

/* JMT_CUDA_GRAPH=0: every call by itself, to look for a fault. */
static status_t choose_recorder(const device_recorder_t **recorder_out) {
    const char *text = getenv("JMT_CUDA_GRAPH");
    bool off = text != NULL && strcmp(text, "0") == 0;
    if (text != NULL && !off && strcmp(text, "1") != 0) {
        return status_fail(STATUS_INPUT, "JMT_CUDA_GRAPH=%s: 0 or 1 is expected", text);
    }
    *recorder_out = off ? NULL : &cuda_recorder;
    return STATUS_OK;
}

status_t cuda_device_open(int local_index, int local_count, const device_t **device_out) {
    const device_recorder_t *recorder = NULL;
    int index = 0;
    TRY(choose_recorder(&recorder));
    TRY(choose(local_index, local_count, &index));
    cuda_context_t *context = alloc_zero(1, sizeof *context);
    context->device = (device_t){
        .name = "cuda",
        .context = context,
        .set_strict = gpu_set_strict,
        .alloc = gpu_alloc,
        .release = gpu_release,
        .alloc_pinned = gpu_alloc_pinned,
        .release_pinned = gpu_release_pinned,
        .copy_in = gpu_copy_in,
        .copy_out = gpu_copy_out,
        .copy = gpu_copy,
        .ahead_begin = gpu_ahead_begin,
        .copy_ahead = gpu_copy_ahead,
        .ahead_end = gpu_ahead_end,
        .fill_zero = gpu_fill_zero,
        .synchronize = gpu_synchronize,
        .check = gpu_check,
        .close = gpu_close,
        .stream = gpu_stream,
        .divert = gpu_divert,
        .range_begin = cuda_range_begin,
        .range_end = cuda_range_end,
        .marks_open = gpu_marks_open,
        .mark = gpu_mark,
        .marks_ms = gpu_marks_ms,
        .recorder = recorder,
    };
    context->index = index;
    context->tf32 = true;
    status_t status = context_open(context);
    if (status != STATUS_OK) {
        context_close(context);
        return status;
    }
    *device_out = &context->device;
    return STATUS_OK;
}

int cuda_device_count(const char **why_out) {
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    error = error == cudaSuccess && count == 0 ? cudaErrorNoDevice : error;
    if (cuda_status(error, "no GPU can be used") != STATUS_OK) {
        *why_out = status_text();
        return 0;
    }
    return count;
}

/* --- tables ---------------------------------------------------------------------------------- */

status_t cuda_kernels(dtype_t dtype, const kernels_t **kernels_out) {
    if (dtype == DTYPE_F64) {
        return status_fail(STATUS_UNAVAILABLE,
                           "backend cuda does not compute in float64; use backend: ref");
    }
    *kernels_out = dtype == DTYPE_BF16 ? &kernels_cuda_bf16 : &kernels_cuda_f32;
    return STATUS_OK;
}

const char *cuda_library_version(void) {
    static char text[96];
    (void)snprintf(text, sizeof text, "CUDA %d, cuBLASLt %zu, cuDNN %zu", CUDART_VERSION,
                   cublasLtGetVersion(), cudnnGetVersion());
    return text;
}

void *cuda_plan_open(const op_description_t *description, size_t bytes) {
    op_plan_t *plan = alloc_zero(1, bytes);
    plan->description = *description;
    plan->context = cuda_context_of(description->device);
    return plan;
}

void plan_close_cuda(op_plan_t *plan) { free(plan); }
