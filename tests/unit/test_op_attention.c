#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"

static op_description_t attention(int64_t groups, int64_t heads, int64_t query_len, int64_t key_len,
                                  int64_t cols) {
    op_shape_t query = {.rows = groups * query_len, .cols = cols};
    op_shape_t key = {.rows = groups * key_len, .cols = cols};
    return (op_description_t){
        .kind = OP_attention,
        .attributes = {.groups = groups,
                       .heads = heads,
                       .query_len = query_len,
                       .key_len = key_len},
        .input_count = 3,
        .in = {query, key, key},
        .out = query,
    };
}

static void gradients(void **state) {
    (void)state;
    op_description_t d = attention(2, 1, 3, 3, 5);
    case_check_reference(&d, 0, 0, 0);
    d = attention(3, 2, 3, 5, 6);
    case_check_reference(&d, 15, 5, 1); /* group 1 is masked as a whole */
    d = attention(2, 3, 1, 2, 3);
    case_check_reference(&d, 4, 2, 0);
    d = attention(1, 1, 7, 35, 33);
    case_check_reference(&d, 35, 0, 0);
    d = attention(2, 1, 6, 12, 16); /* one or two vectors of keys go side by side */
    case_check_reference(&d, 24, 12, 1);
    d = attention(2, 1, 9, 20, 8);
    case_check_reference(&d, 40, 0, 0);
    d = attention(2, 2, 3, 5, 32);
    case_check_reference(&d, 10, 5, 1);
    case_check_alignment(&d);
    d = attention(1, 2, 2, 3, 12); /* the second head is at no multiple of 16 bytes */
    case_check_alignment(&d);
    case_check_without_gradients(&d);
}

static void causal(void **state) {
    (void)state;
    op_description_t d = attention(2, 1, 5, 5, 5);
    d.attributes.causal = true;
    case_check_reference(&d, 0, 0, 0);
    d = attention(2, 1, 11, 11, 8);
    d.attributes.causal = true;
    case_check_reference(&d, 22, 0, 0);
    d = attention(3, 2, 5, 5, 6);
    d.attributes.causal = true;
    case_check_reference(&d, 15, 5, 1);
}

/* Of row i, the keys behind it change nothing and get nothing. */
static void no_later_key_is_seen(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = attention(1, 1, 4, 4, 3);
    d.attributes.causal = true;
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    case_run(&test);
    double row1 = case_get(&test, test.call.out, 0, 1, 2);
    double v0 = case_get(&test, test.call.in[2], 0, 0, 1);
    check_value(case_get(&test, test.call.out, 0, 0, 1), v0, 0.0);
    for (int j = 0; j < 4; j++) {
        for (int i = 0; i < 4; i++) {
            double p = case_flat_get(&test, test.call.saved, i * 4 + j);
            assert_true(j <= i ? p > 0.0 : p == 0.0);
        }
    }
    case_set(&test, test.call.in[1], 0, 2, 0, 50.0);
    case_set(&test, test.call.in[2], 0, 3, 2, 50.0);
    case_run(&test);
    check_value(case_get(&test, test.call.out, 0, 1, 2), row1, 0.0);
    case_close(&test);
}

/* One query, d = 4: scores q.k / 2 = 0 and log 3 give probabilities 1/4 and 3/4. */
static void by_hand(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = attention(1, 1, 1, 3, 4);
    case_open(&test, case_table("ref", DTYPE_F64), &d, 1, 0, 1);
    case_mask(&test, 3, 0, 0);
    memcpy(test.call.mask.data, (uint8_t[]){1, 0, 1}, 3);
    const double q[4] = {1, 0, 0, 0};
    const double k[3][4] = {{0, 9, 9, 9}, {5, 5, 5, 5}, {2.0 * log(3.0), 1, 2, 3}};
    const double v[3][4] = {{4, 0, -8, 0}, {100, 100, 100, 100}, {8, 4, 0, 0}};
    for (int c = 0; c < 4; c++) {
        case_set(&test, test.call.in[0], 0, 0, c, q[c]);
        for (int r = 0; r < 3; r++) {
            case_set(&test, test.call.in[1], 0, r, c, k[r][c]);
            case_set(&test, test.call.in[2], 0, r, c, v[r][c]);
        }
    }
    case_run(&test);
    const double expected[4] = {7, 3, -2, 0};
    for (int c = 0; c < 4; c++) {
        check_value(case_get(&test, test.call.out, 0, 0, c), expected[c], 1e-14);
        check_value(case_get(&test, test.call.d_in[1], 0, 1, c), 0.0, 0.0);
        check_value(case_get(&test, test.call.d_in[2], 0, 1, c), 0.0, 0.0);
    }
    check_value(case_flat_get(&test, test.call.saved, 1), 0.0, 0.0);
    check_value(case_flat_get(&test, test.call.saved, 2), 0.75, 1e-15);
    case_close(&test);
}

static void a_group_without_keys_is_zero(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = attention(3, 2, 3, 5, 6);
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
    case_mask(&test, 15, 5, 1);
    case_run(&test);
    for (int s = 0; s < 2; s++) {
        for (int c = 0; c < 6; c++) {
            for (int r = 3; r < 6; r++) {
                check_value(case_get(&test, test.call.out, s, r, c), 0.0, 0.0);
                check_value(case_get(&test, test.call.d_in[0], s, r, c), 0.0, 0.0);
            }
            for (int r = 5; r < 10; r++) {
                check_value(case_get(&test, test.call.d_in[1], s, r, c), 0.0, 0.0);
                check_value(case_get(&test, test.call.d_in[2], s, r, c), 0.0, 0.0);
            }
        }
    }
    case_close(&test);
}

/* Where row r of groups of `length` lies when their rows take turns. */
static int64_t in_turn(const op_attributes_t *a, int64_t length, int64_t r) {
    return r % length * a->groups + r / length;
}

/* matrix of `other`, whose groups take turns: made the same as `one`'s, or seen to be it. */
static void same_rows(const op_case_t *one, matrix_t from, const op_case_t *other, matrix_t to,
                      int64_t length, bool make) {
    const op_attributes_t *a = &one->description.attributes;
    int64_t rows = a->groups * length;
    for (int64_t at = 0; at < one->shards * rows * from.cols; at++) {
        int64_t c = at % from.cols, r = at / from.cols % rows;
        int s = (int)(at / from.cols / rows);
        double value = case_get(one, from, s, r, c);
        if (make) {
            case_set(other, to, s, in_turn(a, length, r), c, value);
        } else {
            check_value(case_get(other, to, s, in_turn(a, length, r), c), value, 0.0);
        }
    }
}

static void same_mask(op_case_t *one, op_case_t *other, int64_t keys) {
    const op_attributes_t *a = &one->description.attributes;
    case_mask(one, a->groups * keys, keys, 1);
    case_mask(other, a->groups * keys, 0, 0);
    mask_t *from = &one->call.mask, *to = &other->call.mask;
    for (int64_t at = 0; at < one->shards * a->groups * keys; at++) {
        int64_t s = at / (a->groups * keys), r = at % (a->groups * keys);
        to->data[s * to->shard_stride + in_turn(a, keys, r)] =
            from->data[s * from->shard_stride + r];
    }
}

/* The same bits, whether rows of groups take turns or follow each other. */
static void check_across(const kernels_t *kernels, op_description_t d, bool masked) {
    op_case_t one, other;
    int64_t queries = d.attributes.query_len, keys = d.attributes.key_len;
    case_open(&one, kernels, &d, 2, 0, 2);
    d.attributes.across = true;
    case_open(&other, kernels, &d, 2, 0, 2);
    if (masked) {
        same_mask(&one, &other, keys);
    }
    for (int make = 1; make >= 0; make--) {
        op_call_t *a = &one.call, *b = &other.call;
        for (int i = 0; i < 3; i++) {
            matrix_t from = make ? a->in[i] : a->d_in[i], to = make ? b->in[i] : b->d_in[i];
            same_rows(&one, from, &other, to, i == 0 ? queries : keys, make);
        }
        same_rows(&one, make ? a->d_out : a->out, &other, make ? b->d_out : b->out, queries, make);
        if (make) {
            case_run(&one);
            case_run(&other);
        }
    }
    case_close(&one);
    case_close(&other);
}

static void groups_may_take_turns(void **state) {
    (void)state;
    const kernels_t *tables[] = {case_table("ref", DTYPE_F64), case_table("cpu", DTYPE_F32),
                                 case_table("cpu", DTYPE_BF16)};
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (int masked = 0; masked < 2; masked++) {
            check_across(tables[t], attention(4, 1, 3, 3, 5), masked);
            check_across(tables[t], attention(3, 2, 9, 20, 32), masked);
            check_across(tables[t], attention(2, 1, 35, 35, 131), masked);
        }
    }
    op_description_t d = attention(3, 2, 4, 4, 6);
    d.attributes.across = true;
    case_check_reference(&d, 12, 0, 0);
    case_check_alignment(&d);
    case_check_threads(&d);
}

typedef struct sizes {
    int64_t groups, heads, queries, keys, cols;
    bool causal;
} sizes_t;

/* With values of size 1: a score errs by (h + 2) eps sqrt(h), h columns per head; a probability by
 * twice that and (keys + 8) eps of itself; an output by as much again. Gradients pass two products
 * more, whose sums of |a||b| are at most h and queries + keys. */
static void check_accuracy(sizes_t size, bool masked) {
    op_case_t test, exact;
    op_description_t d =
        attention(size.groups, size.heads, size.queries, size.keys, size.heads * size.cols);
    d.attributes.causal = size.causal;
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
    case_open(&exact, case_table("ref", DTYPE_F64), &d, 2, 0, 2);
    if (masked) {
        case_mask(&test, size.groups * size.keys, 0, 0);
        case_mask(&exact, size.groups * size.keys, 0, 0);
    }
    case_run(&test);
    case_run(&exact);
    const double h = (double)size.cols, unit = FLT_EPSILON;
    double bound = (2.0 * (h + 2.0) * sqrt(h) + (double)size.keys + 8.0) * unit;
    case_check_near(&test, &exact, 2.0 * bound, 4.0 * sqrt(h) * bound, 0.0);
    case_close(&test);
    case_close(&exact);
}

/* One key, less and more than a vector of them, one head as wide as a model, many narrow ones. */
static void float_is_accurate(void **state) {
    (void)state;
    const sizes_t sizes[] = {
        {2, 2, 31, 37, 40, false},  {1, 1, 3, 1, 5, false},    {3, 1, 6, 6, 512, false},
        {2, 1, 20, 20, 32, false},  {1, 8, 15, 16, 3, false},  {1, 1, 9, 17, 33, false},
        {2, 1, 130, 130, 17, true}, {1, 16, 33, 65, 1, false}, {2, 1, 1, 6, 131, false},
        {1, 2, 19, 19, 128, true},  {2, 1, 7, 9, 300, false},  {1, 1, 2, 35, 150, false},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_accuracy(sizes[i], false);
        check_accuracy(sizes[i], true);
    }
}

/* Of one batch of rows, the first: with fewer queries and, as it sees none of them, fewer keys. */
static void a_row_does_not_depend_on_its_company(void **state) {
    (void)state;
    const int64_t cols[] = {40, 131, 512}, lengths[] = {1, 2, 3, 5, 6, 8, 9, 16, 17, 23};
    for (size_t i = 0; i < sizeof cols / sizeof cols[0]; i++) {
        op_case_t among;
        op_description_t d = attention(1, 1, 23, 23, cols[i]);
        d.attributes.causal = true;
        case_open(&among, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
        case_run(&among);
        for (size_t j = 0; j < sizeof lengths / sizeof lengths[0]; j++) {
            op_case_t few;
            d = attention(1, 1, lengths[j], lengths[j], cols[i]);
            d.attributes.causal = true;
            case_open(&few, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
            case_run(&few);
            for (int64_t at = 0; at < lengths[j] * cols[i]; at++) {
                int64_t r = at / cols[i], c = at % cols[i];
                check_value(case_get(&few, few.call.out, 0, r, c),
                            case_get(&among, among.call.out, 0, r, c), 0.0);
                check_value(case_get(&few, few.call.d_in[0], 0, r, c),
                            case_get(&among, among.call.d_in[0], 0, r, c), 0.0);
            }
            case_close(&few);
        }
        case_close(&among);
    }
}

static void threads_do_not_matter(void **state) {
    (void)state;
    op_description_t d = attention(7, 2, 20, 20, 64);
    case_check_threads(&d);
}

static void large_scores_do_not_overflow(void **state) {
    (void)state;
    op_case_t test;
    op_description_t d = attention(1, 1, 2, 3, 4);
    case_open(&test, case_table("cpu", DTYPE_F32), &d, 1, 0, 1);
    for (int r = 0; r < 2; r++) {
        for (int c = 0; c < 4; c++) {
            case_set(&test, test.call.in[0], 0, r, c, 1e6);
        }
    }
    case_run(&test);
    for (int r = 0; r < 2; r++) {
        double total = 0.0;
        for (int j = 0; j < 3; j++) {
            total += case_flat_get(&test, test.call.saved, r * 3 + j);
        }
        check_value(total, 1.0, 1e-6);
    }
    case_close(&test);
}

/* Gradients that nobody asks for are skipped and the others keep their bits. */
static void absent_gradients(void **state) {
    (void)state;
    op_description_t d = attention(2, 2, 3, 5, 6);
    for (int kept = 0; kept < 3; kept++) {
        op_case_t all, some;
        case_open(&all, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
        case_open(&some, case_table("cpu", DTYPE_F32), &d, 2, 0, 2);
        case_run(&all);
        for (int i = 0; i < 3; i++) {
            if (i != kept) {
                some.call.d_in[i].data = NULL;
            }
        }
        case_run(&some);
        for (int64_t j = 0; j < d.in[kept].rows * 6; j++) {
            check_value(case_get(&some, some.call.d_in[kept], 1, j / 6, j % 6),
                        case_get(&all, all.call.d_in[kept], 1, j / 6, j % 6), 0.0);
        }
        case_close(&all);
        case_close(&some);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(causal),
        cmocka_unit_test(groups_may_take_turns),
        cmocka_unit_test(no_later_key_is_seen),
        cmocka_unit_test(a_group_without_keys_is_zero),
        cmocka_unit_test(float_is_accurate),
        cmocka_unit_test(a_row_does_not_depend_on_its_company),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(large_scores_do_not_overflow),
        cmocka_unit_test(absent_gradients),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
