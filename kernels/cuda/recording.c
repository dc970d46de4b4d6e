/* Calls of the device kept as a CUDA graph. */
#include <stdlib.h>

#include "kernels/cuda/backend.h"

struct device_recording {
    cudaGraph_t graph;
    cudaGraphExec_t ready;
};

/* By thread: NCCL's own threads, and one that reads batches, are none of it. */
static void gpu_record_begin(const device_t *device) {
    CUDA_REQUIRE(
        cudaStreamBeginCapture(cuda_context_of(device)->stream, cudaStreamCaptureModeThreadLocal));
}

/* A graph that is under way is freed when it has ended. */
static void gpu_recording_close(const device_t *device, device_recording_t *recording) {
    (void)device;
    if (recording == NULL) {
        return;
    }
    if (recording->ready != NULL) {
        (void)cudaGraphExecDestroy(recording->ready);
    }
    if (recording->graph != NULL) {
        (void)cudaGraphDestroy(recording->graph);
    }
    free(recording);
}

static status_t gpu_record_end(const device_t *device, device_recording_t **recording_out) {
    static const char *const what = "cannot keep a step as a CUDA graph (JMT_CUDA_GRAPH=0: none)";
    device_recording_t *recording = alloc_zero(1, sizeof *recording);
    cudaError_t ended = cudaStreamEndCapture(cuda_context_of(device)->stream, &recording->graph);
    if (recording_out == NULL) {
        (void)cudaGetLastError();
        gpu_recording_close(device, recording);
        return STATUS_OK;
    }
    status_t status = cuda_status(ended, what);
    if (status == STATUS_OK) {
        status = cuda_status(cudaGraphInstantiate(&recording->ready, recording->graph, 0), what);
    }
    if (status != STATUS_OK) {
        (void)cudaGetLastError(); /* an answer, and no state */
        gpu_recording_close(device, recording);
        return status;
    }
    *recording_out = recording;
    return STATUS_OK;
}

static void gpu_replay(const device_t *device, const device_recording_t *recording) {
    CUDA_REQUIRE(cudaGraphLaunch(recording->ready, cuda_context_of(device)->stream));
}

const device_recorder_t cuda_recorder = {gpu_record_begin, gpu_record_end, gpu_replay,
                                         gpu_recording_close};
