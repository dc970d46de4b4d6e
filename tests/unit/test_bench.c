/* What `jmt bench` stands on: limits of the machine, operations timed alone, and the list of them.
 * No figure is judged beyond its sign. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/limits.h"
#include "kernels/op_bench.h"
#include "trainer/models.h"
#include "trainer/operation_list.h"
#include "trainer/random_data.h"
#include "trainer/trainer.h"

static void limits_are_measured(void **state) {
    (void)state;
    limits_t limits;
    CHECK_OK(limits_measure(1, &limits));
    assert_true(limits.flop_s > 0.0 && limits.bf16_flop_s >= 0.0);
    for (int i = 0; i < LIMITS_SIZES; i++) {
        assert_true(limits.copy_s[i] > 0.0 && limits.triad_s[i] > 0.0 && limits.read_s[i] > 0.0);
        assert_true(i == 0 || limits.bytes[i] > limits.bytes[i - 1]);
    }
}

/* By hand, on a machine that reads 10 bytes a second in its cache and 5 beyond. */
static void times_follow_from_limits(void **state) {
    (void)state;
    limits_t limits = {.flop_s = 100.0};
    for (int i = 0; i < LIMITS_SIZES; i++) {
        limits.bytes[i] = 100.0 * (i + 1);
        limits.read_s[i] = i < 2 ? 10.0 : 5.0;
        limits.copy_s[i] = limits.read_s[i];        /* a written byte takes as long as one read */
        limits.triad_s[i] = 0.1 * limits.copy_s[i]; /* and no other figure makes it faster */
    }
    assert_true(fabs(limits_memory_s(&limits, 30.0, 20.0) - 5.0) < 1e-12);
    assert_true(fabs(limits_memory_s(&limits, 2000.0, 0.0) - 400.0) < 1e-9);
    double between = limits_memory_s(&limits, 250.0, 0.0);
    assert_true(between > 25.0 && between < 50.0);
    assert_true(limits_time_s(&limits, 1000.0, 30.0, 20.0) == 10.0);
    assert_true(limits_time_s(&limits, 1.0, 30.0, 20.0) == limits_memory_s(&limits, 30.0, 20.0));
    assert_true(limits_time_s(&limits, 0.0, 0.0, 0.0) == 0.0);
}

static const device_t *host(void) {
    const device_t *device = NULL;
    CHECK_OK(device_open("cpu", 0, 1, &device));
    return device;
}

static void work_of_a_product(void **state) {
    (void)state;
    const kernels_t *kernels = NULL;
    const device_t *device = host();
    op_bench_t *bench = NULL;
    CHECK_OK(kernels_for("ref", DTYPE_F32, &kernels));
    op_description_t d = {.kind = OP_linear, .input_count = 1, .in = {{5, 3, 0}}, .out = {5, 2, 0}};
    CHECK_OK(op_bench_open(kernels, device, &d, 4, &bench));
    op_work_t forward = op_bench_work(bench, PASS_FORWARD);
    assert_true(forward.flop == 2.0 * 4 * 5 * 3 * 2);
    assert_true(forward.read_bytes == 4.0 * (4 * 5 * 3 + 2 * 3 + 2));
    assert_true(forward.written_bytes == 4.0 * 4 * 5 * 2);
    assert_true(op_bench_has(bench, PASS_FORWARD));
    assert_false(op_bench_has(bench, PASS_BACKWARD_DATA)); /* the description asks for none */
    assert_false(op_bench_has(bench, PASS_BACKWARD_WEIGHTS));
    assert_true(op_bench_round(bench, PASS_FORWARD) > 0.0);
    char shape[OP_SHAPE_BYTES];
    op_shape_text(&d, 4, shape);
    assert_string_equal(shape, "4 x 5x3 -> 2");
    op_bench_close(bench);
}

/* A running variance that is random would be below 0, and every result no number: a round refuses
 * to time those. */
static void frozen_statistics_have_a_variance(void **state) {
    (void)state;
    const dtype_t dtypes[] = {DTYPE_F32, DTYPE_BF16};
    for (int i = 0; i < 2; i++) {
        const kernels_t *kernels = NULL;
        const device_t *device = host();
        op_bench_t *bench = NULL;
        CHECK_OK(kernels_for("cpu", dtypes[i], &kernels));
        op_description_t d = {.kind = OP_batch_norm, .input_count = 1, .in = {{6, 20, 0}}};
        d.attributes = (op_attributes_t){.norm_rule = NORM_FROZEN, .epsilon = 1e-5};
        d.out = d.in[0];
        CHECK_OK(op_bench_open(kernels, device, &d, 2, &bench));
        assert_true(op_bench_round(bench, PASS_FORWARD) > 0.0);
        op_bench_close(bench);
    }
}

static executor_t *tiny_executor(const config_t *config, graph_t **graph_out) {
    const kernels_t *kernels = NULL;
    const device_t *device = NULL;
    int64_t dims[CONFIG_MODALITIES_MAX];
    executor_t *executor = NULL;
    CHECK_OK(trainer_kernels(config, NULL, &kernels, &device));
    CHECK_OK(random_dims(config, dims));
    CHECK_OK(model_build(config, dims, graph_out));
    executor_config_t executor_config = {.kernels = kernels,
                                         .device = device,
                                         .samples_per_shard = 2,
                                         .shard_count = 2,
                                         .backward = true};
    CHECK_OK(executor_open(*graph_out, &executor_config, &executor));
    return executor;
}

/* Every kind of operation has a row, whether the model uses it or not, and can be timed: forward,
 * and backward where gradients are asked for. */
static void every_operation_is_listed(void **state) {
    (void)state;
    config_t *config = NULL;
    graph_t *graph = NULL;
    operation_list_t list;
    CHECK_OK(config_load(SOURCE_DIR "/configs/tiny/jmt.yaml", NULL, 0, &config));
    executor_t *executor = tiny_executor(config, &graph);
    operation_list_open(executor, 2 * 16, 16, 16, &list);
    const kernels_t *kernels = NULL;
    const device_t *device = host();
    CHECK_OK(kernels_for(config->backend, DTYPE_F32, &kernels));
    int rows[OP_COUNT] = {0}, uses = 0;
    for (int i = 0; i < list.count; i++) {
        op_bench_t *bench = NULL;
        CHECK_OK(op_bench_open(kernels, device, &list.items[i].description, 2, &bench));
        for (int pass = 0; pass < PASS_COUNT; pass++) {
            if (op_bench_has(bench, (pass_t)pass)) {
                op_work_t work = op_bench_work(bench, (pass_t)pass);
                assert_true(op_bench_round(bench, (pass_t)pass) > 0.0);
                assert_true(work.read_bytes > 0.0 && work.written_bytes > 0.0);
            }
        }
        op_bench_close(bench);
        rows[list.items[i].description.kind]++;
        uses += list.items[i].uses;
    }
    for (int kind = 0; kind < OP_COUNT; kind++) {
        assert_true(rows[kind] > 0);
    }
    /* what the step runs, but for concatenations that are written in place */
    assert_true(uses <= executor_operation_count(executor));
    assert_true(uses > executor_operation_count(executor) / 2);
    assert_true(rows[OP_linear] > 1 && rows[OP_tanh] == 1);
    operation_list_free(&list);
    executor_close(executor);
    graph_close(graph);
    config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_measured),
        cmocka_unit_test(times_follow_from_limits),
        cmocka_unit_test(work_of_a_product),
        cmocka_unit_test(frozen_statistics_have_a_variance),
        cmocka_unit_test(every_operation_is_listed),
    };
    return RUN_TESTS(tests);
}
