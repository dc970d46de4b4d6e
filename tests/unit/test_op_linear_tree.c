/* The sum over shards that linear makes itself: bit for bit the canonical tree over gradients of
 * one shard each, whether shards fit together or one is cut into parts; and uses of the same
 * weights are one leaf. And rows that do not count: 0 where they are written, in no sum. */
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"
#include "unit/tree_case.h"

enum { SHARDS_MAX = 9, LEVELS = 4 };

typedef struct linear_case {
    const op_row_t *row;
    int64_t rows, in, out, biases, elements;
    op_plan_t *plan;
    op_call_t call;
    step_scalars_t scalars;
} linear_case_t;

static float *random_floats(int64_t count, uint64_t turn) {
    float *values = alloc_zero(count, sizeof *values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = 2 * rng_uniform((rng_key_t){.turn = turn}, (uint64_t)i) - 1;
    }
    return values;
}

/* Rows of a shard lie `gap` elements beyond their columns. */
static matrix_t matrix_open(dtype_t dtype, int64_t rows, int64_t cols, int64_t gap, uint64_t turn) {
    int64_t stride = cols + gap, count = SHARDS_MAX * rows * stride;
    float *values = random_floats(count, turn);
    void *data = alloc_zero(count, dtype_bytes(dtype));
    dtype_from_float(dtype, data, values, count);
    free(values);
    return (matrix_t){data, rows, cols, stride, rows * stride};
}

static op_shape_t shape_of(matrix_t matrix) {
    return (op_shape_t){matrix.rows, matrix.cols, matrix.row_stride};
}

typedef enum { PLAIN, RELU, TRANSPOSED, FORMS } form_t;

/* gaps: rows of x and dy do not follow one another. */
static linear_case_t linear_open(dtype_t dtype, int64_t rows, int64_t in, int64_t out, form_t form,
                                 bool gaps) {
    linear_case_t c = {.row = &case_table("cpu", dtype)->ops[OP_linear],
                       .rows = rows,
                       .in = in,
                       .out = out,
                       .biases = form == TRANSPOSED ? in : out,
                       .elements = align_up(out * in + max_i64(in, out), 16)};
    c.call.in[0] = matrix_open(dtype, rows, in, gaps ? 3 : 0, 1);
    c.call.out = matrix_open(dtype, rows, out, 0, 2);
    c.call.d_out = matrix_open(dtype, rows, out, gaps ? 5 : 0, 3);
    op_description_t d = {.kind = OP_linear, .input_count = 1};
    d.attributes.activation = form == RELU ? ACTIVATION_RELU : ACTIVATION_NONE;
    d.attributes.transposed = form == TRANSPOSED;
    d.in[0] = shape_of(c.call.in[0]);
    d.out = shape_of(c.call.out);
    d.d_out = shape_of(c.call.d_out);
    op_needs_t needs = {0};
    CHECK_OK(c.row->plan(&d, &c.plan, &needs));
    c.call.workspace = random_floats(needs.workspace_count, 4);
    return c;
}

static void linear_close(linear_case_t *c) {
    c->row->plan_close(c->plan);
    free(c->call.in[0].data);
    free(c->call.out.data);
    free(c->call.d_out.data);
    free(c->call.workspace);
}

/* Gradients of one shard each. */
static void leaves_open(linear_case_t *c, char *leaves[SHARDS_MAX]) {
    for (int s = 0; s < SHARDS_MAX; s++) {
        float *leaf = alloc_zero(c->elements, sizeof *leaf);
        c->call.shard_begin = s;
        c->call.shard_end = s + 1;
        c->call.d_weight[0] = leaf;
        c->call.d_weight[1] = leaf + c->out * c->in;
        c->row->backward_weights(c->plan, &c->call);
        leaves[s] = (char *)leaf;
    }
}

static void by_operation(const linear_case_t *c, const op_use_t *uses, int use_count, int begin,
                         int end, float *value) {
    float *scratch = random_floats(LEVELS * c->elements, 5);
    void *d_weight[OP_WEIGHTS_MAX] = {value, value + c->out * c->in};
    c->row->backward_tree(uses, use_count, begin, end, d_weight, scratch);
    free(scratch);
}

static void check_tree_of(dtype_t dtype, int64_t rows, int64_t in, int64_t out, form_t form,
                          bool gaps) {
    linear_case_t c = linear_open(dtype, rows, in, out, form, gaps);
    op_use_t use = {c.plan, &c.call};
    char *leaves[SHARDS_MAX];
    leaves_open(&c, leaves);
    for (int end = 1; end <= SHARDS_MAX; end += 1 + (rows * in > 10000)) {
        int begin = end > 4 ? 1 : 0;
        float *expected = alloc_zero(c.elements, sizeof *expected);
        float *got = alloc_zero(c.elements, sizeof *got);
        tree_value(leaves, begin, end, c.elements, expected);
        by_operation(&c, &use, 1, begin, end, got);
        if (memcmp(got, expected, (size_t)(out * in + c.biases) * sizeof *got) != 0) {
            fail_msg("%d rows, %d to %d columns: shards %d to %d have another sum", (int)rows,
                     (int)in, (int)out, begin, end);
        }
        free(expected);
        free(got);
    }
    for (int s = 0; s < SHARDS_MAX; s++) {
        free(leaves[s]);
    }
    linear_close(&c);
}

static void check_tree(dtype_t dtype, int64_t rows, int64_t in, int64_t out, form_t form) {
    check_tree_of(dtype, rows, in, out, form, true);
    if (rows * in <= 10000) {
        check_tree_of(dtype, rows, in, out, form, false);
    }
}

/* 256 rows of 512 columns fit together, and 32 of 5,000. */
static void check_trees(dtype_t dtype) {
    if (case_table("cpu", dtype)->ops[OP_linear].backward_tree == NULL) {
        return; /* the executor adds */
    }
    for (form_t form = PLAIN; form < FORMS; form++) {
        check_tree(dtype, 1, 1, 1, form);
        check_tree(dtype, 3, 5, 7, form);
        check_tree(dtype, 40, 33, 65, form);
        check_tree(dtype, 40, 16, 48, form);
        if (dtype == DTYPE_BF16) {
            check_tree(dtype, 801, 20, 10, form); /* one is cut into parts */
        } else {
            check_tree(dtype, 64, 512, 18, form);
            check_tree(dtype, 120, 50, 17, form);
            check_tree(dtype, 301, 100, 20, form);
            check_tree(dtype, 70, 5000, 3, form);
        }
    }
}

static void the_sum_is_the_canonical_tree(void **state) {
    (void)state;
    check_trees(DTYPE_F32);
    check_trees(DTYPE_BF16);
}

/* The rows of two uses, shard by shard, against a single use that has them all; of bf16 the first
 * has whole pairs. */
static void check_uses(dtype_t dtype) {
    size_t bytes = dtype_bytes(dtype);
    if (case_table("cpu", dtype)->ops[OP_linear].backward_tree == NULL) {
        return;
    }
    static const int64_t rows[] = {2, 30, 200};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum { IN = 24, OUT = 10 };
        int64_t first = rows[i], second = rows[i] / 2;
        linear_case_t whole = linear_open(dtype, first + second, IN, OUT, RELU, true);
        linear_case_t one = linear_open(dtype, first, IN, OUT, RELU, true);
        linear_case_t two = linear_open(dtype, second, IN, OUT, RELU, true);
        matrix_t *all[] = {&whole.call.in[0], &whole.call.out, &whole.call.d_out};
        matrix_t *parts[][2] = {{&one.call.in[0], &two.call.in[0]},
                                {&one.call.out, &two.call.out},
                                {&one.call.d_out, &two.call.d_out}};
        for (int m = 0; m < 3; m++) {
            for (int s = 0; s < SHARDS_MAX; s++) {
                const char *from = matrix_from_shard(*all[m], s, dtype).data;
                for (int p = 0; p < 2; p++) {
                    size_t count = (size_t)parts[m][p]->shard_stride * bytes;
                    memcpy(matrix_from_shard(*parts[m][p], s, dtype).data, from, count);
                    from += count;
                }
            }
        }
        float *expected = alloc_zero(whole.elements, sizeof *expected);
        float *got = alloc_zero(whole.elements, sizeof *got);
        op_use_t together = {whole.plan, &whole.call};
        op_use_t uses[] = {{one.plan, &one.call}, {two.plan, &two.call}};
        free(one.call.workspace);
        free(two.call.workspace);
        one.call.workspace = two.call.workspace = whole.call.workspace;
        by_operation(&whole, &together, 1, 0, SHARDS_MAX, expected);
        by_operation(&whole, uses, 2, 0, SHARDS_MAX, got);
        assert_memory_equal(got, expected, (size_t)(OUT * (IN + 1)) * sizeof *got);
        one.call.workspace = two.call.workspace = NULL;
        linear_close(&whole);
        linear_close(&one);
        linear_close(&two);
        free(expected);
        free(got);
    }
}

static void uses_are_one_leaf(void **state) {
    (void)state;
    check_uses(DTYPE_F32);
    check_uses(DTYPE_BF16);
}

/* --- rows that do not count ------------------------------------------------------------------- */

enum { SAMPLES = 2 };

/* Of every length, from either end, and none. */
static step_range_t range_of(int sample, int64_t length) {
    int32_t begin = (int32_t)(sample % 3 * length / 7);
    int32_t end = (int32_t)(length - sample % 4 * length / 5);
    return sample == 3 || sample == 6 ? (step_range_t){0, 0} : (step_range_t){begin, end};
}

static bool counts(const step_range_t *ranges, int64_t length, int64_t rows, int shard,
                   int64_t row) {
    int64_t each = rows / SAMPLES, step = row % each / (each / length);
    step_range_t range = ranges[shard * SAMPLES + row / each];
    return step >= range.begin && step < range.end;
}

/* What a matrix holds where rows do not count. */
static void fill_rest(dtype_t dtype, matrix_t m, const step_range_t *ranges, int64_t length,
                      double value) {
    for (int s = 0; s < SHARDS_MAX; s++) {
        for (int64_t r = 0; r < m.rows; r++) {
            for (int64_t c = 0; c < m.cols && !counts(ranges, length, m.rows, s, r); c++) {
                dtype_set(dtype, m.data, s * m.shard_stride + r * m.row_stride + c, value);
            }
        }
    }
}

/* Equal where rows count, and 0 elsewhere. */
static void check_rows(dtype_t dtype, matrix_t all, matrix_t some, const step_range_t *ranges,
                       int64_t length) {
    for (int s = 1; s < SHARDS_MAX; s++) {
        for (int64_t r = 0; r < all.rows; r++) {
            bool here = counts(ranges, length, all.rows, s, r);
            for (int64_t c = 0; c < all.cols; c++) {
                int64_t at = s * all.shard_stride + r * all.row_stride + c;
                double expected = here ? dtype_get(dtype, all.data, at) : 0.0;
                if (dtype_get(dtype, some.data, at) != expected) {
                    fail_msg("shard %d, row %d of %d, column %d: %g, not %g", s, (int)r,
                             (int)all.rows, (int)c, dtype_get(dtype, some.data, at), expected);
                }
            }
        }
    }
}

/* All three passes over shards 1 and up, as if the rest were there and without it: of the gradient
 * of weights the same sums, as the rest's gradient is 0. */
static void check_live(dtype_t dtype, int64_t length, int64_t of_step, int64_t in, int64_t out,
                       form_t form, bool gaps) {
    int64_t rows = SAMPLES * length * of_step;
    step_range_t ranges[SHARDS_MAX * SAMPLES];
    for (int i = 0; i < SHARDS_MAX * SAMPLES; i++) {
        ranges[i] = range_of(i, length);
    }
    live_t live = {ranges, SAMPLES, length};
    linear_case_t c = linear_open(dtype, rows, in, out, form, gaps);
    float *weight = random_floats(c.elements, 6), *sums[2];
    matrix_t results[2][2];
    c.call.weight[0] = weight;
    c.call.weight[1] = weight + in * out;
    c.call.shard_begin = 1;
    c.call.shard_end = SHARDS_MAX;
    fill_rest(dtype, c.call.d_out, ranges, length, 0.0);
    matrix_t y = c.call.out;
    for (int i = 0; i < 2; i++) {
        results[i][0] = matrix_open(dtype, rows, out, 0, 7);
        results[i][1] = matrix_open(dtype, rows, in, gaps ? 1 : 0, 8);
        c.call.live = i == 1 ? &live : NULL;
        c.call.out = results[i][0];
        c.row->forward(c.plan, &c.call);
        c.call.out = y;
        c.call.d_in[0] = results[i][1];
        c.row->backward_data(c.plan, &c.call);
        op_use_t use = {c.plan, &c.call};
        sums[i] = alloc_zero(c.elements, sizeof *sums[i]);
        by_operation(&c, &use, 1, 1, SHARDS_MAX, sums[i]);
        fill_rest(dtype, c.call.in[0], ranges, length, 0.5); /* read by nobody but the products */
    }
    check_rows(dtype, results[0][0], results[1][0], ranges, length);
    check_rows(dtype, results[0][1], results[1][1], ranges, length);
    for (int64_t i = 0; i < out * in + c.biases; i++) { /* zeros of either sign */
        if (sums[0][i] != sums[1][i]) {
            fail_msg("%d steps of %d rows, %d to %d columns: element %d of the gradient",
                     (int)length, (int)of_step, (int)in, (int)out, (int)i);
        }
    }
    for (int i = 0; i < 2; i++) {
        free(sums[i]);
        free(results[i][0].data);
        free(results[i][1].data);
    }
    free(weight);
    linear_close(&c);
}

static void check_lives(dtype_t dtype) {
    if (case_table("cpu", dtype)->ops[OP_linear].backward_tree == NULL) {
        return;
    }
    for (form_t form = PLAIN; form < FORMS; form++) {
        for (int gaps = 0; gaps < 2; gaps++) {
            check_live(dtype, 7, 1, 5, 3, form, gaps != 0); /* of bf16 odd rows */
            check_live(dtype, 10, 1, 33, 65, form, gaps != 0);
            check_live(dtype, 10, 12, 16, 48, form, gaps != 0);
            check_live(dtype, 20, 3, 48, 16, form, gaps != 0);
            check_live(dtype, 150, 6, 20, 10, form, gaps != 0); /* a shard is cut into parts */
        }
    }
}

static void rows_that_do_not_count_are_left_out(void **state) {
    (void)state;
    check_lives(DTYPE_F32);
    check_lives(DTYPE_BF16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_do_not_count_are_left_out),
        cmocka_unit_test(the_sum_is_the_canonical_tree),
        cmocka_unit_test(uses_are_one_leaf),
    };
    return RUN_TESTS(tests);
}
