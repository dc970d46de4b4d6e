/* The executor on every model. Gradients of the whole loss against finite differences in double;
 * bits in float: any division of the shards over ranks, any company, any slot, shards without
 * samples, and memory used once or again. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "model_case.h"
#include "tree_case.h"

enum { PER_SHARD = 2 };

/* --- finite differences ---------------------------------------------------------------------- */

static double loss_now(case_run_t *run) {
    CHECK_OK(executor_forward(run->executor, &run->scalars));
    return case_loss(run);
}

/* Central difference of the loss in the element that lies at `place`; the other inputs stay. */
static void check_element(case_run_t *run, double *place, double gradient, const char *name,
                          int64_t index, void (*refill)(case_run_t *run)) {
    double kept = *place, step = 1e-5;
    refill(run);
    *place = kept + step;
    double up = loss_now(run);
    refill(run);
    *place = kept - step;
    double down = loss_now(run);
    *place = kept;
    double difference = (up - down) / (2 * step);
    /* truncation step^2 * f''' / 6, rounding 1e-16 * |loss| / step: both near 1e-10 */
    if (fabs(difference - gradient) > 1e-7 * (1.0 + fabs(gradient))) {
        fail_msg("%s: %s[%d]: gradient %.12g, difference %.12g", run->model->model, name,
                 (int)index, gradient, difference);
    }
}

static void check_weights(case_run_t *run, const double *gradient) {
    const model_case_t *c = run->model;
    for (int p = 0; p < graph_parameter_count(c->graph); p++) {
        parameter_info_t info = graph_parameter_info(c->graph, p);
        int64_t stride = info.count / 4 + 1;
        for (int64_t e = 0; e < info.count; e += stride) {
            int64_t i = c->offsets[p] + e;
            check_element(run, (double *)c->weights + i, gradient[i], info.name, e, case_fill);
        }
    }
}

/* Inputs lie in the arena, which the backward uses again: gradients are copied out first. */
static void check_inputs(case_run_t *run) {
    const model_case_t *c = run->model;
    for (int m = 0; m < graph_input_count(c->graph); m++) {
        matrix_t d = executor_input_gradient(run->executor, m);
        int64_t rows = executor_samples(run->executor) * CASE_LENGTH;
        double *gradient = alloc_zero(rows * d.cols, sizeof *gradient);
        double *x = executor_input(run->executor, m);
        for (int64_t i = 0; i < rows * d.cols; i++) {
            int64_t row = i / d.cols, shard = row / d.rows;
            gradient[i] =
                ((double *)
                     d.data)[shard * d.shard_stride + row % d.rows * d.row_stride + i % d.cols];
        }
        case_fill(run);
        for (int64_t i = 0; i < rows * d.cols; i += 4) {
            case_fill(run);
            if (executor_mask(run->executor, m)[i / d.cols]) {
                double kept = x[i];
                check_element(run, x + i, gradient[i], graph_input_name(c->graph, m), i, case_fill);
                x[i] = kept;
            } else if (strcmp(c->config->model.name, "majority") != 0) {
                assert_true(gradient[i] == 0.0);
            }
        }
        CHECK_OK(executor_forward(run->executor, &run->scalars));
        case_loss(run);
        CHECK_OK(executor_backward(run->executor, &run->scalars, NULL, NULL));
        free(gradient);
    }
}

static void gradients_match_finite_differences(void **state) {
    (void)state;
    for (int i = 0; case_models[i] != NULL; i++) {
        model_case_t c = case_open(case_models[i], "ref", DTYPE_F64);
        case_options_t options = {.input_gradients = true};
        /* sample 2 lacks a modality, sample 4 all */
        case_run_t run = case_run_open(&c, (tree_node_t){2, 5}, 1, options);
        double *gradient = alloc_aligned((size_t)c.elements * 8);
        executor_state_t bound = {.offsets = c.offsets,
                                  .weights = c.weights,
                                  .part_count = 1,
                                  .parts = {gradient},
                                  .part_leaves = {{2, 5}}};
        executor_bind(run.executor, &bound);
        case_fill(&run);
        loss_now(&run);
        CHECK_OK(executor_backward(run.executor, &run.scalars, NULL, NULL));
        check_inputs(&run);
        check_weights(&run, gradient);
        free(gradient);
        case_run_close(&run);
        case_close(&c);
    }
}

/* --- ranks and trees ------------------------------------------------------------------------- */

typedef struct adding {
    const model_case_t *model;
    case_parts_t *parts;
} adding_t;
static void add_parts(void *context, int into, int from) {
    adding_t *a = context;
    a->model->kernels->add(NULL, a->parts->gradient[into], a->parts->gradient[into],
                           a->parts->gradient[from], a->model->elements);
}

/* Ranks with these first shards; cut[ranks] = shards. */
static void check_division(const model_case_t *c, int shards, const int *cut, int ranks,
                           const float *expected) {
    case_parts_t parts = {0};
    for (int r = 0; r < ranks; r++) {
        case_gradients(c, shards, PER_SHARD, (tree_node_t){cut[r], cut[r + 1]}, (case_options_t){0},
                       &parts);
    }
    adding_t adding = {c, &parts};
    tree_finish(shards, parts.leaves, parts.count, add_parts, &adding);
    if (memcmp(parts.gradient[0], expected, (size_t)c->elements * 4) != 0) {
        fail_msg("%s on %s: other bits with V=%d on %d ranks", c->model, c->kernels->backend,
                 shards, ranks);
    }
    case_parts_free(&parts);
}

/* Leaves are computed one shard at a time, and added by the test's own tree. */
static void check_divisions(const char *model, const char *backend, dtype_t dtype, int shards) {
    model_case_t c = case_open(model, backend, dtype);
    case_parts_t leaves = {0};
    for (int s = 0; s < shards; s++) {
        case_gradients(&c, shards, PER_SHARD, (tree_node_t){s, s + 1}, (case_options_t){0},
                       &leaves);
    }
    float *expected = alloc_zero(c.elements, sizeof *expected);
    tree_value(leaves.gradient, 0, shards, c.elements, expected);
    case_parts_free(&leaves);
    for (int ranks = 1; ranks <= shards; ranks += 1 + ranks / 3) {
        int cut[TREE_NODES_MAX];
        for (int r = 0; r <= ranks; r++) {
            cut[r] = tree_run(shards, r < ranks ? r : ranks - 1, ranks).begin;
        }
        cut[ranks] = shards;
        check_division(&c, shards, cut, ranks, expected);
    }
    for (int begin = 1; begin < shards; begin += 1 + shards / 4) { /* runs of no equal division */
        int cut[] = {0, begin, begin + (shards - begin) / 3, shards};
        bool three = cut[2] > begin;
        int two[] = {0, begin, shards};
        check_division(&c, shards, three ? cut : two, three ? 3 : 2, expected);
    }
    free(expected);
    case_close(&c);
}

static void gradients_have_the_same_bits_for_any_division(void **state) {
    (void)state;
    for (int i = 0; case_models[i] != NULL; i++) {
        check_divisions(case_models[i], i % 2 == 0 ? "cpu" : "ref", DTYPE_F32, 7);
        check_divisions(case_models[i], i % 4 == 3 ? "ref" : "cpu", DTYPE_BF16, 7);
    }
    check_divisions("name: concat_encoder", "ref", DTYPE_F32, 24);
}

/* --- company and slot ------------------------------------------------------------------------ */

enum { ROW_MAX = CASE_LENGTH * 4 };

static void copy_sample(const case_run_t *run, int64_t slot, float out[ROW_MAX]) {
    int64_t next = 0;
    for (int o = 0; o < CASE_OUTPUTS_MAX; o++) {
        matrix_t y = executor_output(run->executor, o);
        for (int64_t row = slot * CASE_LENGTH; row < (slot + 1) * CASE_LENGTH; row++) {
            executor_read_row(run->executor, y, row, out + next);
            for (int64_t k = 0; k < y.cols; k++) {
                assert_true(isfinite(out[next++]));
            }
        }
    }
}

static void forward(case_run_t *run) {
    executor_state_t bound = {.offsets = run->model->offsets, .weights = run->model->weights};
    executor_bind(run->executor, &bound);
    run->scalars.training = false;
    CHECK_OK(executor_forward(run->executor, &run->scalars));
}

/* Sample 7 in every slot but the first of three shards of four, among others that change. */
static void check_company(const char *model, const char *backend, dtype_t dtype) {
    enum { SLOTS = 12 };
    model_case_t c = case_open(model, backend, dtype);
    case_run_t run =
        case_run_open(&c, (tree_node_t){0, 3}, SLOTS / 3, (case_options_t){.forward_only = true});
    float first[ROW_MAX] = {0}, now[ROW_MAX] = {0};
    for (int64_t slot = 1; slot < SLOTS; slot++) {
        for (int64_t other = 0; other < SLOTS; other++) {
            case_fill_slot(&run, other, other == slot ? 7 : other + 3 * slot);
        }
        forward(&run);
        copy_sample(&run, slot, slot == 1 ? first : now);
        if (slot > 1 && memcmp(first, now, sizeof now) != 0) {
            fail_msg("%s on %s: other bits in slot %d", c.model, c.kernels->backend, (int)slot);
        }
    }
    case_run_close(&run);
    case_close(&c);
}

/* The published mistake: on the others of its shard, too, and no further. Slot 1 of three shards of
 * four, with another sample in slot 2, then in slot 5. */
static void check_shard(const char *model, const char *backend, dtype_t dtype) {
    enum { SLOTS = 12 };
    model_case_t c = case_open(model, backend, dtype);
    case_run_t run =
        case_run_open(&c, (tree_node_t){0, 3}, SLOTS / 3, (case_options_t){.forward_only = true});
    float first[ROW_MAX] = {0}, now[ROW_MAX] = {0};
    for (int change = 0; change < 3; change++) {
        for (int64_t slot = 0; slot < SLOTS; slot++) {
            bool other = (change == 1 && slot == 2) || (change == 2 && slot == 5);
            case_fill_slot(&run, slot, other ? 40 : slot + 7);
        }
        forward(&run);
        copy_sample(&run, 1, change == 0 ? first : now);
        if (change > 0) {
            assert_int_equal(memcmp(first, now, sizeof now) == 0, change == 2);
        }
    }
    case_run_close(&run);
    case_close(&c);
}

static void the_published_mistake_depends_on_the_shard(void **state) {
    (void)state;
    int models = 0;
    for (int i = 0; case_models[i] != NULL; i++) {
        if (case_mixes_samples(case_models[i])) {
            check_shard(case_models[i], "ref", DTYPE_F32);
            check_shard(case_models[i], "cpu", DTYPE_F32);
            check_shard(case_models[i], "cpu", DTYPE_BF16);
            models++;
        }
    }
    assert_true(models > 0);
}

static void predictions_depend_on_the_sample_alone(void **state) {
    (void)state;
    for (int i = 0; case_models[i] != NULL; i++) {
        if (case_mixes_samples(case_models[i])) {
            continue;
        }
        check_company(case_models[i], "ref", DTYPE_F32);
        check_company(case_models[i], "cpu", DTYPE_F32);
        check_company(case_models[i], "ref", DTYPE_BF16);
        check_company(case_models[i], "cpu", DTYPE_BF16);
    }
}

/* --- shards without samples ------------------------------------------------------------------ */

enum { SHORT_SHARDS = 7, SHORT = 5 }; /* samples: two shards and a half of seven */

/* Empty slots as a batch has them; NaN where nobody may look. */
static void empty_slot(case_run_t *run, int64_t slot, bool looked_at) {
    const model_case_t *c = run->model;
    for (int m = 0; m < graph_input_count(c->graph); m++) {
        memset(executor_mask(run->executor, m) + slot * CASE_LENGTH, 0, CASE_LENGTH);
        int64_t elements = CASE_LENGTH * c->dims[m];
        for (int64_t i = 0; i < elements; i++) {
            case_put(c, executor_input(run->executor, m), slot * elements + i,
                     looked_at ? 0.0 : (double)NAN);
        }
    }
}

/* Gradient 0 from the global sample SHORT on. */
static void short_gradient(case_run_t *run) {
    int64_t first = run->shards.begin * PER_SHARD;
    case_wave_gradient(run);
    for (int o = 0; o < CASE_OUTPUTS_MAX; o++) {
        matrix_t d = executor_output_gradient(run->executor, o);
        for (int64_t row = 0; row < executor_samples(run->executor) * CASE_LENGTH; row++) {
            int64_t at = row / d.rows * d.shard_stride + row % d.rows * d.row_stride;
            for (int64_t k = 0; first + row / CASE_LENGTH >= SHORT && k < d.cols; k++) {
                case_put(run->model, d.data, at + k, 0.0);
            }
        }
    }
}

static int64_t held_samples(const case_run_t *run) {
    int64_t rest = SHORT - run->shards.begin * PER_SHARD;
    return min_i64(max_i64(rest, 0), executor_samples(run->executor));
}

/* Two batches: a whole one of other samples, which nothing may be left of, then the short one. Its
 * gradient is appended to the parts; outputs of what it holds, if wanted, by slot. */
static void short_step(const model_case_t *c, tree_node_t shards, bool skips, case_parts_t *parts,
                       float (*outputs)[ROW_MAX]) {
    case_run_t run = case_run_open(c, shards, PER_SHARD, (case_options_t){0});
    executor_state_t state = {.offsets = c->offsets, .weights = c->weights};
    state.part_count = tree_cover(SHORT_SHARDS, shards, state.part_leaves);
    for (int i = 0; i < state.part_count; i++) {
        parts->leaves[parts->count] = state.part_leaves[i];
        parts->gradient[parts->count] = alloc_aligned((size_t)c->elements * sizeof(float));
        state.parts[i] = parts->gradient[parts->count++];
    }
    executor_bind(run.executor, &state);
    for (int64_t slot = 0; slot < executor_samples(run.executor); slot++) {
        case_fill_slot(&run, slot, 40 + slot);
    }
    CHECK_OK(executor_forward(run.executor, &run.scalars));
    case_wave_gradient(&run);
    CHECK_OK(executor_backward(run.executor, &run.scalars, NULL, NULL));

    int64_t held = held_samples(&run), computed = align_up(held, PER_SHARD);
    case_fill(&run);
    for (int64_t slot = held; slot < executor_samples(run.executor); slot++) {
        empty_slot(&run, slot, !skips || slot < computed);
    }
    if (skips) {
        CHECK_OK(executor_forward_first(run.executor, held, (sample_steps_t){0}, &run.scalars));
        assert_int_equal(executor_computes(run.executor, held), computed);
    } else {
        CHECK_OK(executor_forward(run.executor, &run.scalars));
    }
    for (int64_t slot = 0; outputs != NULL && slot < held; slot++) {
        copy_sample(&run, slot, outputs[slot]);
    }
    short_gradient(&run);
    CHECK_OK(executor_backward(run.executor, &run.scalars, NULL, NULL));
    for (int64_t i = 0; skips && held == 0 && i < c->elements;
         i++) { /* + 0.0 would change a -0.0 */
        float nothing = ((const float *)state.parts[0])[i];
        assert_true(nothing == 0.0f && signbit(nothing));
    }
    case_run_close(&run);
}

/* The gradient of the short batch by so many ranks, in the order of the whole tree. */
static void short_by_ranks(const model_case_t *c, int ranks, bool skips, float *gradient,
                           float (*outputs)[ROW_MAX]) {
    case_parts_t parts = {0};
    for (int r = 0; r < ranks; r++) {
        short_step(c, tree_run(SHORT_SHARDS, r, ranks), skips, &parts, r == 0 ? outputs : NULL);
    }
    adding_t adding = {c, &parts};
    tree_finish(SHORT_SHARDS, parts.leaves, parts.count, add_parts, &adding);
    memcpy(gradient, parts.gradient[0], (size_t)c->elements * sizeof *gradient);
    case_parts_free(&parts);
}

static void check_short(const char *model, const char *backend, dtype_t dtype) {
    model_case_t c = case_open(model, backend, dtype);
    float all_outputs[SHORT][ROW_MAX] = {{0}}, outputs[SHORT][ROW_MAX] = {{0}};
    float *all = alloc_zero(c.elements, sizeof *all), *one = alloc_zero(c.elements, sizeof *one);
    float *other = alloc_zero(c.elements, sizeof *other);
    short_by_ranks(&c, 1, false, all, all_outputs);
    short_by_ranks(&c, 1, true, one, outputs);
    if (memcmp(all_outputs, outputs, sizeof outputs) != 0) {
        fail_msg("%s on %s: other predictions without the empty shards", c.model, backend);
    }
    for (int64_t i = 0; i < c.elements; i++) { /* zeros of either sign */
        if (all[i] != one[i]) {
            fail_msg("%s on %s: element %d is %.9g without the empty shards, %.9g with them",
                     c.model, backend, (int)i, (double)one[i], (double)all[i]);
        }
    }
    for (int ranks = 2; ranks <= SHORT_SHARDS; ranks++) {
        short_by_ranks(&c, ranks, true, other, NULL);
        if (memcmp(one, other, (size_t)c.elements * sizeof *one) != 0) {
            fail_msg("%s on %s: other bits of a short batch on %d ranks", c.model, backend, ranks);
        }
    }
    free(all);
    free(one);
    free(other);
    case_close(&c);
}

static void shards_without_samples_add_nothing(void **state) {
    (void)state;
    for (int i = 0; case_models[i] != NULL; i++) {
        check_short(case_models[i], i % 2 == 0 ? "cpu" : "ref", DTYPE_F32);
        check_short(case_models[i], i % 4 == 3 ? "ref" : "cpu", DTYPE_BF16);
    }
}

/* --- memory ---------------------------------------------------------------------------------- */

/* What a step leaves: outputs, loss, gradients of weights and inputs. */
static void step_results(const model_case_t *c, case_options_t options, char *results,
                         size_t *arena_bytes_out) {
    case_run_t run = case_run_open(c, (tree_node_t){0, 5}, PER_SHARD, options);
    executor_state_t bound = {.offsets = c->offsets,
                              .weights = c->weights,
                              .part_count = options.forward_only ? 0 : 2,
                              .parts = {results, results},
                              .part_leaves = {{0, 4}, {4, 5}}};
    char *second = results + c->elements * 4, *rest = second + c->elements * 4;
    bound.parts[1] = second;
    executor_bind(run.executor, &bound);
    for (int round = 0; round < 2; round++) {
        case_fill(&run);
        CHECK_OK(executor_forward(run.executor, &run.scalars));
        double loss = case_loss(&run);
        memcpy(rest, &loss, sizeof loss);
        if (!options.forward_only) {
            CHECK_OK(executor_backward(run.executor, &run.scalars, NULL, NULL));
        }
    }
    rest += sizeof(double);
    for (int64_t slot = 0; slot < 5 * PER_SHARD; slot++, rest += ROW_MAX * sizeof(float)) {
        copy_sample(&run, slot, (float *)(void *)rest);
    }
    for (int m = 0; options.input_gradients && m < graph_input_count(c->graph); m++) {
        matrix_t d = executor_input_gradient(run.executor, m);
        for (int s = 0; s < 5; s++, rest += d.rows * d.cols * 4) {
            dtype_t dtype = c->kernels->dtype;
            memcpy(rest, matrix_from_shard(d, s, dtype).data,
                   (size_t)(d.rows * d.cols) * dtype_bytes(dtype));
        }
    }
    *arena_bytes_out = executor_arena_bytes(run.executor);
    case_run_close(&run);
}

static void arena_gives_the_bits_of_memory_used_once(void **state) {
    (void)state;
    for (int i = 0; case_models[i] != NULL; i++) {
        model_case_t c = case_open(case_models[i], i % 2 == 0 ? "cpu" : "ref",
                                   i % 4 < 2 ? DTYPE_F32 : DTYPE_BF16);
        size_t bytes = (size_t)(2 * c.elements * 4 + 8 + 10 * ROW_MAX * 4 + 3 * 50 * 7 * 4);
        for (int kind = 0; kind < 3; kind++) {
            case_options_t shared = {.forward_only = kind == 0, .input_gradients = kind == 2};
            case_options_t apart = shared;
            apart.private_buffers = true;
            char *a = alloc_aligned(bytes), *b = alloc_aligned(bytes);
            size_t arena_bytes = 0, apart_bytes = 0;
            step_results(&c, shared, a, &arena_bytes);
            step_results(&c, apart, b, &apart_bytes);
            if (memcmp(a, b, bytes) != 0 || arena_bytes > apart_bytes) {
                fail_msg("%s, kind %d: the arena changes the result", c.model, kind);
            }
            free(a);
            free(b);
        }
        case_close(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_finite_differences),
        cmocka_unit_test(gradients_have_the_same_bits_for_any_division),
        cmocka_unit_test(predictions_depend_on_the_sample_alone),
        cmocka_unit_test(the_published_mistake_depends_on_the_shard),
        cmocka_unit_test(shards_without_samples_add_nothing),
        cmocka_unit_test(arena_gives_the_bits_of_memory_used_once),
    };
    return RUN_TESTS(tests);
}
