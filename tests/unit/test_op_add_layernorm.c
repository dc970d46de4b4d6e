#include <float.h>
#include <math.h>

#include "check.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"

static op_description_t add_layernorm(int64_t rows, int64_t cols, int inputs) {
    op_shape_t shape = {.rows = rows, .cols = cols};
    return (op_description_t){
        .kind = OP_add_layernorm, .input_count = inputs, .in = {shape, shape}, .out = shape};
}

static void gradients(void **state) {
    (void)state;
    for (int inputs = 1; inputs <= 2; inputs++) {
        op_description_t d = add_layernorm(5, 7, inputs);
        case_check_reference(&d, 0, 0, 0);
        d = add_layernorm(3, 19, inputs);
        case_check_reference(&d, 0, 0, 0);
        d = add_layernorm(2, 1, inputs);
        case_check_reference(&d, 0, 0, 0);
        d = add_layernorm(6, 77, inputs);
        case_check_reference(&d, 0, 0, 0);
        case_check_alignment(&d);
        case_check_without_gradients(&d);
        for (int64_t cols = 300; cols <= 1100; cols += 800) { /* more than a GPU's lanes hold */
            d = add_layernorm(3, cols, inputs);
            case_check_alignment(&d);
        }
    }
}

/* x + y = 1 2 3 6: mean 3, population variance 3.5 */
static void by_hand(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = add_layernorm(1, 4, 2);
    case_open(&test, case_table("ref", DTYPE_F64), &d, 1, 0, 1);
    const double x[4] = {1, 1, 1, 1}, y[4] = {0, 1, 2, 5};
    const double gain[4] = {1, 2, 3, 4}, bias[4] = {10, 20, 30, 40};
    for (int c = 0; c < 4; c++) {
        case_set(&test, test.call.in[0], 0, 0, c, x[c]);
        case_set(&test, test.call.in[1], 0, 0, c, y[c]);
        case_flat_set(&test, (void *)test.call.weight[0], c, gain[c]);
        case_flat_set(&test, (void *)test.call.weight[1], c, bias[c]);
    }
    case_run(&test);
    for (int c = 0; c < 4; c++) {
        double expected = (x[c] + y[c] - 3.0) / sqrt(3.5 + 1e-5) * gain[c] + bias[c];
        check_value(case_get(&test, test.call.out, 0, 0, c), expected, 1e-13);
    }
    check_value(case_flat_get(&test, test.call.saved, 0), 3.0, 0.0);
    check_value(case_flat_get(&test, test.call.saved, 1), 1.0 / sqrt(3.5 + 1e-5), 1e-15);
    case_close(&test);
}

/* A few roundings of values up to |xhat| < sqrt(12) / 2 + 1, and for the weights a sum over
 * the rows. Sums along a row are in double or in many lanes, so its length hardly enters. */
static void float_is_accurate(void **state) {
    (void)state;
    const int64_t cols[] = {300, 512, 17};
    for (size_t i = 0; i < sizeof cols / sizeof cols[0]; i++) {
        op_case_t test, exact;
        op_description_t d = add_layernorm(9, cols[i], 2);
        case_open(&test, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
        case_open(&exact, case_table("ref", DTYPE_F64), &d, 2, 0, 2);
        case_run(&test);
        case_run(&exact);
        const double unit = FLT_EPSILON;
        case_check_near(&test, &exact, 16.0 * unit, 32.0 * unit, 9.0 * 16.0 * unit);
        case_close(&test);
        case_close(&exact);
    }
}

/* A row far from zero and narrow: mean 1000, standard deviation 0.25. */
static void a_large_mean_is_harmless(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = add_layernorm(1, 64, 1);
    case_open(&test, case_table("ref", DTYPE_F32), &d, 1, 0, 1);
    double mean = 0.0, square = 0.0;
    for (int c = 0; c < 64; c++) {
        case_set(&test, test.call.in[0], 0, 0, c, 1000.0 + (c % 2 == 0 ? 0.25 : -0.25));
        case_flat_set(&test, (void *)test.call.weight[0], c, 1.0);
        case_flat_set(&test, (void *)test.call.weight[1], c, 0.0);
    }
    case_run(&test);
    for (int c = 0; c < 64; c++) {
        double z = case_get(&test, test.call.out, 0, 0, c);
        mean += z / 64.0;
        square += z * z / 64.0;
    }
    check_value(mean, 0.0, 1e-6);
    check_value(square, 0.0625 / (0.0625 + 1e-5), 1e-6);
    case_close(&test);
}

static void threads_do_not_matter(void **state) {
    (void)state;
    op_description_t d = add_layernorm(75, 1100, 2);
    case_check_threads(&d);
}

/* Narrow rows that follow one another go side by side, other rows one by one. */
static void gaps_do_not_matter(void **state) {
    (void)state;
    const int64_t cols[] = {8, 16, 24, 32, 64};
    for (size_t i = 0; i < 2 * (sizeof cols / sizeof cols[0]); i++) {
        op_description_t d = add_layernorm(21, cols[i / 2], 1 + (int)(i % 2));
        case_check_gaps(&d);
    }
}

static void both_inputs_get_the_same_gradient(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = add_layernorm(4, 9, 2);
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    case_run(&test);
    for (int64_t j = 0; j < 36; j++) {
        check_value(case_get(&test, test.call.d_in[0], 0, j / 9, j % 9),
                    case_get(&test, test.call.d_in[1], 0, j / 9, j % 9), 0.0);
    }
    case_close(&test);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(float_is_accurate),
        cmocka_unit_test(a_large_mean_is_harmless),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(gaps_do_not_matter),
        cmocka_unit_test(both_inputs_get_the_same_gradient),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
