#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/rng.h"
#include "kernels/kernels.h"
#include "unit/op_case.h"

enum { ROWS = 9, CLASSES = 5, STRIDE = 7 };

typedef struct batch {
    double x[ROWS * STRIDE], d_x[ROWS * STRIDE], target[ROWS];
    loss_call_t call;
} batch_t;

static void batch_make(batch_t *batch, loss_kind_t kind, bool unbiased) {
    const rng_key_t key = {3, rng_name("loss"), (uint64_t)kind};
    for (int i = 0; i < ROWS * STRIDE; i++) {
        batch->x[i] = 2.0 * (double)rng_uniform(key, (uint64_t)i) - 1.0;
        batch->d_x[i] = 1234.0;
    }
    for (int r = 0; r < ROWS; r++) {
        double u = (double)rng_uniform(key, (uint64_t)(1000 + r));
        batch->target[r] = kind == LOSS_CROSS_ENTROPY ? floor(u * CLASSES)
                           : kind == LOSS_BINARY      ? floor(u * 2.0)
                                                      : u;
    }
    int64_t cols = kind == LOSS_CROSS_ENTROPY ? CLASSES : 1;
    batch->call = (loss_call_t){
        .kind = kind,
        .unbiased = unbiased,
        .weight = 0.75,
        .x = {batch->x, ROWS, cols, STRIDE, 0},
        .target = batch->target,
        .d_x = {batch->d_x, ROWS, cols, STRIDE, 0},
        .shard_end = 1,
    };
}

static double value_of(const kernels_t *kernels, const loss_call_t *call) {
    double sums[LOSS_SUMS];
    kernels->loss_sums(call, sums);
    return call->weight * loss_value(call, sums);
}

static const double class_weights[CLASSES] = {0.5, 2.0, 1.0, 3.5, 0.25};

/* With all that the kind reads. */
static void batch_make_full(batch_t *batch, loss_kind_t kind) {
    batch_make(batch, kind, false);
    batch->call.mse_weight = kind == LOSS_CCC ? 0.4 : 0.0;
    batch->call.label_smoothing = kind == LOSS_CROSS_ENTROPY ? 0.15 : 0.0;
    batch->call.class_weights = kind == LOSS_CROSS_ENTROPY || kind == LOSS_BINARY
                                    ? class_weights + (kind == LOSS_BINARY)
                                    : NULL;
}

/* Rows 2 and 6 have no target: they are in no sum and their gradient is 0. */
static void check_gradient(loss_kind_t kind, bool unbiased, bool full) {
    const kernels_t *kernels = case_table("ref", DTYPE_F64);
    batch_t batch;
    batch_make(&batch, kind, unbiased);
    if (full) {
        batch_make_full(&batch, kind);
    }
    batch.target[2] = batch.target[6] = NAN;
    double sums[LOSS_SUMS];
    kernels->loss_sums(&batch.call, sums);
    check_value(sums[0], ROWS - 2, 0.0);
    kernels->loss_gradient(&batch.call, sums);
    const double step = 1e-6;
    for (int i = 0; i < ROWS * STRIDE; i++) {
        if (i % STRIDE >= batch.call.x.cols) {
            check_value(batch.d_x[i], 1234.0, 0.0);
            continue;
        }
        double kept = batch.x[i];
        batch.x[i] = kept + step;
        double above = value_of(kernels, &batch.call);
        batch.x[i] = kept - step;
        double below = value_of(kernels, &batch.call);
        batch.x[i] = kept;
        check_value(batch.d_x[i], (above - below) / (2.0 * step), 1e-8);
        if (i / STRIDE == 2 || i / STRIDE == 6) {
            check_value(batch.d_x[i], 0.0, 0.0);
        }
    }
}

static void gradients(void **state) {
    (void)state;
    check_gradient(LOSS_CCC, true, false);
    for (int kind = LOSS_CCC; kind <= LOSS_BINARY; kind++) {
        check_gradient((loss_kind_t)kind, false, false);
        check_gradient((loss_kind_t)kind, false, true);
    }
}

/* The worked example of the specification, section 2.1 (its denominators have no 1e-8). */
static void ccc_example(void **state) {
    (void)state;
    double x[5] = {.1, .4, -.2, .3, .05}, y[5] = {0, .5, -.1, .2, .3}, d_x[5];
    const double value[2] = {0.7764449291, 0.7807017544};
    const double slope[2][5] = {
        {-0.51421769, 0.65073987, 0.06564481, -0.31918600, 0.96374194},
        {-0.54978455, 0.61595876, 0.03885811, -0.35741767, 0.93721145},
    };
    const kernels_t *kernels = case_table("ref", DTYPE_F64);
    for (int unbiased = 0; unbiased < 2; unbiased++) {
        loss_call_t call = {
            .kind = LOSS_CCC,
            .unbiased = unbiased,
            .weight = 1.0,
            .x = {x, 5, 1, 1, 0},
            .target = y,
            .d_x = {d_x, 5, 1, 1, 0},
            .shard_end = 1,
        };
        double sums[LOSS_SUMS];
        kernels->loss_sums(&call, sums);
        check_value(loss_value(&call, sums), 1.0 - value[unbiased], 2e-7);
        kernels->loss_gradient(&call, sums);
        for (int i = 0; i < 5; i++) {
            check_value(d_x[i], -slope[unbiased][i], 5e-7);
        }
    }
}

static void values_by_hand(void **state) {
    (void)state;
    const kernels_t *kernels = case_table("ref", DTYPE_F64);
    double x[4] = {1, 2, 3, 4}, y[2] = {0, 1}, d_x[4], sums[LOSS_SUMS];
    loss_call_t mse = {.kind = LOSS_MSE,
                       .weight = 2.0,
                       .x = {x, 2, 1, 1, 0},
                       .target = y,
                       .d_x = {d_x, 2, 1, 1, 0},
                       .shard_end = 1};
    kernels->loss_sums(&mse, sums);
    const double expected[LOSS_SUMS] = {2, 2};
    assert_memory_equal(sums, expected, sizeof sums);
    check_value(loss_value(&mse, sums), 1.0, 0.0);
    kernels->loss_gradient(&mse, sums);
    check_value(d_x[1], 2.0, 0.0);
    loss_call_t entropy = {.kind = LOSS_CROSS_ENTROPY,
                           .weight = 1.0,
                           .x = {x, 2, 2, 2, 0},
                           .target = y,
                           .d_x = {d_x, 2, 2, 2, 0},
                           .shard_end = 1};
    kernels->loss_sums(&entropy, sums);
    double low = 1.0 / (1.0 + exp(1.0)), high = 1.0 - low;
    check_value(loss_value(&entropy, sums), -(log(low) + log(high)) / 2.0, 1e-15);
    kernels->loss_gradient(&entropy, sums);
    check_value(d_x[0], (low - 1.0) / 2.0, 1e-15);
    check_value(d_x[3], (high - 1.0) / 2.0, 1e-15);
}

/* As torch.nn.CrossEntropyLoss(weight, label_smoothing) and BCEWithLogitsLoss(pos_weight) say. */
static void weights_by_hand(void **state) {
    (void)state;
    const kernels_t *kernels = case_table("ref", DTYPE_F64);
    const double w[2] = {3, 1}, low = -log(1.0 / (1.0 + exp(1.0))), high = low - 1.0;
    double x[4] = {1, 2, 3, 4}, y[2] = {0, 1}, d_x[4], sums[LOSS_SUMS];
    loss_call_t entropy = {.kind = LOSS_CROSS_ENTROPY,
                           .weight = 1.0,
                           .class_weights = w,
                           .x = {x, 2, 2, 2, 0},
                           .target = y,
                           .d_x = {d_x, 2, 2, 2, 0},
                           .shard_end = 1};
    kernels->loss_sums(&entropy, sums);
    check_value(loss_value(&entropy, sums), (3 * low + high) / 4, 1e-15);
    entropy.label_smoothing = 0.2;
    kernels->loss_sums(&entropy, sums);
    check_value(loss_value(&entropy, sums),
                0.8 * (3 * low + high) / 4 + 0.2 / 2 * 2 * (3 * low + high) / 4, 1e-15);
    loss_call_t binary = {.kind = LOSS_BINARY,
                          .weight = 1.0,
                          .class_weights = w,
                          .x = {x, 2, 1, 1, 0},
                          .target = y,
                          .d_x = {d_x, 2, 1, 1, 0},
                          .shard_end = 1};
    kernels->loss_sums(&binary, sums);
    check_value(loss_value(&binary, sums), (log(1 + exp(1.0)) + 3 * log(1 + exp(-2.0))) / 2, 1e-15);
    kernels->loss_gradient(&binary, sums);
    check_value(d_x[0], 1 / (1 + exp(-1.0)) / 2, 1e-15);
    check_value(d_x[1], -3 / (1 + exp(2.0)) / 2, 1e-15);
}

/* Far logits: as long as the loss is, and no infinity on the way. */
static void far_logits(void **state) {
    (void)state;
    const double logit[4] = {-1000, 1000, 1000, -1000}, target[4] = {0, 1, 0, 1};
    const double slope[4] = {0.0, 0.0, 0.25, -0.25};
    const kernels_t *tables[] = {case_table("ref", DTYPE_F64), case_table("ref", DTYPE_F32),
                                 case_table("cpu", DTYPE_F32)};
    for (int t = 0; t < 3; t++) {
        const dtype_t dtype = tables[t]->dtype;
        double x[4] = {0}, y[4] = {0}, d_x[4] = {0}, sums[LOSS_SUMS]; /* or as many floats */
        for (int i = 0; i < 4; i++) {
            dtype_set(dtype, x, i, logit[i]);
            dtype_set(dtype, y, i, target[i]);
        }
        loss_call_t call = {.kind = LOSS_BINARY,
                            .weight = 1.0,
                            .x = {x, 4, 1, 1, 0},
                            .target = y,
                            .d_x = {d_x, 4, 1, 1, 0},
                            .shard_end = 1};
        tables[t]->loss_sums(&call, sums);
        check_value(loss_value(&call, sums), 500.0, 0.0);
        tables[t]->loss_gradient(&call, sums);
        for (int i = 0; i < 4; i++) {
            check_value(dtype_get(dtype, d_x, i), slope[i], 0.0);
        }
    }
}

/* No target, or one where ccc needs two: loss 0, gradient 0 on every table. */
static void too_few_targets(void **state) {
    (void)state;
    const kernels_t *kernels = case_table("ref", DTYPE_F64);
    for (int kind = LOSS_CCC; kind <= LOSS_BINARY; kind++) {
        for (int count = 0; count <= (kind == LOSS_CCC ? 1 : 0); count++) {
            batch_t batch;
            double sums[LOSS_SUMS];
            batch_make_full(&batch, (loss_kind_t)kind);
            for (int r = count; r < ROWS; r++) {
                batch.target[r] = NAN;
            }
            kernels->loss_sums(&batch.call, sums);
            check_value(loss_value(&batch.call, sums), 0.0, 0.0);
            kernels->loss_gradient(&batch.call, sums);
            for (int r = 0; r < ROWS; r++) {
                check_value(batch.d_x[r * STRIDE], 0.0, 0.0);
            }
        }
    }
}

static void equal_and_constant_predictions(void **state) {
    (void)state;
    const kernels_t *kernels = case_table("ref", DTYPE_F64);
    batch_t batch;
    batch_make(&batch, LOSS_CCC, false);
    for (int r = 0; r < ROWS; r++) {
        batch.x[r * STRIDE] = batch.target[r];
    }
    check_value(value_of(kernels, &batch.call), 0.0, 1e-6);
    for (int r = 0; r < ROWS; r++) {
        batch.x[r * STRIDE] = 0.5;
    }
    check_value(value_of(kernels, &batch.call), 0.75, 1e-6);
}

/* The sums of two halves added are the sums of the whole. */
static void halves_add_up(void **state) {
    (void)state;
    const kernels_t *kernels = case_table("ref", DTYPE_F64);
    for (int kind = LOSS_CCC; kind <= LOSS_BINARY; kind++) {
        batch_t batch;
        double whole[LOSS_SUMS], first[LOSS_SUMS], second[LOSS_SUMS];
        batch_make_full(&batch, (loss_kind_t)kind);
        kernels->loss_sums(&batch.call, whole);
        batch.call.x.rows = 4;
        kernels->loss_sums(&batch.call, first);
        batch.call.x.rows = ROWS - 4;
        batch.call.x.data = batch.x + 4 * STRIDE;
        batch.call.target = batch.target + 4;
        kernels->loss_sums(&batch.call, second);
        for (int i = 0; i < LOSS_SUMS; i++) {
            check_value(first[i] + second[i], whole[i], 1e-14);
        }
    }
}

/* All local shards in one call: each has its own sums, and its rows of the gradient. */
static void check_shards(const kernels_t *kernels, loss_kind_t kind) {
    enum { SHARDS = 3, EACH = ROWS / SHARDS, APART = LOSS_SUMS + 2 };
    batch_t batch;
    uint8_t x[ROWS * STRIDE * 8], d_x[2][ROWS * STRIDE * 8], target[ROWS * 8];
    double sums[SHARDS * APART] = {0.0}, one[LOSS_SUMS], total[LOSS_SUMS] = {0.0};
    dtype_t state = kernels->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
    batch_make_full(&batch, kind);
    memset(d_x, 7, sizeof d_x);
    for (int64_t i = 0; i < ROWS * STRIDE; i++) {
        dtype_set(kernels->dtype, x, i, batch.x[i]);
    }
    for (int64_t r = 0; r < ROWS; r++) {
        dtype_set(state, target, r, r == 4 ? NAN : batch.target[r]);
    }
    loss_call_t call = batch.call, shards = batch.call;
    call.x.data = shards.x.data = x;
    call.target = shards.target = target;
    call.d_x.data = d_x[0];
    shards.d_x.data = d_x[1];
    shards.x.rows = shards.d_x.rows = EACH;
    shards.x.shard_stride = shards.d_x.shard_stride = (int64_t)EACH * STRIDE;
    shards.sums_stride = APART;
    shards.shard_end = SHARDS;
    kernels->loss_sums(&shards, sums);
    for (int s = 0; s < SHARDS; s++) {
        loss_call_t alone = shards;
        alone.x = matrix_from_shard(shards.x, s, kernels->dtype);
        alone.target = target + (size_t)s * EACH * dtype_state_bytes(kernels->dtype);
        alone.shard_end = 1;
        kernels->loss_sums(&alone, one);
        assert_memory_equal(sums + s * APART, one, sizeof one);
        assert_true(sums[s * APART + LOSS_SUMS] == 0.0);
        for (int i = 0; i < LOSS_SUMS; i++) {
            total[i] += one[i];
        }
    }
    kernels->loss_gradient(&call, total);
    kernels->loss_gradient(&shards, total);
    assert_memory_equal(d_x[0], d_x[1], sizeof d_x[0]);
}

static void shards_in_one_call_are_each_by_itself(void **state) {
    (void)state;
    const kernels_t *tables[CASE_SHORT_TABLES_MAX + 3] = {
        case_table("ref", DTYPE_F32), case_table("ref", DTYPE_F64), case_table("cpu", DTYPE_F32)};
    int count = 3 + case_short_tables(tables + 3);
    for (int t = 0; t < count; t++) {
        for (int kind = LOSS_CCC; kind <= LOSS_BINARY; kind++) {
            check_shards(tables[t], (loss_kind_t)kind);
        }
    }
}

/* Sums of floats are double, and so is a gradient until it is rounded. */
static void float_is_accurate(void **state) {
    (void)state;
    const kernels_t *exact = case_table("ref", DTYPE_F64), *kernels = case_table("cpu", DTYPE_F32);
    for (int k = 2 * LOSS_CCC; k < 2 * LOSS_BINARY + 2; k++) {
        batch_t batch;
        batch_make_full(&batch, (loss_kind_t)(k / 2));
        batch.call.unbiased = k % 2 == 1;
        float x[ROWS * STRIDE], d_x[ROWS * STRIDE], target[ROWS];
        for (int i = 0; i < ROWS * STRIDE; i++) {
            x[i] = (float)batch.x[i];
            batch.x[i] = (double)x[i];
        }
        for (int r = 0; r < ROWS; r++) {
            target[r] = (float)batch.target[r];
            batch.target[r] = (double)target[r];
        }
        loss_call_t call = batch.call;
        call.x.data = x;
        call.d_x.data = d_x;
        call.target = target;
        double sums[LOSS_SUMS], exact_sums[LOSS_SUMS];
        kernels->loss_sums(&call, sums);
        kernels->loss_gradient(&call, sums);
        exact->loss_sums(&batch.call, exact_sums);
        exact->loss_gradient(&batch.call, exact_sums);
        for (int i = 0; i < LOSS_SUMS; i++) {
            check_value(sums[i], exact_sums[i], 16.0 * ROWS * DBL_EPSILON);
        }
        for (int i = 0; i < ROWS * STRIDE; i++) {
            if (i % STRIDE < call.x.cols) {
                check_value((double)d_x[i], batch.d_x[i], (double)FLT_EPSILON);
            }
        }
    }
}

/* --- bf16 in pieces -------------------------------------------------------------------------- */

enum { LONG_ROWS = 2500 }; /* of one column or five: more than are widened at once */

typedef struct long_batch {
    float x[LONG_ROWS * CLASSES], target[LONG_ROWS];
    double exact_x[LONG_ROWS * CLASSES], exact_d_x[LONG_ROWS * CLASSES], exact_target[LONG_ROWS];
    uint16_t bf16_x[LONG_ROWS * CLASSES], bf16_d_x[LONG_ROWS * CLASSES];
    loss_call_t call, exact;
} long_batch_t;

static void long_make(long_batch_t *batch, loss_kind_t kind) {
    batch_t like;
    batch_make_full(&like, kind);
    int64_t cols = like.call.x.cols;
    const rng_key_t key = {4, rng_name("long"), (uint64_t)kind};
    for (int i = 0; i < LONG_ROWS * CLASSES; i++) {
        batch->x[i] = 2 * rng_uniform(key, (uint64_t)i) - 1;
    }
    dtype_from_float(DTYPE_BF16, batch->bf16_x, batch->x, LONG_ROWS * CLASSES);
    dtype_to_float(DTYPE_BF16, batch->x, batch->bf16_x, LONG_ROWS * CLASSES);
    for (int i = 0; i < LONG_ROWS * CLASSES; i++) {
        batch->exact_x[i] = (double)batch->x[i];
    }
    for (int r = 0; r < LONG_ROWS; r++) {
        batch->exact_target[r] = like.target[r % ROWS];
        batch->target[r] = (float)batch->exact_target[r];
        batch->exact_target[r] = (double)batch->target[r];
    }
    batch->call = batch->exact = like.call;
    batch->call.x = (matrix_t){batch->bf16_x, LONG_ROWS, cols, cols, 0};
    batch->call.d_x = (matrix_t){batch->bf16_d_x, LONG_ROWS, cols, cols, 0};
    batch->call.target = batch->target;
    batch->exact.x = (matrix_t){batch->exact_x, LONG_ROWS, cols, cols, 0};
    batch->exact.d_x = (matrix_t){batch->exact_d_x, LONG_ROWS, cols, cols, 0};
    batch->exact.target = batch->exact_target;
}

static loss_call_t rows_from(const loss_call_t *call, int64_t first, int64_t rows) {
    loss_call_t part = *call;
    part.x.data = (uint16_t *)call->x.data + first * call->x.cols;
    part.x.rows = rows;
    part.target = (const float *)call->target + first;
    return part;
}

/* Sums are double and no term passes 16: in whatever order, n of them are off by n eps 16 n at
 * most. A gradient is rounded to float and then to bf16. */
static void check_long(const kernels_t *kernels, loss_kind_t kind) {
    const double bound = 16.0 * LONG_ROWS * LONG_ROWS * DBL_EPSILON;
    long_batch_t *batch = malloc(sizeof *batch);
    double whole[LOSS_SUMS], exact[LOSS_SUMS], first[LOSS_SUMS], second[LOSS_SUMS];
    long_make(batch, kind);
    loss_call_t parts[] = {rows_from(&batch->call, 0, 1100),
                           rows_from(&batch->call, 1100, LONG_ROWS - 1100)};
    const kernels_t *reference = case_table("ref", DTYPE_F64);
    reference->loss_sums(&batch->exact, exact);
    kernels->loss_sums(&batch->call, whole);
    kernels->loss_sums(&parts[0], first);
    kernels->loss_sums(&parts[1], second);
    for (int i = 0; i < LOSS_SUMS; i++) {
        check_value(whole[i], exact[i], bound);
        check_value(first[i] + second[i], whole[i], bound);
    }
    reference->loss_gradient(&batch->exact, exact);
    kernels->loss_gradient(&batch->call, exact);
    for (int64_t i = 0; i < LONG_ROWS * batch->call.x.cols; i++) {
        double slope = batch->exact_d_x[i];
        check_value(dtype_get(DTYPE_BF16, batch->bf16_d_x, i), slope,
                    fabs(slope) * (0x1p-8 + 0x1p-20));
    }
    free(batch);
}

static void bf16_in_pieces_is_the_whole(void **state) {
    (void)state;
    const kernels_t *tables[CASE_SHORT_TABLES_MAX];
    int count = case_short_tables(tables);
    for (int t = 0; t < count; t++) {
        for (int kind = LOSS_CCC; kind <= LOSS_BINARY; kind++) {
            check_long(tables[t], (loss_kind_t)kind);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(ccc_example),
        cmocka_unit_test(values_by_hand),
        cmocka_unit_test(weights_by_hand),
        cmocka_unit_test(far_logits),
        cmocka_unit_test(too_few_targets),
        cmocka_unit_test(halves_add_up),
        cmocka_unit_test(equal_and_constant_predictions),
        cmocka_unit_test(float_is_accurate),
        cmocka_unit_test(bf16_in_pieces_is_the_whole),
        cmocka_unit_test(shards_in_one_call_are_each_by_itself),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
