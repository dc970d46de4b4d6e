/* op_checks.c - what holds of every operation, on every table that this machine can run. */
#include <float.h>
#include <math.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/ref/rows.h"
#include "op_case.h"
#include "unit/tree_case.h"

/* A bf16 may have been rounded, once. */
static void check_near_matrix(const op_case_t *a, matrix_t x, const op_case_t *exact, matrix_t y,
                              double bound) {
    const double rounding = a->kernels->dtype == DTYPE_BF16 ? 0x1p-8 : 0.0;
    for (int s = a->call.shard_begin; s < a->call.shard_end; s++) {
        for (int64_t j = 0; j < x.rows * x.cols; j++) {
            double expected = case_get(exact, y, s, j / x.cols, j % x.cols);
            check_value(case_get(a, x, s, j / x.cols, j % x.cols), expected,
                        bound + rounding * (fabs(expected) + bound));
        }
    }
}

void case_check_near(const op_case_t *a, const op_case_t *exact, double out_bound,
                     double d_in_bound, double d_weight_bound) {
    check_near_matrix(a, a->call.out, exact, exact->call.out, out_bound);
    for (int i = 0; i < a->description.input_count; i++) {
        check_near_matrix(a, a->call.d_in[i], exact, exact->call.d_in[i], d_in_bound);
    }
    for (int w = 0; w < OP_WEIGHTS_MAX; w++) {
        for (int s = a->call.shard_begin; s < a->call.shard_end; s++) {
            for (int64_t j = 0; j < a->weight_count[w]; j++) {
                check_value(case_flat_get(a, a->d_weight[w][s], j),
                            case_flat_get(exact, exact->d_weight[w][s], j), d_weight_bound);
            }
        }
    }
}

static void run_masked(op_case_t *test, const kernels_t *kernels, const op_description_t *d,
                       int begin, int end, const int64_t mask[3], bool short_values) {
    (short_values ? case_open_short : case_open)(test, kernels, d, 4, begin, end);
    if (mask[0] > 0) {
        case_mask(test, mask[0], mask[1], mask[2]);
    }
    case_run(test);
}

static void open_masked(op_case_t *test, const kernels_t *kernels, const op_description_t *d,
                        int begin, int end, const int64_t mask[3]) {
    run_masked(test, kernels, d, begin, end, mask, false);
}

typedef enum { CODE_OF_REFERENCE, CODE_OF_VECTORS } code_t;

static code_t code_of(const kernels_t *table, op_kind_t kind) {
    if (kind == OP_linear || kind == OP_temporal_conv || kind == OP_conv) {
        return CODE_OF_VECTORS; /* the generic table's too */
    }
    bool vector = kind == OP_attention || kind == OP_add_layernorm || kind == OP_softmax_gate ||
                  kind == OP_tanh || kind == OP_l2_normalize || kind == OP_mix_rows ||
                  kind == OP_correlate;
    return vector && table != &kernels_cpu_generic ? CODE_OF_VECTORS : CODE_OF_REFERENCE;
}

/* Of the longest sum that an element of a result is. */
static int64_t terms_most(const op_description_t *d) {
    const op_attributes_t *a = &d->attributes;
    int64_t wider = max_i64(d->in[0].cols, d->out.cols);
    switch (d->kind) {
    case OP_attention:
        return max_i64(max_i64(a->key_len, a->query_len), wider / a->heads);
    case OP_conv:
        return max_i64(window_taps(a->axis) * wider / a->groups, d->out.rows);
    case OP_temporal_conv:
        return max_i64(a->taps * wider, d->out.rows);
    default:
        return max_i64(wider, d->out.rows);
    }
}

/* The sums here are short, so that on average they stay below 4; n additions are each off by half
 * an eps of that, and nothing passes through more than two such. */
static double bound_of(const op_description_t *d) {
    return 4.0 * (double)terms_most(d) * FLT_EPSILON;
}

static void check_table(const kernels_t *table, const op_description_t *description,
                        const op_case_t *all, const op_case_t *exact, const int64_t mask[3]) {
    const double bound = bound_of(description);
    op_case_t test, one;
    open_masked(&test, table, description, 1, 3, mask);
    if (code_of(table, description->kind) == CODE_OF_REFERENCE) {
        case_check_same_bits(all, &test);
    } else {
        case_check_near(&test, exact, bound, bound, bound);
        open_masked(&one, table, description, 2, 3, mask);
        case_check_same_bits(&test, &one);
        case_close(&one);
    }
    case_close(&test);
}

/* Against the reference on the same numbers. The gradient of tanh is computed from the rounded
 * result y: dx = dy (1 - y^2). */
static void check_short_table(const kernels_t *table, const op_description_t *description,
                              const int64_t mask[3]) {
    const double bound =
        bound_of(description) +
        case_product_bound(table, description->kind, (double)terms_most(description));
    op_case_t exact, test, one;
    run_masked(&exact, &kernels_ref_f64, description, 1, 3, mask, true);
    run_masked(&test, table, description, 1, 3, mask, true);
    run_masked(&one, table, description, 2, 3, mask, true);
    case_check_near(&test, &exact, bound, description->kind == OP_tanh ? 0x1p-7 : bound, bound);
    case_check_same_bits(&test, &one);
    case_close(&one);
    case_close(&test);
    case_close(&exact);
}

int case_short_tables(const kernels_t *tables[CASE_SHORT_TABLES_MAX]) {
    int count = 0;
    if (case_on_gpu()) {
        tables[0] = case_table("cpu", DTYPE_BF16);
        return 1;
    }
    tables[count++] = &kernels_ref_bf16;
    tables[count++] = &kernels_cpu_generic_bf16;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        tables[count++] = &kernels_cpu_avx2_bf16;
    }
    if (__builtin_cpu_supports("avx512dq")) {
        tables[count++] = &kernels_cpu_avx512_bf16;
    }
    if (__builtin_cpu_supports("avx512bf16")) {
        tables[count++] = &kernels_cpu_pairs_bf16;
    }
    return count;
}

double case_product_bound(const kernels_t *kernels, op_kind_t kind, double terms) {
    if (strcmp(kernels->device, "cpu") == 0) {
        return 0.0;
    }
    bool convolves = kind == OP_conv || kind == OP_temporal_conv;
    if (kernels->dtype == DTYPE_F32) {
        return convolves || kind == OP_linear ? terms * 0x1p-10 : 0.0;
    }
    return convolves ? terms * 0x1p-8 : 0.0;
}

static void check_short_tables(const op_description_t *description, const int64_t mask[3]) {
    const kernels_t *tables[CASE_SHORT_TABLES_MAX];
    int count = case_short_tables(tables);
    for (int i = 0; i < count; i++) {
        check_short_table(tables[i], description, mask);
    }
}

void case_check_reference(const op_description_t *description, int64_t mask_count, int64_t block,
                          int64_t off_block) {
    const int64_t mask[3] = {mask_count, block, off_block};
    check_short_tables(description, mask);
    if (case_on_gpu()) { /* TF32 holds what bf16 does: relu is not to part at a sum near 0 */
        check_short_table(case_table("cpu", DTYPE_F32), description, mask);
        int before = case_align_rows(CASE_ALIGNED_ALL); /* other kernels take those */
        check_short_tables(description, mask);
        check_short_table(case_table("cpu", DTYPE_F32), description, mask);
        case_align_rows(before);
        return;
    }
    op_case_t exact, all, one;
    open_masked(&exact, &kernels_ref_f64, description, 1, 3, mask);
    case_check_gradients(&exact, 1e-8);
    open_masked(&all, &kernels_ref_f32, description, 0, 3, mask);
    open_masked(&one, &kernels_ref_f32, description, 1, 2, mask);
    case_check_same_bits(&all, &one);
    case_close(&one);
    check_table(&kernels_cpu_generic, description, &all, &exact, mask);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        check_table(&kernels_cpu_avx2, description, &all, &exact, mask);
    }
    if (__builtin_cpu_supports("avx512dq")) {
        check_table(&kernels_cpu_avx512, description, &all, &exact, mask);
    }
    case_close(&all);
    case_close(&exact);
}

void case_check_gaps(const op_description_t *description) {
    op_case_t gaps, none;
    case_open(&gaps, case_table("cpu", DTYPE_F32), description, 4, 1, 3);
    case_run(&gaps);
    int before = case_align_rows(CASE_WITHOUT_GAPS);
    case_open(&none, case_table("cpu", DTYPE_F32), description, 4, 1, 3);
    case_align_rows(before);
    case_run(&none);
    case_check_same_bits(&gaps, &none);
    case_close(&none);
    case_close(&gaps);
}

/* Two shards from `begin` on: shard 0 begins at a multiple, the others where the stride says. */
static void check_aligned_but(const op_description_t *description, int but, int begin) {
    const int64_t mask[3] = {0, 0, 0};
    const double terms = (double)terms_most(description), bound = bound_of(description);
    case_align_rows(but);
    for (int short_values = 0; short_values < 2; short_values++) {
        const kernels_t *table = case_table("cpu", short_values ? DTYPE_BF16 : DTYPE_F32);
        double wide = bound + case_product_bound(table, description->kind, terms);
        op_case_t exact, test;
        run_masked(&exact, &kernels_ref_f64, description, begin, begin + 2, mask, true);
        run_masked(&test, table, description, begin, begin + 2, mask, true);
        case_check_near(&test, &exact, wide, description->kind == OP_tanh ? 0x1p-7 : wide, wide);
        case_close(&test);
        case_close(&exact);
    }
    case_align_rows(CASE_ALIGNED_NONE);
}

void case_check_alignment(const op_description_t *description) {
    for (int m = 0; m < 2 + 2 * description->input_count && case_on_gpu(); m++) {
        check_aligned_but(description, m, 1);
    }
    if (case_on_gpu()) {
        check_aligned_but(description, CASE_BUT_WEIGHTS, 1);
        check_aligned_but(description, CASE_BUT_BIAS, 1);
    }
}

void case_check_alignment_of_shards(const op_description_t *description) {
    for (int m = 0; m < 2 + 2 * description->input_count && case_on_gpu(); m++) {
        check_aligned_but(description, CASE_BUT_SHARDS + m, 0);
        check_aligned_but(description, CASE_BUT_SHARDS + m, 1);
    }
}

static void check_alone_on(const kernels_t *kernels, const op_description_t *description) {
    op_case_t all, one;
    case_open(&all, kernels, description, 4, 0, 4);
    case_open(&one, kernels, description, 4, 2, 3);
    case_run(&all);
    case_run(&one);
    case_check_same_bits(&all, &one);
    case_run(&one);
    case_check_same_bits(&all, &one);
    case_close(&all);
    case_close(&one);
}

void case_check_alone(const op_description_t *description) {
    check_alone_on(case_table("cpu", DTYPE_F32), description);
    check_alone_on(case_table("cpu", DTYPE_BF16), description);
}

static void fill(const op_case_t *test, matrix_t matrix, double value) {
    for (int64_t i = 0; i < matrix.rows * matrix.cols; i++) {
        case_set(test, matrix, 0, i / matrix.cols, i % matrix.cols, value);
    }
}

/* Sums of sums of at most 512 numbers: two chains, of these and of their sums. What cuBLASLt and
 * cuDNN do is one chain at worst. */
void case_check_many_rows(const op_description_t *description) {
    const double term = 1.0 + 0x1p-10, rows = (double)description->out.rows;
    const double chain = case_on_gpu() ? rows : 512.0;
    op_case_t test;
    case_open(&test, case_table("cpu", DTYPE_F32), description, 1, 0, 1);
    fill(&test, test.call.in[0], 1.0);
    fill(&test, test.call.d_out, term);
    case_run(&test);
    for (int w = 0; w < OP_WEIGHTS_MAX; w++) {
        for (int64_t i = 0; i < test.weight_count[w]; i++) {
            check_value(case_flat_get(&test, test.d_weight[w][0], i), rows * term,
                        0.5 * (chain + rows / chain) * FLT_EPSILON * rows * term);
        }
    }
    case_close(&test);
}

static void check_threads_of(const kernels_t *kernels, const op_description_t *description) {
    if (case_on_gpu()) {
        return; /* none of the host's compute */
    }
    op_case_t one, three;
    CHECK_OK(kernels_set_threads(1));
    case_open(&one, kernels, description, 2, 0, 2);
    case_run(&one);
    CHECK_OK(kernels_set_threads(3));
    case_open(&three, kernels, description, 2, 0, 2);
    case_run(&three);
    CHECK_OK(kernels_set_threads(1));
    case_check_same_bits(&one, &three);
    case_close(&one);
    case_close(&three);
}

void case_check_threads(const op_description_t *description) {
    check_threads_of(case_table("cpu", DTYPE_F32), description);
    check_threads_of(case_table("cpu", DTYPE_BF16), description);
}

static void check_without_gradients_on(const kernels_t *kernels,
                                       const op_description_t *description) {
    op_case_t test;
    case_open(&test, kernels, description, 2, 0, 2);
    for (int i = 0; i < description->input_count; i++) {
        test.call.d_in[i].data = NULL;
    }
    test.row->plan_close(test.plan);
    test.description.d_out.rows = 0;
    CHECK_OK(test.row->plan(&test.description, &test.plan, &test.needs));
    case_forward(&test);
    case_check_guards(&test);
    test.row->plan_close(test.plan);
    test.description.d_out.rows = test.description.out.rows;
    for (int i = 0; i < description->input_count; i++) {
        test.description.d_in[i].rows = 0;
    }
    CHECK_OK(test.row->plan(&test.description, &test.plan, &test.needs));
    case_forward(&test);
    case_backward(&test);
    const op_row_t *row = test.row;
    case_close(&test);
    row->plan_close(NULL);
}

void case_check_without_gradients(const op_description_t *description) {
    check_without_gradients_on(case_table("cpu", DTYPE_F32), description);
    check_without_gradients_on(case_table("cpu", DTYPE_BF16), description);
}

static void check_tree(op_case_t *test, int use_count, int begin, int end) {
    const op_use_t use = {test->plan, &test->call}, uses[] = {use, use};
    const int64_t *count = test->weight_count;
    void *got[OP_WEIGHTS_MAX] = {NULL};
    int64_t scratch_count = CASE_SHARDS_MAX * align_up(count[0] + count[1], 16);
    float *scratch = alloc_zero(scratch_count, sizeof *scratch);
    case_keep(test, scratch, (size_t)scratch_count * sizeof *scratch);
    for (int w = 0; w < 2; w++) {
        got[w] = alloc_zero(count[w] + 1, sizeof(float));
        memset(got[w], 0xFF, (size_t)(count[w] + 1) * sizeof(float));
        case_keep(test, got[w], (size_t)(count[w] + 1) * sizeof(float));
    }
    case_tree(test, uses, use_count, begin, end, got, scratch);
    for (int w = 0; w < 2; w++) {
        char *leaves[CASE_SHARDS_MAX];
        for (int s = begin; s < end; s++) {
            leaves[s] = test->d_weight[w][s];
        }
        float *expected = alloc_zero(count[w] + 1, sizeof *expected);
        tree_value(leaves, begin, end, count[w], expected);
        for (int64_t i = 0; i < count[w]; i++) {
            expected[i] *= (float)use_count;
        }
        assert_memory_equal(got[w], expected, (size_t)count[w] * sizeof(float));
        free(expected);
    }
}

void case_check_tree(const op_description_t *description) {
    const dtype_t dtypes[] = {DTYPE_F32, DTYPE_BF16};
    const bool few = description->out.rows * description->out.cols < 64;
    const int shards = few ? CASE_SHARDS_MAX : 4; /* three levels, or two */
    for (int i = 0; i < 2; i++) {
        op_case_t test;
        case_open(&test, case_table("cpu", dtypes[i]), description, shards, 0, shards);
        if (test.row->backward_tree != NULL) { /* else the executor adds */
            case_run(&test);
            for (int begin = 0; begin < shards; begin++) {
                check_tree(&test, 1, begin, shards);
            }
            if (case_on_gpu()) { /* the host's is one sum over all rows */
                check_tree(&test, 2, 0, shards);
                check_tree(&test, 2, shards - 1, shards);
            }
            case_check_guards(&test);
        }
        case_close(&test);
    }
}
