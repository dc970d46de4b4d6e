/* The operations without weights that work row by row. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"

static op_description_t plain(op_kind_t kind, int64_t rows, int64_t cols, int inputs) {
    op_description_t d = {.kind = kind, .input_count = inputs, .out = {.rows = rows, .cols = cols}};
    for (int i = 0; i < inputs; i++) {
        d.in[i] = d.out;
    }
    return d;
}

static void relu(void **state) {
    (void)state;
    op_description_t d = plain(OP_relu, 5, 7, 1);
    case_check_reference(&d, 0, 0, 0);
    op_case_t test;
    d = plain(OP_relu, 1, 4, 1);
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    memcpy(test.call.in[0].data, (float[]){-2, 0, 3, NAN}, 16);
    case_forward(&test);
    assert_memory_equal(test.call.out.data, ((float[]){0, 0, 3}), 12);
    assert_true(isnan(case_get(&test, test.call.out, 0, 0, 3)));
    case_close(&test);
}

static void leaky_relu(void **state) {
    (void)state;
    for (int inputs = 1; inputs <= 2; inputs++) {
        op_description_t d = plain(OP_leaky_relu, 5, 7, inputs);
        case_check_reference(&d, 0, 0, 0);
        op_case_t test;
        d = plain(OP_leaky_relu, 1, 3, inputs);
        case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
        memcpy(test.call.in[0].data, (float[]){-2, 3, NAN}, 12);
        if (inputs == 2) {
            memcpy(test.call.in[1].data, (float[]){-1, 0.5F, 0}, 12);
        }
        case_forward(&test);
        check_value(case_get(&test, test.call.out, 0, 0, 0), inputs == 2 ? -0.03 : -0.02, 1e-8);
        check_value(case_get(&test, test.call.out, 0, 0, 1), inputs == 2 ? 3.5 : 3.0, 0.0);
        assert_true(isnan(case_get(&test, test.call.out, 0, 0, 2)));
        case_close(&test);
    }
}

static void l2_normalize(void **state) {
    (void)state;
    op_description_t d = plain(OP_l2_normalize, 5, 7, 1);
    case_check_reference(&d, 0, 0, 0);
    case_check_reference(&d, 5, 1, 2);
    d = plain(OP_l2_normalize, 3, 77, 1);
    case_check_reference(&d, 0, 0, 0);
    op_case_t test;
    d = plain(OP_l2_normalize, 3, 2, 1);
    case_open(&test, case_table("ref", DTYPE_F64), &d, 1, 0, 1);
    const double x[3][2] = {{3, -4}, {0, 0}, {3e-13, 4e-13}};
    const double y[3][2] = {{0.6, -0.8}, {0, 0}, {0.3, 0.4}};
    for (int j = 0; j < 6; j++) {
        case_set(&test, test.call.in[0], 0, j / 2, j % 2, x[j / 2][j % 2]);
    }
    case_run(&test);
    for (int j = 0; j < 6; j++) {
        check_value(case_get(&test, test.call.out, 0, j / 2, j % 2), y[j / 2][j % 2], 1e-15);
    }
    double d_out = case_get(&test, test.call.d_out, 0, 1, 0);
    check_value(case_get(&test, test.call.d_in[0], 0, 1, 0), d_out / 1e-12, fabs(d_out));
    case_close(&test);
}

/* Squares of these are no floats. */
static void length_of_huge_and_tiny_rows(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = plain(OP_l2_normalize, 2, 40, 1);
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    for (int c = 0; c < 40; c++) {
        case_set(&test, test.call.in[0], 0, 0, c, c == 3 ? 3e30 : c == 35 ? -4e30 : 0.0);
        case_set(&test, test.call.in[0], 0, 1, c, c == 3 ? 3e-26 : c == 35 ? -4e-26 : 0.0);
    }
    case_run(&test);
    check_value(case_get(&test, test.call.out, 0, 0, 3), 0.6, 1e-6);
    check_value(case_get(&test, test.call.out, 0, 0, 35), -0.8, 1e-6);
    check_value(case_get(&test, test.call.out, 0, 1, 35), -4e-14, 1e-19);
    case_close(&test);
}

static void mask_rows(void **state) {
    (void)state;
    op_description_t d = plain(OP_mask_rows, 6, 7, 1);
    case_check_reference(&d, 0, 0, 0);
    case_check_reference(&d, 6, 2, 1);
    op_case_t test;
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    case_mask(&test, 6, 2, 1);
    case_run(&test);
    for (int r = 0; r < 6; r++) {
        double factor = test.call.mask.data[r];
        check_value(case_get(&test, test.call.out, 0, r, 3),
                    factor * case_get(&test, test.call.in[0], 0, r, 3), 0.0);
    }
    check_value(test.call.mask.data[2], 0.0, 0.0);
    case_close(&test);
}

/* Rows that are masked where they lie. */
static void mask_rows_in_place(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = plain(OP_mask_rows, 6, 7, 1);
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    case_mask(&test, 6, 2, 1);
    test.call.out = test.call.in[0];
    case_forward(&test);
    check_value(case_get(&test, test.call.out, 0, 2, 3), 0.0, 0.0);
    check_value(case_get(&test, test.call.out, 0, 3, 6), 0.0, 0.0);
    case_close(&test);
}

static op_description_t concat_of(int64_t first, int64_t second, int64_t third) {
    op_description_t d = plain(OP_concat, 5, first + second + third, 3);
    d.in[0].cols = first;
    d.in[1].cols = second;
    d.in[2].cols = third;
    return d;
}

static void concat(void **state) {
    (void)state;
    op_description_t d = concat_of(2, 7, 3);
    case_check_reference(&d, 0, 0, 0);
    op_case_t test;
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
    case_run(&test);
    check_value(case_get(&test, test.call.out, 1, 4, 1), case_get(&test, test.call.in[0], 1, 4, 1),
                0.0);
    check_value(case_get(&test, test.call.out, 1, 4, 2), case_get(&test, test.call.in[1], 1, 4, 0),
                0.0);
    check_value(case_get(&test, test.call.out, 1, 4, 11), case_get(&test, test.call.in[2], 1, 4, 2),
                0.0);
    check_value(case_get(&test, test.call.d_in[2], 1, 4, 2),
                case_get(&test, test.call.d_out, 1, 4, 11), 0.0);
    case_close(&test);
}

/* Part 1 and its gradient are views of the whole: nothing is copied, the others are. */
static void concat_of_views(void **state) {
    (void)state;
    op_description_t d = concat_of(2, 7, 3);
    op_case_t test;
    case_open(&test, case_table("ref", DTYPE_F32), &d, 2, 0, 2);
    op_call_t *call = &test.call;
    call->in[1] = call->out;
    call->in[1].data = (float *)call->out.data + 2;
    call->d_in[1] = call->d_out;
    call->d_in[1].data = (float *)call->d_out.data + 2;
    call->in[1].cols = call->d_in[1].cols = 7;
    case_set(&test, call->in[1], 1, 3, 4, 0.625);
    double d_out = case_get(&test, call->d_out, 1, 3, 6);
    case_forward(&test);
    case_backward(&test);
    check_value(case_get(&test, call->out, 1, 3, 6), 0.625, 0.0);
    check_value(case_get(&test, call->d_in[1], 1, 3, 4), d_out, 0.0);
    check_value(case_get(&test, call->out, 1, 3, 9), case_get(&test, call->in[2], 1, 3, 0), 0.0);
    case_close(&test);
}

static op_description_t select_of(int64_t rows, int64_t tokens, int64_t cols, token_rule_t rule) {
    op_description_t d = plain(OP_select_token, rows, cols, 1);
    d.in[0].rows = rows * tokens;
    d.out.cols *= rule == TOKEN_CONCAT ? tokens : 1;
    d.attributes.tokens = tokens;
    d.attributes.token_rule = rule;
    return d;
}

static void select_token(void **state) {
    (void)state;
    for (int rule = TOKEN_LAST; rule <= TOKEN_CONCAT; rule++) {
        op_description_t d = select_of(5, 3, 7, (token_rule_t)rule);
        case_check_reference(&d, 0, 0, 0);
        case_check_reference(&d, 15, 3, 1);
    }
}

static void select_token_by_hand(void **state) {
    (void)state;
    const double expected[4][4] = {{2, 5, 9, 10}, {1.5, 5, 9, 11}, {3, 5, 9, 33}, {2, 5, 9, 12}};
    for (int rule = TOKEN_LAST; rule <= TOKEN_MAX; rule++) {
        op_case_t test;
        op_description_t d = select_of(4, 3, 1, (token_rule_t)rule);
        case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
        case_mask(&test, 12, 0, 0);
        memcpy(test.call.mask.data, (uint8_t[]){1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1}, 12);
        const double x[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 11, 10};
        for (int i = 0; i < 12; i++) {
            case_set(&test, test.call.in[0], 0, i, 0, x[i]);
        }
        case_run(&test);
        for (int r = 0; r < 4; r++) {
            check_value(case_get(&test, test.call.out, 0, r, 0), expected[rule][r], 0.0);
        }
        check_value(case_get(&test, test.call.d_in[0], 0, 2, 0), 0.0, 0.0);
        case_close(&test);
    }
}

static void concat_of_tokens_by_hand(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = select_of(2, 3, 1, TOKEN_CONCAT);
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    case_mask(&test, 6, 0, 0);
    memcpy(test.call.mask.data, (uint8_t[]){1, 0, 1, 0, 0, 0}, 6);
    case_run(&test);
    for (int t = 0; t < 6; t++) {
        double x = case_get(&test, test.call.in[0], 0, t, 0);
        bool valid = t == 0 || t == 2;
        check_value(case_get(&test, test.call.out, 0, t / 3, t % 3), valid ? x : 0.0, 0.0);
    }
    case_close(&test);
}

static void hyperbolic_tangent(void **state) {
    (void)state;
    op_description_t d = plain(OP_tanh, 5, 7, 1);
    case_check_reference(&d, 0, 0, 0);
    op_case_t test;
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    case_set(&test, test.call.in[0], 0, 0, 0, 0.5);
    case_set(&test, test.call.in[0], 0, 0, 1, -100.0);
    case_run(&test);
    check_value(case_get(&test, test.call.out, 0, 0, 0), 0.46211715726000976, 1e-7);
    check_value(case_get(&test, test.call.out, 0, 0, 1), -1.0, 0.0);
    case_close(&test);
}

/* Scores 0 and log 3 weigh 1/4 and 3/4. */
static void softmax_gate(void **state) {
    (void)state;
    op_description_t d = plain(OP_softmax_gate, 5, 7, 2);
    case_check_reference(&d, 0, 0, 0);
    op_case_t test;
    d = plain(OP_softmax_gate, 1, 2, 2);
    case_open(&test, case_table("ref", DTYPE_F64), &d, 1, 0, 1);
    case_set(&test, test.call.in[0], 0, 0, 0, 8.0);
    case_set(&test, test.call.in[0], 0, 0, 1, -4.0);
    case_set(&test, test.call.in[1], 0, 0, 0, 700.0);
    case_set(&test, test.call.in[1], 0, 0, 1, 700.0 + log(3.0));
    case_run(&test);
    check_value(case_get(&test, test.call.out, 0, 0, 0), 2.0, 1e-12);
    check_value(case_get(&test, test.call.out, 0, 0, 1), -3.0, 1e-12);
    case_close(&test);
}

/* A weight for each of equal parts of a row: of three parts the second is masked in row 0, all are
 * in row 1. */
static void softmax_gate_of_parts(void **state) {
    (void)state;
    for (int width = 2; width <= 36; width += 17) {
        op_description_t d = plain(OP_softmax_gate, 5, 3 * width, 2);
        d.in[1].cols = 3;
        case_check_reference(&d, 0, 0, 0);
        case_check_reference(&d, 15, 3, 1);
    }
    const char *const backends[] = {"ref", "cpu"};
    for (int i = 0; i < ARRAY_LEN(backends); i++) {
        op_case_t test;
        op_description_t d = plain(OP_softmax_gate, 2, 6, 2);
        d.in[1].cols = 3;
        case_open(&test, case_table(backends[i], DTYPE_F32), &d, 1, 0, 1);
        case_mask(&test, 6, 0, 0);
        memcpy(test.call.mask.data, (uint8_t[]){1, 0, 1, 0, 0, 0}, 6);
        const double x[6] = {4.0, 8.0, 5.0, 5.0, -4.0, 2.0}, y[6] = {1.0, 2.0, 0, 0, -3.0, 1.5};
        const double score[3] = {50.0, 3e38, 50.0 + log(3.0)};
        for (int c = 0; c < 6; c++) {
            case_set(&test, test.call.in[0], 0, 0, c, x[c]);
            case_set(&test, test.call.in[1], 0, 0, c / 2, score[c / 2]);
        }
        case_run(&test);
        for (int c = 0; c < 6; c++) {
            check_value(case_get(&test, test.call.out, 0, 0, c), y[c], 1e-5);
            check_value(case_get(&test, test.call.out, 0, 1, c), 0.0, 0.0);
            check_value(case_get(&test, test.call.d_in[0], 0, 1, c), 0.0, 0.0);
        }
        check_value(case_get(&test, test.call.d_in[1], 0, 0, 1), 0.0, 0.0);
        case_close(&test);
    }
}

static void add_rows(void **state) {
    (void)state;
    op_description_t d = plain(OP_add_rows, 6, 7, 1);
    d.attributes.period = 3;
    case_check_reference(&d, 0, 0, 0);
    op_case_t test;
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
    case_run(&test);
    double x = case_get(&test, test.call.in[0], 1, 4, 2);
    double added = case_flat_get(&test, test.call.weight[0], 7 + 2);
    check_value(case_get(&test, test.call.out, 1, 4, 2), (double)((float)x + (float)added), 0.0);
    case_close(&test);
}

static void prelu(void **state) {
    (void)state;
    op_description_t d = plain(OP_prelu, 6, 7, 1);
    case_check_reference(&d, 0, 0, 0);
    d = plain(OP_prelu, 5, 70, 1); /* more columns than are summed at once */
    case_check_reference(&d, 0, 0, 0);
    op_case_t test;
    d = plain(OP_prelu, 2, 1, 1);
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    case_flat_set(&test, (void *)test.call.weight[0], 0, 0.25);
    const double x[2] = {-2.0, 3.0}, y[2] = {-0.5, 3.0}, dx[2] = {0.25, 1.0};
    for (int r = 0; r < 2; r++) {
        case_set(&test, test.call.in[0], 0, r, 0, x[r]);
        case_set(&test, test.call.d_out, 0, r, 0, 1.0);
    }
    case_run(&test);
    for (int r = 0; r < 2; r++) {
        check_value(case_get(&test, test.call.out, 0, r, 0), y[r], 0.0);
        check_value(case_get(&test, test.call.d_in[0], 0, r, 0), dx[r], 0.0);
    }
    check_value(case_flat_get(&test, test.d_weight[0][0], 0), -2.0, 0.0);
    case_close(&test);
}

/* Masked rows become the vector; its gradient is theirs, and they hand nothing back. */
static void fill_rows(void **state) {
    (void)state;
    op_description_t d = plain(OP_fill_rows, 6, 7, 1);
    case_check_reference(&d, 0, 0, 0);
    case_check_reference(&d, 6, 2, 1);
    op_case_t test;
    d = plain(OP_fill_rows, 3, 2, 1);
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    case_mask(&test, 3, 0, 0);
    memcpy(test.call.mask.data, (uint8_t[]){0, 1, 0}, 3);
    case_set(&test, test.call.in[0], 0, 0, 1, NAN);
    case_flat_set(&test, (void *)test.call.weight[0], 1, 0.375);
    const double dy[3] = {0.5, 8.0, 0.25};
    for (int r = 0; r < 3; r++) {
        case_set(&test, test.call.d_out, 0, r, 1, dy[r]);
    }
    case_run(&test);
    double kept = case_get(&test, test.call.in[0], 0, 1, 1);
    const double y[3] = {0.375, kept, 0.375}, dx[3] = {0.0, 8.0, 0.0};
    for (int r = 0; r < 3; r++) {
        check_value(case_get(&test, test.call.out, 0, r, 1), y[r], 0.0);
        check_value(case_get(&test, test.call.d_in[0], 0, r, 1), dx[r], 0.0);
    }
    check_value(case_flat_get(&test, test.d_weight[0][0], 1), 0.75, 0.0);
    case_close(&test);
}

static void add_waves(void **state) {
    (void)state;
    op_description_t d = plain(OP_add_waves, 6, 7, 1);
    d.attributes.period = 3;
    case_check_reference(&d, 0, 0, 0);
    op_case_t test;
    case_open(&test, case_table("ref", DTYPE_F64), &d, 1, 0, 1);
    case_run(&test);
    for (int c = 0; c < 7; c++) {
        double angle = 2.0 / pow(10000.0, (double)(c - c % 2) / 7.0);
        double wave = (c % 2 == 0 ? sin(angle) : cos(angle)) / sqrt(7.0);
        check_value(case_get(&test, test.call.out, 0, 5, c),
                    case_get(&test, test.call.in[0], 0, 5, c) + wave, 1e-14);
    }
    case_close(&test);
}

static void dropout(void **state) {
    (void)state;
    op_description_t d = plain(OP_dropout, 5, 7, 1);
    d.attributes.probability = 0.4;
    d.attributes.node_hash = rng_name("head.drop");
    case_check_reference(&d, 0, 0, 0);
    op_case_t test;
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
    case_run(&test);
    rng_key_t key = {test.scalars.seed, d.attributes.node_hash, test.scalars.step};
    for (int64_t e = 0; e < 2 * 35; e++) {
        int shard = (int)(e / 35);
        uint64_t element = (uint64_t)(test.scalars.shard_first * 35 + e);
        bool kept = (double)rng_uniform(key, element) >= 0.4;
        double x = case_get(&test, test.call.in[0], shard, e % 35 / 7, e % 7);
        double dy = case_get(&test, test.call.d_out, shard, e % 35 / 7, e % 7);
        float scale = (float)(1.0 / 0.6);
        check_value(case_get(&test, test.call.out, shard, e % 35 / 7, e % 7),
                    kept ? (double)((float)x * scale) : 0.0, 0.0);
        check_value(case_get(&test, test.call.d_in[0], shard, e % 35 / 7, e % 7),
                    kept ? (double)((float)dy * scale) : 0.0, 0.0);
    }
    case_close(&test);
    for (int table = 0; table < 2; table++) { /* evaluation drops nothing */
        case_open(&test, table == 0 ? case_table("ref", DTYPE_F64) : case_table("cpu", DTYPE_F32),
                  &d, 2, 0, 2);
        test.scalars.training = false;
        case_run(&test);
        for (int e = 0; e < 2 * 35; e++) {
            check_value(case_get(&test, test.call.out, e / 35, e % 35 / 7, e % 7),
                        case_get(&test, test.call.in[0], e / 35, e % 35 / 7, e % 7), 0.0);
        }
        case_close(&test);
    }
}

/* One draw for a column of three rows. */
static void dropout_of_channels(void **state) {
    (void)state;
    op_description_t d = plain(OP_dropout, 6, 7, 1);
    d.attributes.probability = 0.4;
    d.attributes.node_hash = rng_name("video.front.0.dropout1");
    d.attributes.period = 3;
    case_check_reference(&d, 0, 0, 0);
    op_case_t test;
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
    case_run(&test);
    rng_key_t key = {test.scalars.seed, d.attributes.node_hash, test.scalars.step};
    for (int e = 0; e < 2 * 6 * 7; e++) {
        int shard = e / 42, row = e % 42 / 7, col = e % 7;
        int64_t channel = ((test.scalars.shard_first + shard) * 2 + row / 3) * 7 + col;
        bool kept = (double)rng_uniform(key, (uint64_t)channel) >= 0.4;
        double x = case_get(&test, test.call.in[0], shard, row, col);
        check_value(case_get(&test, test.call.out, shard, row, col),
                    kept ? (double)((float)x * (float)(1.0 / 0.6)) : 0.0, 0.0);
    }
    case_close(&test);
}

/* As the reference, where rows begin inside a block of four numbers and the count of blocks passes
 * 2^32. */
static void dropout_of_wide_rows(void **state) {
    (void)state;
    op_description_t d = plain(OP_dropout, 75, 1101, 1);
    d.attributes.probability = 0.3;
    d.attributes.node_hash = rng_name("head.drop");
    case_check_threads(&d);
    op_case_t test, reference;
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
    case_open(&reference, case_table("ref", DTYPE_F32), &d, 2, 0, 2);
    test.scalars.shard_first = reference.scalars.shard_first = (INT64_C(1) << 34) / (75 * 1101);
    case_run(&test);
    case_run(&reference);
    case_check_same_bits(&test, &reference);
    case_close(&test);
    case_close(&reference);
}

static void dropout_of_everything(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = plain(OP_dropout, 5, 7, 1);
    d.attributes.probability = 1.0;
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    case_run(&test);
    for (int j = 0; j < 35; j++) {
        check_value(case_get(&test, test.call.out, 0, j / 7, j % 7), 0.0, 0.0);
    }
    case_close(&test);
}

static void sum(void **state) {
    (void)state;
    for (int terms = 1; terms <= 4; terms++) {
        op_description_t d = plain(OP_sum, 5, 7, terms);
        case_check_reference(&d, 0, 0, 0);
        d = plain(OP_sum, 2, 67, terms);
        case_check_reference(&d, 0, 0, 0);
    }
    op_description_t d = plain(OP_sum, 2, 3, OP_INPUTS_MAX);
    case_check_reference(&d, 0, 0, 0);
}

/* In the order of the terms, and into one of them. */
static void sum_in_place(void **state) {
    (void)state;
    for (int place = 0; place < 3; place++) {
        op_case_t test;
        op_description_t d = plain(OP_sum, 2, 70, 3);
        case_open(&test, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
        float expected[2][2][70];
        for (int j = 0; j < 280; j++) {
            int s = j / 140, r = j % 140 / 70, c = j % 70;
            float a = (float)case_get(&test, test.call.in[0], s, r, c);
            float b = (float)case_get(&test, test.call.in[1], s, r, c);
            expected[s][r][c] = (a + b) + (float)case_get(&test, test.call.in[2], s, r, c);
        }
        test.call.out = test.call.in[place];
        case_forward(&test);
        for (int j = 0; j < 280; j++) {
            int s = j / 140, r = j % 140 / 70, c = j % 70;
            check_value(case_get(&test, test.call.out, s, r, c), (double)expected[s][r][c], 0.0);
        }
        case_close(&test);
    }
}

/* Whole chunks of what a GPU's thread takes at once, and a rest: of float and of bf16. */
static void rows_of_chunks(void **state) {
    (void)state;
    const op_kind_t kinds[] = {OP_relu,      OP_tanh,    OP_leaky_relu, OP_l2_normalize,
                               OP_mask_rows, OP_prelu,   OP_add_rows,   OP_add_waves,
                               OP_fill_rows, OP_dropout, OP_concat,     OP_sum};
    for (int i = 0; i < ARRAY_LEN(kinds); i++) {
        op_description_t d = plain(kinds[i], 6, 21, kinds[i] == OP_leaky_relu ? 2 : 1);
        d.attributes.period = kinds[i] == OP_dropout ? 1 : 3;
        d.attributes.probability = 0.4;
        bool masked =
            kinds[i] == OP_l2_normalize || kinds[i] == OP_mask_rows || kinds[i] == OP_fill_rows;
        case_check_reference(&d, masked ? 6 : 0, masked ? 2 : 0, 1);
        case_check_alignment(&d);
    }
    op_description_t d = concat_of(16, 21, 8);
    case_check_reference(&d, 0, 0, 0);
    case_check_alignment(&d);
    for (int rule = TOKEN_LAST; rule <= TOKEN_CONCAT; rule++) {
        for (int64_t cols = 16; cols <= 21; cols += 5) {
            d = select_of(3, 3, cols, (token_rule_t)rule);
            case_check_reference(&d, 9, 3, 1);
            case_check_alignment(&d);
        }
    }
}

/* Scores whose exponentials are no floats, and a largest that is none. */
static void large_scores_and_nan(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = plain(OP_softmax_gate, 1, 2, 2);
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    case_set(&test, test.call.in[1], 0, 0, 0, 200.0);
    case_set(&test, test.call.in[1], 0, 0, 1, 200.0);
    case_forward(&test);
    check_value(case_get(&test, test.call.out, 0, 0, 1),
                case_get(&test, test.call.in[0], 0, 0, 1) / 2.0, 1e-7);
    case_close(&test);
    d = select_of(1, 2, 1, TOKEN_MAX);
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    case_set(&test, test.call.in[0], 0, 1, 0, (double)NAN);
    case_forward(&test);
    assert_true(isnan(case_get(&test, test.call.out, 0, 0, 0)));
    case_close(&test);
}

/* Of several inputs one may want no gradient. */
static void absent_gradients(void **state) {
    (void)state;
    const op_kind_t kinds[] = {OP_leaky_relu, OP_softmax_gate, OP_sum, OP_add_layernorm};
    for (int i = 0; i < 2 * ARRAY_LEN(kinds); i++) {
        op_case_t test;
        op_description_t d = plain(kinds[i / 2], 3, 7, 2);
        case_open(&test, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
        test.call.d_in[i % 2].data = NULL;
        case_run(&test);
        case_close(&test);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relu),
        cmocka_unit_test(leaky_relu),
        cmocka_unit_test(l2_normalize),
        cmocka_unit_test(length_of_huge_and_tiny_rows),
        cmocka_unit_test(mask_rows),
        cmocka_unit_test(mask_rows_in_place),
        cmocka_unit_test(concat),
        cmocka_unit_test(concat_of_views),
        cmocka_unit_test(select_token),
        cmocka_unit_test(select_token_by_hand),
        cmocka_unit_test(concat_of_tokens_by_hand),
        cmocka_unit_test(hyperbolic_tangent),
        cmocka_unit_test(softmax_gate),
        cmocka_unit_test(softmax_gate_of_parts),
        cmocka_unit_test(rows_of_chunks),
        cmocka_unit_test(absent_gradients),
        cmocka_unit_test(large_scores_and_nan),
        cmocka_unit_test(add_rows),
        cmocka_unit_test(prelu),
        cmocka_unit_test(fill_rows),
        cmocka_unit_test(add_waves),
        cmocka_unit_test(dropout),
        cmocka_unit_test(dropout_of_channels),
        cmocka_unit_test(dropout_of_wide_rows),
        cmocka_unit_test(dropout_of_everything),
        cmocka_unit_test(sum),
        cmocka_unit_test(sum_in_place),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
