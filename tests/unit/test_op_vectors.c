/* Operations against what PyTorch computes in float64 (tests/reference/write_operations.py). */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "kernels/kernels.h"
#include "trainer/safetensors.h"
#include "unit/op_case.h"

typedef struct vectors {
    tensor_set_t set;
    char name[64]; /* OPERATION/CASE */
} vectors_t;

static const tensor_t *find(const vectors_t *vectors, const char *what) {
    char name[96];
    snprintf(name, sizeof name, "%s/%s", vectors->name, what);
    return tensor_set_find(&vectors->set, name);
}

static void copy_in(op_case_t *test, matrix_t matrix, const tensor_t *tensor) {
    assert_int_equal(tensor_count(tensor), matrix.rows * matrix.cols);
    for (int64_t j = 0; j < matrix.rows * matrix.cols; j++) {
        case_set(test, matrix, 0, j / matrix.cols, j % matrix.cols,
                 ((const double *)tensor->data)[j]);
    }
}

/* |got - wanted| / |wanted|: what so many eps allow. */
static void check_norm(const char *name, double error, double norm, double bound) {
    if (!(sqrt(error) <= bound * sqrt(norm))) {
        fail_msg("%s: off by %.3g of its norm, more than %.3g", name, sqrt(error / norm), bound);
    }
}

static void check_matrix(const op_case_t *test, matrix_t matrix, const tensor_t *tensor,
                         double bound) {
    assert_int_equal(tensor_count(tensor), matrix.rows * matrix.cols);
    double error = 0.0, norm = 0.0;
    for (int64_t j = 0; j < matrix.rows * matrix.cols; j++) {
        double wanted = ((const double *)tensor->data)[j];
        double got = case_get(test, matrix, 0, j / matrix.cols, j % matrix.cols);
        error += (got - wanted) * (got - wanted);
        norm += wanted * wanted;
    }
    check_norm(tensor->name, error, norm, bound);
}

static void check_weight(const op_case_t *test, int w, const tensor_t *tensor, double bound) {
    assert_int_equal(tensor_count(tensor), test->weight_count[w]);
    double error = 0.0, norm = 0.0;
    for (int64_t j = 0; j < test->weight_count[w]; j++) {
        double wanted = ((const double *)tensor->data)[j];
        double got = case_flat_get(test, test->d_weight[w][0], j);
        error += (got - wanted) * (got - wanted);
        norm += wanted * wanted;
    }
    check_norm(tensor->name, error, norm, bound);
}

static const char *const weight_names[] = {"weight", "bias", "running_mean", "running_var"};
enum { NAMED_WEIGHTS = sizeof weight_names / sizeof weight_names[0] };

/* Sums here have at most 1,000 terms, of both signs. */
static void check_table(const vectors_t *vectors, const kernels_t *kernels,
                        const op_description_t *d) {
    double bound = 100.0 * (kernels->dtype == DTYPE_F64 ? DBL_EPSILON : FLT_EPSILON);
    op_case_t test;
    case_open(&test, kernels, d, 1, 0, 1);
    copy_in(&test, test.call.in[0], find(vectors, "x"));
    copy_in(&test, test.call.d_out, find(vectors, "dy"));
    for (int w = 0; w < NAMED_WEIGHTS; w++) {
        const tensor_t *weight = find(vectors, weight_names[w]);
        assert_int_equal(weight == NULL ? 0 : tensor_count(weight), test.weight_count[w]);
        for (int64_t i = 0; i < test.weight_count[w]; i++) {
            case_flat_set(&test, (void *)test.call.weight[w], i, ((const double *)weight->data)[i]);
        }
    }
    case_run(&test);
    check_matrix(&test, test.call.out, find(vectors, "y"), bound);
    check_matrix(&test, test.call.d_in[0], find(vectors, "d_x"), bound);
    for (int w = 0; w < NAMED_WEIGHTS; w++) {
        char name[32];
        snprintf(name, sizeof name, "d_%s", weight_names[w]);
        if (test.weight_count[w] > 0) {
            check_weight(&test, w, find(vectors, name), bound);
        }
    }
    case_close(&test);
}

static op_description_t described(const vectors_t *vectors) {
    const tensor_t *x = find(vectors, "x"), *y = find(vectors, "y");
    op_description_t d = {.input_count = 1};
    d.in[0] = (op_shape_t){x->dims[0], x->dims[1], 0};
    d.out = (op_shape_t){y->dims[0], y->dims[1], 0};
    return d;
}

static void read_axes(const int64_t *settings, op_axis_t axis[OP_AXES]) {
    for (int a = 0; a < OP_AXES; a++, settings += 6) {
        axis[a] = (op_axis_t){settings[0], settings[1], settings[2],
                              settings[3], settings[4], settings[5]};
    }
}

static op_description_t describe_conv(const vectors_t *vectors, const int64_t *settings) {
    op_description_t d = described(vectors);
    d.kind = OP_conv;
    d.attributes.groups = settings[0];
    d.attributes.activation = settings[1] != 0 ? ACTIVATION_RELU : ACTIVATION_NONE;
    d.attributes.bias = settings[2] != 0;
    read_axes(settings + 3, d.attributes.axis);
    return d;
}

static op_description_t describe_pool(const vectors_t *vectors, const int64_t *settings) {
    op_description_t d = described(vectors);
    d.kind = OP_pool;
    d.attributes.pool_rule = (pool_rule_t)settings[0];
    read_axes(settings + 1, d.attributes.axis);
    return d;
}

static op_description_t describe_norm(const vectors_t *vectors, const int64_t *settings) {
    op_description_t d = described(vectors);
    d.kind = OP_batch_norm;
    d.attributes.norm_rule = settings[0] != 0 ? NORM_SHARD : NORM_FROZEN;
    d.attributes.epsilon = 1.0 / (double)settings[1];
    return d;
}

/* All cases of one operation. */
static void check_operation(const char *operation, int expected,
                            op_description_t (*describe)(const vectors_t *, const int64_t *)) {
    vectors_t vectors = {0};
    CHECK_OK(
        safetensors_read(SOURCE_DIR "/tests/golden/vectors/operations.safetensors", &vectors.set));
    int cases = 0;
    for (int i = 0; i < vectors.set.count; i++) {
        const tensor_t *tensor = &vectors.set.tensors[i];
        const char *end = strstr(tensor->name, "/settings");
        size_t length = strlen(operation);
        if (end == NULL || strncmp(tensor->name, operation, length) != 0 ||
            tensor->name[length] != '/') {
            continue;
        }
        snprintf(vectors.name, sizeof vectors.name, "%.*s", (int)(end - tensor->name),
                 tensor->name);
        op_description_t d = describe(&vectors, tensor->data);
        check_table(&vectors, case_table("ref", DTYPE_F64), &d);
        check_table(&vectors, case_table("ref", DTYPE_F32), &d);
        check_table(&vectors, case_table("cpu", DTYPE_F32), &d);
        cases++;
    }
    tensor_set_free(&vectors.set);
    assert_int_equal(cases, expected);
}

static void convolutions(void **state) {
    (void)state;
    check_operation("conv", 10, describe_conv);
}

static void pools(void **state) {
    (void)state;
    check_operation("pool", 11, describe_pool);
}

static void batch_norms(void **state) {
    (void)state;
    check_operation("batch_norm", 3, describe_norm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),
        cmocka_unit_test(pools),
        cmocka_unit_test(batch_norms),
    };
    return RUN_TESTS(tests);
}
