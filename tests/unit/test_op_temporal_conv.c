#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"

typedef struct shape {
    int64_t samples, period, in, out, taps, dilation, before;
} shape_t;

static op_description_t conv(shape_t shape) {
    return (op_description_t){
        .kind = OP_temporal_conv,
        .attributes = {.period = shape.period,
                       .taps = shape.taps,
                       .dilation = shape.dilation,
                       .before = shape.before},
        .input_count = 1,
        .in = {{.rows = shape.samples * shape.period, .cols = shape.in}},
        .out = {.rows = shape.samples * shape.period, .cols = shape.out},
    };
}

/* Causal, centred, an even number of taps, taps that never reach a row, and none that does. */
static const shape_t shapes[] = {
    {1, 1, 1, 1, 1, 1, 0}, {2, 5, 3, 4, 3, 1, 2}, {2, 5, 3, 4, 3, 2, 2},  {1, 7, 4, 2, 4, 1, 1},
    {3, 3, 5, 3, 5, 4, 8}, {1, 2, 3, 2, 4, 4, 6}, {2, 6, 17, 9, 5, 2, 8}, {1, 4, 16, 3, 3, 1, 1},
};
enum { SHAPE_COUNT = sizeof shapes / sizeof shapes[0] };

static void gradients(void **state) {
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++) {
        op_description_t d = conv(shapes[i]);
        int64_t rows = d.out.rows;
        case_check_reference(&d, 0, 0, 0);
        case_check_reference(&d, rows, 1, rows / 2);
        case_check_reference(&d, rows, shapes[i].period, 0);
    }
    op_description_t d = conv(shapes[SHAPE_COUNT - 1]);
    case_check_alignment(&d);
}

/* v = (3, 4) has norm 5, so W = (6, 8) with g = 10: y[t] = 6 x[t - 2] + 8 x[t] + 100, in two runs
 * of 3 steps. The first step of the second is masked out: it counts as 0. */
static void by_hand(void **state) {
    (void)state;
    const char *backends[] = {"ref", "cpu"};
    for (int b = 0; b < 2; b++) {
        op_case_t test;
        op_description_t d = conv((shape_t){2, 3, 1, 1, 2, 2, 2});
        case_open(&test, case_table(backends[b], DTYPE_F32), &d, 1, 0, 1);
        case_mask(&test, 6, 0, 0);
        memcpy(test.call.mask.data, (uint8_t[]){1, 1, 1, 0, 1, 1}, 6);
        memcpy((void *)test.call.weight[0], (float[]){3, 4}, 8);
        memcpy((void *)test.call.weight[1], (float[]){10}, 4);
        memcpy((void *)test.call.weight[2], (float[]){100}, 4);
        const double x[6] = {1, 2, 3, 1e9, 5, 6}, dy[6] = {1, 0, 0, 0, 0, 1};
        const double y[6] = {108, 116, 130, 100, 140, 148}, dx[6] = {8, 0, 0, 0, 0, 8};
        for (int r = 0; r < 6; r++) {
            case_set(&test, test.call.in[0], 0, r, 0, x[r]);
            case_set(&test, test.call.d_out, 0, r, 0, dy[r]);
        }
        case_run(&test);
        for (int r = 0; r < 6; r++) {
            check_value(case_get(&test, test.call.out, 0, r, 0), y[r], 1e-4);
            check_value(case_get(&test, test.call.d_in[0], 0, r, 0), dx[r], 1e-5);
        }
        /* dW = (0, 1 + 6), dW.v = 28: dg = 28 / 5, dv = 2 (dW - v 28 / 25) */
        check_value(case_flat_get(&test, test.d_weight[0][0], 0), -6.72, 1e-5);
        check_value(case_flat_get(&test, test.d_weight[0][0], 1), 5.04, 1e-5);
        check_value(case_flat_get(&test, test.d_weight[1][0], 0), 5.6, 1e-5);
        check_value(case_flat_get(&test, test.d_weight[2][0], 0), 2.0, 0.0);
        case_close(&test);
    }
}

static double smallest_norm(const op_case_t *test, int64_t out, int64_t width) {
    double least = INFINITY;
    for (int64_t o = 0; o < out; o++) {
        double square = 0.0;
        for (int64_t i = 0; i < width; i++) {
            square += pow(case_flat_get(test, test->call.weight[0], o * width + i), 2.0);
        }
        least = fmin(least, sqrt(square));
    }
    return least;
}

/* All numbers are within 1, |W| by output is |g|: n products and sums of them err by about n eps
 * times their sum; through the norm, by that times |v_i| sum |v| / |v|^2 <= sqrt(width) more. */
static void check_float_table(const kernels_t *kernels, shape_t shape) {
    op_description_t d = conv(shape);
    op_case_t test, exact;
    case_open(&test, kernels, &d, 3, 1, 3);
    case_open(&exact, case_table("ref", DTYPE_F64), &d, 3, 1, 3);
    case_mask(&test, d.out.rows, 2, 1);
    case_mask(&exact, d.out.rows, 2, 1);
    case_run(&test);
    case_run(&exact);
    double width = (double)(shape.in * shape.taps), readers = (double)(shape.out * shape.taps);
    double rows = (double)d.out.rows, unit = FLT_EPSILON;
    unit += case_product_bound(kernels, d.kind, 1.0);
    double scale = 1.0 / smallest_norm(&exact, shape.out, shape.in * shape.taps);
    case_check_near(&test, &exact, (width + 8.0) * unit * (1.0 + sqrt(width)),
                    (readers + 8.0) * unit * readers,
                    fmax(scale, 1.0) * (rows + 4.0) * unit * rows * (1.0 + sqrt(width)));
    case_close(&test);
    case_close(&exact);
}

static const shape_t wide = {4, 16, 40, 33, 5, 4, 16};

static void float_tables_are_accurate(void **state) {
    (void)state;
    for (int i = 0; i <= SHAPE_COUNT; i++) {
        shape_t shape = i < SHAPE_COUNT ? shapes[i] : wide;
        check_float_table(case_table("ref", DTYPE_F32), shape);
        check_float_table(case_table("cpu", DTYPE_F32), shape);
    }
}

static void a_shard_has_the_same_bits_alone(void **state) {
    (void)state;
    for (int i = 0; i <= SHAPE_COUNT; i++) {
        op_description_t d = conv(i < SHAPE_COUNT ? shapes[i] : wide);
        case_check_alone(&d);
    }
}

static void plans_without_gradients(void **state) {
    (void)state;
    op_description_t d = conv(shapes[1]);
    case_check_without_gradients(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(float_tables_are_accurate),
        cmocka_unit_test(a_shard_has_the_same_bits_alone),
        cmocka_unit_test(plans_without_gradients),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
