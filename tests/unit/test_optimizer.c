/* The optimiser over the flat state of a real model, on one rank: norm, clipping, and PyTorch's
 * updates (jmt.md 2.4) written out in double; padding stays zero. And the loss sums' tree. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "trainer/models.h"
#include "trainer/optimizer.h"
#include "trainer/step_sums.h"

typedef struct fixture {
    config_t *config;
    comm_t *comm;
    graph_t *graph;
    flat_state_t flat;
    reduce_layout_t layout;
    reduce_t *reduce;
    const kernels_t *kernels;
    const device_t *device;
    optimizer_t *optimizer;
} fixture_t;

/* In place: the optimiser keeps pointers into the fixture. */
static void open_model(fixture_t *f, const char *settings, const char *a, int64_t dim) {
    *f = (fixture_t){0};
    comm_config_t comm = {.timeout_s = 10.0};
    int64_t dims[] = {dim, 41};
    char *yaml = text_format("batch: 8\nmodel: {name: jmt, dim: 48, ff: 99}\noptimizer: {%s}\n"
                             "modalities: {a: {%s}, b: {}}\ntargets: {v: {loss: ccc}}\n",
                             settings, a);
    CHECK_OK(config_parse(yaml, "test", NULL, 0, &f->config));
    free(yaml);
    CHECK_OK(comm_open(&comm, &f->comm));
    CHECK_OK(kernels_for("ref", DTYPE_F32, &f->kernels));
    CHECK_OK(model_build(f->config, dims, &f->graph));
    CHECK_OK(flat_state_make(f->graph, &f->flat));
    f->layout = flat_state_layout(&f->flat, 1);
    CHECK_OK(device_open("cpu", 0, 1, &f->device));
    CHECK_OK(reduce_open(f->comm, &f->layout, false, f->device, f->kernels->add, &f->reduce));
    flat_state_init(&f->flat, f->graph, 1, reduce_weights(f->reduce));
    CHECK_OK(optimizer_open(f->config, f->kernels, f->device, f->graph, &f->flat, f->comm,
                            f->reduce, &f->optimizer));
}

static void open_optimizer(fixture_t *f, const char *settings) { open_model(f, settings, "", 37); }

static void close_optimizer(fixture_t *f) {
    optimizer_close(f->optimizer);
    reduce_close(f->reduce);
    flat_state_free(&f->flat);
    graph_close(f->graph);
    comm_close(f->comm);
    config_free(f->config);
}

static double gradient_of(int64_t update, int64_t element) {
    rng_key_t key = {2, 3, (uint64_t)update};
    return (double)rng_uniform(key, (uint64_t)element) - 0.4;
}

/* One update through the reduction, as training does it. Returns the norm. */
static double update(fixture_t *f, int64_t index, double learning_rate) {
    for (int64_t c = 0; c < f->flat.chunk_count; c++) {
        const chunk_t *chunk = &f->flat.chunks[c];
        for (int64_t i = chunk->offset; i < chunk->offset + chunk->count; i++) {
            reduce_part(f->reduce, 0)[i] = (float)gradient_of(index, i);
        }
    }
    for (int b = 0; b < f->flat.bucket_count; b++) {
        CHECK_OK(reduce_publish(f->reduce, b));
    }
    CHECK_OK(reduce_finish(f->reduce));
    step_now_t now = {0};
    optimizer_begin(f->optimizer, learning_rate, &now);
    CHECK_OK(optimizer_sum_squares(f->optimizer));
    optimizer_judge(f->optimizer, &(judge_call_t){.now = &now});
    optimizer_update(f->optimizer, &now);
    optimizer_applied(f->optimizer);
    CHECK_OK(reduce_share(f->reduce));
    return now.norm;
}

typedef struct element {
    double w, m, v;
} element_t;

static void sgd(element_t *e, double g, int64_t t, double rate) { /* momentum, Nesterov, decay */
    g += 0.01 * e->w;
    e->m = t == 1 ? g : 0.9 * e->m + g;
    e->w -= rate * (g + 0.9 * e->m);
}

static void adamw(element_t *e, double g, int64_t t, double rate) {
    e->w -= rate * 0.01 * e->w;
    e->m = 0.9 * e->m + 0.1 * g;
    e->v = 0.999 * e->v + 0.001 * g * g;
    double first = 1.0 - pow(0.9, (double)t), second = 1.0 - pow(0.999, (double)t);
    e->w -= rate * (e->m / first) / (sqrt(e->v / second) + 1e-8);
}

static void check_updates(const char *settings, double clip,
                          void (*expected)(element_t *e, double g, int64_t t, double rate)) {
    enum { UPDATES = 4 };
    fixture_t f;
    open_optimizer(&f, settings);
    float *weights = reduce_weights(f.reduce);
    element_t *elements = alloc_zero(f.flat.elements, sizeof *elements);
    bool *is_padding = alloc_zero(f.flat.elements, sizeof *is_padding);
    memset(is_padding, 1, (size_t)f.flat.elements);
    for (int64_t c = 0; c < f.flat.chunk_count; c++) {
        memset(is_padding + f.flat.chunks[c].offset, 0, (size_t)f.flat.chunks[c].count);
    }
    for (int64_t i = 0; i < f.flat.elements; i++) {
        elements[i].w = (double)weights[i];
    }
    for (int64_t t = 1; t <= UPDATES; t++) {
        double norm = update(&f, t, 1e-2), squares = 0.0;
        for (int64_t i = 0; i < f.flat.elements; i++) {
            double g = (double)(float)gradient_of(t, i);
            squares += is_padding[i] ? 0.0 : g * g;
        }
        assert_true(fabs(norm - sqrt(squares)) < 1e-12 * norm);
        double scale = clip > 0.0 && norm > clip ? clip / norm : 1.0;
        for (int64_t i = 0; i < f.flat.elements; i++) {
            expected(&elements[i], scale * gradient_of(t, i), t, 1e-2);
            /* some ten float roundings an update, of numbers below one */
            double error = fabs((double)weights[i] - elements[i].w);
            assert_true(is_padding[i] ? weights[i] == 0.0f : error < 1e-6 * (double)t);
        }
    }
    assert_int_equal(optimizer_updates(f.optimizer), UPDATES);
    free(elements);
    free(is_padding);
    close_optimizer(&f);
}

static void updates_are_those_of_pytorch(void **state) {
    (void)state;
    check_updates("name: sgd, momentum: 0.9, nesterov: true, weight_decay: 0.01", 0.0, sgd);
    check_updates("name: sgd, momentum: 0.9, nesterov: true, weight_decay: 0.01, clip_norm: 2", 2.0,
                  sgd);
    check_updates("name: adamw, weight_decay: 0.01", 0.0, adamw);
}

/* Behind batch norms by shard: p + momentum (mean over the shards - p), and no part of the norm, of
 * clipping or of decay. Behind a frozen backbone nothing has a gradient, and nothing changes. */
static void running_statistics_average_the_shards(void **state) {
    (void)state;
    fixture_t f;
    open_model(&f, "name: adamw, weight_decay: 0.5, clip_norm: 1e-3",
               "backbone: resnet_18, batch_norm: shard", 64);
    float *weights = reduce_weights(f.reduce);
    float *before = alloc_zero(f.flat.elements, sizeof *before);
    memcpy(before, weights, (size_t)f.flat.elements * sizeof *before);
    double norm = update(&f, 1, 1e-2), squares = 0.0;
    int64_t running = 0;
    for (int64_t c = 0; c < f.flat.chunk_count; c++) {
        const chunk_t *chunk = &f.flat.chunks[c];
        parameter_info_t info = graph_parameter_info(f.graph, chunk->tensor);
        for (int64_t i = chunk->offset; i < chunk->offset + chunk->count; i++) {
            double g = (double)(float)gradient_of(1, i), p = (double)before[i];
            bool averages = info.role == PARAMETER_RUNNING;
            squares += averages ? 0.0 : g * g;
            running += averages;
            double wanted = p + 0.1 * (g / (double)f.config->virtual_shards - p);
            assert_true(!averages || weights[i] == (float)wanted);
        }
    }
    assert_true(fabs(norm - sqrt(squares)) < 1e-12 * norm);
    assert_int_equal(running, 2 * (5 * 64 + 5 * 128 + 5 * 256 + 5 * 512)); /* of 20 batch norms */
    free(before);
    close_optimizer(&f);
}

static void constants_lie_behind_what_is_reduced(void **state) {
    (void)state;
    fixture_t f;
    open_model(&f, "name: sgd", "backbone: resnet_18, frozen: true", 64);
    int64_t constants = 0;
    for (int p = 0; p < graph_parameter_count(f.graph); p++) {
        parameter_info_t info = graph_parameter_info(f.graph, p);
        bool backbone = strncmp(info.name, "a.backbone.", 11) == 0;
        assert_int_equal(flat_state_is_constant(&f.flat, p), backbone);
        constants += backbone ? align_up(info.count, FLAT_ALIGNMENT) : 0;
    }
    assert_int_equal(f.flat.constants, constants);
    float *weights = reduce_weights(f.reduce) + f.flat.elements;
    float *before = alloc_zero(constants, sizeof *before);
    memcpy(before, weights, (size_t)constants * sizeof *before);
    update(&f, 1, 1e-2);
    assert_memory_equal(weights, before, (size_t)constants * sizeof *before);
    free(before);
    close_optimizer(&f);
}

/* Of a backbone that learns while its batch norms are frozen, which is the default. */
static void frozen_norms_do_not_drift(void **state) {
    (void)state;
    fixture_t f;
    open_model(&f, "name: adamw, weight_decay: 0.5", "backbone: resnet_18", 64);
    float *weights = reduce_weights(f.reduce);
    float *before = alloc_zero(f.flat.elements, sizeof *before);
    memcpy(before, weights, (size_t)f.flat.elements * sizeof *before);
    update(&f, 1, 1e-2);
    int64_t statistics = 0;
    for (int64_t c = 0; c < f.flat.chunk_count; c++) {
        const chunk_t *chunk = &f.flat.chunks[c];
        const char *name = graph_parameter_info(f.graph, chunk->tensor).name;
        bool running = strstr(name, ".running_") != NULL;
        size_t bytes = (size_t)chunk->count * sizeof *before;
        bool same = memcmp(weights + chunk->offset, before + chunk->offset, bytes) == 0;
        assert_int_equal(same, running);
        statistics += running ? chunk->count : 0;
    }
    assert_int_equal(statistics, 2 * (5 * 64 + 5 * 128 + 5 * 256 + 5 * 512));
    free(before);
    close_optimizer(&f);
}

/* Sums of 1e16, 1, -1e16, ... show in which order they were added. */
static void loss_sums_add_in_the_order_of_the_tree(void **state) {
    (void)state;
    enum { SHARDS = 7 };
    static const double values[SHARDS] = {1e16, 1.0, -1e16, 3.0, 5.0, 1e16, 7.0};
    fixture_t f;
    open_optimizer(&f, "name: sgd");
    trainer_t trainer = {.config = f.config,
                         .comm = f.comm,
                         .device = f.device,
                         .kernels = f.kernels,
                         .shards = SHARDS};
    step_sums_t *sums = NULL;
    CHECK_OK(step_sums_open(&trainer, &sums));
    for (int s = 0; s < SHARDS; s++) {
        for (int k = 0; k < LOSS_SUMS; k++) {
            step_sums_device(sums, 0)[s * step_sums_stride(sums) + k] = values[(s + k) % SHARDS];
        }
    }
    step_sums_words(sums)[WORD_SAMPLES] = 48.0;
    CHECK_OK(step_sums_gather(sums, f.reduce));
    step_sums_read(sums);
    const double *total = step_sums_device_total(sums, 0);
    for (int k = 0; k < LOSS_SUMS; k++) {
        const double *v = values;
#define AT(s) v[((s) + k) % SHARDS]
        double left = (AT(0) + AT(1)) + (AT(2) + AT(3)), right = (AT(4) + AT(5)) + AT(6);
#undef AT
        assert_true(total[k] == left + right);
    }
    assert_true(step_sums_word(sums, 0, WORD_SAMPLES) == 48.0 && sums->rank_samples[0] == 48.0);
    step_sums_close(sums);
    close_optimizer(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_are_those_of_pytorch),
        cmocka_unit_test(running_statistics_average_the_shards),
        cmocka_unit_test(constants_lie_behind_what_is_reduced),
        cmocka_unit_test(frozen_norms_do_not_drift),
        cmocka_unit_test(loss_sums_add_in_the_order_of_the_tree),
    };
    return RUN_TESTS(tests);
}
