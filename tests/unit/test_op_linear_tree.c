/* The sum over shards that linear makes itself: bit for bit the canonical tree over gradients of
 * one shard each, whether shards fit together or one is cut into parts; and uses of the same
 * weights are one leaf. */
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_the_canonical_tree),
        cmocka_unit_test(uses_are_one_leaf),
    };
    return RUN_TESTS(tests);
}
