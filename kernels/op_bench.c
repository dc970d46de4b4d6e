#include "kernels/op_bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/base/rng.h"

enum { OWNED_MAX = 2 * OP_INPUTS_MAX + 2 * OP_WEIGHTS_MAX + 8, PATTERN = 4099, CALLS_MAX = 10000 };
static const double round_s = 50e-6; /* passes that are shorter are repeated */

struct op_bench {
    const kernels_t *kernels;
    const device_t *device;
    status_t status; /* of its memory */
    op_description_t description;
    int shards;
    op_plan_t *plan;
    op_needs_t needs;
    op_call_t call;
    step_scalars_t scalars;
    double *sums;
    int64_t weight_count[OP_WEIGHTS_MAX];
    int64_t calls[PASS_COUNT]; /* of a round; 0: not known yet */
    void *owned[OWNED_MAX];
    int owned_count;
};

const char *pass_name(pass_t pass) {
    static const char *const names[PASS_COUNT] = {"forward", "backward_data", "backward_weights"};
    return names[pass];
}

const char *op_pass_name(op_kind_t kind, pass_t pass) {
#define OP_PASSES_(name) {#name ".forward", #name ".backward_data", #name ".backward_weights"},
    static const char *const names[][PASS_COUNT] = {OP_LIST(OP_PASSES_)};
    return names[kind][pass];
}

/* --- memory ---------------------------------------------------------------------------------- */

/* On the device, as it is on the host, which is freed. */
static void *own(op_bench_t *bench, void *host, size_t bytes) {
    void *memory = NULL;
    REQUIRE(bench->owned_count < OWNED_MAX);
    if (bench->status == STATUS_OK) {
        bench->status = bench->device->alloc(bench->device, bytes, "an operation", &memory);
    }
    if (bench->status == STATUS_OK) {
        bench->device->copy_in(bench->device, memory, host, bytes);
        bench->owned[bench->owned_count++] = memory;
    }
    free(host);
    return memory;
}

/* Random numbers, the same some thousand over and over; plus what a variance needs. */
static void *numbers_from(op_bench_t *bench, int64_t count, dtype_t dtype, double least) {
    size_t element = dtype_bytes(dtype);
    char *memory = alloc_aligned((size_t)count * element);
    rng_key_t key = {7, rng_name("op_bench"), (uint64_t)bench->owned_count};
    for (int64_t i = 0; i < count; i++) {
        if (i >= PATTERN) {
            memcpy(memory + (size_t)i * element, memory + (size_t)(i - PATTERN) * element, element);
        } else {
            dtype_set(dtype, memory, i, least + 2.0 * (double)rng_uniform(key, (uint64_t)i));
        }
    }
    return own(bench, memory, (size_t)count * element);
}

static void *numbers(op_bench_t *bench, int64_t count, dtype_t dtype) {
    return numbers_from(bench, count, dtype, -1.0);
}

static dtype_t state_of(const op_bench_t *bench) {
    return bench->kernels->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
}

/* Of weights, saved and workspace. */
static void *state_numbers(op_bench_t *bench, int64_t count) {
    return numbers(bench, count, state_of(bench));
}

static matrix_t matrix_of(op_bench_t *bench, op_shape_t shape) {
    if (shape.rows == 0) {
        return (matrix_t){0};
    }
    int64_t per_shard = shape.rows * shape.row_stride;
    return (matrix_t){.data = numbers(bench, bench->shards * per_shard, bench->kernels->dtype),
                      .rows = shape.rows,
                      .cols = shape.cols,
                      .row_stride = shape.row_stride,
                      .shard_stride = per_shard};
}

static void packed(op_shape_t *shape) {
    shape->row_stride = shape->row_stride != 0 ? shape->row_stride : shape->cols;
}

/* What an output's weight reads. */
static int64_t conv_width(const op_description_t *d) {
    return d->in[0].cols / d->attributes.groups * window_taps(d->attributes.axis);
}

static void open_weights(op_bench_t *bench) {
    const op_description_t *d = &bench->description;
    int64_t *count = bench->weight_count, in = d->in[0].cols, out = d->out.cols;
    switch (d->kind) {
    case OP_linear:
        count[0] = out * in, count[1] = d->attributes.transposed ? in : out;
        break;
    case OP_temporal_conv:
        count[0] = out * in * d->attributes.taps, count[1] = out, count[2] = out;
        break;
    case OP_conv:
        count[0] = out * conv_width(d), count[1] = d->attributes.bias ? out : 0;
        break;
    case OP_batch_norm:
        count[0] = count[1] = count[2] = count[3] = out;
        break;
    case OP_add_layernorm:
        count[0] = count[1] = out;
        break;
    case OP_add_rows:
        count[0] = d->attributes.period * out;
        break;
    case OP_fill_rows:
    case OP_prelu:
        count[0] = out;
        break;
    case OP_mix_rows:
        count[0] = d->out.rows / d->attributes.groups * (d->in[0].rows / d->attributes.groups);
        break;
    default:
        break;
    }
    for (int w = 0; w < OP_WEIGHTS_MAX; w++) {
        bool variance = d->kind == OP_batch_norm && w == 3;
        bench->call.weight[w] =
            count[w] > 0 ? numbers_from(bench, count[w], state_of(bench), variance ? 0.5 : -1.0)
                         : NULL;
        bench->call.d_weight[w] = count[w] > 0 ? state_numbers(bench, count[w]) : NULL;
    }
}

static void open_mask(op_bench_t *bench) {
    const op_description_t *d = &bench->description;
    int64_t count = d->kind == OP_attention      ? d->in[1].rows
                    : d->kind == OP_softmax_gate ? d->in[1].rows * d->in[1].cols
                                                 : d->in[0].rows;
    size_t bytes = (size_t)(bench->shards * count);
    uint8_t *valid = alloc_aligned(bytes);
    for (size_t i = 0; i < bytes; i++) {
        valid[i] = d->kind != OP_fill_rows || i % 2 == 0;
    }
    bench->call.mask =
        (mask_t){.data = own(bench, valid, bytes), .count = count, .shard_stride = count};
}

static void open_matrices(op_bench_t *bench) {
    op_description_t *d = &bench->description;
    packed(&d->out);
    packed(&d->d_out);
    bench->call.out = matrix_of(bench, d->out);
    bench->call.d_out = matrix_of(bench, d->d_out);
    for (int i = 0; i < d->input_count; i++) {
        packed(&d->in[i]);
        packed(&d->d_in[i]);
        bench->call.in[i] = matrix_of(bench, d->in[i]);
        bench->call.d_in[i] = matrix_of(bench, d->d_in[i]);
    }
}

status_t op_bench_open(const kernels_t *kernels, const device_t *device,
                       const op_description_t *description, int shards, op_bench_t **bench_out) {
    op_bench_t *bench = alloc_zero(1, sizeof *bench);
    bench->kernels = kernels;
    bench->device = device;
    bench->description = *description;
    bench->description.device = device;
    bench->description.shard_count = shards;
    bench->shards = shards;
    bench->scalars = (step_scalars_t){.seed = 1, .step = 1, .training = true};
    bench->call.scalars = &bench->scalars;
    bench->call.shard_end = shards;
    open_matrices(bench);
    open_weights(bench);
    open_mask(bench);
    status_t status =
        kernels->ops[description->kind].plan(&bench->description, &bench->plan, &bench->needs);
    if (status == STATUS_OK) {
        bench->call.workspace = state_numbers(bench, bench->needs.workspace_count);
        bench->call.saved_shard_stride = bench->needs.saved_count;
        bench->call.saved = state_numbers(bench, shards * bench->needs.saved_count);
        bench->sums = numbers(bench, shards * bench->needs.sum_count, DTYPE_F64);
        bench->call.totals = bench->sums; /* one shard's for all: to be timed, not to be right */
        status = bench->status;
    }
    if (status != STATUS_OK) {
        op_bench_close(bench);
        return status;
    }
    *bench_out = bench;
    return STATUS_OK;
}

void op_bench_close(op_bench_t *bench) {
    if (bench == NULL) {
        return;
    }
    bench->kernels->ops[bench->description.kind].plan_close(bench->plan);
    for (int i = 0; i < bench->owned_count; i++) {
        bench->device->release(bench->device, bench->owned[i]);
    }
    free(bench);
}

/* --- timing ---------------------------------------------------------------------------------- */

bool op_bench_has(const op_bench_t *bench, pass_t pass) {
    const op_description_t *d = &bench->description;
    const op_row_t *row = &bench->kernels->ops[d->kind];
    bool asked = false;
    switch (pass) {
    case PASS_BACKWARD_DATA:
        for (int i = 0; i < d->input_count; i++) {
            asked |= d->d_in[i].rows > 0;
        }
        return asked && d->d_out.rows > 0 && row->backward_data != NULL;
    case PASS_BACKWARD_WEIGHTS:
        return d->d_out.rows > 0 && row->backward_weights != NULL;
    default:
        return true;
    }
}

static void run_pass(op_bench_t *bench, pass_t pass) {
    const op_row_t *row = &bench->kernels->ops[bench->description.kind];
    if (bench->needs.sum_count > 0 && pass != PASS_BACKWARD_WEIGHTS) {
        row->sums(bench->plan, &bench->call, pass, bench->sums);
    }
    if (pass == PASS_FORWARD) {
        row->forward(bench->plan, &bench->call);
    } else if (pass == PASS_BACKWARD_DATA) {
        row->backward_data(bench->plan, &bench->call);
    } else {
        for (int s = 0; s < bench->shards; s++) {
            bench->call.shard_begin = s;
            bench->call.shard_end = s + 1;
            row->backward_weights(bench->plan, &bench->call);
        }
        bench->call.shard_begin = 0;
        bench->call.shard_end = bench->shards;
    }
}

/* Of the first shard of what was computed. */
static bool is_finite(const op_bench_t *bench) {
    matrix_t out = bench->call.out;
    dtype_t dtype = bench->kernels->dtype;
    size_t bytes = (size_t)((out.rows - 1) * out.row_stride + out.cols) * dtype_bytes(dtype);
    void *host = alloc_aligned(bytes);
    bool finite = true;
    bench->device->copy_out(bench->device, host, out.data, bytes);
    for (int64_t i = 0; i < out.rows * out.cols; i++) {
        int64_t at = i / out.cols * out.row_stride + i % out.cols;
        finite = finite && isfinite(dtype_get(dtype, host, at));
    }
    free(host);
    return finite;
}

/* Seconds of so many calls, which are waited for. */
static double run_calls(op_bench_t *bench, pass_t pass, int64_t calls) {
    bench->device->synchronize(bench->device);
    double begin_s = clock_s();
    for (int64_t i = 0; i < calls; i++) {
        run_pass(bench, pass);
    }
    bench->device->synchronize(bench->device);
    return clock_s() - begin_s;
}

double op_bench_round(op_bench_t *bench, pass_t pass) {
    REQUIRE(op_bench_has(bench, pass));
    if (bench->calls[pass] == 0) {
        run_pass(bench, PASS_FORWARD); /* what backward reads */
        REQUIRE(is_finite(bench));
        run_pass(bench, pass);
        double calls = ceil(round_s / fmax(run_calls(bench, pass, 1), 1e-9));
        bench->calls[pass] = (int64_t)fmin(calls, CALLS_MAX);
    }
    run_pass(bench, pass); /* others have used the caches since */
    return run_calls(bench, pass, bench->calls[pass]) / (double)bench->calls[pass];
}

/* --- what there is to do --------------------------------------------------------------------- */

static double elements(op_shape_t shape) { return (double)(shape.rows * shape.cols); }

/* Multiply-adds of the products of one shard, forward. */
static double products(const op_description_t *d) {
    switch (d->kind) {
    case OP_linear:
        return elements(d->out) * (double)d->in[0].cols;
    case OP_temporal_conv:
        return elements(d->out) * (double)(d->in[0].cols * d->attributes.taps);
    case OP_conv:
        return elements(d->out) * (double)conv_width(d);
    case OP_mix_rows:
    case OP_correlate:
        return elements(d->out) * (double)(d->in[0].rows / d->attributes.groups);
    case OP_attention:
        return 2.0 * elements(d->out) * (double)d->attributes.key_len;
    default:
        return 0.0;
    }
}

op_work_t op_bench_work(const op_bench_t *bench, pass_t pass) {
    const op_description_t *d = &bench->description;
    double shards = bench->shards, weights = 0.0, in = 0.0, d_in = 0.0;
    double element_bytes = (double)dtype_bytes(bench->kernels->dtype);
    double state = (double)dtype_state_bytes(bench->kernels->dtype) / element_bytes;
    double out = shards * elements(d->out);
    double saved = state * shards * (double)bench->needs.saved_count;
    for (int i = 0; i < d->input_count; i++) {
        in += shards * elements(d->in[i]);
        d_in += shards * elements(d->d_in[i]);
    }
    for (int w = 0; w < OP_WEIGHTS_MAX; w++) {
        weights += state * (double)bench->weight_count[w];
    }
    op_work_t work = {.flop = 2.0 * shards * products(d)};
    bool filled = d->kind == OP_fill_rows, reads_inputs = !filled && d->kind != OP_add_rows;
    if (d->kind == OP_select_token && d->attributes.token_rule == TOKEN_LAST) {
        in = out;
    }
    if (pass == PASS_FORWARD) {
        work.read_bytes = in + weights;
        work.written_bytes = out + saved;
    } else if (pass == PASS_BACKWARD_DATA) {
        work.flop *= d->kind == OP_attention || d->kind == OP_correlate ? 2.0 : 1.0;
        work.read_bytes = out + weights + saved +
                          (op_backward_data_reads_in(d->kind, &d->attributes) ? in : 0.0) +
                          (op_backward_reads_out(d->kind, &d->attributes) ? out : 0.0);
        work.written_bytes = d_in;
    } else {
        work.read_bytes = saved + (reads_inputs ? in : 0.0) + (filled ? 0.5 : 1.0) * out;
        work.written_bytes = shards * weights;
    }
    work.read_bytes *= element_bytes;
    work.written_bytes *= element_bytes;
    return work;
}

static bool is_packed(op_shape_t shape) {
    return shape.row_stride == 0 || shape.row_stride == shape.cols;
}

void op_shape_text(const op_description_t *d, int shards, char text_out[OP_SHAPE_BYTES]) {
    const op_attributes_t *a = &d->attributes;
    long long rows = d->in[0].rows, cols = d->in[0].cols;
    int used = snprintf(text_out, OP_SHAPE_BYTES, "%d x ", shards);
    char *rest = text_out + used;
    size_t room = OP_SHAPE_BYTES - (size_t)used;
    if (d->kind == OP_attention) {
        snprintf(rest, room, "%lld of %lldx%lldx%lld, heads %lld", (long long)a->groups,
                 (long long)a->query_len, (long long)a->key_len, cols, (long long)a->heads);
    } else if (d->kind == OP_linear) {
        snprintf(rest, room, "%lldx%lld -> %lld%s%s", rows, cols, (long long)d->out.cols,
                 a->activation == ACTIVATION_RELU ? " relu" : "",
                 a->transposed ? " transposed" : "");
    } else if (d->kind == OP_temporal_conv) {
        snprintf(rest, room, "%lldx%lld -> %lld, %lld taps", rows, cols, (long long)d->out.cols,
                 (long long)a->taps);
    } else if (d->kind == OP_conv) {
        snprintf(rest, room, "%lldx%lld -> %lldx%lld, %lldx%lldx%lld%s", rows, cols,
                 (long long)d->out.rows, (long long)d->out.cols, (long long)a->axis[0].size,
                 (long long)a->axis[1].size, (long long)a->axis[2].size,
                 a->activation == ACTIVATION_RELU ? " relu" : "");
    } else if (d->input_count > 1) {
        snprintf(rest, room, "%lldx%lld, %d inputs", rows, cols, d->input_count);
    } else {
        snprintf(rest, room, "%lldx%lld", rows, cols);
    }
    bool whole = is_packed(d->out) && is_packed(d->d_out);
    for (int i = 0; i < d->input_count; i++) {
        whole = whole && is_packed(d->in[i]) && is_packed(d->d_in[i]);
    }
    size_t length = strlen(text_out);
    snprintf(text_out + length, OP_SHAPE_BYTES - length, "%s", whole ? "" : ", strided");
}
