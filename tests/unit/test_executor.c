/* The executor on whole models: shards, trees, masks, company. Gradients against finite differences of
 * the same graph in double; everything about bits in float. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "trainer/executor.h"
#include "trainer/models.h"

enum { SHARDS = 6, PER_SHARD = 2, SAMPLES = SHARDS * PER_SHARD };

static const char *const yaml_head =
    "batch: 12\nvirtual_shards: 6\ndata: {window: 5}\n"
    "modalities: {a: {dim: 7}, b: {dim: 5}, c: {dim: 6}}\n"
    "targets: {x: {loss: ccc}, k: {loss: cross_entropy, classes: 3}}\n";

typedef struct fixture {
    config_t *config;
    graph_t *graph;
    const kernels_t *kernels;
    const device_t *device;
    int64_t *offsets;
    int64_t elements;
    char *weights;
    int64_t dims[3];
} fixture_t;

static double wave(uint64_t stream, int64_t i) {
    return 2.0 * (double)rng_uniform((rng_key_t){ 11, stream, 0 }, (uint64_t)i) - 1.0;
}

static void put(const kernels_t *kernels, void *memory, int64_t i, double value) {
    if (kernels->dtype == DTYPE_F64) {
        ((double *)memory)[i] = value;
    } else {
        ((float *)memory)[i] = (float)value;
    }
}

static fixture_t open_model(const char *model, const char *backend, dtype_t dtype) {
    fixture_t f = { .dims = { 7, 5, 6 } };
    char *yaml = text_format("%smodel: {name: %s, dim: 6, ff: 7, heads: 2, head_hidden: 5}\n",
                             yaml_head, model);
    CHECK_OK(config_parse(yaml, "test", NULL, 0, &f.config));
    free(yaml);
    CHECK_OK(kernels_for(backend, dtype, &f.kernels));
    CHECK_OK(device_for("cpu", &f.device));
    CHECK_OK(model_build(f.config, f.dims, &f.graph));
    f.offsets = alloc_zero(graph_parameter_count(f.graph), sizeof *f.offsets);
    for (int p = 0; p < graph_parameter_count(f.graph); p++) {
        f.offsets[p] = f.elements;
        f.elements += graph_parameter_info(f.graph, p).count;
    }
    f.weights = alloc_aligned((size_t)f.elements * dtype_bytes(dtype));
    for (int64_t i = 0; i < f.elements; i++) {
        put(f.kernels, f.weights, i, 0.6 * wave(1, i));
    }
    return f;
}

static void close_model(fixture_t *f) {
    free(f->weights);
    free(f->offsets);
    graph_close(f->graph);
    config_free(f->config);
}

/* Sample `global` has the same data wherever it lands; modality 1 of sample 3 is missing as a whole. */
static void fill(const fixture_t *f, executor_t *executor, int64_t first_sample, int64_t count) {
    for (int64_t s = 0; s < count; s++) {
        int64_t global = first_sample + s;
        for (int m = 0; m < 3; m++) {
            for (int64_t t = 0; t < 5; t++) {
                bool valid = wave(50 + (uint64_t)m, global * 5 + t) > -0.6 && !(m == 1 && global == 3);
                executor_mask(executor, m)[s * 5 + t] = valid;
                for (int64_t k = 0; k < f->dims[m]; k++) {
                    int64_t i = (global * 5 + t) * f->dims[m] + k;
                    put(f->kernels, executor_input(executor, m), (s * 5 + t) * f->dims[m] + k,
                        valid ? wave(60 + (uint64_t)m, i) : 0.0);
                }
            }
        }
    }
}

/* d loss / d output is a fixed wave over the global batch: the loss is sum wave * output. */
static void seed_gradient(const fixture_t *f, executor_t *executor, int64_t first_sample) {
    for (int o = 0; o < 2; o++) {
        matrix_t d = executor_output_gradient(executor, o);
        for (int64_t s = 0; s * d.rows < executor_samples(executor) * 5; s++) {
            for (int64_t r = 0; r < d.rows; r++) {
                for (int64_t c = 0; c < d.cols; c++) {
                    int64_t i = ((first_sample * 5 + s * d.rows + r) * d.cols) + c;
                    put(f->kernels, d.data, s * d.shard_stride + r * d.row_stride + c,
                        wave(80 + (uint64_t)o, i));
                }
            }
        }
    }
}

static executor_t *open_run(const fixture_t *f, tree_node_t run, bool input_gradients) {
    executor_config_t config = { .kernels = f->kernels,
                                 .device = f->device,
                                 .samples_per_shard = PER_SHARD,
                                 .shard_count = run.end - run.begin,
                                 .shard_first = run.begin,
                                 .backward = true,
                                 .input_gradients = input_gradients };
    executor_t *executor = NULL;
    CHECK_OK(executor_open(f->graph, &config, &executor));
    return executor;
}

typedef struct parts {
    int count;
    tree_node_t leaves[TREE_NODES_MAX];
    char *memory[TREE_NODES_MAX];
} parts_t;

/* Forward and backward of the run; appends its gradients to parts. */
static void run_shards(const fixture_t *f, tree_node_t run, parts_t *parts) {
    executor_t *executor = open_run(f, run, false);
    executor_state_t state = { .offsets = f->offsets, .weights = f->weights };
    state.part_count = tree_cover(SHARDS, run, state.part_leaves);
    for (int i = 0; i < state.part_count; i++) {
        parts->leaves[parts->count] = state.part_leaves[i];
        parts->memory[parts->count] =
            alloc_aligned((size_t)f->elements * dtype_bytes(f->kernels->dtype));
        state.parts[i] = parts->memory[parts->count++];
    }
    executor_bind(executor, &state);
    step_scalars_t scalars = { .shard_first = run.begin, .training = true };
    for (int round = 0; round < 2; round++) { /* nothing may be left over from the round before */
        fill(f, executor, run.begin * PER_SHARD, executor_samples(executor));
        executor_forward(executor, &scalars);
        seed_gradient(f, executor, run.begin * PER_SHARD);
        CHECK_OK(executor_backward(executor, &scalars, NULL, NULL));
    }
    executor_close(executor);
}

static const fixture_t *adding_for_;
static void add_parts(void *context, int into, int from) {
    parts_t *parts = context;
    adding_for_->kernels->add(parts->memory[into], parts->memory[into], parts->memory[from],
                              adding_for_->elements);
}

static void same_bits_for(const char *model, const char *backend) {
    fixture_t f = open_model(model, backend, DTYPE_F32);
    adding_for_ = &f;
    parts_t whole = { 0 };
    run_shards(&f, (tree_node_t){ 0, SHARDS }, &whole);
    assert_int_equal(whole.count, 1);
    for (int ranks = 2; ranks <= SHARDS; ranks++) {
        parts_t parts = { 0 };
        for (int r = 0; r < ranks; r++) {
            run_shards(&f, tree_run(SHARDS, r, ranks), &parts);
        }
        tree_finish(SHARDS, parts.leaves, parts.count, add_parts, &parts);
        assert_memory_equal(parts.memory[0], whole.memory[0], (size_t)f.elements * 4);
        for (int i = 0; i < parts.count; i++) {
            free(parts.memory[i]);
        }
    }
    free(whole.memory[0]);
    close_model(&f);
}

static void gradients_have_the_same_bits_for_any_number_of_ranks(void **state) {
    (void)state;
    same_bits_for("jmt", "ref");
    same_bits_for("jmt", "cpu");
    same_bits_for("mt", "cpu");
    same_bits_for("concat_encoder", "cpu");
}

/* --- finite differences ------------------------------------------------------------------------ */

static double objective(const fixture_t *f, executor_t *executor) {
    step_scalars_t scalars = { 0 };
    fill(f, executor, 0, executor_samples(executor));
    executor_forward(executor, &scalars);
    double sum = 0.0;
    for (int o = 0; o < 2; o++) {
        matrix_t y = executor_output(executor, o);
        for (int64_t s = 0; s * y.rows < executor_samples(executor) * 5; s++) {
            for (int64_t r = 0; r < y.rows; r++) {
                for (int64_t c = 0; c < y.cols; c++) {
                    double value =
                        ((double *)y.data)[s * y.shard_stride + r * y.row_stride + c];
                    sum += value * wave(80 + (uint64_t)o, (s * y.rows + r) * y.cols + c);
                }
            }
        }
    }
    return sum;
}

static void check_differences(const char *model) {
    fixture_t f = open_model(model, "ref", DTYPE_F64);
    executor_t *executor = open_run(&f, (tree_node_t){ 0, 2 }, false);
    double *gradient = alloc_aligned((size_t)f.elements * 8);
    executor_state_t state = { .offsets = f.offsets, .weights = f.weights, .part_count = 1,
                               .parts = { gradient }, .part_leaves = { { 0, 2 } } };
    executor_bind(executor, &state);
    objective(&f, executor);
    seed_gradient(&f, executor, 0);
    step_scalars_t scalars = { 0 };
    CHECK_OK(executor_backward(executor, &scalars, NULL, NULL));
    double *weights = (double *)f.weights;
    for (int p = 0; p < graph_parameter_count(f.graph); p++) {
        parameter_info_t info = graph_parameter_info(f.graph, p);
        for (int64_t e = 0; e < info.count; e += info.count / 3 + 1) {
            int64_t i = f.offsets[p] + e;
            double kept = weights[i], step = 1e-5;
            weights[i] = kept + step;
            double up = objective(&f, executor);
            weights[i] = kept - step;
            double down = objective(&f, executor);
            weights[i] = kept;
            double difference = (up - down) / (2 * step);
            /* truncation step^2 * f''' and rounding 1e-16 * |objective| / step */
            if (fabs(difference - gradient[i]) > 1e-6 * (1.0 + fabs(gradient[i]))) {
                fail_msg("%s: %s[%d]: gradient %.10g, difference %.10g", model, info.name, (int)e,
                         gradient[i], difference);
            }
        }
    }
    free(gradient);
    executor_close(executor);
    close_model(&f);
}

static void gradients_match_finite_differences(void **state) {
    (void)state;
    check_differences("jmt");
    check_differences("mt");
    check_differences("concat");
    check_differences("concat_encoder");
}

/* --- company and order ---------------------------------------------------------------------------- */

/* Predictions of `count` samples from `first` on; out: [count][5] of the first output. */
static void predict(const fixture_t *f, int64_t first, int64_t count, float *out) {
    tree_node_t run = { 0, (int)div_up(count, PER_SHARD) };
    executor_t *executor = open_run(f, run, false);
    executor_state_t state = { .offsets = f->offsets, .weights = f->weights };
    executor_bind(executor, &state);
    step_scalars_t scalars = { 0 };
    fill(f, executor, first, executor_samples(executor));
    executor_forward(executor, &scalars);
    matrix_t y = executor_output(executor, 0);
    for (int64_t row = 0; row < count * 5; row++) {
        out[row] = ((float *)y.data)[row / y.rows * y.shard_stride + row % y.rows * y.row_stride];
        assert_true(isfinite(out[row]));
    }
    executor_close(executor);
}

static void predictions_do_not_depend_on_company(void **state) {
    (void)state;
    static const char *const models[] = { "jmt", "mt", "concat", "concat_encoder" };
    for (int m = 0; m < ARRAY_LEN(models); m++) {
        fixture_t f = open_model(models[m], "cpu", DTYPE_F32);
        float together[SAMPLES * 5], pair[PER_SHARD * 5];
        predict(&f, 0, SAMPLES, together);
        for (int64_t s = 0; s < SAMPLES; s += PER_SHARD) {
            predict(&f, s, PER_SHARD, pair);
            assert_memory_equal(pair, together + s * 5, sizeof pair);
        }
        close_model(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_have_the_same_bits_for_any_number_of_ranks),
        cmocka_unit_test(gradients_match_finite_differences),
        cmocka_unit_test(predictions_do_not_depend_on_company),
    };
    return RUN_TESTS(tests);
}
