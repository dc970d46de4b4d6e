/* Shapes that a GPU cuts: more rows than its blocks have, columns than a warp reads at once, and
 * rows than one sum runs over. */
#include "check.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"

static void check(op_kind_t kind, int64_t rows, int64_t cols, int inputs) {
    op_description_t d = {.kind = kind, .input_count = inputs, .out = {.rows = rows, .cols = cols}};
    for (int i = 0; i < inputs; i++) {
        d.in[i] = d.out;
    }
    case_check_reference(&d, 0, 0, 0);
    case_check_alignment(&d);
    case_check_without_gradients(&d);
}

static void rows_of_several_blocks(void **state) {
    (void)state;
    check(OP_tanh, 70, 21, 1);
}

static void sums_over_rows_in_parts(void **state) {
    (void)state;
    check(OP_prelu, 1100, 5, 1);
}

static void more_columns_than_a_warp_reads(void **state) {
    (void)state;
    check(OP_l2_normalize, 3, 300, 1);
    check(OP_softmax_gate, 3, 260, 2);
}

static void tokens_without_gradients(void **state) {
    (void)state;
    op_description_t d = {.kind = OP_select_token, .input_count = 1};
    d.attributes.tokens = 3;
    d.attributes.token_rule = TOKEN_MEAN;
    d.in[0] = (op_shape_t){.rows = 6, .cols = 5};
    d.out = (op_shape_t){.rows = 2, .cols = 5};
    case_check_without_gradients(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_several_blocks),
        cmocka_unit_test(sums_over_rows_in_parts),
        cmocka_unit_test(more_columns_than_a_warp_reads),
        cmocka_unit_test(tokens_without_gradients),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
