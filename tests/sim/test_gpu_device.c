/* The GPU as a device_t: what it answers, and what it says where there is none or too little. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cuda_runtime_api.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/cuda.h"
#include "kernels/kernels.h"

enum { MANY = 100000 };

static const device_t *device;

/* The simulator is in the plug-in, which has its own functions alone. */
static struct {
    __typeof__(cudaStreamQuery) *stream_query;
    __typeof__(cudaStreamGetFlags) *stream_get_flags;
    __typeof__(cudaPeekAtLastError) *peek_at_last_error;
} simulator;

static void find(void *object, const char *name, void *to) {
    void *found = dlsym(object, name);
    assert_non_null(found);
    memcpy(to, &found, sizeof found);
}

static void find_simulator(void) {
    Dl_info plugin = {0};
    void *inside = NULL;
    memcpy(&inside, &device->check, sizeof inside);
    assert_true(dladdr(inside, &plugin) != 0);
    void *object = dlopen(plugin.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(object);
    find(object, "cudaStreamQuery", &simulator.stream_query);
    find(object, "cudaStreamGetFlags", &simulator.stream_get_flags);
    find(object, "cudaPeekAtLastError", &simulator.peek_at_last_error);
}

static float *alloc_floats(int64_t count) {
    void *memory = NULL;
    CHECK_OK(device->alloc(device, (size_t)count * sizeof(float), "a test", &memory));
    return memory;
}

static void memory_begins_with_zeros(void **state) {
    (void)state;
    float *host = alloc_zero(MANY, sizeof *host), *there = alloc_floats(MANY);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            host[i] = 1.0F;
        }
        device->copy_out(device, host, there, MANY * sizeof *host);
        for (int i = 0; i < MANY; i++) {
            assert_true(host[i] == 0.0F);
            host[i] = 2.0F;
        }
        device->copy_in(device, there, host, MANY * sizeof *host);
        device->fill_zero(device, there, MANY * sizeof *host);
    }
    device->release(device, there);
    free(host);
}

static void no_bytes_are_memory_too(void **state) {
    (void)state;
    void *memory = NULL, *pinned = NULL;
    CHECK_OK(device->alloc(device, 0, "nothing", &memory));
    CHECK_OK(device->alloc_pinned(device, 0, "nothing", &pinned));
    assert_non_null(memory);
    assert_non_null(pinned);
    device->copy_in(device, memory, pinned, 0);
    device->copy(device, memory, memory, 0);
    device->copy_out(device, pinned, memory, 0);
    device->fill_zero(device, memory, 0);
    device->release(device, memory);
    device->release_pinned(device, pinned);
    device->release(device, NULL);
    device->release_pinned(device, NULL);
}

/* A copy from pinned memory reads it when it runs. */
static void pinned_memory_is_released_after_its_copies(void **state) {
    (void)state;
    void *pinned = NULL;
    float *there = alloc_floats(MANY), *host = alloc_zero(MANY, sizeof *host);
    CHECK_OK(device->alloc_pinned(device, MANY * sizeof *host, "a batch", &pinned));
    for (int i = 0; i < MANY; i++) {
        assert_true(((float *)pinned)[i] == 0.0F);
        ((float *)pinned)[i] = (float)i;
    }
    device->copy_in(device, there, pinned, MANY * sizeof *host);
    device->release_pinned(device, pinned);
    device->copy_out(device, host, there, MANY * sizeof *host);
    for (int i = 0; i < MANY; i++) {
        assert_true(host[i] == (float)i);
    }
    device->release(device, there);
    free(host);
}

/* A copy to pinned memory is there when the call returns. */
static void pinned_memory_is_written_before_it_is_read(void **state) {
    (void)state;
    void *pinned = NULL;
    float *there = alloc_floats(MANY);
    CHECK_OK(device->alloc_pinned(device, MANY * sizeof *there, "a result", &pinned));
    memset(pinned, 1, MANY * sizeof *there);
    device->copy_out(device, pinned, there, MANY * sizeof *there);
    for (int i = 0; i < MANY; i++) {
        assert_true(((float *)pinned)[i] == 0.0F);
    }
    device->release_pinned(device, pinned);
    device->release(device, there);
}

/* With another order than the first, work goes on in any call. */
static bool simulator_waits(void) {
    const char *seed = getenv("SIMGPU_SEED");
    return seed == NULL || strcmp(seed, "0") == 0;
}

static void a_check_does_not_wait(void **state) {
    (void)state;
    float *there = alloc_floats(MANY);
    for (int i = 0; i < 4; i++) { /* a query of seed 0 runs one of them */
        device->fill_zero(device, there, MANY * sizeof *there);
    }
    if (simulator_waits()) {
        assert_int_equal(simulator.stream_query(device->stream(device)), cudaErrorNotReady);
    }
    CHECK_OK(device->check(device));
    if (simulator_waits()) {
        assert_int_equal(simulator.stream_query(device->stream(device)), cudaErrorNotReady);
    }
    device->synchronize(device);
    assert_int_equal(simulator.stream_query(device->stream(device)), cudaSuccess);
    CHECK_OK(device->check(device));
    device->release(device, there);
}

/* Work on the default stream is nothing that the device's stream waits for. */
static void the_stream_is_of_its_own(void **state) {
    (void)state;
    unsigned flags = 0;
    assert_int_equal(simulator.stream_get_flags(device->stream(device), &flags), cudaSuccess);
    assert_int_equal(flags, cudaStreamNonBlocking);
}

static void too_much_is_refused_and_forgotten(void **state) {
    (void)state;
    void *memory = NULL;
    setenv("SIMGPU_MEMORY", "1", 1);
    CHECK_FAILS(device->alloc(device, 4096, "the arena", &memory), STATUS_FAILED,
                "4096 bytes of GPU memory for the arena: out of memory; use a smaller batch");
    unsetenv("SIMGPU_MEMORY");
    assert_null(memory);
    assert_int_equal(simulator.peek_at_last_error(), cudaSuccess);
    CHECK_OK(device->check(device));
}

/* A plan that gets no memory leaves nothing behind. */
static void plans_without_memory(void **state) {
    (void)state;
    const kernels_t *kernels = NULL;
    op_plan_t *plan = NULL;
    op_needs_t needs;
    op_description_t d = {.kind = OP_add_waves, .device = device, .input_count = 1};
    d.attributes.period = 2;
    d.out = d.in[0] = (op_shape_t){4, 8, 8};
    CHECK_OK(kernels_for("cuda", DTYPE_F32, &kernels));
    setenv("SIMGPU_MEMORY", "1", 1);
    CHECK_FAILS(kernels->ops[OP_add_waves].plan(&d, &plan, &needs), STATUS_FAILED,
                "sinusoidal positions");
    unsetenv("SIMGPU_MEMORY");
    assert_null(plan);
}

static void what_is_too_large_is_refused(void **state) {
    (void)state;
    const kernels_t *kernels = NULL;
    op_plan_t *plan = NULL;
    op_needs_t needs;
    op_description_t d = {.kind = OP_attention, .device = device, .input_count = 3};
    d.attributes.heads = d.attributes.groups = d.attributes.query_len = 1;
    d.attributes.key_len = 10001;
    d.out = d.in[0] = (op_shape_t){1, 8, 8};
    d.in[1] = d.in[2] = (op_shape_t){10001, 8, 8};
    CHECK_OK(kernels_for("cuda", DTYPE_F32, &kernels));
    CHECK_FAILS(kernels->ops[OP_attention].plan(&d, &plan, &needs), STATUS_UNAVAILABLE,
                "at most 10000 keys");
    d = (op_description_t){.kind = OP_softmax_gate, .device = device, .input_count = 2};
    d.out = d.in[0] = d.in[1] = (op_shape_t){1, 12001, 12001};
    CHECK_FAILS(kernels->ops[OP_softmax_gate].plan(&d, &plan, &needs), STATUS_UNAVAILABLE,
                "at most 12000 columns");
    assert_null(plan);
    assert_non_null(strstr(cuda_library_version(), "cuBLASLt"));
}

/* Nothing is launched for nothing: a grid of no blocks is an error. */
static void of_nothing(void **state) {
    (void)state;
    const kernels_t *kernels = NULL;
    CHECK_OK(kernels_for("cuda", DTYPE_F32, &kernels));
    kernels->add(device, NULL, NULL, NULL, 0);
    assert_true(kernels->all_finite(device, NULL, 0));
    kernels->mask_any(device, (mask_t){0}, NULL, 0, 0, 1);
    kernels->mask_seen(device, (mask_t){0}, (mask_t){0}, 1, false, 0, 1);
    kernels->mask_tokens(device, (mask_t){0}, NULL, NULL, 0, 1, false, 0, 1);
    kernels->sum_squares_spans(device, NULL, NULL, 0, NULL);
    kernels->optimizer_update(&(optimizer_call_t){.device = device, .update_index = 1});
    loss_call_t loss = {.device = device, .kind = LOSS_MSE, .x.cols = 1};
    double total[LOSS_SUMS] = {1.0};
    kernels->loss_sums(&loss, total);
    kernels->loss_gradient(&loss, total);
    CHECK_OK(device->check(device));
}

/* Addresses are those of the calls; what lies there is read when it is replayed. */
static void calls_are_kept(void **state) {
    (void)state;
    const device_recorder_t *recorder = device->recorder;
    const kernels_t *kernels = NULL;
    device_recording_t *recording = NULL;
    void *pinned = NULL;
    float *x = alloc_floats(2), *y = alloc_floats(2), back[2] = {0};
    CHECK_OK(kernels_for("cuda", DTYPE_F32, &kernels));
    CHECK_OK(device->alloc_pinned(device, sizeof back, "a test", &pinned));
    float *from = pinned;
    kernels->add(device, y, y, x, 2); /* nothing is called in a recording first */
    recorder->begin(device);
    device->copy_in(device, x, from, sizeof back);
    kernels->add(device, y, y, x, 2);
    CHECK_OK(recorder->end(device, &recording));
    for (int i = 1; i <= 3; i++) {
        from[0] = (float)i, from[1] = (float)(10 * i);
        recorder->replay(device, recording);
        device->copy_out(device, back, y, sizeof back);
        assert_true(back[0] == (float)(i * (i + 1) / 2) && back[1] == 10.0F * back[0]);
    }
    recorder->begin(device);
    kernels->add(device, y, y, x, 2);
    CHECK_OK(recorder->end(device, NULL)); /* given up */
    device->copy_out(device, back, y, sizeof back);
    assert_true(back[0] == 6.0F);
    recorder->close(device, recording);
    recorder->close(device, NULL);
    device->release_pinned(device, pinned);
    device->release(device, x);
    device->release(device, y);
}

/* Beside the stream of work, and yet behind what was called before ahead_begin and before what is
 * called behind ahead_end; the simulator reports any access that is in no order. */
static void copies_ahead_are_in_order(void **state) {
    (void)state;
    const kernels_t *kernels = NULL;
    void *pinned = NULL;
    float *arriving = alloc_floats(MANY), *now = alloc_floats(MANY), *sum = alloc_floats(MANY);
    float last = 0.0F;
    CHECK_OK(kernels_for("cuda", DTYPE_F32, &kernels));
    CHECK_OK(device->alloc_pinned(device, 3 * MANY * sizeof(float), "a test", &pinned));
    float *batches = pinned;
    for (int i = 0; i < 3 * MANY; i++) {
        batches[i] = (float)(1 << i / MANY);
    }
    device->ahead_begin(device);
    for (int step = 0; step < 3; step++) {
        device->copy_ahead(device, arriving, batches + step * MANY, MANY * sizeof(float));
        device->ahead_end(device);
        device->copy(device, now, arriving, MANY * sizeof(float));
        device->ahead_begin(device);
        kernels->add(device, sum, sum, now, MANY);
    }
    device->copy_ahead(device, arriving, batches, 0);
    device->copy_out(device, &last, sum + MANY - 1, sizeof last);
    assert_true(last == 7.0F);
    device->release_pinned(device, pinned);
    device->release(device, arriving);
    device->release(device, now);
    device->release(device, sum);
}

/* A product of `size` by `size`, or a convolution of one number. */
static op_description_t described(op_kind_t kind, int64_t size) {
    op_description_t d = {.kind = kind, .device = device, .input_count = 1, .shard_count = 1};
    d.out = d.in[0] = (op_shape_t){size, size, size};
    d.attributes.groups = 1;
    for (int a = 0; a < OP_AXES; a++) {
        d.attributes.axis[a] = (op_axis_t){1, 1, 1, 1, 1, 0};
    }
    return d;
}

static op_call_t call_on(float *there, float *workspace) {
    op_call_t call = {.shard_end = 1, .workspace = workspace};
    call.in[0] = (matrix_t){there, 1, 1, 1, 1};
    call.out = (matrix_t){there + 3, 1, 1, 1, 1};
    call.weight[0] = there + 1;
    call.weight[1] = there + 2;
    return call;
}

static double square(op_kind_t kind, bool strict, float factor) {
    const kernels_t *kernels = NULL;
    op_plan_t *plan = NULL;
    op_needs_t needs;
    op_description_t d = described(kind, 1);
    CHECK_OK(kernels_for("cuda", DTYPE_F32, &kernels));
    device->set_strict(device, strict);
    CHECK_OK(kernels->ops[kind].plan(&d, &plan, &needs));
    device->set_strict(device, false);
    float *there = alloc_floats(4), *workspace = alloc_floats(needs.workspace_count);
    device->copy_in(device, there, (float[]){factor, factor, 0, 0}, 4 * sizeof(float));
    op_call_t call = call_on(there, workspace);
    kernels->ops[kind].forward(plan, &call);
    float result = 0.0F;
    device->copy_out(device, &result, there + 3, sizeof result);
    kernels->ops[kind].plan_close(plan);
    device->release(device, workspace);
    device->release(device, there);
    return (double)result;
}

/* 1 + 2^-12 is no TF32: it becomes 1. */
static void strict_products(void **state) {
    (void)state;
    const float factor = 1.0F + 0x1p-12F;
    const op_kind_t kinds[] = {OP_linear, OP_conv};
    for (int i = 0; i < ARRAY_LEN(kinds); i++) {
        assert_true(square(kinds[i], true, factor) == (double)(factor * factor));
        assert_true(square(kinds[i], false, factor) == 1.0);
    }
}

/* Whose workspace is where it was, whatever is planned afterwards. */
static void a_recorded_product_outlives_later_plans(void **state) {
    (void)state;
    const kernels_t *kernels = NULL;
    op_plan_t *plan = NULL, *larger = NULL;
    device_recording_t *recording = NULL;
    op_needs_t needs;
    op_description_t d = described(OP_linear, 1), many = described(OP_linear, 512);
    CHECK_OK(kernels_for("cuda", DTYPE_F32, &kernels));
    CHECK_OK(kernels->ops[OP_linear].plan(&d, &plan, &needs));
    float *there = alloc_floats(4), *workspace = alloc_floats(needs.workspace_count), result = 0.0F;
    op_call_t call = call_on(there, workspace);
    kernels->ops[OP_linear].forward(plan, &call);
    device->recorder->begin(device);
    kernels->ops[OP_linear].forward(plan, &call);
    CHECK_OK(device->recorder->end(device, &recording));
    CHECK_OK(kernels->ops[OP_linear].plan(&many, &larger, &needs));
    device->copy_in(device, there, (float[]){3, 2, 1, 0}, 4 * sizeof(float));
    device->recorder->replay(device, recording);
    device->copy_out(device, &result, there + 3, sizeof result);
    assert_true(result == 7.0F);
    device->recorder->close(device, recording);
    kernels->ops[OP_linear].plan_close(plan);
    kernels->ops[OP_linear].plan_close(larger);
    device->release(device, workspace);
    device->release(device, there);
}

static void a_failure_is_told(void **state) {
    (void)state;
    setenv("SIMGPU_FAILS", "cudaStreamQuery", 1);
    CHECK_FAILS(device->check(device), STATUS_FAILED, "the GPU has failed");
    unsetenv("SIMGPU_FAILS");
    CHECK_OK(device->check(device));
}

static void what_a_library_cannot_do_is_refused(void **state) {
    (void)state;
    const kernels_t *kernels = NULL;
    op_plan_t *plan = NULL;
    op_needs_t needs;
    op_description_t d = {.kind = OP_linear, .device = device, .input_count = 1, .shard_count = 1};
    d.out = d.in[0] = d.d_out = d.d_in[0] = (op_shape_t){4, 3, 3};
    CHECK_OK(kernels_for("cuda", DTYPE_F32, &kernels));
    setenv("SIMGPU_FAILS", "cublasLtMatmulAlgoGetHeuristic", 1);
    CHECK_FAILS(kernels->ops[OP_linear].plan(&d, &plan, &needs), STATUS_UNAVAILABLE,
                "cuBLASLt has no algorithm for a product of 4 x 3 by 3 x 3");
    d.kind = OP_temporal_conv;
    d.attributes.period = d.attributes.taps = d.attributes.dilation = 1;
    CHECK_FAILS(kernels->ops[OP_temporal_conv].plan(&d, &plan, &needs), STATUS_UNAVAILABLE,
                "cuBLASLt has no algorithm");
    d.kind = OP_conv;
    d.attributes.groups = 1;
    for (int a = 0; a < OP_AXES; a++) {
        d.attributes.axis[a] = (op_axis_t){1, 1, 1, 1, 1, 0};
    }
    setenv("SIMGPU_FAILS", "cudnnBackendFinalize of a plan", 1);
    CHECK_FAILS(kernels->ops[OP_conv].plan(&d, &plan, &needs), STATUS_UNAVAILABLE,
                "cuDNN has no plan for a convolution of 3 to 3 columns");
    unsetenv("SIMGPU_FAILS");
    assert_null(plan);
}

/* --- which GPU, before one is open ----------------------------------------------------------- */

static void without_a_gpu(void **state) {
    (void)state;
    const device_t *none = NULL;
    const char *why = NULL;
    setenv("SIMGPU_DEVICES", "0", 1);
    CHECK_FAILS(device_open("cuda", 0, 1, &none), STATUS_UNAVAILABLE, "or use device: cpu");
    assert_int_equal(cuda_device_count(&why), 0);
    assert_non_null(why);
    setenv("SIMGPU_DEVICES", "-1", 1);
    CHECK_FAILS(device_open("cuda", 0, 1, &none), STATUS_UNAVAILABLE, "no NVIDIA driver");
    assert_int_equal(cuda_device_count(&why), 0);
    setenv("SIMGPU_DEVICES", "2", 1);
    assert_int_equal(cuda_device_count(&why), 2);
    CHECK_FAILS(device_open("cuda", 0, 3, &none), STATUS_UNAVAILABLE, "3 processes on this host");
    unsetenv("SIMGPU_DEVICES");
    assert_null(none);
}

/* A launcher shows each process its own GPU alone: the second process takes number 0. */
static void open_the_only_one(void **state) {
    (void)state;
    setenv("SIMGPU_DEVICES", "1", 1);
    CHECK_OK(device_open("cuda", 1, 2, &device));
    unsetenv("SIMGPU_DEVICES");
    device_close(device);
    device = NULL;
}

/* Of two, the second process takes the second; in a child, as a process has one device. */
static void open_the_second(void **state) {
    (void)state;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setenv("SIMGPU_DEVICES", "2", 1);
        bool opened = device_open("cuda", 1, 2, &device) == STATUS_OK;
        _exit(opened && strcmp(device->id + strlen(device->id) - 2, "01") == 0 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void libraries_that_do_not_open(void **state) {
    (void)state;
    const device_t *none = NULL;
    setenv("SIMGPU_FAILS", "cublasLtCreate", 1);
    CHECK_FAILS(device_open("cuda", 0, 1, &none), STATUS_FAILED, "cannot open cuBLASLt");
    setenv("SIMGPU_FAILS", "cudnnCreate", 1);
    CHECK_FAILS(device_open("cuda", 0, 1, &none), STATUS_FAILED, "cannot open cuDNN");
    unsetenv("SIMGPU_FAILS");
    assert_null(none);
}

static void too_little_for_a_device(void **state) {
    (void)state;
    const device_t *none = NULL;
    setenv("SIMGPU_MEMORY", "0", 1);
    CHECK_FAILS(device_open("cuda", 0, 1, &none), STATUS_FAILED, "out of memory");
    unsetenv("SIMGPU_MEMORY");
    assert_null(none);
}

int main(void) {
    const struct CMUnitTest before[] = {
        cmocka_unit_test(open_the_second),         cmocka_unit_test(without_a_gpu),
        cmocka_unit_test(too_little_for_a_device), cmocka_unit_test(libraries_that_do_not_open),
        cmocka_unit_test(open_the_only_one),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_begins_with_zeros),
        cmocka_unit_test(no_bytes_are_memory_too),
        cmocka_unit_test(pinned_memory_is_released_after_its_copies),
        cmocka_unit_test(pinned_memory_is_written_before_it_is_read),
        cmocka_unit_test(a_check_does_not_wait),
        cmocka_unit_test(the_stream_is_of_its_own),
        cmocka_unit_test(too_much_is_refused_and_forgotten),
        cmocka_unit_test(plans_without_memory),
        cmocka_unit_test(strict_products),
        cmocka_unit_test(a_recorded_product_outlives_later_plans),
        cmocka_unit_test(a_failure_is_told),
        cmocka_unit_test(what_a_library_cannot_do_is_refused),
        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(calls_are_kept),
        cmocka_unit_test(copies_ahead_are_in_order),
        cmocka_unit_test(of_nothing),
    };
    int failures = RUN_TESTS(before);
    CHECK_OK(device_open("cuda", 0, 1, &device));
    find_simulator();
    failures += RUN_TESTS(tests);
    device_close(device);
    return failures;
}
