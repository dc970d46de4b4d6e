/* Rows that follow one another without a gap, of which several may be taken as one. */
#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"

static int without_gaps(void **state) {
    (void)state;
    case_align_rows(CASE_WITHOUT_GAPS);
    return 0;
}

static op_description_t described(op_kind_t kind, int64_t rows, int64_t cols, int inputs) {
    op_description_t d = {.kind = kind, .input_count = inputs, .out = {.rows = rows, .cols = cols}};
    for (int i = 0; i < inputs; i++) {
        d.in[i] = d.out;
    }
    return d;
}

static void sum(void **state) {
    (void)state;
    for (int terms = 1; terms <= 6; terms++) {
        op_description_t d = described(OP_sum, 5, 7, terms);
        case_check_reference(&d, 0, 0, 0);
        d = described(OP_sum, 3, 80, terms);
        case_check_reference(&d, 0, 0, 0);
    }
}

static void select_token(void **state) {
    (void)state;
    for (int rule = TOKEN_LAST; rule <= TOKEN_MAX; rule++) {
        for (int tokens = 1; tokens <= 4; tokens++) {
            op_description_t d = described(OP_select_token, 5, 7, 1);
            d.in[0].rows *= tokens;
            d.attributes.tokens = tokens;
            d.attributes.token_rule = (token_rule_t)rule;
            case_check_reference(&d, 0, 0, 0);
            case_check_reference(&d, d.in[0].rows, tokens, 1);
        }
    }
}

/* What is before relu: whole vectors, and a rest. */
static void linear(void **state) {
    (void)state;
    const int64_t widths[] = {3, 8, 17, 40, 51};
    for (int i = 0; i < ARRAY_LEN(widths); i++) {
        for (int relu = 0; relu < 2; relu++) {
            op_description_t d = described(OP_linear, 5, widths[i], 1);
            d.in[0].cols = 6;
            d.attributes.activation = relu ? ACTIVATION_RELU : ACTIVATION_NONE;
            case_check_reference(&d, 0, 0, 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(sum, without_gaps),
        cmocka_unit_test_setup(select_token, without_gaps),
        cmocka_unit_test_setup(linear, without_gaps),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
