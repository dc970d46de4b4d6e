/* An address of this device is one of a stretch that nobody may read or write; what is there lies
 * elsewhere, which operations and copies alone know. So whatever the program does to it by itself
 * ends the program, at any time and from any thread, and an operation that is given an array of the
 * host is refused. */
#include "unit/far_device.h"

#include <string.h>
#include <sys/mman.h>

#include "kernels/base/bytes.h"

enum { PAGE = 4096 };
static const size_t STRETCH_BYTES = (size_t)1 << 32;

static struct {
    char *begin, *memory; /* addresses, and where what they stand for is */
    size_t used;          /* once used, never again before all is released */
    int allocations, pinned;
    int64_t waits, ahead;
    bool strict;
} far; /* a test has one process and one device */

bool far_is_strict(void) { return far.strict; }

int64_t far_waits(void) { return far.waits; }

int64_t far_bytes_ahead(void) { return far.ahead; }

int far_allocations(void) { return far.allocations + far.pinned; }

/* Where it is; an absent one stays absent. */
static void *near(const void *address) {
    const char *at = address;
    REQUIRE(at == NULL || (at >= far.begin && at < far.begin + far.used));
    return at == NULL ? NULL : far.memory + (at - far.begin);
}

/* --- memory ---------------------------------------------------------------------------------- */

static void far_set_strict(const device_t *device, bool strict) {
    (void)device;
    far.strict = strict;
}

static status_t far_alloc(const device_t *device, size_t bytes, const char *what,
                          void **memory_out) {
    (void)device, (void)what;
    REQUIRE(far.used + bytes + PAGE <= STRETCH_BYTES);
    *memory_out = far.begin + far.used;
    far.used += (size_t)align_up((int64_t)bytes + 1, PAGE);
    far.allocations++;
    return STATUS_OK;
}

static void far_release(const device_t *device, void *memory) {
    (void)device;
    far.allocations -= near(memory) != NULL;
    if (far.allocations == 0) {
        REQUIRE(madvise(far.memory, far.used, MADV_DONTNEED) == 0); /* zeros again */
        far.used = 0;
    }
}

static status_t far_alloc_pinned(const device_t *device, size_t bytes, const char *what,
                                 void **memory_out) {
    (void)device, (void)what;
    *memory_out = alloc_aligned(bytes);
    far.pinned++;
    return STATUS_OK;
}

static void far_release_pinned(const device_t *device, void *memory) {
    (void)device;
    far.pinned -= memory != NULL;
    free(memory);
}

static void far_copy_in(const device_t *device, void *to, const void *host, size_t bytes) {
    (void)device;
    memcpy(near(to), host, bytes);
}

static void far_copy_ahead(const device_t *device, void *to, const void *pinned, size_t bytes) {
    far_copy_in(device, to, pinned, bytes);
    far.ahead += (int64_t)bytes;
}

static void far_copy_out(const device_t *device, void *host, const void *from, size_t bytes) {
    (void)device;
    far.waits++;
    memcpy(host, near(from), bytes);
}

static void far_copy(const device_t *device, void *to, const void *from, size_t bytes) {
    (void)device;
    memcpy(near(to), near(from), bytes);
}

static void far_ahead(const device_t *device) { (void)device; }

static void far_fill_zero(const device_t *device, void *memory, size_t bytes) {
    (void)device;
    memset(near(memory), 0, bytes);
}

static void far_synchronize(const device_t *device) {
    (void)device;
    far.waits++;
}

static status_t far_check(const device_t *device) {
    (void)device;
    return STATUS_OK;
}

static const device_t far_device = {
    .name = "cuda",
    .kind = "far memory",
    .id = "far-0",
    .set_strict = far_set_strict,
    .alloc = far_alloc,
    .release = far_release,
    .alloc_pinned = far_alloc_pinned,
    .release_pinned = far_release_pinned,
    .copy_in = far_copy_in,
    .copy_out = far_copy_out,
    .copy = far_copy,
    .ahead_begin = far_ahead,
    .copy_ahead = far_copy_ahead,
    .ahead_end = far_ahead,
    .fill_zero = far_fill_zero,
    .synchronize = far_synchronize,
    .check = far_check,
    .close = far_synchronize,
};

status_t cuda_device_open(int local_index, int local_count, const device_t **device_out) {
    REQUIRE(local_index == 0 && local_count == 1);
    if (far.begin == NULL) {
        far.begin = mmap(NULL, STRETCH_BYTES, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        far.memory = mmap(NULL, STRETCH_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        REQUIRE(far.begin != MAP_FAILED && far.memory != MAP_FAILED);
    }
    *device_out = &far_device;
    return STATUS_OK;
}

const char *cuda_library_version(void) { return "far"; }

const struct reduce_way *cuda_reduce_way(void) { return NULL; }

int cuda_device_count(const char **why_out) {
    *why_out = "";
    return 1;
}

/* --- operations ------------------------------------------------------------------------------ */

typedef struct far_plan { /* what an op_plan_t is here */
    const op_row_t *row;
    op_plan_t *plan;
    int input_count;
} far_plan_t;

static const far_plan_t *plan_of(const op_plan_t *plan) { return (const void *)plan; }

static const kernels_t *cpu_table(dtype_t dtype) {
    const kernels_t *kernels = NULL;
    REQUIRE(kernels_for("cpu", dtype, &kernels) == STATUS_OK);
    return kernels;
}

static status_t plan_on(dtype_t dtype, const op_description_t *description, op_plan_t **plan_out,
                        op_needs_t *needs_out) {
    REQUIRE(description->device == &far_device && description->shard_count > 0);
    far_plan_t *plan = alloc_zero(1, sizeof *plan);
    plan->row = &cpu_table(dtype)->ops[description->kind];
    plan->input_count = description->input_count;
    *plan_out = (void *)plan;
    return plan->row->plan(description, &plan->plan, needs_out);
}

static status_t plan_f32(const op_description_t *description, op_plan_t **plan_out,
                         op_needs_t *needs_out) {
    return plan_on(DTYPE_F32, description, plan_out, needs_out);
}

static status_t plan_bf16(const op_description_t *description, op_plan_t **plan_out,
                          op_needs_t *needs_out) {
    return plan_on(DTYPE_BF16, description, plan_out, needs_out);
}

static void far_plan_close(op_plan_t *plan) {
    if (plan != NULL) {
        plan_of(plan)->row->plan_close(plan_of(plan)->plan);
        free(plan);
    }
}

static op_call_t near_call(const op_plan_t *plan, const op_call_t *call) {
    op_call_t inner = *call;
    for (int i = 0; i < plan_of(plan)->input_count; i++) {
        inner.in[i].data = near(call->in[i].data);
        inner.d_in[i].data = near(call->d_in[i].data);
    }
    for (int w = 0; w < OP_WEIGHTS_MAX; w++) {
        inner.weight[w] = near(call->weight[w]);
        inner.d_weight[w] = near(call->d_weight[w]);
    }
    inner.out.data = near(call->out.data);
    inner.d_out.data = near(call->d_out.data);
    inner.mask.data = near(call->mask.data);
    inner.saved = near(call->saved);
    inner.workspace = near(call->workspace);
    inner.kept = near(call->kept);
    inner.totals = near(call->totals);
    return inner;
}

#define FAR_CALL(name)                                                                             \
    static void far_##name(const op_plan_t *plan, const op_call_t *call) {                         \
        op_call_t inner = near_call(plan, call);                                                   \
        plan_of(plan)->row->name(plan_of(plan)->plan, &inner);                                     \
    }
FAR_CALL(prepare)
FAR_CALL(forward)
FAR_CALL(backward_data)
FAR_CALL(backward_weights)

static void far_sums(const op_plan_t *plan, const op_call_t *call, pass_t pass, double *sums) {
    op_call_t inner = near_call(plan, call);
    plan_of(plan)->row->sums(plan_of(plan)->plan, &inner, pass, near(sums));
}

static void far_backward_tree(const op_use_t *uses, int use_count, int shard_begin, int shard_end,
                              void *const d_weight[OP_WEIGHTS_MAX], void *scratch) {
    op_use_t *inner = alloc_zero(use_count, sizeof *inner);
    op_call_t *calls = alloc_zero(use_count, sizeof *calls);
    void *to[OP_WEIGHTS_MAX];
    for (int i = 0; i < use_count; i++) {
        calls[i] = near_call(uses[i].plan, uses[i].call);
        inner[i] = (op_use_t){plan_of(uses[i].plan)->plan, &calls[i]};
    }
    for (int w = 0; w < OP_WEIGHTS_MAX; w++) {
        to[w] = near(d_weight[w]);
    }
    const op_row_t *row = plan_of(uses[0].plan)->row;
    row->backward_tree(inner, use_count, shard_begin, shard_end, to, near(scratch));
    free(inner);
    free(calls);
}

/* --- the rest of the table ------------------------------------------------------------------- */

static loss_call_t near_loss(const loss_call_t *call) {
    loss_call_t inner = *call;
    REQUIRE(call->device == &far_device);
    inner.x.data = near(call->x.data);
    inner.target = near(call->target);
    inner.d_x.data = near(call->d_x.data);
    return inner;
}

#define FAR_LOSS(suffix, dtype)                                                                    \
    static void loss_sums_##suffix(const loss_call_t *call, double *sums) {                        \
        loss_call_t inner = near_loss(call);                                                       \
        cpu_table(dtype)->loss_sums(&inner, near(sums));                                           \
    }                                                                                              \
    static void loss_gradient_##suffix(const loss_call_t *call, const double total[LOSS_SUMS]) {   \
        loss_call_t inner = near_loss(call);                                                       \
        cpu_table(dtype)->loss_gradient(&inner, near(total));                                      \
    }
FAR_LOSS(f32, DTYPE_F32)
FAR_LOSS(bf16, DTYPE_BF16)

static const kernels_t *floats(void) { return cpu_table(DTYPE_F32); }

static void far_optimizer_update(const optimizer_call_t *call) {
    optimizer_call_t inner = *call;
    REQUIRE(call->device == &far_device);
    inner.weight = near(call->weight);
    inner.gradient = near(call->gradient);
    inner.m = near(call->m);
    inner.v = near(call->v);
    inner.spans = near(call->spans);
    inner.now = near(call->now);
    floats()->optimizer_update(&inner);
}

static void far_judge(const judge_call_t *call) {
    judge_call_t inner = *call;
    REQUIRE(call->device == &far_device);
    inner.totals = near(call->totals);
    inner.partials = near(call->partials);
    inner.order = near(call->order);
    inner.ordered = near(call->ordered);
    inner.words = near(call->words);
    inner.failed_at = near(call->failed_at);
    inner.now = near(call->now);
    floats()->judge(&inner);
}

static void far_sum_squares_spans(const device_t *device, const void *gradient,
                                  const optimizer_span_t *spans, int64_t span_count,
                                  double *partials) {
    floats()->sum_squares_spans(device, near(gradient), near(spans), span_count, near(partials));
}

static void far_add(const device_t *device, void *out, const void *a, const void *b,
                    int64_t count) {
    floats()->add(device, near(out), near(a), near(b), count);
}

static bool far_all_finite(const device_t *device, const void *x, int64_t count) {
    return floats()->all_finite(device, near(x), count);
}

static void far_sums_total(const device_t *device, pass_t pass, int64_t sum_count, int shards,
                           double *all, double *total) {
    floats()->sums_total(device, pass, sum_count, shards, near(all), near(total));
}

static void far_pictures(const pictures_call_t *call) {
    pictures_call_t inner = *call;
    REQUIRE(call->device == &far_device);
    inner.bytes = near(call->bytes);
    inner.mask = near(call->mask);
    inner.changes = near(call->changes);
    inner.out = near(call->out);
    floats()->pictures(&inner);
}

static mask_t near_mask(mask_t mask) {
    mask.data = near(mask.data);
    return mask;
}

static void near_masks(const mask_t *in, int count, mask_t *out) {
    for (int i = 0; i < count; i++) {
        out[i] = near_mask(in[i]);
    }
}

static void far_mask_any(const device_t *device, mask_t out, const mask_t *in, int count,
                         int shard_begin, int shard_end) {
    mask_t inner[OP_INPUTS_MAX];
    near_masks(in, count, inner);
    floats()->mask_any(device, near_mask(out), inner, count, shard_begin, shard_end);
}

static void far_mask_all(const device_t *device, mask_t out, const mask_t *in, int count,
                         int shard_begin, int shard_end) {
    mask_t inner[OP_INPUTS_MAX];
    near_masks(in, count, inner);
    floats()->mask_all(device, near_mask(out), inner, count, shard_begin, shard_end);
}

static void far_mask_seen(const device_t *device, mask_t out, mask_t keys, int64_t groups,
                          bool causal, int shard_begin, int shard_end) {
    floats()->mask_seen(device, near_mask(out), near_mask(keys), groups, causal, shard_begin,
                        shard_end);
}

static void far_mask_tokens(const device_t *device, mask_t out, const mask_t *query,
                            const mask_t *key, int tokens, int64_t groups, bool causal,
                            int shard_begin, int shard_end) {
    mask_t queries[OP_INPUTS_MAX], keys[OP_INPUTS_MAX];
    near_masks(query, tokens, queries);
    near_masks(key, tokens, keys);
    floats()->mask_tokens(device, near_mask(out), queries, keys, tokens, groups, causal,
                          shard_begin, shard_end);
}

/* Weights of weights are the host's affair: no multiply. */
static kernels_t tables[2] = {
    {.backend = "cuda",
     .device = "cuda",
     .dtype = DTYPE_F32,
     .loss_sums = loss_sums_f32,
     .loss_gradient = loss_gradient_f32},
    {.backend = "cuda",
     .device = "cuda",
     .dtype = DTYPE_BF16,
     .loss_sums = loss_sums_bf16,
     .loss_gradient = loss_gradient_bf16},
};

status_t cuda_kernels(dtype_t dtype, const kernels_t **kernels_out) {
    kernels_t *table = &tables[dtype == DTYPE_BF16];
    REQUIRE(dtype == table->dtype);
    for (int kind = 0; kind < OP_COUNT; kind++) {
        const op_row_t *inner = &cpu_table(dtype)->ops[kind];
        table->ops[kind] = (op_row_t){
            .plan = dtype == DTYPE_BF16 ? plan_bf16 : plan_f32,
            .plan_close = far_plan_close,
            .prepare = inner->prepare != NULL ? far_prepare : NULL,
            .forward = far_forward,
            .backward_data = far_backward_data,
            .backward_weights = inner->backward_weights != NULL ? far_backward_weights : NULL,
            .backward_tree = inner->backward_tree != NULL ? far_backward_tree : NULL,
            .sums = inner->sums != NULL ? far_sums : NULL};
    }
    table->optimizer_update = far_optimizer_update;
    table->judge = far_judge;
    table->sum_squares_spans = far_sum_squares_spans;
    table->add = far_add;
    table->all_finite = far_all_finite;
    table->sums_total = far_sums_total;
    table->pictures = far_pictures;
    table->mask_any = far_mask_any;
    table->mask_all = far_mask_all;
    table->mask_seen = far_mask_seen;
    table->mask_tokens = far_mask_tokens;
    *kernels_out = table;
    return STATUS_OK;
}
