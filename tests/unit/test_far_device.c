/* The trainer on memory that the host must not touch: it trains, validates, saves, goes on,
 * evaluates, extracts and answers `jmt step` with the bits of the plain host. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "kernels/op_bench.h"
#include "trainer/checkpoint.h"
#include "trainer/export.h"
#include "trainer/extract.h"
#include "trainer/random_data.h"
#include "trainer/step_port.h"
#include "trainer/train.h"
#include "unit/far_device.h"
#include "unit/picture_case.h"

enum { SETTINGS_MAX = 8, TRAIN = 40, TEST = 11, FIRST_STEPS = 3, STEPS = 7 };

typedef struct fixture {
    char directory[64], data[96], run[96];
    comm_t *comm;
    config_t *config;
} fixture_t;

static fixture_t *fixture_open(void) {
    fixture_t *f = alloc_zero(1, sizeof *f);
    comm_config_t comm = {.timeout_s = 10.0};
    strcpy(f->directory, "/tmp/jmt-far-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->data, sizeof f->data, "%s/data", f->directory);
    CHECK_OK(comm_open(&comm, &f->comm));
    return f;
}

static void fixture_close(fixture_t *f) {
    comm_close(f->comm);
    CHECK_OK(dir_remove(f->directory));
    free(f);
    assert_int_equal(far_allocations(), 0);
}

static void set(const char **settings, const char *more) {
    int i = 0;
    while (settings[i] != NULL) {
        REQUIRE(++i < SETTINGS_MAX);
    }
    settings[i] = more;
}

/* file: of configs/tiny. extra: NULL, or settings. */
static void load(fixture_t *f, const char *file, const char *backend, const char *const extra[]) {
    const char *settings[SETTINGS_MAX + 1] = {NULL};
    char *path = text_format(SOURCE_DIR "/configs/tiny/%s.yaml", file);
    char *data = text_format("data.path=%s", f->data), *on = text_format("backend=%s", backend);
    set(settings, data);
    set(settings, on);
    set(settings, "schedule_known=true");
    for (int i = 0; extra != NULL && extra[i] != NULL; i++) {
        set(settings, extra[i]);
    }
    int count = 0;
    while (settings[count] != NULL) {
        count++;
    }
    CHECK_OK(config_load(path, settings, count, &f->config));
    free(path);
    free(data);
    free(on);
}

static void unload(fixture_t *f) {
    config_free(f->config);
    f->config = NULL;
}

/* --- whole runs ------------------------------------------------------------------------------ */

static void train(fixture_t *f, const char *run, const char *resume, int64_t steps) {
    snprintf(f->run, sizeof f->run, "%s/%s", f->directory, run);
    train_options_t options = {.run_directory = f->run, .resume = resume, .steps = steps};
    CHECK_OK(train_run(f->config, f->comm, &options));
}

/* What an evaluation reads: the weights of the whole, and nothing besides. */
static void read_weights(const char *run, const checkpoint_t *whole, checkpoint_t *weights_out) {
    int expected = 0;
    CHECK_OK(checkpoint_read_weights(run, weights_out));
    const tensor_set_t *tensors = &weights_out->tensors;
    for (int i = 0; i < whole->tensors.count; i++) {
        const tensor_t *x = &whole->tensors.tensors[i], *y = tensor_set_find(tensors, x->name);
        bool is_weight = strncmp(x->name, "weights/", 8) == 0;
        expected += is_weight ? 1 : 0;
        if ((y != NULL) != is_weight ||
            (y != NULL && memcmp(x->data, y->data, tensor_bytes(x)) != 0)) {
            fail_msg("%s: not as in the whole checkpoint", x->name);
        }
    }
    assert_true(tensors->count == expected && expected < whole->tensors.count);
    assert_int_equal(weights_out->statistics.count, whole->statistics.count);
    assert_string_equal(weights_out->config_yaml, whole->config_yaml);
}

/* Trained, stopped, gone on with; what the last checkpoint says of the test people. */
static evaluation_t *run(fixture_t *f, const char *file, const char *backend,
                         const char *const extra[], checkpoint_t *checkpoint_out) {
    evaluation_t *evaluation = NULL;
    trainer_t *trainer = NULL;
    checkpoint_t weights = {0};
    load(f, file, backend, extra);
    train(f, backend, NULL, FIRST_STEPS);
    train(f, backend, "auto", STEPS);
    CHECK_OK(checkpoint_read(f->run, checkpoint_out));
    read_weights(f->run, checkpoint_out, &weights);
    CHECK_OK(trainer_open_checkpoint(f->config, f->comm, f->data, &weights, &trainer));
    checkpoint_free(&weights);
    CHECK_OK(trainer_evaluate(trainer, SPLIT_TEST, NULL, &evaluation));
    assert_string_equal(trainer->device->name, strcmp(backend, "cuda") == 0 ? "cuda" : "cpu");
    trainer_close(trainer);
    unload(f);
    CHECK_OK(dir_remove(f->run));
    return evaluation;
}

static void check_tensors(const tensor_set_t *a, const tensor_set_t *b) {
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        const tensor_t *x = &a->tensors[i], *y = tensor_set_find(b, x->name);
        if (y == NULL || tensor_bytes(x) != tensor_bytes(y) ||
            memcmp(x->data, y->data, tensor_bytes(x)) != 0) {
            fail_msg("%s differs", x->name);
        }
    }
}

static void check_evaluations(const evaluation_t *a, const evaluation_t *b) {
    assert_true(a->steps == b->steps && a->steps > 0 && a->loss == b->loss);
    for (int t = 0; t < a->target_count; t++) {
        size_t bytes = (size_t)(a->steps * a->columns[t]) * sizeof(float);
        assert_memory_equal(a->prediction[t], b->prediction[t], bytes);
    }
}

static void check_run(const char *file, const char *const extra[]) {
    fixture_t *f = fixture_open();
    checkpoint_t here = {0}, far = {0};
    load(f, file, "cpu", NULL);
    f->config->data.path[0] = 0; /* which is not there yet */
    CHECK_OK(random_data_write(f->config, TRAIN, TEST, f->data));
    unload(f);
    evaluation_t *on_host = run(f, file, "cpu", extra, &here);
    evaluation_t *on_device = run(f, file, "cuda", extra, &far);
    assert_true(here.progress.step == STEPS && far.progress.step == STEPS);
    assert_non_null(strstr(far.fingerprint, "far memory"));
    assert_non_null(strstr(far.fingerprint, "\"layers\":")); /* of a backend without `products` */
    check_tensors(&here.tensors, &far.tensors);
    check_evaluations(on_host, on_device);
    checkpoint_free(&here);
    checkpoint_free(&far);
    evaluation_free(on_host);
    evaluation_free(on_device);
    fixture_close(f);
}

static void every_tiny_model(void **state) {
    (void)state;
    static const char *const files[] = {"can", "jca", "jmt", "lfan", "rjcma"};
    for (int i = 0; i < ARRAY_LEN(files); i++) {
        check_run(files[i], NULL);
    }
}

static void every_way_to_train(void **state) {
    (void)state;
    static const char *const ways[][4] = {
        {"precision=bf16", "data.prefetch=0"},
        {"optimizer.name=sgd", "optimizer.momentum=0.9", "optimizer.clip_norm=0.1"},
        {"optimizer.name=sgd", "data.prefetch=0", "model.modality_dropout=0.3"},
        {"model.head_dropout=0.2", "data.permute_labels=true", "evaluation.fold_attention=false"},
    };
    for (int i = 0; i < ARRAY_LEN(ways); i++) {
        check_run("jmt", ways[i]);
    }
}

static int64_t waits_of(fixture_t *f, int64_t steps) {
    int64_t before = far_waits();
    load(f, "jmt", "cuda", (const char *const[]){"batch=8", NULL});
    train(f, "waits", NULL, steps);
    unload(f);
    CHECK_OK(dir_remove(f->run));
    return far_waits() - before;
}

/* What became of it, when all of it has been called. */
static void a_step_is_read_once(void **state) {
    (void)state;
    fixture_t *f = fixture_open();
    load(f, "jmt", "cpu", NULL);
    CHECK_OK(random_data_write(f->config, TRAIN, TEST, f->data));
    unload(f);
    int64_t one = waits_of(f, 1);
    assert_int_equal(waits_of(f, 2) - one, 1);
    fixture_close(f);
}

/* --- pictures -------------------------------------------------------------------------------- */

enum { SIDE = 9, BATCH = 4, WINDOW = 3, CLIP = 2, FACES = BATCH * WINDOW * CLIP * SIDE * SIDE * 3 };

static const char faces[] = "seed: 1\nbatch: 4\nvirtual_shards: 2\n"
                            "model: {name: jmt, dim: 4, ff: 4, head_hidden: 2}\n"
                            "data: {window: 3}\n"
                            "modalities:\n"
                            "  face: {backbone: r3d_18, clip: 2, size: 9, width: 2,"
                            " batch_norm: shard, augment: strong}\n"
                            "  heart: {dim: 3}\n"
                            "targets: {valence: {loss: ccc}}\n";

static void train_on_faces(fixture_t *f, const char *backend, const char *setting,
                           checkpoint_t *checkpoint_out) {
    char *data = text_format("data.path=%s", f->data), *on = text_format("backend=%s", backend);
    CHECK_OK(config_parse(faces, "test", (const char *const[]){data, on, setting}, 3, &f->config));
    train(f, backend, NULL, FIRST_STEPS);
    CHECK_OK(checkpoint_read(f->run, checkpoint_out));
    CHECK_OK(dir_remove(f->run));
    unload(f);
    free(data);
    free(on);
}

/* They go there as bytes, and become on the device what they become on the host; what is done to
 * their numbers is done on the host, so those go there as floats. */
static void pictures_go_as_bytes(void **state) {
    (void)state;
    enum { ROWS = 6, FLOATS = ROWS - 1 };
    static const char *const settings[ROWS] = {"seed=1",
                                               "model.modality_dropout=0.4",
                                               "modalities.face.augment=none",
                                               "data.prefetch=0",
                                               "precision=bf16",
                                               "modalities.face.corrupt=[noise:10]"};
    int64_t bytes[ROWS];
    fixture_t *f = fixture_open();
    CHECK_OK(picture_data_write(f->data, SIDE));
    for (int i = 0; i < ROWS; i++) {
        checkpoint_t here = {0}, far = {0};
        train_on_faces(f, "cpu", settings[i], &here);
        bytes[i] = far_bytes_ahead();
        train_on_faces(f, "cuda", settings[i], &far);
        bytes[i] = far_bytes_ahead() - bytes[i];
        check_tensors(&here.tensors, &far.tensors);
        checkpoint_free(&here);
        checkpoint_free(&far);
    }
    for (int i = 0; i < FLOATS; i++) {
        assert_true(bytes[i] > FIRST_STEPS * FACES && 3 * bytes[i] < bytes[FLOATS]);
    }
    fixture_close(f);
}

/* Evaluated as they are, with their faces made worse, with another modality made worse, and as they
 * are: what is made worse goes there as floats, and only while it is. */
enum { CALLS = 4, WORSE_FACES = 1, WORSE_HEART = 2 };

static void evaluate_calls(fixture_t *f, const char *backend, const char *prefetch,
                           evaluation_t *evaluations[CALLS], int64_t bytes[CALLS]) {
    static const corruption_t calls[CALLS] = {{CORRUPTION_NONE, 0, 0.0, 7},
                                              {CORRUPTION_NOISE, 0, 0.0, 7},
                                              {CORRUPTION_NOISE, 1, 0.0, 7},
                                              {CORRUPTION_NONE, 0, 0.0, 7}};
    trainer_t *trainer = NULL;
    char *on = text_format("backend=%s", backend);
    CHECK_OK(config_parse(faces, "test", (const char *const[]){on, prefetch}, 2, &f->config));
    CHECK_OK(trainer_open(f->config, f->comm, f->data, NULL, NULL, false, &trainer));
    CHECK_OK(trainer_init_weights(trainer, true));
    for (int i = 0; i < CALLS; i++) {
        CHECK_OK(batch_corrupt(&trainer->batch, &calls[i]));
        bytes[i] = far_bytes_ahead();
        CHECK_OK(trainer_evaluate(trainer, SPLIT_TRAIN, NULL, &evaluations[i]));
        bytes[i] = far_bytes_ahead() - bytes[i];
    }
    trainer_close(trainer);
    unload(f);
    free(on);
}

static void made_worse_they_go_as_floats(void **state) {
    (void)state;
    static const char *const prefetches[] = {"data.prefetch=2", "data.prefetch=0"};
    fixture_t *f = fixture_open();
    CHECK_OK(picture_data_write(f->data, SIDE));
    for (int p = 0; p < ARRAY_LEN(prefetches); p++) {
        evaluation_t *here[CALLS], *far[CALLS];
        int64_t bytes[CALLS];
        evaluate_calls(f, "cpu", prefetches[p], here, bytes);
        evaluate_calls(f, "cuda", prefetches[p], far, bytes);
        for (int i = 0; i < CALLS; i++) {
            check_evaluations(here[i], far[i]);
            assert_true(i == 0 || i == CALLS - 1 || far[i]->loss != far[0]->loss);
            assert_true((i == WORSE_FACES) == (bytes[i] > 3 * bytes[0]));
            assert_true(i == WORSE_FACES || bytes[i] == bytes[0]);
        }
        assert_true(far[CALLS - 1]->loss == far[0]->loss);
        for (int i = 0; i < CALLS; i++) {
            evaluation_free(here[i]);
            evaluation_free(far[i]);
        }
    }
    fixture_close(f);
}

/* --- features made once ---------------------------------------------------------------------- */

static const char signals[] = "seed: 1\nbatch: 8\nvirtual_shards: 4\n"
                              "model: {name: jmt, dim: 16, ff: 16, head_hidden: 8}\n"
                              "data: {window: 2}\n"
                              "modalities:\n"
                              "  signal: {backbone: cnn_1d, clip: 40, frozen: true}\n"
                              "  other: {dim: 5}\n"
                              "targets: {valence: {loss: ccc}}\n";

static void extract(fixture_t *f, const char *backend, const char *out) {
    trainer_t *trainer = NULL;
    extracted_t extracted;
    char *on = text_format("backend=%s", backend);
    CHECK_OK(config_parse(signals, "test", (const char *const[]){on}, 1, &f->config));
    free(on);
    CHECK_OK(trainer_open(f->config, f->comm, f->data, NULL, NULL, false, &trainer));
    CHECK_OK(trainer_init_weights(trainer, true));
    CHECK_OK(extract_features(trainer, NULL, f->data, out, &extracted));
    assert_int_equal(extracted.count, 1);
    trainer_close(trainer);
    unload(f);
}

static void features_are_the_same(void **state) {
    (void)state;
    fixture_t *f = fixture_open();
    char **names = NULL, *out[2];
    int count = 0;
    CHECK_OK(config_parse(signals, "test", NULL, 0, &f->config));
    CHECK_OK(random_data_write(f->config, 9, 4, f->data));
    unload(f);
    for (int i = 0; i < 2; i++) {
        out[i] = text_format("%s/out-%d", f->directory, i);
        extract(f, i == 0 ? "cpu" : "cuda", out[i]);
    }
    CHECK_OK(dir_list(out[0], &names, &count));
    assert_true(count > 1);
    for (int n = 0; n < count; n++) {
        char digest[2][SHA256_TEXT_BYTES];
        for (int i = 0; i < 2; i++) {
            char *path = text_format("%s/%s", out[i], names[n]);
            CHECK_OK(sha256_file(path, digest[i]));
            free(path);
        }
        assert_string_equal(digest[0], digest[1]);
    }
    names_free(names, count);
    free(out[0]);
    free(out[1]);
    fixture_close(f);
}

/* --- numbers in, numbers out ----------------------------------------------------------------- */

static void fill(tensor_set_t *set, const char *name, int rank, int64_t last) {
    int64_t dims[3] = {6, 3, last};
    tensor_t *tensor = tensor_set_add(set, name, TENSOR_F32, rank, dims);
    for (int64_t i = 0; i < tensor_count(tensor); i++) {
        ((float *)tensor->data)[i] = (float)sin(0.7 * (double)i + (double)strlen(name));
    }
}

static void step_gives_the_same_numbers(void **state) {
    (void)state;
    config_t *config = NULL;
    tensor_set_t weights = {0}, batch = {0}, result[2][2] = {{{0}}};
    CHECK_OK(config_parse("batch: 8\nmodel: {name: jmt, dim: 4, ff: 5, heads: 2, head_hidden: 3}\n"
                          "modalities: {a: {dim: 4}, b: {dim: 3}}\n"
                          "targets: {v: {loss: mse}, w: {loss: ccc}}\n",
                          "test", NULL, 0, &config));
    CHECK_OK(export_initial(config, &weights));
    fill(&batch, "input/a", 3, 4);
    fill(&batch, "input/b", 3, 3);
    fill(&batch, "target/v", 2, 0);
    fill(&batch, "cotangent/w", 2, 0);
    for (int i = 0; i < 2; i++) {
        const kernels_t *kernels = NULL;
        CHECK_OK(kernels_for(i == 0 ? "cpu" : "cuda", DTYPE_F32, &kernels));
        CHECK_OK(step_port(config, kernels, 1, &weights, &batch, &result[i][0]));
        CHECK_OK(step_port_predict(config, kernels, &weights, &batch, &result[i][1]));
    }
    for (int kind = 0; kind < 2; kind++) {
        check_tensors(&result[0][kind], &result[1][kind]);
        tensor_set_free(&result[0][kind]);
        tensor_set_free(&result[1][kind]);
    }
    tensor_set_free(&weights);
    tensor_set_free(&batch);
    config_free(config);
    assert_int_equal(far_allocations(), 0);
}

/* --- what goes with what --------------------------------------------------------------------- */

static void operations_are_timed_where_they_run(void **state) {
    (void)state;
    const kernels_t *kernels = NULL;
    const device_t *device = NULL;
    op_bench_t *bench = NULL;
    op_description_t d = {.kind = OP_linear, .input_count = 1, .in = {{5, 3, 0}}, .out = {5, 2, 0}};
    d.d_in[0] = d.in[0];
    d.d_out = d.out;
    CHECK_OK(kernels_for("cuda", DTYPE_F32, &kernels));
    CHECK_OK(device_open("cuda", 0, 1, &device));
    CHECK_OK(op_bench_open(kernels, device, &d, 4, &bench));
    for (int pass = 0; pass < PASS_COUNT; pass++) {
        assert_true(op_bench_round(bench, (pass_t)pass) > 0.0);
    }
    op_bench_close(bench);
    device_close(device);
    assert_int_equal(far_allocations(), 0);
}

static void devices_and_backends_fit(void **state) {
    (void)state;
    static const struct {
        const char *backend, *device, *wrong;
    } rows[] = {
        {"cuda", "auto", NULL},
        {"cuda", "cuda", NULL},
        {"cpu", "auto", NULL},
        {"ref", "cpu", NULL},
        {"cpu", "cuda", "set device: cpu, or backend: cuda"},
        {"cuda", "cpu", "set device: cuda, or backend: cpu"},
    };
    fixture_t *f = fixture_open();
    for (int i = 0; i < ARRAY_LEN(rows); i++) {
        const kernels_t *kernels = NULL, *host = NULL;
        const device_t *device = NULL;
        char *setting = text_format("device=%s", rows[i].device);
        const char *precision = i == 1 ? "precision=f32_strict" : NULL;
        load(f, "jmt", rows[i].backend, (const char *const[]){setting, precision, NULL});
        free(setting);
        if (rows[i].wrong != NULL) {
            CHECK_FAILS(trainer_kernels(f->config, f->comm, &kernels, &device), STATUS_INPUT,
                        rows[i].wrong);
            assert_null(device);
        } else {
            CHECK_OK(trainer_kernels(f->config, f->comm, &kernels, &device));
            assert_string_equal(kernels->device, device->name);
            bool far = strcmp(device->name, "cuda") == 0;
            assert_true(!far || far_is_strict() == (i == 1));
            CHECK_OK(kernels_on_host(kernels, &host));
            assert_string_equal(host->device, "cpu");
            device_close(device);
        }
        unload(f);
    }
    fixture_close(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tiny_model),
        cmocka_unit_test(every_way_to_train),
        cmocka_unit_test(a_step_is_read_once),
        cmocka_unit_test(pictures_go_as_bytes),
        cmocka_unit_test(made_worse_they_go_as_floats),
        cmocka_unit_test(features_are_the_same),
        cmocka_unit_test(step_gives_the_same_numbers),
        cmocka_unit_test(operations_are_timed_where_they_run),
        cmocka_unit_test(devices_and_backends_fit),
    };
    return RUN_TESTS(tests);
}
