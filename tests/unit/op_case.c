#include "op_case.h"

#include <math.h>
#include <string.h>

#include "check.h"
#include "gpu_host.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "kernels/bf16.h"

static bool on_gpu;
static int aligned_but = CASE_ALIGNED_NONE;

enum { GUARD = 8, ROW_GAP = 3, SHARD_GAP = 5, ALIGNED = 8 }; /* elements */

int case_align_rows(int but) {
    int before = aligned_but;
    aligned_but = but;
    return before;
}

static int64_t gap_of(int64_t most) { return aligned_but == CASE_WITHOUT_GAPS ? 0 : most; }

/* From row to row, or from shard to shard. */
static int64_t stride_of(int64_t elements, int matrix) {
    int64_t stride = aligned_but < CASE_ALIGNED_ALL ? elements : align_up(elements, ALIGNED);
    return matrix == aligned_but && matrix >= 0 ? stride + 1 : stride;
}

void check_value(double actual, double expected, double bound) {
    if (!(fabs(actual - expected) <= bound)) {
        fail_msg("%.17g is not %.17g within %.3g", actual, expected, bound);
    }
}

static dtype_t state_of(const op_case_t *test) {
    return test->kernels->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
}

void case_keep(op_case_t *test, void *memory, size_t bytes) {
    REQUIRE(test->owned_count < CASE_OWNED_MAX);
    if (test->device != NULL) {
        void **copy = &test->on_device[test->owned_count];
        CHECK_OK(test->device->alloc(test->device, bytes, "a test", copy));
    }
    test->owned_bytes[test->owned_count] = bytes;
    test->owned[test->owned_count++] = memory;
}

static void *own(op_case_t *test, int64_t count, dtype_t dtype) {
    size_t bytes = (size_t)count * dtype_bytes(dtype);
    void *memory = alloc_aligned(bytes);
    memset(memory, 0xFF, bytes);
    case_keep(test, memory, bytes);
    return memory;
}

static void *at(const void *data, int64_t index, dtype_t dtype) {
    return (char *)data + index * (int64_t)dtype_bytes(dtype);
}

static bool is_guard(const void *data, int64_t index, dtype_t dtype) {
    const unsigned char *byte = at(data, index, dtype);
    for (size_t i = 0; i < dtype_bytes(dtype); i++) {
        if (byte[i] != 0xFF) {
            return false;
        }
    }
    return true;
}

double case_flat_get(const op_case_t *test, const void *data, int64_t index) {
    return dtype_get(state_of(test), data, index);
}

void case_flat_set(const op_case_t *test, void *data, int64_t index, double value) {
    dtype_set(state_of(test), data, index, value);
}

static int64_t offset_of(matrix_t matrix, int shard, int64_t row, int64_t col) {
    return shard * matrix.shard_stride + row * matrix.row_stride + col;
}

double case_get(const op_case_t *test, matrix_t matrix, int shard, int64_t row, int64_t col) {
    return dtype_get(test->kernels->dtype, matrix.data, offset_of(matrix, shard, row, col));
}

void case_set(const op_case_t *test, matrix_t matrix, int shard, int64_t row, int64_t col,
              double value) {
    dtype_set(test->kernels->dtype, matrix.data, offset_of(matrix, shard, row, col), value);
}

static double random_value(uint64_t tensor, uint64_t index) {
    return 2.0 * (double)rng_uniform((rng_key_t){11, rng_name("op_case"), tensor}, index) - 1.0;
}

/* As the case holds it. */
static double value_of(const op_case_t *test, uint64_t tensor, uint64_t index) {
    double value = random_value(tensor, index);
    return test->short_values ? (double)bf16_to_float(bf16_of((float)value)) : value;
}

static matrix_t matrix_open(op_case_t *test, op_shape_t shape, int number) {
    matrix_t matrix = {.rows = shape.rows, .cols = shape.cols, .row_stride = shape.row_stride};
    matrix.shard_stride = stride_of(shape.rows * shape.row_stride + gap_of(SHARD_GAP), number);
    matrix.shard_stride += aligned_but == CASE_BUT_SHARDS + number;
    dtype_t dtype = test->kernels->dtype;
    matrix.data =
        at(own(test, test->shards * matrix.shard_stride + 2 * GUARD, dtype), GUARD, dtype);
    return matrix;
}

static void matrix_fill(op_case_t *test, matrix_t matrix, uint64_t tensor) {
    for (int s = test->call.shard_begin; s < test->call.shard_end; s++) {
        for (int64_t r = 0; r < matrix.rows; r++) {
            for (int64_t c = 0; c < matrix.cols; c++) {
                int64_t index = (s * matrix.rows + r) * matrix.cols + c;
                case_set(test, matrix, s, r, c, value_of(test, tensor, (uint64_t)index));
            }
        }
    }
}

/* Between guards. */
static void *state_open(op_case_t *test, int64_t count) {
    return at(own(test, count + 2 * GUARD, state_of(test)), GUARD, state_of(test));
}

static void weights_open(op_case_t *test) {
    const op_description_t *d = &test->description;
    if (test->row->backward_weights == NULL) {
        return;
    }
    test->weight_count[0] = d->kind == OP_linear ? d->out.cols * d->in[0].cols : d->out.cols;
    test->weight_count[1] = d->attributes.transposed ? d->in[0].cols : d->out.cols;
    if (d->kind == OP_temporal_conv) {
        test->weight_count[0] = d->out.cols * d->in[0].cols * d->attributes.taps;
        test->weight_count[2] = d->out.cols;
    }
    if (d->kind == OP_conv) {
        int64_t in = d->in[0].cols / d->attributes.groups;
        test->weight_count[0] = d->out.cols * in * window_taps(d->attributes.axis);
        test->weight_count[1] = d->attributes.bias ? d->out.cols : 0;
    }
    if (d->kind == OP_batch_norm) {
        test->weight_count[2] = test->weight_count[3] = d->out.cols;
    }
    if (d->kind == OP_mix_rows) {
        int64_t groups = d->attributes.groups;
        test->weight_count[0] = d->out.rows / groups * (d->in[0].rows / groups);
        test->weight_count[1] = 0;
    }
    if (d->kind == OP_add_rows || d->kind == OP_fill_rows || d->kind == OP_prelu) {
        int64_t rows = d->kind == OP_add_rows ? d->attributes.period : 1;
        test->weight_count[0] = rows * d->out.cols;
        test->weight_count[1] = 0;
    }
    for (int w = 0; w < OP_WEIGHTS_MAX; w++) {
        int64_t count = test->weight_count[w];
        bool off = aligned_but == CASE_BUT_WEIGHTS || (aligned_but == CASE_BUT_BIAS && w == 1);
        int64_t beyond = off ? 1 : 0;
        void *weight = at(own(test, count + 2 * beyond, state_of(test)), beyond, state_of(test));
        for (int64_t i = 0; i < count; i++) {
            double value = value_of(test, 1000 + (uint64_t)w, (uint64_t)i);
            bool variance = d->kind == OP_batch_norm && w == 3;
            case_flat_set(test, weight, i, variance ? 1.25 + value : value);
        }
        test->call.weight[w] = weight;
        for (int s = 0; s < test->shards; s++) {
            test->d_weight[w][s] = state_open(test, count);
        }
    }
}

static void open_values(op_case_t *test, const kernels_t *kernels,
                        const op_description_t *description, int shards, int shard_begin,
                        int shard_end, bool short_values) {
    memset(test, 0, sizeof *test);
    REQUIRE(shards <= CASE_SHARDS_MAX);
    test->short_values = short_values;
    test->kernels = kernels;
    test->row = &kernels->ops[description->kind];
    test->device = strcmp(kernels->device, "cpu") == 0 ? NULL : case_gpu();
    test->description = *description;
    test->description.device = test->device;
    test->description.shard_count = shards;
    test->shards = shards;
    test->scalars = (step_scalars_t){.seed = 5, .step = 9, .shard_first = 2, .training = true};
    op_description_t *d = &test->description;
    op_call_t *call = &test->call;
    call->shard_begin = shard_begin;
    call->shard_end = shard_end;
    call->scalars = &test->scalars;
    d->out.row_stride = stride_of(d->out.cols + gap_of(ROW_GAP), 0);
    d->d_out = d->out;
    d->d_out.row_stride = stride_of(d->out.row_stride + gap_of(1), 1);
    call->out = matrix_open(test, d->out, 0);
    call->d_out = matrix_open(test, d->d_out, 1);
    matrix_fill(test, call->d_out, 999);
    for (int i = 0; i < d->input_count; i++) {
        d->in[i].row_stride = stride_of(d->in[i].cols + gap_of(ROW_GAP + i % 2), 2 + 2 * i);
        d->d_in[i] = d->in[i];
        d->d_in[i].row_stride = stride_of(d->in[i].row_stride + gap_of(2), 3 + 2 * i);
        call->in[i] = matrix_open(test, d->in[i], 2 + 2 * i);
        call->d_in[i] = matrix_open(test, d->d_in[i], 3 + 2 * i);
        matrix_fill(test, call->in[i], (uint64_t)i);
    }
    weights_open(test);
    CHECK_OK(test->row->plan(d, &test->plan, &test->needs));
    call->workspace = state_open(test, test->needs.workspace_count);
    call->saved_shard_stride =
        stride_of(test->needs.saved_count + gap_of(SHARD_GAP), CASE_ALIGNED_ALL);
    call->saved = own(test, shards * call->saved_shard_stride, state_of(test));
    test->sums = own(test, shards * test->needs.sum_count, DTYPE_F64);
    test->totals = own(test, test->needs.sum_count, DTYPE_F64);
}

void case_open(op_case_t *test, const kernels_t *kernels, const op_description_t *description,
               int shards, int shard_begin, int shard_end) {
    open_values(test, kernels, description, shards, shard_begin, shard_end, false);
}

void case_open_short(op_case_t *test, const kernels_t *kernels, const op_description_t *description,
                     int shards, int shard_begin, int shard_end) {
    open_values(test, kernels, description, shards, shard_begin, shard_end, true);
}

void case_close(op_case_t *test) {
    test->row->plan_close(test->plan);
    for (int i = 0; i < test->owned_count; i++) {
        free(test->owned[i]);
        if (test->device != NULL) {
            test->device->release(test->device, test->on_device[i]);
        }
    }
    if (test->device != NULL) {
        test->device->release(test->device, test->stage_on_device);
        free(test->stage);
    }
}

void case_mask(op_case_t *test, int64_t count, int64_t block, int64_t off_block) {
    mask_t mask = {.count = count, .shard_stride = count + 1};
    mask.data = alloc_zero(test->shards * mask.shard_stride, 1);
    for (int s = 0; s < test->shards; s++) {
        for (int64_t i = 0; i < count; i++) {
            bool off = block > 0 && i / block == off_block;
            bool valid = random_value(77, (uint64_t)(s * count + i)) > -0.3;
            mask.data[s * mask.shard_stride + i] = valid && !off;
        }
    }
    case_keep(test, mask.data, (size_t)(test->shards * mask.shard_stride));
    test->call.mask = mask;
}

/* --- calls ----------------------------------------------------------------------------------- */

/* Where a place of the case's memory is for the operation. */
static void *there(const op_case_t *test, const void *place) {
    for (int i = 0; test->device != NULL && i < test->owned_count; i++) {
        const char *begin = test->owned[i], *at = place;
        if (at == begin || (at > begin && at < begin + test->owned_bytes[i])) {
            return (char *)test->on_device[i] + (at - begin);
        }
    }
    REQUIRE(place == NULL || test->device == NULL);
    return (void *)(uintptr_t)place;
}

static op_call_t call_there(const op_case_t *test, const op_call_t *call) {
    op_call_t moved = *call;
    moved.out.data = there(test, call->out.data);
    moved.d_out.data = there(test, call->d_out.data);
    for (int i = 0; i < OP_INPUTS_MAX; i++) {
        moved.in[i].data = there(test, call->in[i].data);
        moved.d_in[i].data = there(test, call->d_in[i].data);
    }
    for (int w = 0; w < OP_WEIGHTS_MAX; w++) {
        moved.weight[w] = there(test, call->weight[w]);
        moved.d_weight[w] = there(test, call->d_weight[w]);
    }
    moved.mask.data = there(test, call->mask.data);
    moved.saved = there(test, call->saved);
    moved.workspace = there(test, call->workspace);
    moved.kept = there(test, call->kept);
    moved.totals = there(test, call->totals);
    return moved;
}

enum { STAGE_ALIGNMENT = 16 };

static size_t stage_next(size_t at, size_t bytes) {
    return at + (bytes + STAGE_ALIGNMENT - 1) / STAGE_ALIGNMENT * STAGE_ALIGNMENT;
}

static void stage_open(op_case_t *test) {
    size_t bytes = 0;
    for (int i = 0; i < test->owned_count; i++) {
        bytes = stage_next(bytes, test->owned_bytes[i]);
    }
    if (bytes > test->stage_bytes) {
        free(test->stage);
        test->device->release(test->device, test->stage_on_device);
        test->stage = alloc_aligned(bytes);
        test->stage_bytes = bytes;
        CHECK_OK(test->device->alloc(test->device, bytes, "a test", &test->stage_on_device));
    }
}

static void to_device(op_case_t *test) {
    const device_t *device = test->device;
    size_t at = 0;
    if (device == NULL) {
        return;
    }
    stage_open(test);
    for (int i = 0; i < test->owned_count; i++) {
        memcpy((char *)test->stage + at, test->owned[i], test->owned_bytes[i]);
        at = stage_next(at, test->owned_bytes[i]);
    }
    device->copy_in(device, test->stage_on_device, test->stage, at);
    at = 0;
    for (int i = 0; i < test->owned_count; i++) {
        device->copy(device, test->on_device[i], (char *)test->stage_on_device + at,
                     test->owned_bytes[i]);
        at = stage_next(at, test->owned_bytes[i]);
    }
}

static void from_device(op_case_t *test) {
    const device_t *device = test->device;
    size_t at = 0;
    if (device == NULL) {
        return;
    }
    for (int i = 0; i < test->owned_count; i++) {
        device->copy(device, (char *)test->stage_on_device + at, test->on_device[i],
                     test->owned_bytes[i]);
        at = stage_next(at, test->owned_bytes[i]);
    }
    device->copy_out(device, test->stage, test->stage_on_device, at);
    at = 0;
    for (int i = 0; i < test->owned_count; i++) {
        memcpy(test->owned[i], (char *)test->stage + at, test->owned_bytes[i]);
        at = stage_next(at, test->owned_bytes[i]);
    }
    CHECK_OK(device->check(device));
}

void case_call(op_case_t *test, void (*function)(const op_plan_t *plan, const op_call_t *call),
               const op_call_t *call) {
    to_device(test);
    op_call_t moved = call_there(test, call);
    function(test->plan, &moved);
    from_device(test);
}

void case_tree(op_case_t *test, const op_use_t *uses, int use_count, int begin, int end,
               void *const d_weight[OP_WEIGHTS_MAX], void *scratch) {
    enum { USES_MAX = 4 };
    REQUIRE(use_count <= USES_MAX);
    to_device(test);
    op_call_t calls[USES_MAX];
    op_use_t moved[USES_MAX];
    void *to[OP_WEIGHTS_MAX];
    for (int u = 0; u < use_count; u++) {
        calls[u] = call_there(test, uses[u].call);
        moved[u] = (op_use_t){uses[u].plan, &calls[u]};
    }
    for (int w = 0; w < OP_WEIGHTS_MAX; w++) {
        to[w] = there(test, d_weight[w]);
    }
    test->row->backward_tree(moved, use_count, begin, end, to, there(test, scratch));
    from_device(test);
}

static void couple(op_case_t *test, pass_t pass) {
    int64_t count = test->needs.sum_count;
    op_call_t *call = &test->call;
    if (count == 0) {
        return;
    }
    double *first = test->sums + call->shard_begin * count;
    int shards = call->shard_end - call->shard_begin;
    to_device(test);
    op_call_t moved = call_there(test, call);
    test->row->sums(test->plan, &moved, pass, there(test, test->sums));
    test->kernels->sums_total(test->device, pass, count, shards, there(test, first),
                              there(test, test->totals));
    from_device(test);
    call->totals = test->totals;
}

void case_forward(op_case_t *test) {
    couple(test, PASS_FORWARD);
    case_call(test, test->row->forward, &test->call);
}

void case_backward(op_case_t *test) {
    couple(test, PASS_BACKWARD_DATA);
    case_call(test, test->row->backward_data, &test->call);
    if (test->row->backward_weights == NULL) {
        return;
    }
    op_call_t one = test->call;
    for (int s = test->call.shard_begin; s < test->call.shard_end; s++) {
        one.shard_begin = s;
        one.shard_end = s + 1;
        for (int w = 0; w < OP_WEIGHTS_MAX; w++) {
            one.d_weight[w] = test->d_weight[w][s];
        }
        case_call(test, test->row->backward_weights, &one);
    }
}

void case_run(op_case_t *test) {
    case_forward(test);
    case_backward(test);
    case_check_guards(test);
}

static void check_matrix_guards(const op_case_t *test, matrix_t matrix, bool written) {
    int64_t end = test->shards * matrix.shard_stride + GUARD;
    for (int64_t i = -GUARD; i < end; i++) {
        int64_t in_shard = i % matrix.shard_stride;
        int64_t shard = i < 0 ? -1 : i / matrix.shard_stride;
        bool inside = shard >= test->call.shard_begin && shard < test->call.shard_end &&
                      in_shard < matrix.rows * matrix.row_stride &&
                      in_shard % matrix.row_stride < matrix.cols;
        if (!inside) {
            assert_true(is_guard(matrix.data, i, test->kernels->dtype));
        } else if (written) {
            assert_false(is_guard(matrix.data, i, test->kernels->dtype));
        }
    }
}

static void check_flat_guards(const op_case_t *test, const void *data, int64_t count) {
    for (int64_t i = 0; i < GUARD; i++) {
        assert_true(is_guard(data, -1 - i, state_of(test)));
        assert_true(is_guard(data, count + i, state_of(test)));
    }
}

void case_check_guards(const op_case_t *test) {
    const op_call_t *call = &test->call;
    check_matrix_guards(test, call->out, true);
    check_matrix_guards(test, call->d_out, true);
    for (int i = 0; i < test->description.input_count; i++) {
        check_matrix_guards(test, call->in[i], true);
        if (call->d_in[i].data != NULL) {
            check_matrix_guards(test, call->d_in[i], true);
        }
    }
    check_flat_guards(test, call->workspace, test->needs.workspace_count);
    for (int s = 0; s < test->shards; s++) {
        for (int64_t i = test->needs.saved_count; i < call->saved_shard_stride; i++) {
            assert_true(is_guard(call->saved, s * call->saved_shard_stride + i, state_of(test)));
        }
        for (int w = 0; w < OP_WEIGHTS_MAX && test->weight_count[w] > 0; w++) {
            check_flat_guards(test, test->d_weight[w][s], test->weight_count[w]);
        }
    }
}

/* sum(out * d_out) */
static double objective(op_case_t *test) {
    case_forward(test);
    matrix_t out = test->call.out, d_out = test->call.d_out;
    double total = 0.0;
    for (int s = test->call.shard_begin; s < test->call.shard_end; s++) {
        for (int64_t r = 0; r < out.rows; r++) {
            for (int64_t c = 0; c < out.cols; c++) {
                total += case_get(test, out, s, r, c) * case_get(test, d_out, s, r, c);
            }
        }
    }
    return total;
}

static double slope(op_case_t *test, void *data, int64_t index) {
    const double step = 1e-5;
    double kept = case_flat_get(test, data, index);
    case_flat_set(test, data, index, kept + step);
    double above = objective(test);
    case_flat_set(test, data, index, kept - step);
    double below = objective(test);
    case_flat_set(test, data, index, kept);
    return (above - below) / (2.0 * step);
}

void case_check_gradients(op_case_t *test, double tolerance) {
    const op_call_t *call = &test->call;
    for (int i = 0; i < test->description.input_count; i++) {
        matrix_t in = call->in[i];
        for (int s = call->shard_begin; s < call->shard_end; s++) {
            for (int64_t j = 0; j < in.rows * in.cols; j++) {
                int64_t r = j / in.cols, c = j % in.cols;
                double expected = slope(test, in.data, offset_of(in, s, r, c));
                check_value(case_get(test, call->d_in[i], s, r, c), expected, tolerance);
            }
        }
    }
    int weights = test->description.kind == OP_batch_norm ? 2 : OP_WEIGHTS_MAX; /* no statistics */
    for (int w = 0; w < weights; w++) {
        for (int64_t j = 0; j < test->weight_count[w]; j++) {
            double total = 0.0;
            for (int s = call->shard_begin; s < call->shard_end; s++) {
                total += case_flat_get(test, test->d_weight[w][s], j);
            }
            double expected = slope(test, (void *)call->weight[w], j);
            check_value(total, expected, tolerance);
        }
    }
    case_forward(test); /* the output of the unmoved numbers again */
}

static void check_same_matrix(const op_case_t *a, matrix_t x, const op_case_t *b, matrix_t y) {
    int begin =
        a->call.shard_begin > b->call.shard_begin ? a->call.shard_begin : b->call.shard_begin;
    int end = a->call.shard_end < b->call.shard_end ? a->call.shard_end : b->call.shard_end;
    for (int s = begin; s < end; s++) {
        for (int64_t r = 0; r < x.rows; r++) {
            dtype_t dtype = a->kernels->dtype;
            assert_memory_equal(at(x.data, offset_of(x, s, r, 0), dtype),
                                at(y.data, offset_of(y, s, r, 0), dtype),
                                (size_t)x.cols * dtype_bytes(dtype));
        }
    }
}

void case_check_same_bits(const op_case_t *a, const op_case_t *b) {
    check_same_matrix(a, a->call.out, b, b->call.out);
    for (int i = 0; i < a->description.input_count; i++) {
        check_same_matrix(a, a->call.d_in[i], b, b->call.d_in[i]);
    }
    for (int w = 0; w < OP_WEIGHTS_MAX && a->weight_count[w] > 0; w++) {
        for (int s = 0; s < a->shards; s++) {
            if (s >= a->call.shard_begin && s < a->call.shard_end && s >= b->call.shard_begin &&
                s < b->call.shard_end) {
                assert_memory_equal(a->d_weight[w][s], b->d_weight[w][s],
                                    (size_t)a->weight_count[w] * dtype_bytes(state_of(a)));
            }
        }
    }
}

const kernels_t *case_table(const char *backend, dtype_t dtype) {
    const kernels_t *kernels = NULL;
    bool moved = on_gpu && strcmp(backend, "cpu") == 0;
    CHECK_OK(kernels_for(moved ? "cuda" : backend, dtype, &kernels));
    return moved ? gpu_on_host(kernels) : kernels;
}

static const device_t *gpu;

static void close_gpu(void) { device_close(gpu); }

const device_t *case_gpu(void) {
    static bool asked;
    if (!asked) {
        asked = true;
        if (device_open("cuda", 0, 1, &gpu) == STATUS_OK) {
            REQUIRE(atexit(close_gpu) == 0);
        } else {
            gpu = NULL;
            print_message("# no GPU: %s\n", status_text());
        }
    }
    return gpu;
}

void case_go_on_gpu(void) { on_gpu = case_gpu() != NULL; }

bool case_on_gpu(void) { return on_gpu; }
