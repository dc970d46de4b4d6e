/* Planted faults of kernels, memory and streams, and what looks like them but is right. */
#include <cuda_runtime_api.h>
#include <pthread.h>

#include "fault_case.h"
#include "planted_faults.h"
#include "sample_kernels.h"

enum { N = 256 };
static const size_t BYTES = N * sizeof(float);

static cudaStream_t s, t;
static cudaEvent_t e;
static float *a, *b, *pageable, *pinned; /* ones, but pinned */

static void open_all(void) {
    pageable = malloc(BYTES);
    cudaMalloc((void **)&a, BYTES);
    cudaMalloc((void **)&b, BYTES);
    cudaMallocHost((void **)&pinned, BYTES);
    for (int i = 0; i < N; i++) {
        pageable[i] = 1;
        pinned[i] = 0;
    }
    cudaMemcpy(a, pageable, BYTES, cudaMemcpyHostToDevice);
    cudaMemcpy(b, pageable, BYTES, cudaMemcpyHostToDevice);
    cudaStreamCreate(&s);
    cudaStreamCreate(&t);
    cudaEventCreate(&e);
}

static int close_all(int code) {
    cudaFree(a);
    cudaFree(b);
    cudaFreeHost(pinned);
    cudaStreamDestroy(s);
    cudaStreamDestroy(t);
    cudaEventDestroy(e);
    free(pageable);
    return code;
}

/* Everything of b is `want`, or the data are wrong. */
static int check(float want) {
    float got[N];
    cudaDeviceSynchronize();
    cudaMemcpy(got, b, BYTES, cudaMemcpyDeviceToHost);
    for (int i = 0; i < N; i++) {
        if (got[i] != want) {
            return WRONG_DATA;
        }
    }
    return close_all(0);
}

static int synchronized(void) {
    cudaDeviceSynchronize();
    return close_all(0);
}

/* --- kernels -------------------------------------------------------------------------------- */

static int missing_barrier(void) {
    open_all();
    cudaMemset(b, 0, BYTES);
    bad_missing_barrier(s, b, a, N);
    return check(1);
}

static int divergent(void) {
    open_all();
    bad_divergent(s, b, N);
    return synchronized();
}

static int divergent_shuffle(void) {
    open_all();
    bad_divergent_shuffle(s, b, 32);
    return synchronized();
}

static int global_index(void) {
    open_all();
    bad_global_index(s, b, N);
    return synchronized();
}

static int shared_index(void) {
    open_all();
    bad_shared_index(s, b, 32);
    return synchronized();
}

static int dynamic_shared(void) {
    open_all();
    bad_dynamic_shared(s, b, N);
    return synchronized();
}

static int block_race(void) {
    open_all();
    bad_block_race(s, b, 8);
    return synchronized();
}

static int uninitialised(void) {
    float *c;
    open_all();
    cudaMalloc((void **)&c, BYTES);
    bad_copy(s, b, c, N);
    return check(1);
}

static int host_pointer(void) {
    open_all();
    bad_copy(s, b, pageable, N);
    return synchronized();
}

static int overflow(void) {
    open_all();
    bad_overflow(s, (int *)(void *)b, 100000);
    return synchronized();
}

static int spin(void) {
    open_all();
    cudaMemsetAsync(a, 0, BYTES, s);
    bad_spin(s, b, (unsigned *)(void *)a);
    return synchronized();
}

static int too_many_threads(void) {
    open_all();
    bad_copy(s, b, a, 1025);
    return synchronized();
}

static int last_block(int fence) {
    float *part, got;
    open_all();
    cudaMalloc((void **)&part, 20 * sizeof *part);
    cudaMemsetAsync(b, 0, BYTES, s);
    last_block_sum(s, a, part, (unsigned *)(void *)b, fence);
    cudaStreamSynchronize(s);
    cudaMemcpy(&got, a, sizeof got, cudaMemcpyDeviceToHost);
    cudaFree(part);
    return got == 20 * 64 ? close_all(0) : WRONG_DATA;
}

static int no_fence(void) { return last_block(0); }
static int with_fence(void) { return last_block(1); }

/* --- asynchronous copies of kernels --------------------------------------------------------- */

static int copy_with(async_t fault) {
    open_all();
    async_copy(s, b, a, fault);
    return check(1);
}

static int async_right(void) { return copy_with(ASYNC_RIGHT); }
static int async_no_wait(void) { return copy_with(NO_WAIT); }
static int async_no_barrier(void) { return copy_with(NO_BARRIER); }
static int async_not_committed(void) { return copy_with(NOT_COMMITTED); }
static int async_never_waited(void) { return copy_with(NEVER_WAITED); }

/* --- streams and events --------------------------------------------------------------------- */

static int missing_event(void) {
    open_all();
    scale(s, b, a, 2, N);
    scale(t, b, b, 3, N); /* does not wait for s */
    return check(6);
}

static int event_too_early(void) {
    open_all();
    cudaEventRecord(e, s); /* belongs behind the next line */
    scale(s, b, a, 2, N);
    cudaStreamWaitEvent(t, e, 0);
    scale(t, b, b, 3, N);
    return check(6);
}

static int never_recorded(void) {
    open_all();
    cudaStreamWaitEvent(t, e, 0);
    return synchronized();
}

static int missing_sync(void) { /* the host reads a pinned result too early */
    open_all();
    scale(s, b, a, 2, N);
    cudaMemcpyAsync(pinned, b, BYTES, cudaMemcpyDeviceToHost, s);
    int code = pinned[0] == 2 ? 0 : WRONG_DATA;
    cudaDeviceSynchronize();
    return code == 0 ? close_all(0) : code;
}

static int reused_staging(void) { /* the host refills a pinned buffer whose copy is pending */
    open_all();
    for (int i = 0; i < N; i++) {
        pinned[i] = 1;
    }
    cudaMemcpyAsync(b, pinned, BYTES, cudaMemcpyHostToDevice, s);
    for (int i = 0; i < N; i++) {
        pinned[i] = 2;
    }
    return check(1);
}

static int pinned_freed_too_early(void) {
    open_all();
    memset(pinned, 0, BYTES);
    cudaMemcpyAsync(b, pinned, BYTES, cudaMemcpyHostToDevice, s);
    cudaFreeHost(pinned);
    cudaMallocHost((void **)&pinned, BYTES);
    return check(0);
}

static int no_bytes_right(void) {
    void *nothing = pinned;
    open_all();
    return cudaMalloc(&nothing, 0) == cudaSuccess && nothing == NULL ? synchronized() : 1;
}

static int default_stream(void) { /* it orders nothing with a stream that does not block */
    cudaStream_t free_stream;
    open_all();
    cudaStreamCreateWithFlags(&free_stream, cudaStreamNonBlocking);
    cudaMemset(a, 0, BYTES);
    scale(free_stream, b, a, 2, N);
    cudaStreamDestroy(free_stream);
    return check(0);
}

static int default_stream_right(void) {
    open_all();
    cudaMemset(a, 0, BYTES);
    scale(s, b, a, 2, N);
    cudaMemsetAsync(b, 0, BYTES, NULL);
    scale(t, b, b, 2, N);
    return check(0);
}

static int destroyed_stream(void) {
    open_all();
    cudaStreamDestroy(t);
    scale(t, b, a, 2, N);
    return synchronized();
}

static void *call_elsewhere(void *unused) {
    cudaDeviceSynchronize();
    return unused;
}

static int two_threads(void) {
    pthread_t thread;
    open_all();
    pthread_create(&thread, NULL, call_elsewhere, NULL);
    pthread_join(thread, NULL);
    return synchronized();
}

static int events_right(void) {
    open_all();
    scale(s, b, a, 2, N);
    cudaEventRecord(e, s);
    cudaStreamWaitEvent(t, e, 0);
    scale(t, b, b, 3, N);
    cudaEventRecord(e, t);
    cudaStreamWaitEvent(s, e, 0);
    scale(s, b, b, 0.5f, N);
    cudaMemcpyAsync(pinned, b, BYTES, cudaMemcpyDeviceToHost, s);
    cudaEventRecord(e, s);
    while (cudaEventQuery(e) == cudaErrorNotReady) {}
    return pinned[N - 1] == 3 ? check(3) : WRONG_DATA;
}

/* --- memory --------------------------------------------------------------------------------- */

static int use_after_free(void) {
    open_all();
    cudaFree(b);
    scale(s, b, a, 2, N);
    return synchronized();
}

static int double_free(void) {
    open_all();
    cudaFree(b);
    cudaFree(b);
    return 0;
}

static int host_touches(void) {
    open_all();
    return b[3] == 7;
}

static int copy_too_long(void) {
    open_all();
    cudaMemcpyAsync(b, a, BYTES + 4, cudaMemcpyDeviceToDevice, s);
    return synchronized();
}

static int rows_too_long(void) {
    open_all();
    cudaMemcpy2DAsync(b, 64, a, 60, 60, 17, cudaMemcpyDeviceToDevice, s);
    return synchronized();
}

static int rows_right(void) {
    open_all();
    cudaMemsetAsync(b, 0, BYTES, s);
    cudaMemcpy2DAsync(b, 64, a, 128, 64, 8, cudaMemcpyDeviceToDevice, s);
    cudaMemcpy2DAsync(b + N / 2, 64, a, 64, 64, 8, cudaMemcpyDeviceToDevice, s);
    return check(1);
}

static int wrong_kind(void) {
    open_all();
    cudaMemcpyAsync(b, a, 4, cudaMemcpyHostToDevice, s);
    return synchronized();
}

static int not_registered(void) {
    open_all();
    cudaHostRegister(pageable, BYTES, cudaHostRegisterDefault);
    cudaHostUnregister(pageable);
    cudaHostUnregister(pageable);
    return synchronized();
}

static int registered_right(void) {
    open_all();
    cudaHostRegister(pageable, BYTES, cudaHostRegisterDefault);
    bad_copy(s, b, pageable, N); /* kernels may read it now */
    cudaDeviceSynchronize();
    cudaHostUnregister(pageable);
    return check(1);
}

/* --- memory in the order of streams --------------------------------------------------------- */

static int allocated_elsewhere(void) { /* the other stream does not wait for the allocation */
    float *c;
    open_all();
    cudaMallocAsync((void **)&c, BYTES, s);
    scale(t, c, a, 2, N);
    return synchronized();
}

static int freed_too_early(void) { /* t does not wait for the reader */
    float *c;
    open_all();
    cudaMallocAsync((void **)&c, BYTES, s);
    scale(s, c, a, 2, N);
    scale(s, b, c, 2, N);
    cudaFreeAsync(c, t);
    return check(4);
}

static int used_after_async_free(void) {
    float *c;
    open_all();
    cudaMallocAsync((void **)&c, BYTES, s);
    cudaFreeAsync(c, s);
    scale(s, c, a, 2, N);
    return synchronized();
}

static int async_memory_is_garbage(void) {
    float *c;
    open_all();
    cudaMallocAsync((void **)&c, BYTES, s);
    scale(s, b, c, 2, N);
    return synchronized();
}

static int async_memory_right(void) {
    float *c;
    open_all();
    cudaMallocAsync((void **)&c, BYTES, s);
    scale(s, c, a, 2, N);
    cudaEventRecord(e, s);
    cudaStreamWaitEvent(t, e, 0);
    scale(t, b, c, 2, N);
    cudaFreeAsync(c, t);
    return check(4);
}

/* --- what is left --------------------------------------------------------------------------- */

static int memory_is_left(void) {
    open_all();
    float *mine = b;
    b = NULL;
    int code = synchronized();
    return mine == NULL ? 1 : code;
}

static int event_is_left(void) {
    cudaEvent_t other;
    open_all();
    cudaEventCreate(&other);
    return synchronized();
}

static int no_device_right(void) {
    int count = -1;
    setenv("SIMGPU_DEVICES", "0", 1);
    return cudaGetDeviceCount(&count) == cudaErrorNoDevice && count == 0 ? 0 : 1;
}

static int no_driver_right(void) {
    int count = -1;
    setenv("SIMGPU_DEVICES", "-1", 1);
    return cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver && count == 0 ? 0 : 1;
}

static const fault_t faults[] = {
    RIGHT(no_device_right),
    RIGHT(no_driver_right),
    FAULT(missing_barrier, "race: reads|uninitialised: reads"),
    FAULT(divergent, "divergent __syncthreads"),
    FAULT(divergent_shuffle, "divergent warp operation"),
    FAULT(global_index, "out of bounds: 4 bytes written"),
    FAULT(shared_index, "index 32 out of bounds|race:"),
    FAULT(dynamic_shared, "out of bounds: 4 bytes written"),
    FAULT(block_race, "written by another block"),
    FAULT(uninitialised, "uninitialised: reads"),
    FAULT(host_pointer, "kernel touches host memory"),
    FAULT(overflow, "signed integer overflow"),
    FAULT(spin, "accesses without waiting"),
    FAULT(too_many_threads, "invalid launch of copy"),
    FAULT(no_fence, "written by another block"),
    RIGHT(with_fence),
    RIGHT(async_right),
    FAULT(async_no_wait, "uninitialised: reads|asynchronous copies that nobody waited for"),
    FAULT(async_no_barrier, "race: reads|uninitialised: reads"),
    FAULT(async_not_committed, "uninitialised: reads|asynchronous copies that nobody waited for"),
    FAULT(async_never_waited, "asynchronous copies that nobody waited for"),
    FAULT(missing_event, "which no event or sync orders"),
    FAULT(event_too_early, "which no event or sync orders"),
    FAULT(never_recorded, "the event was never recorded"),
    FAULT_SOMETIMES(missing_sync, ""),
    FAULT_SOMETIMES(reused_staging, "while a copy from it was pending"),
    FAULT_SOMETIMES(pinned_freed_too_early, "was freed while a copy"),
    RIGHT(no_bytes_right),
    FAULT(default_stream, "which no event or sync orders"),
    RIGHT(default_stream_right),
    FAULT(destroyed_stream, "use of a destroyed stream"),
    FAULT(two_threads, "from two threads"),
    RIGHT(events_right),
    FAULT(use_after_free, "of a freed block"),
    FAULT(double_free, "double free"),
    FAULT(host_touches, "host code touches device memory"),
    FAULT(copy_too_long, "out of bounds: 1028 bytes"),
    FAULT(rows_too_long, "cudaMemcpy2DAsync: out of bounds"),
    RIGHT(rows_right),
    FAULT(wrong_kind, "not of the stated kind"),
    FAULT(not_registered, "which is no such memory"),
    RIGHT(registered_right),
    FAULT(allocated_elsewhere, "out of bounds: 4 bytes written|which no event or sync orders"),
    FAULT(freed_too_early, "which no event or sync orders|of a freed block"),
    FAULT(used_after_async_free, "of a freed block"),
    FAULT(async_memory_is_garbage, "uninitialised: reads"),
    RIGHT(async_memory_right),
    FAULT(memory_is_left, "leak: the program ends with 1 of: device memory"),
    FAULT(event_is_left, "leak: the program ends with 1 of: event"),
};

int main(void) { return fault_run_all(faults, (int)(sizeof faults / sizeof *faults)); }
