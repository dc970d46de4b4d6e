/* The device, its properties and the words for errors. SIMGPU_DEVICES says how many there are
 * (8; 0: none, -1: no driver). */
#include <stdio.h>
#include <string.h>

#include "simgpu.h"

static int current = -1; /* device; -1: none chosen */

cudaError_t cudaGetDeviceCount(int *count_out) {
    long count = sim_setting("SIMGPU_DEVICES", 8);
    *count_out = count > 0 ? (int)count : 0;
    return count > 0 ? cudaSuccess : count == 0 ? cudaErrorNoDevice : cudaErrorInsufficientDriver;
}

cudaError_t cudaSetDevice(int device) {
    int count;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || device < 0 || device >= count) {
        return error != cudaSuccess ? error : cudaErrorInvalidDevice;
    }
    if (current >= 0 && device != current) {
        sim_report(SIM_PC, "device %d after device %d: one device a process is simulated", device,
                   current);
    }
    current = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device_out) {
    int count;
    *device_out = current >= 0 ? current : 0;
    return cudaGetDeviceCount(&count);
}

cudaError_t cudaDeviceReset(void) { return sim_drain(); }

cudaError_t cudaSetDeviceFlags(unsigned flags) {
    (void)flags;
    return cudaSuccess;
}

/* Of an H100 as far as a trainer asks; UUID and bus are those of the machine's GPU `device`. */
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int device) {
    int count;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || device < 0 || device >= count) {
        return error != cudaSuccess ? error : cudaErrorInvalidDevice;
    }
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "simulated GPU");
    memcpy(out->uuid.bytes, "simulated GPU", 13);
    out->uuid.bytes[15] = (char)(sim_setting("SIMGPU_FIRST_DEVICE", 0) + device);
    out->major = 9;
    out->minor = 0;
    size_t unused;
    cudaMemGetInfo(&unused, &out->totalGlobalMem);
    out->sharedMemPerBlock = 48 << 10;
    out->sharedMemPerBlockOptin = 227 << 10;
    out->sharedMemPerMultiprocessor = 228 << 10;
    out->regsPerBlock = out->regsPerMultiprocessor = 65536;
    out->warpSize = 32;
    out->maxThreadsPerBlock = out->maxThreadsDim[0] = out->maxThreadsDim[1] = 1024;
    out->maxThreadsDim[2] = 64;
    out->maxGridSize[0] = 0x7FFFFFFF;
    out->maxGridSize[1] = out->maxGridSize[2] = 65535;
    out->multiProcessorCount = 132;
    out->maxThreadsPerMultiProcessor = 2048;
    out->l2CacheSize = 50 << 20;
    out->memoryBusWidth = 5120;
    out->asyncEngineCount = 3;
    out->pciBusID = device + 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *out, enum cudaDeviceAttr name, int device) {
    struct cudaDeviceProp of;
    cudaError_t error = cudaGetDeviceProperties(&of, device);
    if (error != cudaSuccess) {
        return error;
    }
    switch (name) {
    case cudaDevAttrComputeCapabilityMajor:
        *out = of.major;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *out = of.minor;
        break;
    case cudaDevAttrMultiProcessorCount:
        *out = of.multiProcessorCount;
        break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *out = of.maxThreadsPerMultiProcessor;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *out = (int)of.sharedMemPerBlockOptin;
        break;
    case cudaDevAttrL2CacheSize:
        *out = of.l2CacheSize;
        break;
    case cudaDevAttrClockRate:
        *out = 1980000;
        break;
    case cudaDevAttrMemoryClockRate:
        *out = 2619000;
        break;
    case cudaDevAttrGlobalMemoryBusWidth:
        *out = of.memoryBusWidth;
        break;
    case cudaDevAttrMemoryPoolsSupported:
        *out = 1;
        break;
    default:
        sim_report(SIM_PC, "device attribute %d is not simulated", (int)name);
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *out, int size, int device) {
    snprintf(out, (size_t)size, "0000:%02X:00.0", (unsigned)(device + 1));
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version_out) {
    int count;
    *version_out = cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver ? 0 : CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version_out) {
    *version_out = CUDART_VERSION;
    return cudaSuccess;
}

/* --- errors: what a kernel or a launch does wrong ends the process instead ------------------ */

static cudaError_t last_error = cudaSuccess;

cudaError_t sim_error_stays(cudaError_t error) { return last_error = error; }

cudaError_t cudaGetLastError(void) {
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void) { return last_error; }

static const struct {
    cudaError_t error;
    const char *name, *text;
} words[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
};

static const char *word_of(cudaError_t error, bool name) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (words[i].error == error) {
            return name ? words[i].name : words[i].text;
        }
    }
    return name ? "cudaError" : "another CUDA error";
}

const char *cudaGetErrorString(cudaError_t error) { return word_of(error, false); }
const char *cudaGetErrorName(cudaError_t error) { return word_of(error, true); }
