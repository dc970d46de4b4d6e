#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"

static op_description_t linear(int64_t rows, int64_t in, int64_t out, activation_t activation) {
    return (op_description_t){
        .kind = OP_linear,
        .attributes.activation = activation,
        .input_count = 1,
        .in = {{.rows = rows, .cols = in}},
        .out = {.rows = rows, .cols = out},
    };
}

static op_description_t transposed(int64_t rows, int64_t in, int64_t out) {
    op_description_t d = linear(rows, in, out, ACTIVATION_NONE);
    d.attributes.transposed = true;
    return d;
}

static void gradients(void **state) {
    (void)state;
    op_description_t across = transposed(5, 7, 9);
    case_check_reference(&across, 0, 0, 0);
    across = transposed(4, 9, 2);
    case_check_reference(&across, 0, 0, 0);
    for (int relu = 0; relu < 2; relu++) {
        op_description_t d = linear(5, 7, 9, relu ? ACTIVATION_RELU : ACTIVATION_NONE);
        case_check_reference(&d, 0, 0, 0);
        d = linear(1, 3, 1, relu ? ACTIVATION_RELU : ACTIVATION_NONE);
        case_check_reference(&d, 0, 0, 0);
        d = linear(3, 16, 8, relu ? ACTIVATION_RELU : ACTIVATION_NONE);
        case_check_reference(&d, 0, 0, 0);
        case_check_alignment(&d);
        case_check_alignment_of_shards(&d);
    }
}

/* y = relu([1 2] [[3 4] [-5 1]]' + [10 1]) = relu([21 -2]) */
static void by_hand(void **state) {
    (void)state;
    const char *backends[] = {"ref", "cpu"};
    for (int b = 0; b < 2; b++) {
        op_case_t test;
        op_description_t d = linear(1, 2, 2, ACTIVATION_RELU);
        case_open(&test, case_table(backends[b], DTYPE_F32), &d, 1, 0, 1);
        memcpy(test.call.in[0].data, (float[]){1, 2}, 8);
        memcpy((void *)test.call.weight[0], (float[]){3, 4, -5, 1}, 16);
        memcpy((void *)test.call.weight[1], (float[]){10, 1}, 8);
        memcpy(test.call.d_out.data, (float[]){2, 100}, 8);
        case_run(&test);
        assert_memory_equal(test.call.out.data, ((float[]){21, 0}), 8);
        assert_memory_equal(test.call.d_in[0].data, ((float[]){6, 8}), 8);
        assert_memory_equal(test.d_weight[0][0], ((float[]){2, 4, 0, 0}), 16);
        assert_memory_equal(test.d_weight[1][0], ((float[]){2, 0}), 8);
        case_close(&test);
    }
}

/* y = [1 2] [[3 4 0] [-5 1 2]] = [-7 6 4]; the bias is as if it were not there. */
static void transposed_by_hand(void **state) {
    (void)state;
    const char *backends[] = {"ref", "cpu"};
    for (int b = 0; b < 2; b++) {
        op_case_t test;
        op_description_t d = transposed(1, 2, 3);
        case_open(&test, case_table(backends[b], DTYPE_F32), &d, 1, 0, 1);
        memcpy(test.call.in[0].data, (float[]){1, 2}, 8);
        memcpy((void *)test.call.weight[0], (float[]){3, 4, 0, -5, 1, 2}, 24);
        memcpy((void *)test.call.weight[1], (float[]){10, 1}, 8);
        memcpy(test.call.d_out.data, (float[]){2, 100, 1}, 12);
        case_run(&test);
        assert_memory_equal(test.call.out.data, ((float[]){-7, 6, 4}), 12);
        assert_memory_equal(test.call.d_in[0].data, ((float[]){406, 92}), 8);
        assert_memory_equal(test.d_weight[0][0], ((float[]){2, 100, 1, 4, 200, 2}), 24);
        assert_memory_equal(test.d_weight[1][0], ((float[]){0, 0}), 8);
        case_close(&test);
    }
}

/* The largest sum of |a||b| behind an element of a matrix of `magnitude`, which ran on |values|. */
static double largest(const op_case_t *magnitude, matrix_t matrix) {
    double top = 0.0;
    for (int s = magnitude->call.shard_begin; s < magnitude->call.shard_end; s++) {
        for (int64_t j = 0; j < matrix.rows * matrix.cols; j++) {
            top = fmax(top, case_get(magnitude, matrix, s, j / matrix.cols, j % matrix.cols));
        }
    }
    return top;
}

static void make_absolute(op_case_t *test) {
    matrix_t matrices[] = {test->call.in[0], test->call.d_out};
    for (int m = 0; m < 2; m++) {
        for (int s = test->call.shard_begin; s < test->call.shard_end; s++) {
            for (int64_t j = 0; j < matrices[m].rows * matrices[m].cols; j++) {
                int64_t r = j / matrices[m].cols, c = j % matrices[m].cols;
                case_set(test, matrices[m], s, r, c, fabs(case_get(test, matrices[m], s, r, c)));
            }
        }
    }
    for (int w = 0; w < 2; w++) {
        for (int64_t i = 0; i < test->weight_count[w]; i++) {
            case_flat_set(test, (void *)test->call.weight[w], i,
                          fabs(case_flat_get(test, test->call.weight[w], i)));
        }
    }
}

/* Any order of n products and sums errs by at most about n eps sum|a||b|; a table for bf16 gets
 * numbers that it holds, and so does a GPU's (TF32 holds them). */
static void check_table(const kernels_t *kernels, const op_description_t *d) {
    op_case_t test, exact, magnitude;
    bool is_short = kernels->dtype == DTYPE_BF16 || case_on_gpu();
    (is_short ? case_open_short : case_open)(&test, kernels, d, 3, 1, 3);
    (is_short ? case_open_short : case_open)(&exact, case_table("ref", DTYPE_F64), d, 3, 1, 3);
    (is_short ? case_open_short : case_open)(&magnitude, case_table("ref", DTYPE_F64), d, 3, 1, 3);
    make_absolute(&magnitude);
    case_run(&test);
    case_run(&exact);
    case_run(&magnitude);
    const double unit = FLT_EPSILON;
    double rows = (double)d->out.rows, in = (double)d->in[0].cols, out = (double)d->out.cols;
    double weight_top = 0.0;
    for (int s = 1; s < 3; s++) {
        for (int w = 0; w < 2; w++) {
            for (int64_t i = 0; i < magnitude.weight_count[w]; i++) {
                weight_top =
                    fmax(weight_top, case_flat_get(&magnitude, magnitude.d_weight[w][s], i));
            }
        }
    }
    case_check_near(&test, &exact, (in + 2) * unit * largest(&magnitude, magnitude.call.out),
                    (out + 1) * unit * largest(&magnitude, magnitude.call.d_in[0]),
                    (rows + 1) * unit * weight_top);
    case_close(&test);
    case_close(&exact);
    case_close(&magnitude);
}

static const int64_t shapes[][3] = {{5, 7, 9},   {1, 1, 1},    {1, 12, 3},    {3, 1, 5},
                                    {16, 64, 1}, {17, 33, 65}, {63, 40, 128}, {2, 2, 16},
                                    {31, 50, 2}, {3, 6, 2048}};
enum { SHAPE_COUNT = sizeof shapes / sizeof shapes[0] };

static void tables_are_accurate(void **state) {
    (void)state;
    const kernels_t *tables[CASE_SHORT_TABLES_MAX];
    int count = case_short_tables(tables);
    for (int i = 0; i < SHAPE_COUNT; i++) {
        for (int form = 0; form < 3; form++) {
            op_description_t d = linear(shapes[i][0], shapes[i][1], shapes[i][2],
                                        form == 1 ? ACTIVATION_RELU : ACTIVATION_NONE);
            d.attributes.transposed = form == 2;
            check_table(case_table("ref", DTYPE_F32), &d);
            check_table(case_table("cpu", DTYPE_F32), &d);
            for (int t = 0; t < count; t++) {
                check_table(tables[t], &d);
            }
        }
    }
}

static void a_shard_has_the_same_bits_alone(void **state) {
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++) {
        op_description_t d = linear(shapes[i][0], shapes[i][1], shapes[i][2], ACTIVATION_RELU);
        case_check_alone(&d);
        d = transposed(shapes[i][0], shapes[i][1], shapes[i][2]);
        case_check_alone(&d);
    }
}

/* The same numbers with no gap between shards. */
static matrix_t closed_up(op_case_t *test, matrix_t from) {
    matrix_t to = from;
    to.shard_stride = from.rows * from.row_stride;
    size_t bytes = (size_t)(test->shards * to.shard_stride) * sizeof(float);
    to.data = alloc_zero(test->shards * to.shard_stride, sizeof(float));
    case_keep(test, to.data, bytes);
    for (int s = 0; s < test->shards; s++) {
        for (int64_t j = 0; j < from.rows * from.cols; j++) {
            int64_t r = j / from.cols, c = j % from.cols;
            case_set(test, to, s, r, c, case_get(test, from, s, r, c));
        }
    }
    return to;
}

/* A GPU takes shards that follow one another for one matrix: those of all sides, of some, of none.
 * The sums may be in another order. */
static void shards_that_follow_one_another(void **state) {
    (void)state;
    const double bound = 64.0 * FLT_EPSILON;
    for (int which = 0; which < 16; which++) {
        op_case_t test, apart;
        op_description_t d = linear(5, 7, 9, ACTIVATION_NONE);
        case_open(&test, case_table("cpu", DTYPE_F32), &d, 3, 0, 3);
        case_open(&apart, case_table("cpu", DTYPE_F32), &d, 3, 0, 3);
        op_call_t *call = &test.call;
        matrix_t *matrices[] = {&call->in[0], &call->out, &call->d_in[0], &call->d_out};
        for (int m = 0; m < 4; m++) {
            *matrices[m] = which >> m & 1 ? closed_up(&test, *matrices[m]) : *matrices[m];
        }
        case_forward(&test);
        case_backward(&test);
        case_run(&apart);
        case_check_near(&test, &apart, bound, bound, bound);
        case_close(&test);
        case_close(&apart);
    }
}

static void gradients_of_many_rows(void **state) {
    (void)state;
    op_description_t d = linear(65536, 2, 3, ACTIVATION_NONE);
    case_check_many_rows(&d);
}

static void check_equal_rows(dtype_t dtype, int64_t rows, int64_t in, int64_t out) {
    op_case_t test;
    op_description_t d = linear(rows, in, out, ACTIVATION_RELU);
    case_open(&test, case_table("cpu", dtype), &d, 2, 0, 2);
    matrix_t x = test.call.in[0], y = test.call.out;
    for (int64_t i = in; i < rows * in; i++) {
        case_set(&test, x, 1, i / in, i % in, case_get(&test, x, 1, 0, i % in));
    }
    case_run(&test);
    for (int64_t i = out; i < rows * out; i++) {
        assert_true(case_get(&test, y, 1, i / out, i % out) == case_get(&test, y, 1, 0, i % out));
    }
    case_close(&test);
}

/* A weight between two bf16 is as the nearer one, in both directions. */
static void weights_are_rounded(void **state) {
    (void)state;
    const kernels_t *tables[CASE_SHORT_TABLES_MAX];
    int count = case_short_tables(tables);
    for (int t = 0; t < count; t++) {
        op_case_t test;
        op_description_t d = linear(1, 2, 2, ACTIVATION_NONE);
        case_open(&test, tables[t], &d, 1, 0, 1);
        const float weights[] = {1.0F + 0x1p-9F, 3.0F, 1.0F + 0x1p-8F, 1.0F + 3 * 0x1p-8F};
        memcpy((void *)test.call.weight[0], weights, sizeof weights);
        memset((void *)test.call.weight[1], 0, 2 * sizeof(float));
        for (int64_t i = 0; i < 2; i++) {
            case_set(&test, test.call.in[0], 0, 0, i, i == 0 ? 1.0 : 0.0);
            case_set(&test, test.call.d_out, 0, 0, i, i == 0 ? 0.0 : 1.0);
        }
        case_run(&test);
        assert_true(case_get(&test, test.call.out, 0, 0, 0) == 1.0);
        assert_true(case_get(&test, test.call.out, 0, 0, 1) == 1.0); /* to the even one */
        assert_true(case_get(&test, test.call.d_in[0], 0, 0, 0) == 1.0);
        assert_true(case_get(&test, test.call.d_in[0], 0, 0, 1) == 1.0 + 0x1p-6);
        case_close(&test);
    }
}

/* Whatever tile and block of rows they fall into. */
static void equal_rows_have_equal_bits(void **state) {
    (void)state;
    const bool gpu = case_on_gpu(); /* simulated, it is slow */
    for (int64_t rows = 1; rows <= (gpu ? 20 : 310); rows += rows < 40 ? 1 : 5) {
        check_equal_rows(DTYPE_F32, rows, 33, 17);
        if (rows < 12 || rows > 250) {
            check_equal_rows(DTYPE_BF16, rows, 33, 17);
        }
    }
    static const int64_t rows[] = {32, 64, 128, 301, 960};
    static const int64_t widths[][2] = {{512, 128}, {4, 32}, {1024, 64}, {128, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && !gpu; i++) {
        for (size_t j = 0; j < sizeof widths / sizeof widths[0]; j++) {
            check_equal_rows(DTYPE_F32, rows[i], widths[j][0], widths[j][1]);
            if (rows[i] == 301) {
                check_equal_rows(DTYPE_BF16, rows[i], widths[j][0], widths[j][1]);
            }
        }
    }
}

static void plans_without_gradients(void **state) {
    (void)state;
    op_description_t d = linear(5, 7, 9, ACTIVATION_RELU);
    case_check_without_gradients(&d);
    d = transposed(5, 7, 9);
    case_check_without_gradients(&d);
}

static void the_sum_is_the_canonical_tree(void **state) {
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++) {
        op_description_t d = linear(shapes[i][0], shapes[i][1], shapes[i][2],
                                    i % 2 ? ACTIVATION_RELU : ACTIVATION_NONE);
        case_check_tree(&d);
        d = transposed(shapes[i][0], shapes[i][1], shapes[i][2]);
        case_check_tree(&d);
    }
}

/* Weights that stay are made ready once, with the same results. */
static void kept_weights(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        op_description_t d = linear(5, 7, 9, i < 2 ? ACTIVATION_NONE : ACTIVATION_RELU);
        const kernels_t *kernels = case_table("cpu", i % 2 == 0 ? DTYPE_F32 : DTYPE_BF16);
        op_case_t test, kept;
        case_open(&test, kernels, &d, 2, 0, 2);
        case_open(&kept, kernels, &d, 2, 0, 2);
        case_forward(&test);
        kept.row->plan_close(kept.plan);
        kept.description.weights_stay = true;
        kept.description.d_out.rows = kept.description.d_in[0].rows = 0;
        op_needs_t needs;
        CHECK_OK(kept.row->plan(&kept.description, &kept.plan, &needs));
        kept.call.kept = alloc_zero(needs.kept_count + 1, sizeof(float));
        case_keep(&kept, kept.call.kept, (size_t)(needs.kept_count + 1) * sizeof(float));
        kept.call.workspace = alloc_zero(needs.workspace_count + 1, sizeof(float));
        case_keep(&kept, kept.call.workspace, (size_t)(needs.workspace_count + 1) * sizeof(float));
        if (kept.row->prepare != NULL) {
            case_call(&kept, kept.row->prepare, &kept.call);
        }
        case_forward(&kept);
        for (int64_t j = 0; j < 2 * 5 * 9; j++) {
            assert_true(case_get(&test, test.call.out, (int)(j / 45), j / 9 % 5, j % 9) ==
                        case_get(&kept, kept.call.out, (int)(j / 45), j / 9 % 5, j % 9));
        }
        case_close(&test);
        case_close(&kept);
    }
}

/* Narrow factors that follow one another are read in their place, others packed. */
static void gaps_do_not_matter(void **state) {
    (void)state;
    const int64_t sizes[][2] = {{16, 16}, {16, 48}, {32, 16}, {8, 32}, {24, 8}, {16, 1}};
    for (size_t i = 0; i < 2 * (sizeof sizes / sizeof sizes[0]); i++) {
        op_description_t d =
            linear(21, sizes[i / 2][0], sizes[i / 2][1], i % 2 ? ACTIVATION_RELU : ACTIVATION_NONE);
        case_check_gaps(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(transposed_by_hand),
        cmocka_unit_test(tables_are_accurate),
        cmocka_unit_test(a_shard_has_the_same_bits_alone),
        cmocka_unit_test(shards_that_follow_one_another),
        cmocka_unit_test(gradients_of_many_rows),
        cmocka_unit_test(weights_are_rounded),
        cmocka_unit_test(gaps_do_not_matter),
        cmocka_unit_test(equal_rows_have_equal_bits),
        cmocka_unit_test(plans_without_gradients),
        cmocka_unit_test(kept_weights),
        cmocka_unit_test(the_sum_is_the_canonical_tree),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
