/* The port for checks from outside: what it computes agrees with itself, and what it refuses. That
 * its numbers are right is shown by tests/golden. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "trainer/export.h"
#include "trainer/step_port.h"

enum { B = 2, L = 3, D = 4 };

typedef struct fixture {
    config_t *config;
    const kernels_t *kernels;
    tensor_set_t weights, batch;
} fixture_t;

static double *add(tensor_set_t *set, const char *name, int rank, int64_t last) {
    int64_t dims[3] = {B, L, last};
    return tensor_set_add(set, name, TENSOR_F64, rank, dims)->data;
}

static fixture_t open_port(void) {
    fixture_t f = {0};
    CHECK_OK(config_parse("batch: 8\nmodel: {name: jmt, dim: 4, ff: 5, heads: 2, head_hidden: 3}\n"
                          "modalities: {a: {dim: 4}, b: {}}\ntargets: {v: {loss: mse}}\n",
                          "test", (const char *const[]){"modalities.b.dim=4"}, 1, &f.config));
    CHECK_OK(kernels_for("ref", DTYPE_F64, &f.kernels));
    CHECK_OK(export_initial(f.config, &f.weights));
    double *a = add(&f.batch, "input/a", 3, D), *b = add(&f.batch, "input/b", 3, D);
    for (int i = 0; i < B * L * D; i++) {
        a[i] = sin(1.0 + 0.7 * i);
        b[i] = cos(0.3 * i * i);
    }
    return f;
}

static void close_port(fixture_t *f) {
    tensor_set_free(&f->weights);
    tensor_set_free(&f->batch);
    config_free(f->config);
}

static const double *find(const tensor_set_t *set, const char *name) {
    const tensor_t *tensor = tensor_set_find(set, name);
    assert_non_null(tensor);
    assert_int_equal(tensor->type, TENSOR_F64);
    return tensor->data;
}

/* With cotangent 2 (y - t) / n in place of the target, every gradient of the mean square is the
 * same; so it is of a batch that is cut in two. */
static void a_target_and_its_cotangent_agree(void **state) {
    (void)state;
    fixture_t f = open_port();
    tensor_set_t by_target = {0}, by_cotangent = {0}, in_two = {0};
    double *target = add(&f.batch, "target/v", 2, 0);
    double *mask = add(&f.batch, "mask/b", 2, 0);
    for (int i = 0; i < B * L; i++) {
        target[i] = i == 4 ? NAN : 0.2 * i;
        mask[i] = i != 1;
    }
    CHECK_OK(step_port(f.config, f.kernels, 1, &f.weights, &f.batch, &by_target));
    CHECK_OK(step_port(f.config, f.kernels, 2, &f.weights, &f.batch, &in_two));
    const double *y = find(&by_target, "output/v");
    double loss = 0.0;
    for (int i = 0; i < B * L; i++) {
        double error = i == 4 ? 0.0 : y[i] - target[i];
        loss += error * error / (B * L - 1);
        target[i] = 2.0 * error / (B * L - 1);
    }
    assert_true(fabs(loss - find(&by_target, "loss")[0]) < 1e-14 * (1.0 + loss));
    tensor_t *renamed = (tensor_t *)tensor_set_find(&f.batch, "target/v");
    free(renamed->name);
    renamed->name = text_copy("cotangent/v");
    CHECK_OK(step_port(f.config, f.kernels, 2, &f.weights, &f.batch, &by_cotangent));
    assert_int_equal(by_target.count, 1 + 1 + f.weights.count + 2);
    for (int i = 0; i < by_target.count; i++) {
        const tensor_t *x = &by_target.tensors[i];
        const double *other = find(&by_cotangent, x->name), *two = find(&in_two, x->name);
        for (int64_t e = 0; e < tensor_count(x); e++) {
            double one = ((double *)x->data)[e];
            assert_true(fabs(one - two[e]) < 1e-13);
            assert_true(strcmp(x->name, "loss") == 0 || fabs(one - other[e]) < 1e-13);
        }
    }
    for (int k = 0; k < D; k++) { /* step 1 of b is masked */
        assert_true(find(&by_target, "grad/input/b")[D + k] == 0.0);
    }
    tensor_set_free(&by_target);
    tensor_set_free(&by_cotangent);
    tensor_set_free(&in_two);
    close_port(&f);
}

static void check_shards_refused(fixture_t *f, int shards, const char *text) {
    tensor_set_t result = {0};
    CHECK_FAILS(step_port(f->config, f->kernels, shards, &f->weights, &f->batch, &result),
                STATUS_INPUT, text);
    assert_int_equal(result.count, 0);
    close_port(f);
}

static void check_refused(fixture_t *f, const char *text) { check_shards_refused(f, 1, text); }

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    fixture_t f = open_port();
    check_refused(&f, "tensor target/v is missing");

    f = open_port();
    add(&f.batch, "target/v", 2, 0);
    add(&f.batch, "mask/c", 2, 0);
    check_refused(&f, "tensor mask/c of the batch is not of this model");

    f = open_port();
    add(&f.batch, "target/v", 2, 0);
    add(&f.batch, "cotangent/v", 2, 0);
    check_refused(&f, "both cotangent/v and target/v");

    f = open_port();
    add(&f.batch, "target/v", 3, 2);
    check_refused(&f, "tensor target/v is [2,3,2]; [2,3] is expected");

    f = open_port();
    add(&f.batch, "target/v", 2, 0);
    ((double *)f.batch.tensors[1].data)[5] = NAN;
    check_refused(&f, "tensor input/b is not finite at element 5");

    f = open_port();
    add(&f.batch, "target/v", 2, 0);
    add(&f.weights, "nobody", 2, 0);
    check_refused(&f, "weight nobody is not of this model");

    f = open_port();
    add(&f.batch, "target/v", 2, 0);
    check_shards_refused(&f, 3, "a batch of 2 samples cannot be cut into 3 shards; give a divisor");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_and_its_cotangent_agree),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return RUN_TESTS(tests);
}
