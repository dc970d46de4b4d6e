#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"

/* axes: extent, size, stride, dilation, padding before and after; adaptive: extent and result. */
typedef struct shape {
    int64_t samples, cols;
    int64_t axes[OP_AXES][6];
} shape_t;

#define NO_AXIS                                                                                    \
    { 1, 1, 1, 1, 0, 0 }

static op_description_t pool(const shape_t *shape, pool_rule_t rule) {
    op_description_t d = {.kind = OP_pool, .input_count = 1};
    d.attributes.pool_rule = rule;
    d.in[0] = d.out = (op_shape_t){shape->samples, shape->cols, 0};
    for (int a = 0; a < OP_AXES; a++) {
        const int64_t *x = shape->axes[a];
        op_axis_t axis = {.in = x[0], .out = x[1]};
        if (rule != POOL_ADAPTIVE) {
            int64_t out = (x[0] + x[4] + x[5] - x[3] * (x[1] - 1) - 1) / x[2] + 1;
            axis = (op_axis_t){x[0], out, x[1], x[2], x[3], x[4]};
        }
        d.attributes.axis[a] = axis;
        d.in[0].rows *= axis.in;
        d.out.rows *= axis.out;
    }
    return d;
}

static const shape_t windows[] = {
    {1, 1, {NO_AXIS, NO_AXIS, NO_AXIS}},
    {2, 5, {NO_AXIS, NO_AXIS, {7, 3, 2, 1, 1, 1}}},
    {3, 7, {NO_AXIS, NO_AXIS, {9, 2, 3, 3, 0, 2}}},
    {1, 2, {NO_AXIS, NO_AXIS, {2, 2, 2, 1, 2, 2}}}, /* the first and the last see nothing */
    {2, 3, {NO_AXIS, {5, 3, 2, 1, 1, 1}, {4, 2, 1, 1, 0, 1}}},
    {2,
     3,
     {NO_AXIS, {4, 3, 1, 1, 0, 0}, {5, 3, 1, 1, 0, 0}}}, /* the last places: no window's first */
    {1, 17, {{3, 2, 1, 1, 0, 1}, {4, 3, 2, 1, 0, 1}, {3, 3, 2, 1, 1, 1}}},
};
static const shape_t adaptive[] = {
    {3, 5, {NO_AXIS, NO_AXIS, {7, 1}}},
    {2, 3, {NO_AXIS, NO_AXIS, {5, 3}}},
    {1, 2, {NO_AXIS, NO_AXIS, {3, 7}}},
    {2, 4, {{3, 2}, {4, 1}, {5, 4}}},
};
enum {
    WINDOW_COUNT = sizeof windows / sizeof windows[0],
    ADAPTIVE_COUNT = sizeof adaptive / sizeof adaptive[0],
};

static void check(const op_description_t *d) {
    int64_t rows = d->in[0].rows;
    case_check_reference(d, 0, 0, 0);
    case_check_reference(d, rows, 1, rows / 2);
    case_check_reference(d, rows, (rows + 1) / 2, 0);
    case_check_without_gradients(d);
    if (d->out.cols > 8) {
        case_check_alignment(d);
    }
}

static void gradients(void **state) {
    (void)state;
    for (int i = 0; i < WINDOW_COUNT; i++) {
        for (int rule = POOL_MAX; rule <= POOL_INSIDE; rule++) {
            op_description_t d = pool(&windows[i], (pool_rule_t)rule);
            check(&d);
        }
    }
    for (int i = 0; i < ADAPTIVE_COUNT; i++) {
        op_description_t d = pool(&adaptive[i], POOL_ADAPTIVE);
        check(&d);
    }
}

static void run_by_hand(op_case_t *test, const op_description_t *d, const double *x,
                        const double *dy) {
    case_open(test, case_table("cpu", DTYPE_F32), d, 1, 0, 1);
    for (int64_t r = 0; r < d->in[0].rows; r++) {
        case_set(test, test->call.in[0], 0, r, 0, x[r]);
    }
    for (int64_t r = 0; r < d->out.rows; r++) {
        case_set(test, test->call.d_out, 0, r, 0, dy[r]);
    }
}

static void check_by_hand(op_case_t *test, const double *y, const double *dx) {
    case_run(test);
    for (int64_t r = 0; r < test->call.out.rows; r++) {
        check_value(case_get(test, test->call.out, 0, r, 0), y[r], 0.0);
    }
    for (int64_t r = 0; r < test->call.in[0].rows; r++) {
        check_value(case_get(test, test->call.d_in[0], 0, r, 0), dx[r], 0.0);
    }
}

/* Windows (_ 3 3), (3 -5 -5), (-5 7 _): the first of equal ones, and padding is never largest. */
static void the_first_maximum(void **state) {
    (void)state;
    shape_t shape = {1, 1, {NO_AXIS, NO_AXIS, {5, 3, 2, 1, 1, 1}}};
    op_description_t d = pool(&shape, POOL_MAX);
    op_case_t test;
    run_by_hand(&test, &d, (double[]){3, 3, -5, -5, -7}, (double[]){10, 100, 1000});
    check_by_hand(&test, (double[]){3, 3, -5}, (double[]){10, 100, 0, 1000, 0});
    case_mask(&test, 5, 0, 0);
    memcpy(test.call.mask.data, (uint8_t[]){0, 1, 1, 0, 0}, 5);
    check_by_hand(&test, (double[]){3, 3, 0}, (double[]){0, 110, 0, 0, 0});
    case_set(&test, test.call.in[0], 0, 1, 0, NAN);
    case_forward(&test);
    assert_true(isnan(case_get(&test, test.call.out, 0, 0, 0)));
    assert_true(isnan(case_get(&test, test.call.out, 0, 1, 0)));
    case_close(&test);
}

/* The same windows: (2 4), (4 6 8), (8 10). */
static void means(void **state) {
    (void)state;
    shape_t shape = {1, 1, {NO_AXIS, NO_AXIS, {5, 3, 2, 1, 1, 1}}};
    const double x[] = {2, 4, 6, 8, 10}, dy[] = {12, 24, 36};
    op_case_t test;
    op_description_t d = pool(&shape, POOL_AVERAGE);
    run_by_hand(&test, &d, x, dy);
    check_by_hand(&test, (double[]){2, 6, 6}, (double[]){4, 12, 8, 20, 12});
    case_close(&test);
    d = pool(&shape, POOL_INSIDE);
    run_by_hand(&test, &d, x, dy);
    check_by_hand(&test, (double[]){3, 6, 9}, (double[]){6, 14, 8, 26, 18});
    case_mask(&test, 5, 0, 0);
    memcpy(test.call.mask.data, (uint8_t[]){0, 0, 1, 1, 1}, 5);
    check_by_hand(&test, (double[]){0, 7, 9}, (double[]){0, 0, 12, 30, 18});
    case_close(&test);
    /* Places 0-1, 1-3, 3-4 of five to three: floor and ceil of 5/3 and 10/3. */
    shape_t fit = {1, 1, {NO_AXIS, NO_AXIS, {5, 3}}};
    d = pool(&fit, POOL_ADAPTIVE);
    run_by_hand(&test, &d, x, dy);
    check_by_hand(&test, (double[]){3, 6, 9}, (double[]){6, 14, 8, 26, 18});
    case_close(&test);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(the_first_maximum),
        cmocka_unit_test(means),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
