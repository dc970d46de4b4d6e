/* Optimisers and the sums over flat state. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/base/rng.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"

/* MANY: more than blocks of a GPU have threads, and no multiple of what one of them takes; MOST:
 * more than all threads of a grid see at once. */
enum { COUNT = 37, STEPS = 3, BLOCK = 256, MANY = 4 * BLOCK + 1, MOST = (2048 + 1) * BLOCK };

static double noise(int turn, int index) {
    const rng_key_t key = {17, rng_name("flat"), (uint64_t)turn};
    return 2.0 * (double)rng_uniform(key, (uint64_t)index) - 1.0;
}

typedef struct state {
    double weight, m, v;
} state_t;

/* jmt.md 2.4, written out once more for a single number. */
static void by_formula(const optimizer_call_t *o, double gradient, state_t *s) {
    double g = gradient * o->gradient_scale, t = (double)o->update_index;
    if (o->kind == OPTIMIZER_ADAMW) {
        s->weight -= o->learning_rate * o->weight_decay * s->weight;
    } else {
        g += o->weight_decay * s->weight;
    }
    if (o->kind == OPTIMIZER_SGD) {
        if (o->momentum == 0.0) {
            s->weight -= o->learning_rate * g;
            return;
        }
        s->m = t == 1.0 ? g : o->momentum * s->m + g;
        s->weight -= o->learning_rate * (o->nesterov ? g + o->momentum * s->m : s->m);
        return;
    }
    s->m = o->beta1 * s->m + (1.0 - o->beta1) * g;
    s->v = o->beta2 * s->v + (1.0 - o->beta2) * g * g;
    double m = s->m / (1.0 - pow(o->beta1, t)), v = s->v / (1.0 - pow(o->beta2, t));
    s->weight -= o->learning_rate * m / (sqrt(v) + o->epsilon);
}

static const optimizer_call_t settings[] = {
    {.kind = OPTIMIZER_SGD, .weight_decay = 0.0},
    {.kind = OPTIMIZER_SGD, .weight_decay = 0.1},
    {.kind = OPTIMIZER_SGD, .momentum = 0.9},
    {.kind = OPTIMIZER_SGD, .momentum = 0.9, .weight_decay = 0.1},
    {.kind = OPTIMIZER_SGD, .momentum = 0.9, .weight_decay = 0.1, .nesterov = true},
    {.kind = OPTIMIZER_ADAM, .weight_decay = 0.0},
    {.kind = OPTIMIZER_ADAM, .weight_decay = 0.1},
    {.kind = OPTIMIZER_ADAMW, .weight_decay = 0.1},
};
enum { SETTING_COUNT = sizeof settings / sizeof settings[0] };

static const optimizer_span_t whole = {.count = COUNT};

static optimizer_call_t setting(int index, int update_index) {
    optimizer_call_t o = settings[index];
    o.learning_rate = 0.03;
    o.beta1 = 0.9;
    o.beta2 = 0.999;
    o.epsilon = 1e-8;
    o.gradient_scale = 0.5;
    o.update_index = update_index;
    o.spans = &whole;
    o.span_count = 1;
    return o;
}

static void optimizers_follow_their_formulas(void **unused) {
    (void)unused;
    const kernels_t *exact = case_table("ref", DTYPE_F64), *kernels = case_table("cpu", DTYPE_F32);
    for (int k = 0; k < SETTING_COUNT; k++) {
        double w[COUNT], g[COUNT], m[COUNT], v[COUNT] = {0};
        float wf[COUNT], gf[COUNT], mf[COUNT] = {0}, vf[COUNT] = {0};
        state_t expected[COUNT] = {{0}};
        bool adam = settings[k].kind != OPTIMIZER_SGD;
        for (int i = 0; i < COUNT; i++) {
            expected[i].weight = w[i] = wf[i] = (float)noise(0, i);
            m[i] = adam ? 0.0 : NAN; /* sgd reads no m before it has written one */
        }
        for (int t = 1; t <= STEPS; t++) {
            optimizer_call_t o = setting(k, t);
            for (int i = 0; i < COUNT; i++) {
                g[i] = gf[i] = (float)noise(t, i);
                by_formula(&o, g[i], &expected[i]);
            }
            o.weight = w;
            o.gradient = g;
            o.m = o.kind == OPTIMIZER_SGD && o.momentum == 0.0 ? NULL : m;
            o.v = adam ? v : NULL;
            exact->optimizer_update(&o);
            o.weight = wf;
            o.gradient = gf;
            o.m = o.m == NULL ? NULL : mf;
            o.v = adam ? vf : NULL;
            kernels->optimizer_update(&o);
        }
        for (int i = 0; i < COUNT; i++) {
            check_value(w[i], expected[i].weight, 1e-14);
            check_value((double)wf[i], expected[i].weight, 8.0 * (double)FLT_EPSILON);
        }
    }
}

/* Between the order of the weights and that of the state. */
static void turn(const optimizer_span_t *spans, int64_t count, const float *from, float *to) {
    for (int64_t i = 0; i < count; i++) {
        memcpy(to + spans[i].state, from + spans[i].offset, (size_t)spans[i].count * sizeof *to);
    }
}

static void turn_back(const optimizer_span_t *spans, int64_t count, const float *from, float *to) {
    for (int64_t i = 0; i < count; i++) {
        memcpy(to + spans[i].offset, from + spans[i].state, (size_t)spans[i].count * sizeof *to);
    }
}

/* Any partition of the state gives the same bits as one call. */
static void optimizers_do_not_see_the_partition(void **unused) {
    (void)unused;
    const kernels_t *kernels = case_table("cpu", DTYPE_F32);
    for (int k = 0; k < SETTING_COUNT; k++) {
        float w[2][COUNT], g[COUNT], m[2][COUNT], v[2][COUNT];
        for (int i = 0; i < COUNT; i++) {
            w[0][i] = w[1][i] = (float)noise(0, i);
            m[0][i] = m[1][i] = (float)noise(2, i);
            v[0][i] = v[1][i] = (float)fabs(noise(3, i));
            g[i] = (float)noise(1, i);
        }
        optimizer_span_t spans[COUNT];
        optimizer_call_t o = setting(k, 4);
        o.span_count = 0;
        o.spans = spans;
        for (int begin = 0; begin < COUNT; begin += 5) { /* the state from its end */
            int count = COUNT - begin < 5 ? COUNT - begin : 5;
            spans[o.span_count++] =
                (optimizer_span_t){.offset = begin, .state = COUNT - begin - count, .count = count};
        }
        float m_back[COUNT], v_back[COUNT];
        turn(spans, o.span_count, m[0], m_back);
        turn(spans, o.span_count, v[0], v_back);
        o.weight = w[0];
        o.gradient = g;
        o.m = m_back;
        o.v = v_back;
        kernels->optimizer_update(&o);
        turn_back(spans, o.span_count, m_back, m[0]);
        turn_back(spans, o.span_count, v_back, v[0]);
        o = setting(k, 4);
        o.weight = w[1];
        o.gradient = g;
        o.m = m[1];
        o.v = v[1];
        kernels->optimizer_update(&o);
        assert_memory_equal(w[0], w[1], sizeof w[0]);
        assert_memory_equal(m[0], m[1], sizeof m[0]);
        assert_memory_equal(v[0], v[1], sizeof v[0]);
    }
}

/* What is running averages, what is fixed stays, and neither is part of a norm. */
static void spans_are_what_their_role_says(void **unused) {
    (void)unused;
    const kernels_t *kernels = case_table("cpu", DTYPE_F32);
    const optimizer_span_t spans[] = {
        {.offset = 0, .count = 5},
        {.offset = 5, .count = 7, .role = SPAN_FIXED},
        {.offset = 12, .count = 9, .role = SPAN_RUNNING, .momentum = 0.25}};
    float before[COUNT], w[COUNT], g[COUNT];
    double partials[3] = {-1.0, -1.0, -1.0}, squares = 0.0;
    for (int i = 0; i < COUNT; i++) {
        before[i] = w[i] = (float)noise(0, i);
        g[i] = (float)noise(1, i);
        squares += i < 5 ? (double)g[i] * (double)g[i] : 0.0;
    }
    optimizer_call_t o = setting(1, 1);
    o.weight = w;
    o.gradient = g;
    o.spans = spans;
    o.span_count = 3;
    o.shards = 8;
    kernels->optimizer_update(&o);
    for (int i = 0; i < COUNT; i++) {
        double p = (double)before[i];
        double averaged = p + 0.25 * ((double)g[i] / 8.0 - p);
        bool stays = (i >= 5 && i < 12) || i >= 21;
        assert_true(i < 5 ? w[i] != before[i] : w[i] == (stays ? before[i] : (float)averaged));
    }
    kernels->sum_squares_spans(NULL, g, spans, 3, partials);
    check_value(partials[0], squares, 1e-14);
    assert_true(partials[1] == 0.0 && partials[2] == 0.0);
}

static double sum_squares(const kernels_t *kernels, const float *x, int count) {
    optimizer_span_t span = {.count = count};
    double sum = NAN;
    kernels->sum_squares_spans(NULL, x, &span, 1, &sum);
    return sum;
}

static void check_sums(const kernels_t *kernels, int count) {
    float x[MANY], y[MANY], z[MANY];
    double squares = 0.0;
    for (int i = 0; i < count; i++) {
        x[i] = (float)noise(0, i);
        y[i] = (float)noise(1, i);
        squares += (double)x[i] * (double)x[i];
    }
    kernels->add(NULL, z, x, y, count);
    for (int i = 0; i < count; i++) {
        check_value((double)z[i], (double)(x[i] + y[i]), 0.0);
    }
    check_value(sum_squares(kernels, x, count), squares, count * squares * DBL_EPSILON);
    kernels->add(NULL, x, x, y, count);
    assert_memory_equal(x, z, (size_t)count * sizeof *x);
    check_value(sum_squares(kernels, x, 0), 0.0, 0.0);
    for (int i = 0; i<count; i += count> COUNT ? BLOCK : 1) {
        const float odd[] = {NAN, INFINITY, -INFINITY};
        assert_true(kernels->all_finite(NULL, x, count));
        float kept = x[i];
        x[i] = odd[i % 3];
        assert_false(kernels->all_finite(NULL, x, count));
        x[i] = kept;
    }
    x[0] = FLT_MAX;
    assert_true(kernels->all_finite(NULL, x, count) && kernels->all_finite(NULL, x, 0));
}

static void sums_and_finiteness(void **unused) {
    (void)unused;
    const char *backends[] = {"ref", "cpu"};
    for (int b = 0; b < 2; b++) {
        check_sums(case_table(backends[b], DTYPE_F32), COUNT);
        check_sums(case_table(backends[b], DTYPE_F32), MANY);
    }
}

/* Arrays that begin at multiples of 16 bytes, but one of the three, or none. */
static void sums_wherever_they_lie(void **unused) {
    (void)unused;
    const char *backends[] = {"ref", "cpu"};
    _Alignas(16) float x[MANY + 1], y[MANY + 1], z[MANY + 1];
    for (int i = 0; i <= MANY; i++) {
        x[i] = (float)noise(0, i);
        y[i] = (float)noise(1, i);
    }
    for (int k = 0; k < 10; k++) {
        int apart = k / 2;
        const float *a = x + (apart == 1 || apart == 4), *b = y + (apart == 2 || apart == 4);
        float *out = z + (apart == 3 || apart == 4);
        z[MANY] = 5.0F;
        case_table(backends[k % 2], DTYPE_F32)->add(NULL, out, a, b, MANY - 1);
        for (int i = 0; i < MANY - 1; i++) {
            check_value((double)out[i], (double)(a[i] + b[i]), 0.0);
        }
        assert_true(z[MANY] == 5.0F);
    }
}

static void the_last_of_most_numbers(void **unused) {
    (void)unused;
    const char *backends[] = {"ref", "cpu"};
    float *x = calloc(MOST, sizeof *x);
    assert_non_null(x);
    for (int k = 0; k < 2; k++) {
        const kernels_t *kernels = case_table(backends[k], DTYPE_F32);
        assert_true(kernels->all_finite(NULL, x, MOST));
        x[MOST - 1] = NAN;
        assert_false(kernels->all_finite(NULL, x, MOST));
        x[MOST - 1] = 0.0F;
    }
    free(x);
}

/* Whatever m holds before the first update. */
static void first_momentum(void **unused) {
    (void)unused;
    const char *backends[] = {"ref", "cpu"};
    for (int b = 0; b < 2; b++) {
        float weight = 1.0F, gradient = 0.5F, m = 8.0F;
        optimizer_call_t o = setting(2, 1);
        optimizer_span_t one = {.count = 1};
        o.weight = &weight, o.gradient = &gradient, o.m = &m;
        o.spans = &one, o.span_count = 1;
        case_table(backends[b], DTYPE_F32)->optimizer_update(&o);
        check_value((double)m, 0.5 * o.gradient_scale, 0.0);
    }
}

enum { PARTIALS = 2 * MANY + 3, RANKS = 3, JUDGED = 4 };

typedef struct judged {
    loss_call_t losses[JUDGED];
    double totals[JUDGED][LOSS_SUMS], partials[PARTIALS], ordered[PARTIALS], words[2 * RANKS];
    int64_t order[PARTIALS], failed_at[RANKS];
    double loss, norm; /* that are to come */
} judged_t;

/* The canonical tree (comm/tree.h). */
static double tree_of(const double *x, int count) {
    int left = 1;
    while (2 * left < count) {
        left *= 2;
    }
    return count == 1 ? x[0] : tree_of(x, left) + tree_of(x + left, count - left);
}

/* Squares lie in another order than that of the tree; rank r's word is at 2 r + 1. */
static void judged_fill(judged_t *j, int turn) {
    *j = (judged_t){
        .losses = {{.kind = LOSS_CCC, .weight = 0.5, .mse_weight = 0.25, .unbiased = true},
                   {.kind = LOSS_MSE, .weight = 2.0},
                   {.kind = LOSS_CROSS_ENTROPY, .weight = 1.0},
                   {.kind = LOSS_BINARY, .weight = 3.0}},
        .totals = {{8.0, 4.0, 6.0, 10.0, 12.0, 5.0, 3.0}, {4.0, 6.0}, {5.0, 7.0, 2.0}, {0.0, 9.0}}};
    double squares[PARTIALS];
    for (int i = 0; i < PARTIALS; i++) {
        j->order[i] = (int64_t)i * 7 % PARTIALS;
        j->partials[j->order[i]] = squares[i] = fabs(noise(turn, i)) / 3.0;
    }
    for (int r = 0; r < RANKS; r++) {
        j->failed_at[r] = 2 * r + 1;
        j->words[2 * r] = 1.0; /* says nothing */
    }
    for (int i = 0; i < JUDGED; i++) {
        j->loss += j->losses[i].weight * loss_value(&j->losses[i], j->totals[i]);
    }
    j->norm = sqrt(tree_of(squares, PARTIALS));
}

static step_now_t judge(const kernels_t *kernels, judged_t *j, double clip_norm) {
    step_now_t now = {.learning_rate = 0.5, .applies = -1};
    kernels->judge(&(judge_call_t){.losses = j->losses,
                                   .loss_count = JUDGED,
                                   .totals = j->totals[0],
                                   .partials = j->partials,
                                   .order = j->order,
                                   .ordered = j->ordered,
                                   .partial_count = PARTIALS,
                                   .words = j->words,
                                   .failed_at = j->failed_at,
                                   .rank_count = RANKS,
                                   .clip_norm = clip_norm,
                                   .now = &now});
    return now;
}

static void steps_are_judged(void **unused) {
    (void)unused;
    const kernels_t *kernels = case_table("cpu", DTYPE_F32);
    judged_t j;
    for (int turn = 4; turn < 44; turn++) { /* another order would often have the same root */
        judged_fill(&j, turn);
        assert_true(judge(kernels, &j, 0.0).norm == j.norm);
    }
    step_now_t now = judge(kernels, &j, 0.0);
    check_value(now.loss, j.loss, 8.0 * DBL_EPSILON);
    assert_true(now.gradient_scale == 1.0 && now.applies == 1 && now.learning_rate == 0.5);
    double scale = judge(kernels, &j, 0.5 * j.norm).gradient_scale;
    check_value(scale, 0.5, PARTIALS * DBL_EPSILON);
    assert_true(judge(kernels, &j, 2.0 * j.norm).gradient_scale == 1.0);
    for (int r = 0; r < RANKS; r++) {
        j.words[2 * r + 1] = 1.0;
        assert_int_equal(judge(kernels, &j, 0.0).applies, 0);
        j.words[2 * r + 1] = 0.0;
    }
    for (int i = 0; i < JUDGED - 1; i++) { /* the last has no valid row */
        double kept = j.totals[i][1];
        j.totals[i][1] = NAN;
        assert_int_equal(judge(kernels, &j, 0.0).applies, 0);
        j.totals[i][1] = kept;
    }
    assert_int_equal(judge(kernels, &j, 0.0).applies, 1);
    j.partials[PARTIALS - 1] = INFINITY;
    assert_int_equal(judge(kernels, &j, 1.0).applies, 0);
}

/* What a step knows on the device goes before what the call says; one that does not apply changes
 * nothing. */
static void updates_take_the_step_s_numbers(void **unused) {
    (void)unused;
    const kernels_t *kernels = case_table("cpu", DTYPE_F32);
    for (int k = 0; k < SETTING_COUNT; k++) {
        float w[3][COUNT], g[COUNT], m[3][COUNT], v[3][COUNT];
        for (int i = 0; i < 3 * COUNT; i++) {
            w[i / COUNT][i % COUNT] = (float)noise(0, i % COUNT);
            m[i / COUNT][i % COUNT] = (float)noise(2, i % COUNT);
            v[i / COUNT][i % COUNT] = (float)fabs(noise(3, i % COUNT));
            g[i % COUNT] = (float)noise(1, i % COUNT);
        }
        optimizer_call_t o = setting(k, 4);
        step_now_t now = {.learning_rate = o.learning_rate,
                          .keep = 1.0 - o.learning_rate * o.weight_decay,
                          .correction1 = 1.0 - pow(o.beta1, 4.0),
                          .correction2 = 1.0 - pow(o.beta2, 4.0),
                          .update_index = 4,
                          .gradient_scale = o.gradient_scale};
        for (int turn = 0; turn < 3; turn++) {
            o.weight = w[turn], o.gradient = g, o.m = m[turn], o.v = v[turn];
            if (turn > 0) {
                o.learning_rate = 7.0, o.update_index = 1, o.gradient_scale = 7.0;
                now.applies = turn == 1;
                o.now = &now;
            }
            kernels->optimizer_update(&o);
        }
        assert_memory_equal(w[1], w[0], sizeof w[0]);
        assert_memory_equal(m[1], m[0], sizeof m[0]);
        assert_memory_equal(v[1], v[0], sizeof v[0]);
        for (int i = 0; i < COUNT; i++) {
            assert_true(w[2][i] == (float)noise(0, i) && m[2][i] == (float)noise(2, i));
        }
    }
}

enum { MANY_ROWS = 70, MANY_COLS = 61, INNER = 33 }; /* several blocks, on two threads */

static double left_at(int row, int p, bool transposed) {
    return transposed ? noise(2, p * MANY_ROWS + row) : noise(2, row * INNER + p);
}

/* What is summed in double and rounded once has one result, whoever computes it. */
static void check_multiply(const kernels_t *kernels, int64_t m, int64_t n, bool transposed,
                           bool plus) {
    float a[MANY_ROWS * INNER], b[INNER * MANY_COLS], p[MANY_ROWS * MANY_COLS];
    float c[MANY_ROWS * MANY_COLS + 1];
    for (int i = 0; i < MANY_ROWS * INNER; i++) {
        a[i] = (float)noise(2, i);
    }
    for (int i = 0; i < INNER * MANY_COLS; i++) {
        b[i] = (float)noise(3, i);
    }
    for (int i = 0; i < MANY_ROWS * MANY_COLS; i++) {
        p[i] = (float)noise(4, i);
    }
    c[m * n] = 5.0F;
    multiply_call_t call = {.m = m, .n = n, .k = INNER, .a = a, .b = b, .c = c};
    call.a_row = transposed ? 1 : INNER;
    call.a_col = transposed ? MANY_ROWS : 1;
    call.b_row = MANY_COLS;
    call.plus = plus ? p : NULL;
    kernels->multiply(NULL, &call);
    for (int64_t i = 0; i < m * n; i++) {
        double sum = 0.0;
        for (int k = 0; k < INNER; k++) {
            float left = (float)left_at((int)(i / n), k, transposed);
            sum += (double)left * (double)b[k * MANY_COLS + i % n];
        }
        assert_true(c[i] == (float)(sum + (plus ? (double)p[i] : 0.0)));
    }
    assert_true(c[m * n] == 5.0F);
}

static void products_in_double_are_rounded_once(void **unused) {
    (void)unused;
    if (case_on_gpu()) {
        return; /* weights of weights are the host's affair */
    }
    static const int64_t shapes[][2] = {{70, 61}, {9, 37}, {4, 16}, {1, 1},
                                        {70, 1},  {3, 37}, {5, 7},  {65, 25}};
    const kernels_t *tables[] = {case_table("ref", DTYPE_F32), case_table("cpu", DTYPE_F32)};
    for (int threads = 1; threads <= 2; threads++) {
        CHECK_OK(kernels_set_threads(threads));
        for (size_t i = 0; i < 2 * sizeof shapes / sizeof shapes[0]; i++) {
            const int64_t *shape = shapes[i / 2];
            check_multiply(tables[i % 2], shape[0], shape[1], false, false);
            check_multiply(tables[i % 2], shape[0], shape[1], true, true);
        }
    }
    CHECK_OK(kernels_set_threads(1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimizers_follow_their_formulas),
        cmocka_unit_test(optimizers_do_not_see_the_partition),
        cmocka_unit_test(spans_are_what_their_role_says),
        cmocka_unit_test(sums_and_finiteness),
        cmocka_unit_test(sums_wherever_they_lie),
        cmocka_unit_test(the_last_of_most_numbers),
        cmocka_unit_test(first_momentum),
        cmocka_unit_test(steps_are_judged),
        cmocka_unit_test(updates_take_the_step_s_numbers),
        cmocka_unit_test(products_in_double_are_rounded_once),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
