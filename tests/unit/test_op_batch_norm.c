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
        static const int64_t shapes[][2] = {{12, 1}, {11, 7}, {15, 67}, {10, 20}};
        for (int i = 0; i < 4; i++) {
            op_description_t d = batch_norm(shapes[i][0], shapes[i][1], (norm_rule_t)rule);
            case_check_reference(&d, 0, 0, 0);
            case_check_reference(&d, d.out.rows, 5, 1);
            case_check_reference(&d, d.out.rows, d.out.rows, 0);
            case_check_alignment(&d);
            case_check_without_gradients(&d);
        }
    }
    op_description_t many = batch_norm(1100, 3, NORM_SHARD); /* a GPU sums them up in parts */
    case_check_alignment(&many);
}

/* Bounds are some roundings of numbers below 16. */
static const struct {
    const char *backend;
    dtype_t dtype;
    double bound;
} by_hand[] = {{"ref", DTYPE_F64, 1e-14}, {"ref", DTYPE_F32, 5e-6}, {"cpu", DTYPE_F32, 5e-6}};
enum { BY_HAND = sizeof by_hand / sizeof by_hand[0] };

static void run_by_hand(op_case_t *test, int table, norm_rule_t rule, const uint8_t mask[4]) {
    op_description_t d = batch_norm(4, 1, rule);
    d.attributes.epsilon = 1.0;
    case_open(test, case_table(by_hand[table].backend, by_hand[table].dtype), &d, 1, 0, 1);
    case_mask(test, 4, 0, 0);
    memcpy(test->call.mask.data, mask, 4);
    const double x[4] = {2, 1e9, 6, 4}, weights[4] = {10, 5, 4, 8};
    for (int i = 0; i < 4; i++) {
        case_set(test, test->call.in[0], 0, i, 0, x[i]);
        case_flat_set(test, (void *)test->call.weight[i], 0, weights[i]);
    }
}

static void check_statistics(const op_case_t *test, double mean, double variance, double bound) {
    check_value(case_flat_get(test, test->d_weight[2][0], 0), mean, bound);
    check_value(case_flat_get(test, test->d_weight[3][0], 0), variance, bound);
}

/* Of the valid 2, 6, 4: mean 4, variance 8/3, or 4 by n - 1. The row that is not valid, first or
 * second, would leave floats no digit of it. */
static void check_statistics_of_the_shard(int table, int off) {
    const int on = 1 - off;
    const double bound = by_hand[table].bound;
    op_case_t test;
    run_by_hand(&test, table, NORM_SHARD, (uint8_t[]){off == 1, on == 1, 1, 1});
    case_set(&test, test.call.in[0], 0, on, 0, 2.0);
    case_set(&test, test.call.in[0], 0, off, 0, 1e9);
    case_run(&test);
    double inverse = 1.0 / sqrt(8.0 / 3.0 + 1.0);
    check_value(case_get(&test, test.call.out, 0, on, 0), 5 - 20 * inverse, bound);
    check_value(case_get(&test, test.call.out, 0, 2, 0), 5 + 20 * inverse, bound);
    check_value(case_get(&test, test.call.out, 0, 3, 0), 5, bound);
    check_value(case_get(&test, test.call.out, 0, off, 0), 0.0, 0.0);
    check_value(case_get(&test, test.call.d_in[0], 0, off, 0), 0.0, 0.0);
    check_statistics(&test, 4.0, 4.0, bound);
    /* (x - 4) / sqrt(8 + 1) * 10 + 5 of the running ones when not training */
    test.scalars.training = false;
    case_run(&test);
    check_value(case_get(&test, test.call.out, 0, on, 0), 5.0 - 20.0 / 3.0, bound);
    check_value(case_get(&test, test.call.out, 0, off, 0), 0.0, 0.0);
    check_value(case_get(&test, test.call.d_in[0], 0, on, 0),
                case_get(&test, test.call.d_out, 0, on, 0) * 10.0 / 3.0, bound);
    case_close(&test);
}

static void statistics_of_the_shard(void **state) {
    (void)state;
    for (int table = 0; table < BY_HAND; table++) {
        check_statistics_of_the_shard(table, 0);
        check_statistics_of_the_shard(table, 1);
    }
}

/* One valid row has a mean and no n - 1 variance; none has neither. */
static void statistics_that_are_missing(void **state) {
    (void)state;
    for (int table = 0; table < BY_HAND; table++) {
        op_case_t test;
        run_by_hand(&test, table, NORM_SHARD, (uint8_t[]){1, 0, 0, 0});
        case_run(&test);
        check_value(case_get(&test, test.call.out, 0, 0, 0), 5.0, 0.0);
        check_value(case_get(&test, test.call.d_in[0], 0, 0, 0), 0.0, 0.0);
        check_statistics(&test, 2.0, 8.0, by_hand[table].bound);
        case_close(&test);
        run_by_hand(&test, table, NORM_SHARD, (uint8_t[]){0, 0, 0, 0});
        case_run(&test);
        for (int r = 0; r < 4; r++) {
            check_value(case_get(&test, test.call.out, 0, r, 0), 0.0, 0.0);
            check_value(case_get(&test, test.call.d_in[0], 0, r, 0), 0.0, 0.0);
        }
        check_statistics(&test, 4.0, 8.0, by_hand[table].bound);
        check_value(case_flat_get(&test, test.d_weight[0][0], 0), 0.0, 0.0);
        check_value(case_flat_get(&test, test.d_weight[1][0], 0), 0.0, 0.0);
        case_close(&test);
    }
}

/* Frozen: a row does not depend on its company, and nothing drifts. */
static void frozen(void **state) {
    (void)state;
    for (int table = 0; table < BY_HAND; table++) {
        const double bound = by_hand[table].bound;
        op_case_t test;
        run_by_hand(&test, table, NORM_FROZEN, (uint8_t[]){1, 1, 1, 1});
        case_run(&test);
        check_value(case_get(&test, test.call.out, 0, 0, 0), 5.0 - 20.0 / 3.0, bound);
        check_value(case_get(&test, test.call.d_in[0], 0, 0, 0),
                    case_get(&test, test.call.d_out, 0, 0, 0) * 10.0 / 3.0, bound);
        check_statistics(&test, 4.0, 8.0, bound);
        case_close(&test);
    }
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

/* --- statistics of the whole batch ----------------------------------------------------------- */

enum { SHARDS = 3, ROWS = 7, COLS = 67 };

/* Shards that differ in how many rows are valid; `off`: one that has none. */
static void open_global(op_case_t *test, const kernels_t *kernels, int off) {
    op_description_t d = batch_norm(ROWS, COLS, NORM_GLOBAL);
    case_open(test, kernels, &d, SHARDS, 0, SHARDS);
    case_mask(test, ROWS, 0, 0);
    for (int r = 0; r < ROWS && off >= 0; r++) {
        test->call.mask.data[off * test->call.mask.shard_stride + r] = 0;
    }
}

/* Differences through all shards: an element moves the statistics of the others'. */
static void gradients_of_the_batch(void **state) {
    (void)state;
    for (int off = -1; off < SHARDS; off++) {
        op_case_t test;
        open_global(&test, case_table("ref", DTYPE_F64), off);
        case_run(&test);
        case_check_gradients(&test, 1e-7);
        case_close(&test);
    }
}

/* The same as one shard that holds all rows: outputs, gradients and what is running. */
static void one_batch_in_any_shards(void **state) {
    (void)state;
    op_case_t parts, whole;
    op_description_t d = batch_norm(SHARDS * ROWS, COLS, NORM_SHARD);
    open_global(&parts, case_table("ref", DTYPE_F64), 1);
    case_open(&whole, case_table("ref", DTYPE_F64), &d, 1, 0, 1);
    case_mask(&whole, SHARDS * ROWS, 0, 0);
    for (int64_t i = 0; i < SHARDS * ROWS * COLS; i++) {
        int s = (int)(i / (ROWS * COLS));
        int64_t row = i / COLS, r = row % ROWS, c = i % COLS;
        case_set(&whole, whole.call.in[0], 0, row, c, case_get(&parts, parts.call.in[0], s, r, c));
        case_set(&whole, whole.call.d_out, 0, row, c, case_get(&parts, parts.call.d_out, s, r, c));
        whole.call.mask.data[row] = parts.call.mask.data[s * parts.call.mask.shard_stride + r];
    }
    case_run(&parts);
    case_run(&whole);
    for (int64_t i = 0; i < SHARDS * ROWS * COLS; i++) {
        int s = (int)(i / (ROWS * COLS));
        int64_t row = i / COLS, r = row % ROWS, c = i % COLS;
        check_value(case_get(&parts, parts.call.out, s, r, c),
                    case_get(&whole, whole.call.out, 0, row, c), 1e-13);
        check_value(case_get(&parts, parts.call.d_in[0], s, r, c),
                    case_get(&whole, whole.call.d_in[0], 0, row, c), 1e-13);
    }
    for (int64_t j = 0; j < 4 * COLS; j++) {
        int w = (int)(j / COLS);
        double sum = 0.0;
        for (int s = 0; s < SHARDS; s++) {
            sum += case_flat_get(&parts, parts.d_weight[w][s], j % COLS);
        }
        check_value(w < 2 ? sum : sum / SHARDS,
                    case_flat_get(&whole, whole.d_weight[w][0], j % COLS), 1e-13);
    }
    case_close(&parts);
    case_close(&whole);
}

/* Every table that this machine has near the reference in double, and one that counts no row goes
 * by what is running. */
static void tables_agree_on_the_batch(void **state) {
    (void)state;
    static const char *const backends[] = {"ref", "cpu"};
    op_case_t exact, test;
    open_global(&exact, case_table("ref", DTYPE_F64), -1);
    case_run(&exact);
    for (int i = 0; i < 2; i++) {
        open_global(&test, case_table(backends[i], DTYPE_F32), -1);
        case_run(&test);
        case_check_near(&test, &exact, 1e-5, 1e-5, 1e-5);
        case_close(&test);
    }
    case_close(&exact);
    op_description_t d = batch_norm(ROWS, COLS, NORM_GLOBAL);
    const kernels_t *tables[CASE_SHORT_TABLES_MAX];
    int count = case_short_tables(tables);
    case_open_short(&exact, case_table("ref", DTYPE_F64), &d, SHARDS, 0, SHARDS);
    case_run(&exact);
    for (int i = 0; i < count; i++) {
        case_open_short(&test, tables[i], &d, SHARDS, 0, SHARDS);
        case_run(&test);
        case_check_near(&test, &exact, 1e-4, 1e-4, 1e-4);
        case_close(&test);
    }
    case_close(&exact);
}

static void a_batch_without_rows(void **state) {
    (void)state;
    op_case_t test;
    open_global(&test, case_table("ref", DTYPE_F64), -1);
    memset(test.call.mask.data, 0, (size_t)(SHARDS * test.call.mask.shard_stride));
    case_run(&test);
    for (int64_t c = 0; c < COLS; c++) {
        check_value(case_get(&test, test.call.out, 2, 3, c), 0.0, 0.0);
        check_value(case_get(&test, test.call.d_in[0], 2, 3, c), 0.0, 0.0);
        for (int w = 2; w < 4; w++) {
            check_value(case_flat_get(&test, test.d_weight[w][1], c),
                        case_flat_get(&test, test.call.weight[w], c), 0.0);
        }
    }
    case_close(&test);
}

/* A mean of 1e8 over a deviation of 1: sums of squares would have no digit left of it. */
static void a_large_mean_of_the_batch(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = batch_norm(4, 1, NORM_GLOBAL);
    d.attributes.epsilon = 1e-12;
    case_open(&test, case_table("ref", DTYPE_F64), &d, SHARDS, 0, SHARDS);
    for (int i = 0; i < 4 * SHARDS; i++) {
        case_set(&test, test.call.in[0], i / 4, i % 4, 0, 1e8 + (i % 2 == 0 ? -1.0 : 1.0));
    }
    case_run(&test);
    for (int s = 0; s < SHARDS; s++) {
        check_value(case_flat_get(&test, test.d_weight[2][s], 0), 1e8, 1e-6);
        check_value(case_flat_get(&test, test.d_weight[3][s], 0), 12.0 / 11.0, 1e-12);
    }
    case_close(&test);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(statistics_of_the_shard),
        cmocka_unit_test(statistics_that_are_missing),
        cmocka_unit_test(frozen),
        cmocka_unit_test(a_large_mean),
        cmocka_unit_test(gradients_of_the_batch),
        cmocka_unit_test(one_batch_in_any_shards),
        cmocka_unit_test(tables_agree_on_the_batch),
        cmocka_unit_test(a_batch_without_rows),
        cmocka_unit_test(a_large_mean_of_the_batch),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
