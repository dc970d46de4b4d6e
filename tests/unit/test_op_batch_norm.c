#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"

static op_description_t batch_norm(int64_t rows, int64_t cols, norm_rule_t rule) {
    return (op_description_t){
        .kind = OP_batch_norm,
        .attributes = {.norm_rule = rule, .epsilon = 1e-3},
        .input_count = 1,
        .in = {{.rows = rows, .cols = cols}},
        .out = {.rows = rows, .cols = cols},
    };
}

static void gradients(void **state) {
    (void)state;
    for (int rule = NORM_FROZEN; rule <= NORM_SHARD; rule++) {
        static const int64_t shapes[][2] = {{12, 1}, {11, 7}, {15, 67}};
        for (int i = 0; i < 3; i++) {
            op_description_t d = batch_norm(shapes[i][0], shapes[i][1], (norm_rule_t)rule);
            case_check_reference(&d, 0, 0, 0);
            case_check_reference(&d, d.out.rows, 5, 1);
            case_check_reference(&d, d.out.rows, d.out.rows, 0);
            case_check_without_gradients(&d);
        }
    }
}

static void run_by_hand(op_case_t *test, norm_rule_t rule, const uint8_t mask[4]) {
    op_description_t d = batch_norm(4, 1, rule);
    d.attributes.epsilon = 1.0;
    case_open(test, case_table("ref", DTYPE_F64), &d, 1, 0, 1);
    case_mask(test, 4, 0, 0);
    memcpy(test->call.mask.data, mask, 4);
    const double x[4] = {2, 1e9, 6, 4}, weights[4] = {10, 5, 4, 8};
    for (int i = 0; i < 4; i++) {
        case_set(test, test->call.in[0], 0, i, 0, x[i]);
        case_flat_set(test, (void *)test->call.weight[i], 0, weights[i]);
    }
}

static void check_statistics(const op_case_t *test, double mean, double variance) {
    check_value(case_flat_get(test, test->d_weight[2][0], 0), mean, 1e-14);
    check_value(case_flat_get(test, test->d_weight[3][0], 0), variance, 1e-14);
}

/* Of the valid 2, 6, 4: mean 4, variance 8/3, or 4 by n - 1. */
static void statistics_of_the_shard(void **state) {
    (void)state;
    op_case_t test;
    run_by_hand(&test, NORM_SHARD, (uint8_t[]){1, 0, 1, 1});
    case_run(&test);
    double inverse = 1.0 / sqrt(8.0 / 3.0 + 1.0);
    const double y[4] = {5 - 20 * inverse, 0, 5 + 20 * inverse, 5};
    for (int r = 0; r < 4; r++) {
        check_value(case_get(&test, test.call.out, 0, r, 0), y[r], 1e-14);
    }
    check_value(case_get(&test, test.call.d_in[0], 0, 1, 0), 0.0, 0.0);
    check_statistics(&test, 4.0, 4.0);
    /* (x - 4) / sqrt(8 + 1) * 10 + 5 of the running ones when not training */
    test.scalars.training = false;
    case_forward(&test);
    check_value(case_get(&test, test.call.out, 0, 0, 0), 5.0 - 20.0 / 3.0, 1e-14);
    check_value(case_get(&test, test.call.out, 0, 1, 0), 0.0, 0.0);
    case_close(&test);
}

/* One valid row has a mean and no n - 1 variance; none has neither. */
static void statistics_that_are_missing(void **state) {
    (void)state;
    op_case_t test;
    run_by_hand(&test, NORM_SHARD, (uint8_t[]){1, 0, 0, 0});
    case_run(&test);
    check_value(case_get(&test, test.call.out, 0, 0, 0), 5.0, 0.0);
    check_value(case_get(&test, test.call.d_in[0], 0, 0, 0), 0.0, 0.0);
    check_statistics(&test, 2.0, 8.0);
    case_close(&test);
    run_by_hand(&test, NORM_SHARD, (uint8_t[]){0, 0, 0, 0});
    case_run(&test);
    for (int r = 0; r < 4; r++) {
        check_value(case_get(&test, test.call.out, 0, r, 0), 0.0, 0.0);
        check_value(case_get(&test, test.call.d_in[0], 0, r, 0), 0.0, 0.0);
    }
    check_statistics(&test, 4.0, 8.0);
    check_value(case_flat_get(&test, test.d_weight[0][0], 0), 0.0, 0.0);
    check_value(case_flat_get(&test, test.d_weight[1][0], 0), 0.0, 0.0);
    case_close(&test);
}

/* Frozen: a row does not depend on its company, and nothing drifts. */
static void frozen(void **state) {
    (void)state;
    op_case_t test;
    run_by_hand(&test, NORM_FROZEN, (uint8_t[]){1, 1, 1, 1});
    case_run(&test);
    check_value(case_get(&test, test.call.out, 0, 0, 0), 5.0 - 20.0 / 3.0, 1e-14);
    check_value(case_get(&test, test.call.d_in[0], 0, 0, 0),
                case_get(&test, test.call.d_out, 0, 0, 0) * 10.0 / 3.0, 1e-14);
    check_statistics(&test, 4.0, 8.0);
    case_close(&test);
}

/* Columns far from 0: the squares are of what is left of the mean. Values are exact in float, so
 * that what errs is the rounding of the mean, 2^-24 of 1000, over a deviation of more than 1/4. */
static void a_large_mean(void **state) {
    (void)state;
    op_case_t test, exact;
    op_description_t d = batch_norm(64, 5, NORM_SHARD);
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    case_open(&exact, case_table("ref", DTYPE_F64), &d, 1, 0, 1);
    for (int j = 0; j < 64 * 5; j++) {
        double x = 1000.0 + round(64.0 * case_get(&test, test.call.in[0], 0, j / 5, j % 5)) / 64.0;
        case_set(&test, test.call.in[0], 0, j / 5, j % 5, x);
        case_set(&exact, exact.call.in[0], 0, j / 5, j % 5, x);
    }
    case_run(&test);
    case_run(&exact);
    double bound = 1000.0 * FLT_EPSILON / 0.25;
    for (int j = 0; j < 64 * 5; j++) {
        check_value(case_get(&test, test.call.out, 0, j / 5, j % 5),
                    case_get(&exact, exact.call.out, 0, j / 5, j % 5), bound);
    }
    for (int c = 0; c < 5; c++) {
        check_value(case_flat_get(&test, test.d_weight[3][0], c),
                    case_flat_get(&exact, exact.d_weight[3][0], c), 2 * FLT_EPSILON);
    }
    case_close(&test);
    case_close(&exact);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(statistics_of_the_shard),
        cmocka_unit_test(statistics_that_are_missing),
        cmocka_unit_test(frozen),
        cmocka_unit_test(a_large_mean),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
