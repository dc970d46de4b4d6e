/* A step that leaves out rows which nobody wants has the bits of one that computes them, for every
 * model: predictions that are wanted, and gradients of all weights. */
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "model_case.h"

enum { PER_SHARD = 2, SHARDS = 3, SLOTS = SHARDS * PER_SHARD, ROW_MAX = 64 };

static const step_range_t there[SLOTS] = {{0, 5}, {0, 3}, {0, 5}, {0, 1}, {0, 4}, {0, 0}};
static const step_range_t wanted[SLOTS] = {{2, 5}, {0, 3}, {0, 0}, {0, 1}, {3, 4}, {0, 0}};

static bool is_in(const step_range_t *ranges, int64_t slot, int64_t step) {
    return step >= ranges[slot].begin && step < ranges[slot].end;
}

/* Every step that is there is valid, nothing behind the end. */
static void fill(case_run_t *run) {
    const model_case_t *c = run->model;
    case_fill(run);
    for (int m = 0; m < graph_input_count(c->graph); m++) {
        for (int64_t row = 0; row < SLOTS * CASE_LENGTH; row++) {
            bool valid = is_in(there, row / CASE_LENGTH, row % CASE_LENGTH);
            executor_mask(run->executor, m)[row] = valid;
            for (int64_t k = row * c->dims[m]; k < (row + 1) * c->dims[m]; k++) {
                case_put(c, executor_input(run->executor, m), k,
                         valid ? case_wave(80 + (uint64_t)m, k) : 0.0);
            }
        }
    }
}

/* Whether the row of an output is wanted, and where it begins. */
static bool output_row(const matrix_t *matrix, int64_t row, int64_t *at_out) {
    *at_out = row / matrix->rows * matrix->shard_stride + row % matrix->rows * matrix->row_stride;
    return is_in(wanted, row / CASE_LENGTH, row % CASE_LENGTH);
}

static void gradient(case_run_t *run) {
    case_wave_gradient(run);
    for (int o = 0; o < CASE_OUTPUTS_MAX; o++) {
        matrix_t d = executor_output_gradient(run->executor, o);
        for (int64_t row = 0, at = 0; row < SLOTS * CASE_LENGTH; row++) {
            bool kept = output_row(&d, row, &at);
            for (int64_t k = 0; !kept && k < d.cols; k++) {
                case_put(run->model, d.data, at + k, 0.0);
            }
        }
    }
}

/* Wanted predictions, then the gradient. */
static int64_t step(const model_case_t *c, sample_steps_t steps, float *results) {
    case_run_t run = case_run_open(c, (tree_node_t){0, SHARDS}, PER_SHARD, (case_options_t){0});
    float *flat = alloc_aligned((size_t)c->elements * sizeof *flat);
    executor_state_t state = {.offsets = c->offsets,
                              .weights = c->weights,
                              .part_count = 1,
                              .parts = {flat},
                              .part_leaves = {{0, SHARDS}}};
    executor_bind(run.executor, &state);
    int64_t count = 0;
    fill(&run);
    CHECK_OK(executor_forward_first(run.executor, SLOTS, steps, &run.scalars));
    for (int o = 0; o < CASE_OUTPUTS_MAX; o++) {
        matrix_t y = executor_output(run.executor, o);
        for (int64_t row = 0, at = 0; row < SLOTS * CASE_LENGTH; row++) {
            bool kept = output_row(&y, row, &at);
            for (int64_t k = 0; kept && k < y.cols; k++) {
                results[count++] = (float)case_get(c, y.data, at + k);
            }
        }
    }
    gradient(&run);
    CHECK_OK(executor_backward(run.executor, &run.scalars, NULL, NULL));
    memcpy(results + count, flat, (size_t)c->elements * sizeof *flat);
    free(flat);
    case_run_close(&run);
    return count + c->elements;
}

static void check_model(const char *model, const char *backend, dtype_t dtype) {
    model_case_t c = case_open(model, backend, dtype);
    int64_t most = c.elements + (int64_t)SLOTS * CASE_LENGTH * ROW_MAX;
    float *all = alloc_zero(most, sizeof *all), *some = alloc_zero(most, sizeof *some);
    const sample_steps_t ways[] = {{there, NULL}, {NULL, wanted}, {there, wanted}};
    int64_t count = step(&c, (sample_steps_t){0}, all);
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        step(&c, ways[w], some);
        for (int64_t i = 0; i < count; i++) { /* zeros of either sign */
            if (all[i] != some[i]) {
                fail_msg("%s on %s, way %d: number %d of %d is %.9g, not %.9g", model, backend,
                         (int)w, (int)i, (int)count, (double)some[i], (double)all[i]);
            }
        }
    }
    free(all);
    free(some);
    case_close(&c);
}

static void rows_that_nobody_wants_change_no_bit(void **state) {
    (void)state;
    for (int i = 0; case_models[i] != NULL; i++) {
        check_model(case_models[i], "cpu", DTYPE_F32);
        check_model(case_models[i], "cpu", DTYPE_BF16);
    }
}

/* What a step costs, by what it writes: where a prediction is not wanted there is 0. */
static void what_nobody_wants_is_not_computed(void **state) {
    (void)state;
    model_case_t c = case_open("name: concat", "cpu", DTYPE_F32);
    case_run_t run = case_run_open(&c, (tree_node_t){0, SHARDS}, PER_SHARD, (case_options_t){0});
    executor_state_t bound = {.offsets = c.offsets, .weights = c.weights};
    executor_bind(run.executor, &bound);
    for (int all = 1; all >= 0; all--) {
        sample_steps_t steps = {all ? NULL : there, all ? NULL : wanted};
        fill(&run);
        CHECK_OK(executor_forward_first(run.executor, SLOTS, steps, &run.scalars));
        matrix_t y = executor_output(run.executor, 0);
        for (int64_t row = 0, at = 0; row < SLOTS * CASE_LENGTH; row++) {
            bool kept = output_row(&y, row, &at);
            assert_true((case_get(&c, y.data, at) != 0.0) == (all || kept));
        }
    }
    case_run_close(&run);
    case_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_nobody_wants_change_no_bit),
        cmocka_unit_test(what_nobody_wants_is_not_computed),
    };
    return RUN_TESTS(tests);
}
