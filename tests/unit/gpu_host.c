#include "gpu_host.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "op_case.h"

enum { COPIES_MAX = 2 * OP_INPUTS_MAX + 8 };

/* What lies on the GPU for one call. */
typedef struct copies {
    const device_t *device;
    void *host[COPIES_MAX], *there[COPIES_MAX], *memory[COPIES_MAX];
    size_t bytes[COPIES_MAX];
    bool is_read[COPIES_MAX]; /* alone: not copied back */
    int count;
} copies_t;

/* NULL stays NULL; what is at no multiple of 16 bytes here is at none there. */
static void *copy_in(copies_t *c, const void *host, int64_t bytes) {
    if (host == NULL) {
        return NULL;
    }
    REQUIRE(c->count < COPIES_MAX);
    int i = c->count++;
    c->host[i] = (void *)(uintptr_t)host;
    c->bytes[i] = (size_t)bytes;
    size_t beyond = (uintptr_t)host % 16;
    CHECK_OK(c->device->alloc(c->device, beyond + c->bytes[i], "a test", &c->memory[i]));
    c->there[i] = (char *)c->memory[i] + beyond;
    c->device->copy_in(c->device, c->there[i], host, c->bytes[i]);
    return c->there[i];
}

static void *copy_in_only(copies_t *c, const void *host, int64_t bytes) {
    void *there = copy_in(c, host, bytes);
    if (there != NULL) {
        c->is_read[c->count - 1] = true;
    }
    return there;
}

static void copies_close(copies_t *c) {
    for (int i = 0; i < c->count; i++) {
        if (!c->is_read[i]) {
            c->device->copy_out(c->device, c->host[i], c->there[i], c->bytes[i]);
        }
        c->device->release(c->device, c->memory[i]);
    }
    CHECK_OK(c->device->check(c->device));
}

static copies_t copies_open(void) { return (copies_t){.device = case_gpu()}; }

static const kernels_t *table_of(dtype_t dtype) {
    const kernels_t *kernels = NULL;
    CHECK_OK(kernels_for("cuda", dtype, &kernels));
    return kernels;
}

/* --- losses ---------------------------------------------------------------------------------- */

static matrix_t matrix_in(copies_t *c, matrix_t m, int shards, dtype_t dtype) {
    int64_t elements = (shards - 1) * m.shard_stride + (m.rows - 1) * m.row_stride + m.cols;
    m.data = copy_in(c, m.data, elements * (int64_t)dtype_bytes(dtype));
    return m;
}

static loss_call_t loss_in(copies_t *c, const loss_call_t *call, dtype_t dtype) {
    loss_call_t there = *call;
    there.device = c->device;
    there.x = matrix_in(c, call->x, call->shard_end, dtype);
    there.d_x = matrix_in(c, call->d_x, call->shard_end, dtype);
    there.target =
        copy_in_only(c, call->target, call->shard_end * call->x.rows * (int64_t)sizeof(float));
    return there;
}

static void loss_sums(const loss_call_t *call, double *sums, dtype_t dtype) {
    copies_t c = copies_open();
    loss_call_t there = loss_in(&c, call, dtype);
    int64_t count = (call->shard_end - 1) * call->sums_stride + LOSS_SUMS;
    table_of(dtype)->loss_sums(&there, copy_in(&c, sums, count * (int64_t)sizeof *sums));
    copies_close(&c);
}

static void loss_gradient(const loss_call_t *call, const double *total, dtype_t dtype) {
    copies_t c = copies_open();
    loss_call_t there = loss_in(&c, call, dtype);
    const int64_t bytes = LOSS_SUMS * (int64_t)sizeof *total;
    table_of(dtype)->loss_gradient(&there, copy_in_only(&c, total, bytes));
    copies_close(&c);
}

static void loss_sums_f32(const loss_call_t *call, double *sums) {
    loss_sums(call, sums, DTYPE_F32);
}
static void loss_sums_bf16(const loss_call_t *call, double *sums) {
    loss_sums(call, sums, DTYPE_BF16);
}
static void loss_gradient_f32(const loss_call_t *call, const double total[LOSS_SUMS]) {
    loss_gradient(call, total, DTYPE_F32);
}
static void loss_gradient_bf16(const loss_call_t *call, const double total[LOSS_SUMS]) {
    loss_gradient(call, total, DTYPE_BF16);
}

/* --- flat ------------------------------------------------------------------------------------ */

static int64_t floats(int64_t count) { return count * (int64_t)sizeof(float); }

static int64_t spans_end(const optimizer_span_t *spans, int64_t count, bool of_state) {
    int64_t end = 0;
    for (int64_t i = 0; i < count; i++) {
        end = max_i64(end, (of_state ? spans[i].state : spans[i].offset) + spans[i].count);
    }
    return end;
}

static void optimizer_update(const optimizer_call_t *call) {
    copies_t c = copies_open();
    optimizer_call_t there = *call;
    int64_t count = floats(spans_end(call->spans, call->span_count, false));
    int64_t state = floats(spans_end(call->spans, call->span_count, true));
    there.device = c.device;
    there.weight = copy_in(&c, call->weight, count);
    there.gradient = copy_in_only(&c, call->gradient, count);
    there.m = copy_in(&c, call->m, state);
    there.v = copy_in(&c, call->v, state);
    there.spans = copy_in_only(&c, call->spans, call->span_count * (int64_t)sizeof *call->spans);
    there.now = copy_in_only(&c, call->now, (int64_t)sizeof *call->now);
    table_of(DTYPE_F32)->optimizer_update(&there);
    copies_close(&c);
}

static void judge(const judge_call_t *call) {
    copies_t c = copies_open();
    judge_call_t there = *call;
    const int64_t numbers = call->partial_count * (int64_t)sizeof(double);
    int64_t words = 0;
    for (int r = 0; r < call->rank_count; r++) {
        words = max_i64(words, call->failed_at[r] + 1);
    }
    there.device = c.device;
    there.totals =
        copy_in_only(&c, call->totals, call->loss_count * LOSS_SUMS * (int64_t)sizeof(double));
    there.partials = copy_in_only(&c, call->partials, numbers);
    there.order = copy_in_only(&c, call->order, numbers);
    there.ordered = copy_in(&c, call->ordered, numbers);
    there.words = copy_in_only(&c, call->words, words * (int64_t)sizeof(double));
    there.failed_at =
        copy_in_only(&c, call->failed_at, call->rank_count * (int64_t)sizeof(int64_t));
    there.now = copy_in(&c, call->now, (int64_t)sizeof *call->now);
    table_of(DTYPE_F32)->judge(&there);
    copies_close(&c);
}

static void sum_squares_spans(const device_t *device, const void *gradient,
                              const optimizer_span_t *spans, int64_t count, double *partials) {
    (void)device;
    copies_t c = copies_open();
    void *g = copy_in_only(&c, gradient, floats(spans_end(spans, count, false)));
    void *there = copy_in_only(&c, spans, count * (int64_t)sizeof *spans);
    table_of(DTYPE_F32)->sum_squares_spans(
        c.device, g, there, count, copy_in(&c, partials, count * (int64_t)sizeof *partials));
    copies_close(&c);
}

static void add(const device_t *device, void *out, const void *a, const void *b, int64_t count) {
    (void)device;
    copies_t c = copies_open();
    void *x = copy_in(&c, a, floats(count)), *y = b == a ? x : copy_in(&c, b, floats(count));
    void *to = out == a ? x : out == b ? y : copy_in(&c, out, floats(count));
    table_of(DTYPE_F32)->add(c.device, to, x, y, count);
    copies_close(&c);
}

static bool all_finite(const device_t *device, const void *x, int64_t count) {
    (void)device;
    copies_t c = copies_open();
    bool finite =
        table_of(DTYPE_F32)->all_finite(c.device, copy_in_only(&c, x, floats(count)), count);
    copies_close(&c);
    return finite;
}

/* --- masks ----------------------------------------------------------------------------------- */

static mask_t mask_in(copies_t *c, mask_t mask, int shards) {
    mask.data = copy_in(c, mask.data, (shards - 1) * mask.shard_stride + mask.count);
    return mask;
}

static void masks_in(copies_t *c, const mask_t *masks, int count, int shards, mask_t *to) {
    REQUIRE(count <= OP_INPUTS_MAX);
    for (int i = 0; i < count; i++) {
        to[i] = mask_in(c, masks[i], shards);
    }
}

static void mask_any(const device_t *device, mask_t out, const mask_t *in, int count, int begin,
                     int end) {
    (void)device;
    copies_t c = copies_open();
    mask_t there[OP_INPUTS_MAX];
    masks_in(&c, in, count, end, there);
    table_of(DTYPE_F32)->mask_any(c.device, mask_in(&c, out, end), there, count, begin, end);
    copies_close(&c);
}

static void mask_all(const device_t *device, mask_t out, const mask_t *in, int count, int begin,
                     int end) {
    (void)device;
    copies_t c = copies_open();
    mask_t there[OP_INPUTS_MAX];
    masks_in(&c, in, count, end, there);
    table_of(DTYPE_F32)->mask_all(c.device, mask_in(&c, out, end), there, count, begin, end);
    copies_close(&c);
}

static void mask_seen(const device_t *device, mask_t out, mask_t keys, int64_t groups, bool causal,
                      int begin, int end) {
    (void)device;
    copies_t c = copies_open();
    mask_t there = mask_in(&c, keys, end);
    table_of(DTYPE_F32)->mask_seen(c.device, mask_in(&c, out, end), there, groups, causal, begin,
                                   end);
    copies_close(&c);
}

static void mask_tokens(const device_t *device, mask_t out, const mask_t *query, const mask_t *key,
                        int tokens, int64_t groups, bool causal, int begin, int end) {
    (void)device;
    copies_t c = copies_open();
    mask_t queries[OP_INPUTS_MAX], keys[OP_INPUTS_MAX];
    masks_in(&c, query, tokens, end, queries);
    masks_in(&c, key, tokens, end, keys);
    table_of(DTYPE_F32)->mask_tokens(c.device, mask_in(&c, out, end), queries, keys, tokens, groups,
                                     causal, begin, end);
    copies_close(&c);
}

const kernels_t *gpu_on_host(const kernels_t *kernels) {
    static kernels_t tables[2];
    bool is_short = kernels->dtype == DTYPE_BF16;
    kernels_t *table = &tables[is_short];
    *table = *kernels;
    table->loss_sums = is_short ? loss_sums_bf16 : loss_sums_f32;
    table->loss_gradient = is_short ? loss_gradient_bf16 : loss_gradient_f32;
    table->optimizer_update = optimizer_update;
    table->judge = judge;
    table->sum_squares_spans = sum_squares_spans;
    table->add = add;
    table->all_finite = all_finite;
    table->mask_any = mask_any;
    table->mask_all = mask_all;
    table->mask_seen = mask_seen;
    table->mask_tokens = mask_tokens;
    return table;
}
