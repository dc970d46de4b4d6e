/* bench_device.c - what a device that is not the host can do at most: its own copy, an addition of
 * arrays, and a large product, each of a size that grows until it takes a while or is large. */
#include <stdio.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/op_bench.h"
#include "launch/bench.h"

enum { BYTES_FIRST = 1 << 18, GROWTH = 4, CALLS = 5, PRODUCT_FIRST = 64, PRODUCT_LAST = 8192 };

static const double LONG_S = 0.05; /* a simulated GPU gets no further */

typedef struct arrays {
    const kernels_t *kernels;
    const device_t *device;
    void *a, *b;
} arrays_t;

static void copy(const arrays_t *at, size_t bytes) {
    at->device->copy(at->device, at->a, at->b, bytes);
}

static void add(const arrays_t *at, size_t bytes) {
    at->kernels->add(at->device, at->a, at->a, at->b, (int64_t)(bytes / sizeof(float)));
}

/* Seconds of a call: the best of some. */
static double best_s(const arrays_t *at, void (*run)(const arrays_t *, size_t), size_t bytes) {
    double best = 0.0;
    for (int i = 0; i < CALLS; i++) {
        at->device->synchronize(at->device);
        double begin_s = clock_s();
        run(at, bytes);
        at->device->synchronize(at->device);
        double s = clock_s() - begin_s;
        best = i == 0 || s < best ? s : best;
    }
    return best;
}

/* Read and written bytes count alike, so copying is the speed of reading, too. Sizes that would
 * take too long are as the one before. */
static status_t measure_memory(arrays_t *at, limits_t *limits) {
    double last_s = 0.0;
    for (int i = 0; i < LIMITS_SIZES; i++) {
        size_t bytes = (size_t)BYTES_FIRST;
        for (int k = 0; k < i; k++) {
            bytes *= GROWTH;
        }
        limits->bytes[i] = 2.0 * (double)bytes;
        if (i > 0 && GROWTH * last_s > LONG_S) {
            limits->copy_s[i] = limits->copy_s[i - 1];
            limits->triad_s[i] = limits->triad_s[i - 1];
        } else {
            at->a = at->b = NULL;
            status_t status = at->device->alloc(at->device, bytes, "a limit", &at->a);
            status = status == STATUS_OK ? at->device->alloc(at->device, bytes, "a limit", &at->b)
                                         : status;
            if (status == STATUS_OK) {
                limits->copy_s[i] = 2.0 * (double)bytes / best_s(at, copy, bytes);
                last_s = best_s(at, add, bytes);
                limits->triad_s[i] = 3.0 * (double)bytes / last_s;
            }
            at->device->release(at->device, at->a);
            at->device->release(at->device, at->b);
            TRY(status);
        }
        limits->read_s[i] = limits->copy_s[i];
    }
    return STATUS_OK;
}

/* The fastest product of square matrices. */
static status_t measure_products(const arrays_t *at, limits_t *limits) {
    double s = 0.0;
    for (int64_t n = PRODUCT_FIRST; n <= PRODUCT_LAST && s * 8.0 < LONG_S; n *= 2) {
        op_shape_t shape = {n, n, n};
        op_description_t product = {.kind = OP_linear, .input_count = 1, .out = shape};
        op_bench_t *op = NULL;
        product.in[0] = product.d_in[0] = product.d_out = shape;
        TRY(op_bench_open(at->kernels, at->device, &product, 1, &op));
        op_work_t work = op_bench_work(op, PASS_FORWARD);
        for (int i = 0; i < CALLS; i++) {
            s = op_bench_round(op, PASS_FORWARD);
            limits->flop_s = work.flop > limits->flop_s * s ? work.flop / s : limits->flop_s;
        }
        op_bench_close(op);
    }
    return STATUS_OK;
}

status_t bench_device_limits(const kernels_t *kernels, const device_t *device, limits_t *limits) {
    arrays_t at = {.kernels = kernels, .device = device};
    *limits = (limits_t){.isa = kernels->dtype == DTYPE_BF16 ? "GPU, bf16" : "GPU"};
    TRY(measure_memory(&at, limits));
    return measure_products(&at, limits);
}
