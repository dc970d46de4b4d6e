/* A predictor against the forward half of the graph as it is trained, on every model: folded where
 * there is one head, the same bits where there is nothing to fold. Samples lack steps, a modality,
 * or all there is; rows of causal attention see no key. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "model_case.h"
#include "trainer/predictor.h"

enum { SHARDS = 5, PER_SHARD = 2 };

static const tree_node_t all_shards = {0, SHARDS};

static bool folds(const model_case_t *c) {
    bool folded = false;
    int64_t macs = 0;
    CHECK_OK(predictor_describe(c->config, c->dims, &folded, &macs));
    assert_true(folded ? macs < graph_macs(c->graph) : macs == graph_macs(c->graph));
    return folded;
}

static case_run_t predict(const model_case_t *c, int64_t per_shard, int shards, predictor_t **p) {
    CHECK_OK(predictor_open(c->config, c->dims, c->kernels, c->device, per_shard, shards, p));
    predictor_load(*p, c->graph, c->offsets, c->weights);
    case_run_t run = {.model = c,
                      .executor = predictor_executor(*p),
                      .shards = {0, shards},
                      .samples_per_shard = per_shard};
    case_fill(&run);
    predictor_run(*p);
    return run;
}

static double output_at(const case_run_t *run, matrix_t x, int64_t row, int64_t col) {
    return case_get(run->model, x.data,
                    row / x.rows * x.shard_stride + row % x.rows * x.row_stride + col);
}

/* |got - want| / |want| over all outputs. */
static double distance(const case_run_t *got, const case_run_t *want) {
    double difference = 0.0, size = 0.0;
    for (int o = 0; o < CASE_OUTPUTS_MAX; o++) {
        matrix_t a = executor_output(got->executor, o), b = executor_output(want->executor, o);
        for (int64_t row = 0; row < (int64_t)SHARDS * PER_SHARD * CASE_LENGTH; row++) {
            for (int64_t k = 0; k < b.cols; k++) {
                double x = output_at(got, a, row, k), y = output_at(want, b, row, k);
                assert_true(isfinite(x));
                difference += (x - y) * (x - y);
                size += y * y;
            }
        }
    }
    return size > 0.0 ? sqrt(difference / size) : sqrt(difference);
}

static void forward(case_run_t *run) {
    executor_state_t state = {.offsets = run->model->offsets, .weights = run->model->weights};
    executor_bind(run->executor, &state);
    run->scalars.training = false;
    case_fill(run);
    CHECK_OK(executor_forward(run->executor, &run->scalars));
}

/* limit: sums of 6 to 18 terms a layer, over some ten layers: about 100 roundings. */
static void compare(const char *model, int heads, const char *backend, dtype_t dtype) {
    double limit = 100.0 * (dtype == DTYPE_F64 ? 0x1p-53 : 0x1p-24);
    limit = dtype == DTYPE_BF16 ? 10.0 * 0x1p-8 : limit; /* rounded once a layer */
    model_case_t c = case_open_heads(model, heads, backend, dtype);
    case_options_t options = {.forward_only = true};
    case_run_t want = case_run_open(&c, all_shards, PER_SHARD, options);
    forward(&want);
    predictor_t *p = NULL;
    case_run_t got = predict(&c, PER_SHARD, SHARDS, &p);
    double apart = distance(&got, &want);
    if (apart > (folds(&c) ? limit : 0.0)) {
        fail_msg("%s, %d heads, %s: %.3g apart", model, heads, backend, apart);
    }
    predictor_close(p);
    case_run_close(&want);
    case_close(&c);
}

static void predictions_are_those_of_the_trained_graph(void **state) {
    (void)state;
    for (int i = 0; case_models[i] != NULL; i++) {
        for (int heads = 1; heads <= 2; heads++) {
            compare(case_models[i], heads, "ref", DTYPE_F64);
            compare(case_models[i], heads, "ref", DTYPE_F32);
            compare(case_models[i], heads, "cpu", DTYPE_F32);
            compare(case_models[i], heads, "cpu", DTYPE_BF16);
        }
    }
}

static void one_head_folds_and_only_one(void **state) {
    (void)state;
    static const struct {
        const char *model;
        bool attends;
    } rows[] = {{"name: jmt", true},
                {"name: jmt, attn_form: paper_literal", true},
                {"name: mt", true},
                {"name: concat_encoder", true},
                {"name: concat_att", false},
                {"name: lfan", false},
                {"name: unimodal, modalities: [c]", false}};
    for (int i = 0; i < ARRAY_LEN(rows); i++) {
        for (int heads = 1; heads <= 2; heads++) {
            model_case_t c = case_open_heads(rows[i].model, heads, "ref", DTYPE_F64);
            assert_int_equal(folds(&c), rows[i].attends && heads == 1);
            c.config->evaluation.fold_attention = false;
            assert_false(folds(&c));
            case_close(&c);
        }
    }
}

/* One sequence at a time: what a service does. */
static void check_alone(dtype_t dtype) {
    model_case_t c = case_open_heads("name: jmt, token: mean", 1, "cpu", dtype);
    predictor_t *all = NULL, *one = NULL;
    case_run_t many = predict(&c, 1, SHARDS * PER_SHARD, &all), single = predict(&c, 1, 1, &one);
    for (int64_t sample = 0; sample < (int64_t)SHARDS * PER_SHARD; sample++) {
        case_fill_slot(&single, 0, sample);
        predictor_run(one);
        for (int o = 0; o < CASE_OUTPUTS_MAX; o++) {
            matrix_t a = executor_output(single.executor, o);
            matrix_t b = executor_output(many.executor, o);
            for (int64_t i = 0; i < CASE_LENGTH * a.cols; i++) {
                assert_true(output_at(&single, a, i / a.cols, i % a.cols) ==
                            output_at(&many, b, sample * CASE_LENGTH + i / a.cols, i % a.cols));
            }
        }
    }
    predictor_close(all);
    predictor_close(one);
    case_close(&c);
}

static void one_sequence_is_predicted_alone(void **state) {
    (void)state;
    check_alone(DTYPE_F32);
    check_alone(DTYPE_BF16);
}

static void loading_again_takes_the_new_weights(void **state) {
    (void)state;
    model_case_t c = case_open_heads("name: jmt", 1, "cpu", DTYPE_F32);
    predictor_t *used = NULL, *fresh = NULL;
    case_run_t before = predict(&c, PER_SHARD, SHARDS, &used);
    for (int64_t i = 0; i < c.elements; i++) {
        case_put(&c, c.weights, i, 0.6 * case_wave(2, i));
    }
    case_run_t other = predict(&c, PER_SHARD, SHARDS, &fresh);
    assert_true(distance(&before, &other) > 0.1);
    predictor_load(used, c.graph, c.offsets, c.weights);
    case_fill(&before);
    predictor_run(used);
    assert_true(distance(&before, &other) == 0.0);
    predictor_close(used);
    predictor_close(fresh);
    case_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predictions_are_those_of_the_trained_graph),
        cmocka_unit_test(one_head_folds_and_only_one),
        cmocka_unit_test(one_sequence_is_predicted_alone),
        cmocka_unit_test(loading_again_takes_the_new_weights),
    };
    return RUN_TESTS(tests);
}
