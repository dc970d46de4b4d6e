/* Graphs that no model builds today but the contract allows: an output read again, a value in two
 * concatenations and twice in one, a token stack beside other uses, a weight used twice. And what
 * is refused. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "trainer/executor.h"
#include "trainer/layers.h"

enum { LENGTH = 3, SAMPLES = 2, ROWS = LENGTH * SAMPLES, OUTPUTS = 3 };

static double wave(uint64_t stream, int64_t i) {
    return 2.0 * (double)rng_uniform((rng_key_t){5, stream, 0}, (uint64_t)i) - 1.0;
}

static graph_t *build(void) {
    graph_t *g = graph_open(LENGTH);
    row_mask_t mask;
    value_t x = graph_input(g, "x", 4, &mask);
    linear_t first = linear_make(g, "first", 4, 3), second = linear_make(g, "second", 3, 3);
    linear_t wide = linear_make(g, "wide", 9, 2), narrow = linear_make(g, "narrow", 6, 1);
    value_t a = linear_apply(g, "a", first, x, ACTIVATION_RELU);
    value_t b = linear_apply(g, "b", second, a, ACTIVATION_NONE);
    value_t again = linear_apply(g, "again", second, b, ACTIVATION_NONE);
    value_t twice[] = {a, b, a}, pair[] = {b, again};
    value_t c = graph_concat(g, "twice", twice, 3);
    value_t d = graph_concat(g, "pair", pair, 2);
    value_t tokens[] = {again, a};
    row_mask_t masks[] = {mask, mask};
    value_t stack = graph_tokens(g, "stack", tokens, 2);
    value_t mean = graph_select_token(g, "mean", stack, 2,
                                      graph_mask_tokens(g, masks, masks, 2, false), TOKEN_MEAN);
    graph_output(g, "again", again);
    graph_output(g, "wide", linear_apply(g, "wide", wide, c, ACTIVATION_NONE));
    value_t n = linear_apply(g, "narrow", narrow, d, ACTIVATION_NONE);
    value_t last[] = {mean, n};
    linear_t end = linear_make(g, "end", 4, 1);
    graph_output(g, "end",
                 linear_apply(g, "end", end, graph_concat(g, "last", last, 2), ACTIVATION_NONE));
    return g;
}

typedef struct fixture {
    graph_t *graph;
    executor_t *executor;
    double *weights, *gradient;
    int64_t *offsets, elements;
} fixture_t;

static fixture_t open_graph(graph_t *graph) {
    fixture_t f = {.graph = graph};
    executor_config_t config = {.samples_per_shard = 1, .shard_count = SAMPLES, .backward = true};
    CHECK_OK(kernels_for("ref", DTYPE_F64, &config.kernels));
    CHECK_OK(device_open("cpu", 0, 1, &config.device));
    CHECK_OK(executor_open(f.graph, &config, &f.executor));
    f.offsets = alloc_zero(graph_parameter_count(f.graph), sizeof *f.offsets);
    for (int p = 0; p < graph_parameter_count(f.graph); p++) {
        f.offsets[p] = f.elements;
        f.elements += graph_parameter_info(f.graph, p).count;
    }
    f.weights = alloc_zero(f.elements, sizeof *f.weights);
    f.gradient = alloc_zero(f.elements, sizeof *f.gradient);
    for (int64_t i = 0; i < f.elements; i++) {
        f.weights[i] = wave(1, i);
    }
    executor_state_t state = {.offsets = f.offsets,
                              .weights = f.weights,
                              .part_count = 1,
                              .parts = {f.gradient},
                              .part_leaves = {{0, SAMPLES}}};
    executor_bind(f.executor, &state);
    return f;
}

static void close_graph(fixture_t *f) {
    executor_close(f->executor);
    graph_close(f->graph);
    free(f->offsets);
    free(f->weights);
    free(f->gradient);
}

/* Sum of wave * output^2 / 2, and its gradient into place. */
static double loss(fixture_t *f) {
    static const step_scalars_t scalars = {0};
    for (int64_t i = 0; i < ROWS * 4; i++) {
        ((double *)executor_input(f->executor, 0))[i] = wave(2, i);
        executor_mask(f->executor, 0)[i / 4] = i / 4 != 4;
    }
    CHECK_OK(executor_forward(f->executor, &scalars));
    double sum = 0.0;
    for (int o = 0; o < OUTPUTS; o++) {
        matrix_t y = executor_output(f->executor, o), d = executor_output_gradient(f->executor, o);
        for (int64_t i = 0; i < ROWS * y.cols; i++) {
            int64_t row = i / y.cols, s = row / y.rows, r = row % y.rows, c = i % y.cols;
            double value = ((double *)y.data)[s * y.shard_stride + r * y.row_stride + c];
            sum += 0.5 * wave(3 + (uint64_t)o, i) * value * value;
            ((double *)d.data)[s * d.shard_stride + r * d.row_stride + c] =
                wave(3 + (uint64_t)o, i) * value;
        }
    }
    return sum;
}

static void values_used_in_every_way_have_right_gradients(void **state) {
    (void)state;
    static const step_scalars_t scalars = {0};
    fixture_t f = open_graph(build());
    loss(&f);
    CHECK_OK(executor_backward(f.executor, &scalars, NULL, NULL));
    for (int64_t i = 0; i < f.elements; i++) {
        double kept = f.weights[i], step = 1e-5;
        f.weights[i] = kept + step;
        double up = loss(&f);
        f.weights[i] = kept - step;
        double down = loss(&f);
        f.weights[i] = kept;
        double difference = (up - down) / (2 * step);
        if (fabs(difference - f.gradient[i]) > 1e-8 * (1.0 + fabs(difference))) {
            fail_msg("element %d: gradient %.12g, difference %.12g", (int)i, f.gradient[i],
                     difference);
        }
    }
    close_graph(&f);
}

/* --- shards without samples ------------------------------------------------------------------ */

static graph_t *build_norm(norm_rule_t rule) {
    graph_t *g = graph_open(LENGTH);
    row_mask_t mask;
    value_t x = graph_input(g, "x", 4, &mask);
    linear_t first = linear_make(g, "first", 4, 3);
    batch_norm_t norm = {.rule = rule, .epsilon = 1e-5};
    norm.gain = graph_parameter(g, "gain", 3, 0, (init_t){.constant = 1.0});
    norm.bias = graph_parameter(g, "bias", 3, 0, (init_t){0});
    norm.mean = graph_parameter(g, "mean", 3, 0, (init_t){0});
    norm.variance = graph_parameter(g, "variance", 3, 0, (init_t){.constant = 1.0});
    double momentum = rule == NORM_FROZEN ? 0.0 : 0.1;
    graph_parameter_statistic(g, norm.mean, momentum);
    graph_parameter_statistic(g, norm.variance, momentum);
    value_t y = linear_apply(g, "first", first, x, ACTIVATION_NONE);
    graph_output(g, "y", graph_batch_norm(g, "norm", y, mask, &norm));
    return g;
}

/* One sample in the first of two shards. */
static void step_of_one(fixture_t *f, bool first_alone) {
    static const step_scalars_t scalars = {.training = true};
    for (int64_t i = 0; i < ROWS * 4; i++) {
        ((double *)executor_input(f->executor, 0))[i] = i / 4 < LENGTH ? wave(2, i) : 0.0;
        executor_mask(f->executor, 0)[i / 4] = i / 4 < LENGTH;
    }
    if (first_alone) {
        CHECK_OK(executor_forward_first(f->executor, 1, (sample_steps_t){0}, &scalars));
    } else {
        CHECK_OK(executor_forward(f->executor, &scalars));
    }
    matrix_t d = executor_output_gradient(f->executor, 0);
    for (int64_t i = 0; i < ROWS * d.cols; i++) {
        int64_t row = i / d.cols, s = row / d.rows, r = row % d.rows, c = i % d.cols;
        ((double *)d.data)[s * d.shard_stride + r * d.row_stride + c] =
            row < LENGTH ? wave(3, i) : 0.0;
    }
    CHECK_OK(executor_backward(f->executor, &scalars, NULL, NULL));
}

/* Running statistics are means over the shards, and one that is empty counts with what is running
 * already. */
static void statistics_of_empty_shards_count(void **state) {
    (void)state;
    for (norm_rule_t rule = NORM_FROZEN; rule <= NORM_GLOBAL; rule++) {
        fixture_t f = open_graph(build_norm(rule));
        for (int64_t i = 0; i < f.elements; i++) {
            f.weights[i] = fabs(f.weights[i]) + 0.1; /* a variance is above 0 */
        }
        step_of_one(&f, false);
        double *all = alloc_zero(f.elements, sizeof *all);
        memcpy(all, f.gradient, (size_t)f.elements * sizeof *all);
        step_of_one(&f, true);
        assert_int_equal(executor_computes(f.executor, 1), rule == NORM_FROZEN ? 1 : SAMPLES);
        for (int64_t i = 0; i < f.elements; i++) { /* frozen statistics learn nothing from theirs */
            bool frozen = rule == NORM_FROZEN && i >= f.elements - 6;
            if (all[i] != f.gradient[i] && !frozen) {
                fail_msg("rule %d: element %d is %.17g, with all shards %.17g", (int)rule, (int)i,
                         f.gradient[i], all[i]);
            }
        }
        free(all);
        close_graph(&f);
    }
}

/* --- what is kept of weights ----------------------------------------------------------------- */

enum { CELLS = 256, COLUMNS = 32 };

/* A weight on two grids: 16 by 16 cells, and a line, which is not worth transforming it. */
static graph_t *build_grids(void) {
    static const op_axis_t square[] = {
        {1, 1, 1, 1, 1, 0}, {16, 16, 3, 1, 1, 1}, {16, 16, 3, 1, 1, 1}};
    static const op_axis_t line[] = {
        {1, 1, 1, 1, 1, 0}, {1, 1, 3, 1, 1, 1}, {CELLS, CELLS, 3, 1, 1, 1}};
    graph_t *g = graph_open(1);
    row_mask_t mask;
    value_t x = graph_input_cells(g, "x", CELLS, COLUMNS, &mask);
    parameter_t weight = graph_parameter(g, "w", COLUMNS, 9 * COLUMNS, (init_t){0});
    x = graph_conv(g, "square", x, weight, -1, square, 1, ACTIVATION_NONE);
    graph_output(g, "line", graph_conv(g, "line", x, weight, -1, line, 1, ACTIVATION_NONE));
    return g;
}

/* The output of one sample, to be freed. */
static float *run_grids(bool stay) {
    static const step_scalars_t scalars = {0};
    enum { WEIGHTS = 9 * COLUMNS * COLUMNS, VALUES = CELLS * COLUMNS };
    graph_t *graph = build_grids();
    executor_t *executor = NULL;
    executor_config_t config = {.samples_per_shard = 1, .shard_count = 1, .weights_stay = stay};
    CHECK_OK(kernels_for("cpu", DTYPE_F32, &config.kernels));
    CHECK_OK(device_open("cpu", 0, 1, &config.device));
    CHECK_OK(executor_open(graph, &config, &executor));
    float *weights = alloc_zero(WEIGHTS, sizeof *weights), *y = alloc_zero(VALUES, sizeof *y);
    for (int64_t i = 0; i < WEIGHTS; i++) {
        weights[i] = (float)wave(1, i);
    }
    int64_t offset = 0;
    executor_bind(executor, &(executor_state_t){.offsets = &offset, .weights = weights});
    for (int64_t i = 0; i < VALUES; i++) {
        ((float *)executor_input(executor, 0))[i] = (float)wave(2, i);
    }
    executor_mask(executor, 0)[0] = 1;
    CHECK_OK(executor_forward(executor, &scalars));
    matrix_t out = executor_output(executor, 0);
    for (int64_t i = 0; i < VALUES; i++) {
        y[i] = ((float *)out.data)[i / COLUMNS * out.row_stride + i % COLUMNS];
    }
    executor_close(executor);
    graph_close(graph);
    free(weights);
    return y;
}

static void a_weight_is_kept_as_each_use_wants_it(void **state) {
    (void)state;
    float *y = run_grids(false), *kept = run_grids(true);
    assert_memory_equal(y, kept, CELLS * COLUMNS * sizeof *y);
    free(y);
    free(kept);
}

/* --- refused --------------------------------------------------------------------------------- */

static void refused(graph_t *graph, const char *text) {
    executor_t *executor = NULL;
    executor_config_t config = {.samples_per_shard = 1, .shard_count = 1, .backward = true};
    CHECK_OK(kernels_for("ref", DTYPE_F32, &config.kernels));
    CHECK_OK(device_open("cpu", 0, 1, &config.device));
    CHECK_FAILS(executor_open(graph, &config, &executor), STATUS_INPUT, text);
    graph_close(graph);
}

static void mistakes_are_named(void **state) {
    (void)state;
    row_mask_t mask;
    graph_t *g = graph_open(LENGTH);
    linear_t linear = linear_make(g, "odd", 5, 2);
    graph_output(g, "y", linear_apply(g, "y", linear, graph_input(g, "x", 4, &mask), 0));
    refused(g, "y: weight and input differ in width");

    g = graph_open(LENGTH);
    value_t x = graph_input(g, "x", 4, &mask);
    graph_output(g, "y", x);
    refused(g, "y: an output depends on no parameter");

    g = graph_open(LENGTH);
    x = graph_input(g, "x", 4, &mask);
    linear = linear_make(g, "l", 4, 4);
    weight_t half = {linear.weight, 0, 2}, half_bias = {linear.bias, 0, 2};
    graph_output(g, "y", graph_linear(g, "y", x, half, half_bias, ACTIVATION_NONE));
    refused(g, "parameter l.weight is used in part only");

    g = graph_open(LENGTH);
    x = graph_input(g, "x", 4, &mask);
    linear = linear_make(g, "l", 4, 4);
    linear_apply(g, "lost", linear, x, ACTIVATION_NONE);
    refused(g, "a value of lost is never used");

    g = graph_open(LENGTH);
    x = graph_input(g, "x", 4, &mask);
    linear = linear_make(g, "l", 4, 4);
    linear_make(g, "l", 4, 4);
    graph_output(g, "y", linear_apply(g, "y", linear, x, ACTIVATION_NONE));
    refused(g, "l.weight: parameter made twice");

    g = graph_open(LENGTH);
    x = linear_apply(g, "h", linear_make(g, "l", 4, 4), graph_input(g, "x", 4, &mask), 0);
    graph_output(g, "y", graph_attention(g, "y", x, x, x, NO_MASK, 1, 3, false));
    refused(g, "y: heads do not divide the width");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_used_in_every_way_have_right_gradients),
        cmocka_unit_test(statistics_of_empty_shards_count),
        cmocka_unit_test(a_weight_is_kept_as_each_use_wants_it),
        cmocka_unit_test(mistakes_are_named),
    };
    return RUN_TESTS(tests);
}
