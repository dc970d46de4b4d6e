#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"
#include "unit/tree_case.h"

/* axes: extent, size, stride, dilation, padding before and after. */
typedef struct shape {
    int64_t samples, in, out, groups;
    int64_t axes[OP_AXES][6];
} shape_t;

#define NO_AXIS                                                                                    \
    { 1, 1, 1, 1, 0, 0 }

static op_description_t conv(const shape_t *shape, activation_t activation, bool bias) {
    op_description_t d = {.kind = OP_conv, .input_count = 1};
    d.attributes.groups = shape->groups;
    d.attributes.activation = activation;
    d.attributes.bias = bias;
    d.in[0] = (op_shape_t){shape->samples, shape->in, 0};
    d.out = (op_shape_t){shape->samples, shape->out, 0};
    for (int a = 0; a < OP_AXES; a++) {
        const int64_t *x = shape->axes[a];
        int64_t out = (x[0] + x[4] + x[5] - x[3] * (x[1] - 1) - 1) / x[2] + 1;
        d.attributes.axis[a] = (op_axis_t){x[0], out, x[1], x[2], x[3], x[4]};
        d.in[0].rows *= x[0];
        d.out.rows *= out;
    }
    return d;
}

/* Of every kind. */
static const shape_t shapes[] = {
    {1, 1, 1, 1, {NO_AXIS, NO_AXIS, NO_AXIS}},
    {3, 5, 7, 1, {NO_AXIS, NO_AXIS, {2, 1, 1, 1, 0, 0}}},
    {2, 3, 4, 1, {NO_AXIS, NO_AXIS, {7, 3, 1, 1, 1, 1}}},
    {2, 3, 4, 1, {NO_AXIS, NO_AXIS, {7, 3, 2, 1, 0, 1}}},
    {2, 2, 3, 1, {NO_AXIS, NO_AXIS, {9, 4, 3, 2, 2, 3}}},
    {1, 2, 3, 1, {NO_AXIS, NO_AXIS, {8, 3, 2, 2, 1, 2}}},
    {2, 4, 6, 2, {NO_AXIS, NO_AXIS, {5, 3, 1, 2, 4, 0}}},
    {2, 4, 4, 4, {NO_AXIS, {4, 3, 2, 1, 1, 1}, {5, 2, 1, 1, 0, 1}}},
    {1, 2, 3, 1, {NO_AXIS, {4, 3, 1, 1, 1, 1}, {5, 3, 2, 1, 1, 1}}},
    {1, 1, 2, 1, {NO_AXIS, {5, 5, 2, 1, 2, 2}, {3, 7, 2, 1, 3, 3}}},
    {2, 1, 2, 1, {{3, 3, 1, 1, 1, 1}, {3, 2, 2, 1, 0, 1}, {4, 3, 1, 1, 1, 1}}},
    {1, 3, 2, 1, {{4, 3, 1, 1, 1, 1}, {2, 1, 1, 1, 0, 0}, {3, 1, 1, 1, 0, 0}}},
    {1, 3, 2, 1, {{5, 1, 2, 1, 0, 0}, {4, 1, 2, 1, 0, 0}, {3, 1, 3, 1, 0, 0}}},
    {1, 2, 2, 1, {{1, 1, 2, 1, 0, 0}, {2, 1, 4, 1, 0, 0}, {3, 2, 2, 3, 1, 1}}},
};
enum { SHAPE_COUNT = sizeof shapes / sizeof shapes[0] };

/* Wide enough for several panels, blocks and parts. */
static const shape_t wide[] = {
    {2, 3, 45, 1, {NO_AXIS, {23, 7, 2, 1, 3, 3}, {25, 7, 2, 1, 3, 3}}},
    {1, 45, 64, 1, {{9, 3, 1, 1, 1, 1}, {5, 1, 1, 1, 0, 0}, {7, 1, 1, 1, 0, 0}}},
    {2, 64, 50, 2, {{5, 3, 2, 1, 1, 1}, {6, 3, 1, 1, 1, 1}, {7, 3, 2, 1, 1, 1}}},
    {1, 130, 97, 1, {NO_AXIS, {19, 1, 1, 1, 0, 0}, {18, 1, 1, 1, 0, 0}}},
    {1, 128, 40, 1, {NO_AXIS, {12, 4, 1, 2, 2, 3}, {11, 2, 1, 1, 0, 1}}},
    /* Taps that meet padding alone: everywhere, or on some places of the first axis. */
    {2, 34, 40, 1, {{1, 3, 1, 1, 1, 1}, {7, 3, 1, 1, 1, 1}, {6, 1, 1, 1, 0, 0}}},
    {2, 34, 20, 1, {{3, 3, 1, 1, 1, 1}, {6, 2, 1, 1, 0, 1}, {7, 3, 1, 1, 1, 1}}},
    {1, 33, 18, 1, {{4, 3, 2, 1, 1, 1}, {11, 3, 2, 1, 1, 1}, {7, 1, 1, 1, 0, 0}}},
    /* Transformed in tiles of results, which overhang: two by two, or four of the first axis. */
    {2, 33, 65, 1, {NO_AXIS, {9, 3, 1, 1, 1, 1}, {15, 3, 1, 1, 1, 1}}},
    {1, 32, 33, 1, {{2, 3, 1, 1, 1, 1}, {12, 3, 1, 1, 0, 0}, {11, 3, 1, 1, 1, 0}}},
    {1, 36, 32, 1, {{2, 2, 1, 1, 1, 0}, {6, 3, 1, 1, 2, 2}, {9, 3, 1, 1, 3, 0}}},
    {1, 40, 33, 1, {{9, 3, 1, 1, 1, 1}, {5, 1, 1, 1, 0, 0}, {7, 1, 1, 1, 0, 0}}},
    {2, 35, 50, 1, {{6, 3, 1, 1, 2, 0}, {7, 1, 1, 1, 0, 0}, {9, 1, 1, 1, 1, 0}}},
    /* By pairs, too, where extents are larger and columns even: of one factor, of both. */
    {1, 35, 34, 1, {NO_AXIS, {17, 3, 1, 1, 1, 1}, {15, 3, 1, 1, 1, 1}}},
    {1, 34, 40, 1, {NO_AXIS, {17, 3, 1, 1, 1, 1}, {15, 3, 1, 1, 1, 1}}},
    {1, 32, 34, 1, {{3, 3, 1, 1, 1, 1}, {14, 3, 1, 1, 0, 1}, {13, 3, 1, 1, 1, 1}}},
};
enum { WIDE_COUNT = sizeof wide / sizeof wide[0], TRANSFORMED_COUNT = 3 };
enum { TRANSFORMED = SHAPE_COUNT + WIDE_COUNT - TRANSFORMED_COUNT };

static op_description_t any(int i, activation_t activation, bool bias) {
    return conv(i < SHAPE_COUNT ? &shapes[i] : &wide[i - SHAPE_COUNT], activation, bias);
}

static void gradients(void **state) {
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++) {
        for (int relu = 0; relu < 2; relu++) {
            op_description_t d = any(i, relu ? ACTIVATION_RELU : ACTIVATION_NONE, (i + relu) % 2);
            case_check_reference(&d, 0, 0, 0);
        }
    }
}

/* y[0] = relu(2 x[0] + 3 x[1] + 10), y[1] = relu(1 x[1] + 2 x[2] + 3 x[3] + 10): weight (1, 2, 3),
 * stride 2, one place before and one behind that no window reaches. */
static void by_hand(void **state) {
    (void)state;
    const char *backends[] = {"ref", "cpu"};
    for (int b = 0; b < 2; b++) {
        op_case_t test;
        shape_t shape = {1, 1, 1, 1, {NO_AXIS, NO_AXIS, {4, 3, 2, 1, 1, 1}}};
        op_description_t d = conv(&shape, ACTIVATION_RELU, true);
        assert_int_equal(d.out.rows, 2);
        case_open(&test, case_table(backends[b], DTYPE_F32), &d, 1, 0, 1);
        memcpy((void *)test.call.weight[0], (float[]){1, 2, 3}, 12);
        memcpy((void *)test.call.weight[1], (float[]){10}, 4);
        const double x[4] = {5, 7, -8, -4}, dy[2] = {100, 1000};
        const double y[2] = {41, 0}, dx[4] = {200, 300, 0, 0}, dw[3] = {0, 500, 700};
        for (int r = 0; r < 4; r++) {
            case_set(&test, test.call.in[0], 0, r, 0, x[r]);
            case_set(&test, test.call.d_out, 0, r % 2, 0, dy[r % 2]);
        }
        case_run(&test);
        for (int r = 0; r < 4; r++) {
            check_value(case_get(&test, test.call.out, 0, r % 2, 0), y[r % 2], 0.0);
            check_value(case_get(&test, test.call.d_in[0], 0, r, 0), dx[r], 0.0);
        }
        for (int j = 0; j < 3; j++) {
            check_value(case_flat_get(&test, test.d_weight[0][0], j), dw[j], 0.0);
        }
        check_value(case_flat_get(&test, test.d_weight[1][0], 0), 100.0, 0.0);
        case_close(&test);
    }
}

/* The simulated GPU is slow, and its library does not care how wide a shape is. */
static int wide_count(void) { return case_on_gpu() ? 0 : WIDE_COUNT; }
static int shape_count(void) { return SHAPE_COUNT + wide_count(); }

/* Of n numbers within 1 the partial sums, on average below 8 here, are each off by half an eps. */
static void check_float_table(const kernels_t *kernels, const op_description_t *d) {
    op_case_t test, exact;
    case_open(&test, kernels, d, 3, 1, 3);
    case_open(&exact, case_table("ref", DTYPE_F64), d, 3, 1, 3);
    case_run(&test);
    case_run(&exact);
    double taps = (double)window_taps(d->attributes.axis), unit = FLT_EPSILON;
    unit += case_product_bound(kernels, d->kind, 1.0);
    double read = taps * (double)(d->in[0].cols / d->attributes.groups) + 1.0;
    double readers = taps * (double)(d->out.cols / d->attributes.groups);
    double rows = (double)d->out.rows;
    case_check_near(&test, &exact, 4.0 * read * unit, 4.0 * readers * unit, 4.0 * rows * unit);
    case_close(&test);
    case_close(&exact);
}

static void float_tables_are_accurate(void **state) {
    (void)state;
    for (int i = 0; i < shape_count(); i++) {
        /* Near 0 relu parts tables: that is tested with sums that are exact enough above. */
        op_description_t d = any(i, ACTIVATION_NONE, i % 2 == 0);
        check_float_table(case_table("ref", DTYPE_F32), &d);
        check_float_table(case_table("cpu", DTYPE_F32), &d);
    }
}

/* Root of the mean square of a result of two shards, or of how far it is from another's. */
static double rms(const op_case_t *test, matrix_t x, const op_case_t *from, matrix_t y) {
    double sum = 0, count = 2.0 * (double)(x.rows * x.cols);
    for (int64_t j = 0; j < 2 * x.rows * x.cols; j++) {
        int s = (int)(j / (x.rows * x.cols));
        int64_t r = j / x.cols % x.rows, c = j % x.cols;
        double value = case_get(test, x, s, r, c);
        value -= from != NULL ? case_get(from, y, s, r, c) : 0.0;
        sum += value * value;
    }
    return sqrt(sum / count);
}

/* Numbers of bf16 are rounded to within 2^-8 of themselves; a mean square is a third of that. */
static const double rounding = 0x1p-8 * 0.5773502691896258;
/* Transformed numbers and weights are rounded, each of which passes on as 25/9 of its mean square:
 * each half of an axis's four products takes two numbers, and weights of mean squares 1, 3/4, 3/4
 * and 1 to a result, which is the sum of three: 5/3 an axis (conv_winograd_cpu.c). */
static const double transformed = 0x1p-8 * 0.5773502691896258 * 2.357022603955158;

/* What pairs are off where they are transformed, beside the result's norm: then rounded once. The
 * other tables are as far off as that rounding. */
static void transformed_pairs_are_accurate(void **state) {
    (void)state;
    const kernels_t *tables[CASE_SHORT_TABLES_MAX];
    int count = case_short_tables(tables);
    for (int i = TRANSFORMED; i < shape_count(); i++) {
        op_description_t d = any(i, ACTIVATION_NONE, false);
        op_case_t exact, test;
        case_open_short(&exact, case_table("ref", DTYPE_F64), &d, 2, 0, 2);
        case_run(&exact);
        for (int t = 0; t < count; t++) {
            case_open_short(&test, tables[t], &d, 2, 0, 2);
            case_run(&test);
            double most = tables[t]->pairs ? hypot(transformed, rounding) : rounding;
            op_call_t *a = &test.call, *b = &exact.call;
            check_value(rms(&test, a->out, &exact, b->out), 0.0,
                        most * rms(&exact, b->out, NULL, b->out));
            check_value(rms(&test, a->d_in[0], &exact, b->d_in[0]), 0.0,
                        most * rms(&exact, b->d_in[0], NULL, b->d_in[0]));
            case_close(&test);
        }
        case_close(&exact);
    }
}

/* Of bf16, on numbers that it holds: sums are as accurate as those of float, then rounded once. Of
 * some ten thousand that are transformed by pairs none is six deviations off. */
static void short_tables_are_accurate(void **state) {
    (void)state;
    const kernels_t *tables[CASE_SHORT_TABLES_MAX];
    int count = case_short_tables(tables);
    for (int i = SHAPE_COUNT; i < shape_count(); i++) {
        op_description_t d = any(i, ACTIVATION_NONE, i % 2 == 0);
        op_case_t exact;
        case_open_short(&exact, case_table("ref", DTYPE_F64), &d, 2, 0, 2);
        case_run(&exact);
        double taps = (double)window_taps(d.attributes.axis), unit = 4.0 * FLT_EPSILON;
        double read = taps * (double)(d.in[0].cols / d.attributes.groups) + 1.0;
        double readers = taps * (double)(d.out.cols / d.attributes.groups);
        double out = rms(&exact, exact.call.out, NULL, exact.call.out);
        double d_in = rms(&exact, exact.call.d_in[0], NULL, exact.call.d_in[0]);
        for (int t = 0; t < count; t++) {
            op_case_t test;
            double off = tables[t]->pairs && i >= TRANSFORMED ? 6.0 * transformed : 0.0;
            case_open_short(&test, tables[t], &d, 2, 0, 2);
            case_run(&test);
            case_check_near(&test, &exact, read * unit + off * out, readers * unit + off * d_in,
                            (double)d.out.rows * unit);
            case_close(&test);
        }
        case_close(&exact);
    }
}

/* Weights are rounded to bf16 before they multiply, as linear's are: 1 + 2^-9 + 2^-12 to 1, since
 * 1 + 2^-7 is the next. */
static void weights_are_rounded(void **state) {
    (void)state;
    const kernels_t *tables[CASE_SHORT_TABLES_MAX];
    int count = case_short_tables(tables);
    for (int t = 0; t < count; t++) {
        op_case_t test;
        shape_t shape = {1, 2, 1, 1, {NO_AXIS, NO_AXIS, {2, 1, 1, 1, 0, 0}}};
        op_description_t d = conv(&shape, ACTIVATION_NONE, false);
        case_open(&test, tables[t], &d, 1, 0, 1);
        memcpy((void *)test.call.weight[0], (float[]){1.0F + 0x1p-9F + 0x1p-12F, -1.0F}, 8);
        for (int i = 0; i < 4; i++) {
            case_set(&test, test.call.in[0], 0, i / 2, i % 2, 1.0);
        }
        case_run(&test);
        check_value(case_get(&test, test.call.out, 0, 0, 0), 0.0, 0.0);
        check_value(case_get(&test, test.call.out, 0, 1, 0), 0.0, 0.0);
        case_close(&test);
    }
}

static void a_shard_has_the_same_bits_alone(void **state) {
    (void)state;
    for (int i = 0; i < shape_count(); i++) {
        op_description_t d = any(i, ACTIVATION_RELU, i % 2 == 0);
        case_check_alone(&d);
    }
}

/* Where they lie, and gathered. */
static void gradients_of_many_rows(void **state) {
    (void)state;
    shape_t shapes_of[] = {{1, 2, 3, 1, {NO_AXIS, {256, 1, 1, 1, 0, 0}, {256, 1, 1, 1, 0, 0}}},
                           {1, 4, 2, 2, {NO_AXIS, {256, 1, 1, 1, 0, 0}, {514, 3, 2, 1, 0, 0}}}};
    for (int i = 0; i < 2; i++) {
        op_description_t d = conv(&shapes_of[i], ACTIVATION_NONE, true);
        case_check_many_rows(&d);
    }
}

/* Samples that are copies of one another give equal rows, whatever block and tile they fall into;
 * so do the gradients of their inputs. */
static void equal_samples_have_equal_bits(void **state) {
    (void)state;
    for (int i = 0; i < wide_count() + (case_on_gpu() ? 0 : TRANSFORMED_COUNT); i++) {
        bool rounded = i >= wide_count();
        shape_t shape = wide[rounded ? i - TRANSFORMED_COUNT : i];
        shape.samples = 5;
        op_description_t d = conv(&shape, ACTIVATION_RELU, true);
        op_case_t test;
        case_open(&test, case_table("cpu", rounded ? DTYPE_BF16 : DTYPE_F32), &d, 1, 0, 1);
        matrix_t copied[] = {test.call.in[0], test.call.d_out};
        for (int m = 0; m < 2; m++) {
            int64_t rows = copied[m].rows / shape.samples;
            for (int64_t j = rows * copied[m].cols; j < copied[m].rows * copied[m].cols; j++) {
                int64_t r = j / copied[m].cols, c = j % copied[m].cols;
                case_set(&test, copied[m], 0, r, c, case_get(&test, copied[m], 0, r % rows, c));
            }
        }
        case_run(&test);
        matrix_t results[] = {test.call.out, test.call.d_in[0]};
        for (int m = 0; m < 2; m++) {
            int64_t rows = results[m].rows / shape.samples;
            for (int64_t j = 0; j < results[m].rows * results[m].cols; j++) {
                int64_t r = j / results[m].cols, c = j % results[m].cols;
                assert_true(case_get(&test, results[m], 0, r, c) ==
                            case_get(&test, results[m], 0, r % rows, c));
            }
        }
        case_close(&test);
    }
}

static void threads_do_not_matter(void **state) {
    (void)state;
    for (int i = 0; i < shape_count(); i++) {
        op_description_t d = any(i, ACTIVATION_RELU, true);
        case_check_threads(&d);
    }
}

static void plans_without_gradients(void **state) {
    (void)state;
    for (int i = 0; i < shape_count(); i++) {
        op_description_t d = any(i, ACTIVATION_RELU, i % 2 == 0);
        case_check_without_gradients(&d);
    }
}

/* Weights that stay are packed once, with the same results. */
static void kept_weights(void **state) {
    (void)state;
    for (int i = 0; i < shape_count(); i++) {
        op_description_t d = any(i, ACTIVATION_RELU, true);
        op_case_t test, kept;
        dtype_t dtype = i % 2 == 0 ? DTYPE_F32 : DTYPE_BF16;
        case_open(&test, case_table("cpu", dtype), &d, 2, 0, 2);
        case_open(&kept, case_table("cpu", dtype), &d, 2, 0, 2);
        case_forward(&test);
        kept.row->plan_close(kept.plan);
        kept.description.weights_stay = true;
        kept.description.d_out.rows = kept.description.d_in[0].rows = 0;
        CHECK_OK(kept.row->plan(&kept.description, &kept.plan, &kept.needs));
        kept.call.kept = alloc_zero(kept.needs.kept_count, sizeof(float));
        case_keep(&kept, kept.call.kept, (size_t)kept.needs.kept_count * sizeof(float));
        size_t bytes = (size_t)kept.needs.workspace_count * sizeof(float);
        void *workspace = kept.call.workspace; /* of the plan before */
        kept.call.workspace = alloc_zero(kept.needs.workspace_count, sizeof(float));
        case_keep(&kept, kept.call.workspace, bytes);
        kept.needs.workspace_count = test.needs.workspace_count;
        case_call(&kept, kept.row->prepare, &kept.call);
        case_forward(&kept);
        kept.call.workspace = workspace;
        kept.call.d_in[0].data = NULL;
        case_check_guards(&kept);
        for (int s = 0; s < 2; s++) {
            for (int64_t j = 0; j < d.out.rows * d.out.cols; j++) {
                int64_t r = j / d.out.cols, c = j % d.out.cols;
                assert_true(case_get(&test, test.call.out, s, r, c) ==
                            case_get(&kept, kept.call.out, s, r, c));
            }
        }
        case_close(&test);
        case_close(&kept);
    }
}

static matrix_t packed(op_case_t *test, matrix_t from) {
    matrix_t to = from;
    to.row_stride = from.cols;
    to.shard_stride = from.rows * from.cols;
    to.data = alloc_zero(test->shards * to.shard_stride, sizeof(float));
    case_keep(test, to.data, (size_t)(test->shards * to.shard_stride) * sizeof(float));
    for (int s = 0; s < test->shards; s++) {
        for (int64_t j = 0; j < from.rows * from.cols; j++) {
            int64_t r = j / from.cols, c = j % from.cols;
            case_set(test, to, s, r, c, case_get(test, from, s, r, c));
        }
    }
    return to;
}

/* Rows that follow one another are read as runs, with the same results. */
static void rows_without_gaps(void **state) {
    (void)state;
    for (int i = 0; i < shape_count(); i++) {
        for (int relu = 0; relu < 2; relu++) {
            op_description_t d = any(i, relu ? ACTIVATION_RELU : ACTIVATION_NONE, true);
            op_case_t test, gaps;
            case_open(&test, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
            case_open(&gaps, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
            case_run(&gaps);
            op_call_t *call = &test.call;
            matrix_t *matrices[] = {&call->in[0], &call->out, &call->d_in[0], &call->d_out};
            for (int m = 0; m < 4; m++) {
                *matrices[m] = packed(&test, *matrices[m]);
            }
            test.row->plan_close(test.plan);
            op_description_t *p = &test.description;
            p->in[0].row_stride = p->d_in[0].row_stride = d.in[0].cols;
            p->out.row_stride = p->d_out.row_stride = d.out.cols;
            op_needs_t needs;
            CHECK_OK(test.row->plan(p, &test.plan, &needs));
            assert_true(case_on_gpu() || needs.workspace_count == test.needs.workspace_count);
            case_forward(&test);
            case_backward(&test);
            case_check_same_bits(&test, &gaps);
            case_close(&test);
            case_close(&gaps);
        }
    }
}

static void check_tree(op_case_t *test, const op_use_t *uses, int use_count, int begin, int end) {
    enum { LEVELS = 2 };
    const int64_t *count = test->weight_count;
    int64_t scratch_count = LEVELS * align_up(count[0] + count[1], 16);
    float *scratch = alloc_zero(scratch_count, sizeof *scratch);
    case_keep(test, scratch, (size_t)scratch_count * sizeof *scratch);
    float *got[2], *expected[2];
    for (int w = 0; w < 2; w++) {
        got[w] = alloc_zero(count[w] + 1, sizeof *got[w]);
        case_keep(test, got[w], (size_t)(count[w] + 1) * sizeof *got[w]);
        expected[w] = alloc_zero(count[w] + 1, sizeof *expected[w]);
        char *leaves[CASE_SHARDS_MAX];
        for (int s = begin; s < end; s++) {
            leaves[s] = test->d_weight[w][s];
        }
        tree_value(leaves, begin, end, count[w], expected[w]);
    }
    void *d_weight[OP_WEIGHTS_MAX] = {got[0], count[1] > 0 ? got[1] : NULL};
    case_tree(test, uses, use_count, begin, end, d_weight, scratch);
    for (int w = 0; w < 2; w++) {
        assert_memory_equal(got[w], expected[w], (size_t)count[w] * sizeof(float));
        free(expected[w]);
    }
}

static void check_trees(const kernels_t *kernels) {
    for (int i = 0; i < shape_count(); i++) {
        op_description_t d = any(i, ACTIVATION_RELU, i % 2 == 0);
        op_case_t test;
        case_open(&test, kernels, &d, 4, 0, 4);
        case_run(&test);
        op_use_t use = {test.plan, &test.call};
        check_tree(&test, &use, 1, 0, 4);
        check_tree(&test, &use, 1, 1, 4);
        check_tree(&test, &use, 1, 2, 4);
        check_tree(&test, &use, 1, 3, 4);
        case_check_guards(&test);
        case_close(&test);
    }
}

static void the_sum_is_the_canonical_tree(void **state) {
    (void)state;
    for (int i = 2; i < 4; i++) {
        op_description_t d = any(i, ACTIVATION_RELU, i % 2 == 0);
        case_check_tree(&d);
    }
    check_trees(case_table("cpu", DTYPE_F32));
    const kernels_t *rounded = case_table("cpu", DTYPE_BF16);
    if (rounded->pairs || case_on_gpu()) {
        check_trees(rounded);
    }
}

static void skip_rows(matrix_t *matrix, int64_t rows) {
    matrix->data = (float *)matrix->data + rows * matrix->row_stride;
    matrix->rows -= rows;
}

/* The first sample of a shard is one use, the others are another: one leaf, as all in one. */
static void uses_are_one_leaf(void **state) {
    (void)state;
    for (int i = 0; i < wide_count(); i++) {
        shape_t shape = wide[i];
        shape.samples = 3;
        op_description_t d = conv(&shape, ACTIVATION_RELU, true);
        op_case_t test;
        case_open(&test, case_table("cpu", DTYPE_F32), &d, 4, 0, 4);
        case_run(&test);
        op_call_t calls[] = {test.call, test.call};
        int64_t in = d.in[0].rows / 3, out = d.out.rows / 3;
        skip_rows(&calls[1].in[0], in);
        skip_rows(&calls[1].out, out);
        skip_rows(&calls[1].d_out, out);
        op_use_t uses[2];
        op_plan_t *plans[2];
        for (int u = 0; u < 2; u++) {
            op_description_t part = test.description;
            op_needs_t needs;
            part.in[0].rows = part.d_in[0].rows = (u + 1) * in;
            part.out.rows = part.d_out.rows = (u + 1) * out;
            CHECK_OK(test.row->plan(&part, &plans[u], &needs));
            uses[u] = (op_use_t){plans[u], &calls[u]};
            assert_true(needs.workspace_count <= test.needs.workspace_count);
        }
        check_tree(&test, uses, 2, 0, 4);
        test.row->plan_close(plans[0]);
        test.row->plan_close(plans[1]);
        case_close(&test);
    }
}

/* A weight [4, 8] is read by one group of 8 columns, or by two of 8: never by both in one sum. */
static void uses_have_equal_groups(void **state) {
    (void)state;
    shape_t one = {3, 8, 4, 1, {NO_AXIS, NO_AXIS, NO_AXIS}}, two = one;
    two.in = 16;
    two.groups = 2;
    op_description_t d[] = {conv(&one, ACTIVATION_NONE, false), conv(&two, ACTIVATION_NONE, false)};
    op_case_t test[2];
    op_use_t uses[2];
    for (int i = 0; i < 2; i++) {
        case_open(&test[i], case_table("cpu", DTYPE_F32), &d[i], 1, 0, 1);
        case_run(&test[i]);
        uses[i] = (op_use_t){test[i].plan, &test[i].call};
    }
    assert_true(test[0].weight_count[0] == test[1].weight_count[0]);
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)freopen("/dev/null", "w", stderr);
        void *d_weight[OP_WEIGHTS_MAX] = {test[0].d_weight[0][0]};
        (void)signal(SIGABRT, SIG_DFL);
        test[0].row->backward_tree(uses, 2, 0, 1, d_weight, NULL);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    case_close(&test[0]);
    case_close(&test[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(float_tables_are_accurate),
        cmocka_unit_test(short_tables_are_accurate),
        cmocka_unit_test(transformed_pairs_are_accurate),
        cmocka_unit_test(weights_are_rounded),
        cmocka_unit_test(a_shard_has_the_same_bits_alone),
        cmocka_unit_test(gradients_of_many_rows),
        cmocka_unit_test(equal_samples_have_equal_bits),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(plans_without_gradients),
        cmocka_unit_test(kept_weights),
        cmocka_unit_test(rows_without_gaps),
        cmocka_unit_test(the_sum_is_the_canonical_tree),
        cmocka_unit_test(uses_are_one_leaf),
        cmocka_unit_test(uses_have_equal_groups),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
