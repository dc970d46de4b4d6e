/* Products within each group of rows: of weights with rows, and of two inputs. */
#include <math.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"

static op_description_t mix_of(int64_t groups, int64_t from, int64_t rows, int64_t cols) {
    op_description_t d = {.kind = OP_mix_rows, .input_count = 1, .attributes.groups = groups};
    d.in[0] = (op_shape_t){.rows = groups * from, .cols = cols};
    d.out = (op_shape_t){.rows = groups * rows, .cols = cols};
    return d;
}

static op_description_t correlate_of(int64_t groups, int64_t rows, int64_t a, int64_t b) {
    op_description_t d = {.kind = OP_correlate, .input_count = 2, .attributes.groups = groups};
    d.in[0] = (op_shape_t){.rows = groups * rows, .cols = a};
    d.in[1] = (op_shape_t){.rows = groups * rows, .cols = b};
    d.out = (op_shape_t){.rows = groups * a, .cols = b};
    return d;
}

static void mix_rows(void **state) {
    (void)state;
    const int64_t sizes[][4] = {
        {2, 5, 3, 7}, {3, 1, 4, 2}, {1, 4, 1, 19}, {2, 17, 18, 3}, {2, 3, 4, 21}};
    for (int i = 0; i < ARRAY_LEN(sizes); i++) {
        op_description_t d = mix_of(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3]);
        case_check_reference(&d, 0, 0, 0);
        case_check_alignment(&d);
        case_check_without_gradients(&d);
    }
    op_description_t wide = mix_of(6, 20, 33, 70);
    case_check_threads(&wide);
    op_description_t wider = mix_of(1, 2, 3, 300); /* than a block of a GPU */
    case_check_alignment(&wider);
}

/* [1 2; 3 4; 5 6] [x; y] for each group; the weights' gradient is summed over the groups. */
static void mix_rows_by_hand(void **state) {
    (void)state;
    const double x[4] = {0.5, -1.0, 2.0, 3.0}, dy[6] = {1.0, 0.0, 2.0, -1.0, 1.0, 0.0};
    const double y[6] = {-1.5, -2.5, -3.5, 8.0, 18.0, 28.0}, dx[4] = {11.0, 14.0, 2.0, 2.0};
    const double d_weight[6] = {-1.5, -4.0, 2.0, 3.0, 1.0, -2.0};
    op_case_t test;
    op_description_t d = mix_of(2, 2, 3, 1);
    case_open(&test, case_table("ref", DTYPE_F64), &d, 1, 0, 1);
    for (int i = 0; i < 6; i++) {
        case_flat_set(&test, (void *)test.call.weight[0], i, i + 1.0);
        case_set(&test, test.call.d_out, 0, i, 0, dy[i]);
    }
    for (int i = 0; i < 4; i++) {
        case_set(&test, test.call.in[0], 0, i, 0, x[i]);
    }
    case_run(&test);
    for (int i = 0; i < 6; i++) {
        check_value(case_get(&test, test.call.out, 0, i, 0), y[i], 0.0);
        check_value(case_flat_get(&test, test.d_weight[0][0], i), d_weight[i], 0.0);
    }
    for (int i = 0; i < 4; i++) {
        check_value(case_get(&test, test.call.d_in[0], 0, i, 0), dx[i], 0.0);
    }
    case_close(&test);
}

static void correlate(void **state) {
    (void)state;
    const int64_t sizes[][4] = {{2, 5, 3, 7}, {3, 1, 4, 2}, {1, 4, 19, 1}, {2, 3, 17, 18}};
    for (int i = 0; i < ARRAY_LEN(sizes); i++) {
        op_description_t d = correlate_of(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3]);
        case_check_reference(&d, 0, 0, 0);
        case_check_alignment(&d);
        case_check_without_gradients(&d);
    }
    op_description_t wide = correlate_of(6, 9, 40, 70);
    case_check_threads(&wide);
    op_description_t wider = correlate_of(1, 2, 3, 300); /* than a warp of a GPU reads at once */
    case_check_alignment(&wider);
}

/* Over two steps, columns (1, 3) and (2, -1) of a with column (5, 7) of b; then another group. */
static void correlate_by_hand(void **state) {
    (void)state;
    const double a[4][2] = {{1.0, 2.0}, {3.0, -1.0}, {0.0, 1.0}, {0.0, 0.0}};
    const double b[4] = {5.0, 7.0, 4.0, 9.0}, dot[4] = {26.0, 3.0, 0.0, 4.0};
    op_case_t test;
    op_description_t d = correlate_of(2, 2, 2, 1);
    case_open(&test, case_table("ref", DTYPE_F64), &d, 1, 0, 1);
    for (int r = 0; r < 4; r++) {
        case_set(&test, test.call.in[0], 0, r, 0, a[r][0]);
        case_set(&test, test.call.in[0], 0, r, 1, a[r][1]);
        case_set(&test, test.call.in[1], 0, r, 0, b[r]);
    }
    case_run(&test);
    for (int r = 0; r < 4; r++) {
        check_value(case_get(&test, test.call.out, 0, r, 0), dot[r] / sqrt(2.0), 1e-14);
    }
    case_close(&test);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mix_rows),
        cmocka_unit_test(mix_rows_by_hand),
        cmocka_unit_test(correlate),
        cmocka_unit_test(correlate_by_hand),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
