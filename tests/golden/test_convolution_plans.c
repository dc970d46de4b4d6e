/* Every convolution of the shipped configurations has a plan by the real cuDNN, for GPUs that are
 * described and need not be there (gpus/): forward and the gradients that training asks for, bf16
 * and TF32. The rule is that of kernels/cuda/convolution.c, compiled into this program. */
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "check.h"
#include "configs/config.h"
#include "kernels/base/file.h"
#include "kernels/cuda/backend.h"
#include "trainer/backbone.h"
#include "trainer/executor.h"
#include "trainer/models.h"

/* --- what the models convolve ---------------------------------------------------------------- */

static struct {
    convolution_shape_t *items; /* distinct */
    int count, models;
} all;

static void keep(const convolution_shape_t *shape) {
    for (int i = 0; i < all.count; i++) {
        if (memcmp(&all.items[i], shape, sizeof *shape) == 0) {
            return;
        }
    }
    all.items = array_grow(all.items, all.count, sizeof *all.items);
    all.items[all.count++] = *shape;
}

static void keep_gradients(const op_description_t *d) {
    const op_axis_t *axis = d->attributes.axis;
    const bool asked[] = {true, d->d_in[0].rows > 0, d->d_out.rows > 0};
    const convolve_t what[] = {CONVOLVE, CONVOLVE_DATA, CONVOLVE_FILTER};
    for (int i = 0; i < ARRAY_LEN(what); i++) {
        for (int bf16 = 0; bf16 < 2 && asked[i]; bf16++) {
            convolution_shape_t shape;
            memset(&shape, 0, sizeof shape); /* compared byte by byte */
            shape.what = what[i];
            shape.samples = d->in[0].rows / (axis[0].in * axis[1].in * axis[2].in);
            shape.in = d->in[0].cols;
            shape.out = d->out.cols;
            shape.groups = d->attributes.groups;
            memcpy(shape.axis, axis, sizeof shape.axis);
            shape.dtype = bf16 ? DTYPE_BF16 : DTYPE_F32;
            keep(&shape);
        }
    }
}

/* Address space and no memory: a plan is made, and nothing is run. */
enum { PAGE = 4096 };

static status_t reserve(const device_t *device, size_t bytes, const char *what, void **memory_out) {
    (void)device, (void)what;
    size_t length = bytes + PAGE;
    char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(memory != MAP_FAILED);
    memcpy(memory, &length, sizeof length);
    *memory_out = memory + PAGE;
    return STATUS_OK;
}

static void unreserve(const device_t *device, void *memory) {
    (void)device;
    if (memory != NULL) {
        size_t length;
        char *begin = (char *)memory - PAGE;
        memcpy(&length, begin, sizeof length);
        munmap(begin, length);
    }
}

static void keep_of_model(const config_t *config, const int64_t *dims) {
    const device_t *host = NULL;
    graph_t *graph = NULL;
    executor_t *executor = NULL;
    executor_config_t wanted = {.shard_count = 1, .backward = true};
    CHECK_OK(model_build(config, dims, &graph));
    CHECK_OK(kernels_for("cpu", DTYPE_F32, &wanted.kernels));
    CHECK_OK(device_open("cpu", 0, 1, &host));
    device_t planning = *host;
    planning.alloc = reserve;
    planning.release = unreserve;
    wanted.device = &planning;
    wanted.samples_per_shard = config->batch / config->virtual_shards;
    CHECK_OK(executor_open(graph, &wanted, &executor));
    op_description_t *d = alloc_zero(1, sizeof *d);
    for (int i = 0; i < executor_operation_count(executor); i++) {
        if (executor_operation(executor, i, d) && d->kind == OP_conv) {
            keep_gradients(d);
        }
    }
    free(d);
    executor_close(executor);
    graph_close(graph);
    device_close(host);
}

static bool has_backbone(const config_t *config) {
    bool has = false;
    for (int i = 0; i < config->modality_count; i++) {
        has = has || strcmp(config->modalities[i].backbone, "none") != 0;
    }
    return has;
}

/* What the data would say: a signal is a number a step, no convolution sees plain features. */
enum { ANY_FEATURES = 16 };

static void set_dims(const config_t *config, int64_t *dims) {
    int index[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, index);
    for (int i = 0; i < count; i++) {
        const modality_config_t *modality = &config->modalities[index[i]];
        bool plain = strcmp(modality->backbone, "none") == 0;
        dims[i] = modality_step_dim(modality);
        dims[i] = dims[i] != 0 ? dims[i] : plain ? ANY_FEATURES : 1;
        dims[i] = modality_model_dim(modality, dims[i]);
    }
}

/* --- plans ----------------------------------------------------------------------------------- */

static cudnnBackendDescriptor_t described(const char *gpu) {
    char *path = text_format(SOURCE_DIR "/tests/golden/gpus/%s.json", gpu), *text = NULL;
    size_t bytes = 0;
    CHECK_OK(file_read(path, &text, &bytes));
    cudnnBackendDescriptor_t properties = NULL;
    assert_int_equal(cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &properties),
                     0);
    assert_int_equal(cudnnBackendSetAttribute(properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                              CUDNN_TYPE_CHAR, (int64_t)bytes, text),
                     0);
    assert_int_equal(cudnnBackendFinalize(properties), 0);
    free(text);
    free(path);
    return properties;
}

static void plan_all(const char *gpu) {
    static const char *const names[] = {"forward", "data", "filter"};
    cuda_context_t context = {.tf32 = true, .described = described(gpu)};
    int64_t largest = 0, refused = 0;
    const convolution_shape_t *widest = &all.items[0];
    for (int i = 0; i < all.count; i++) {
        const convolution_shape_t *s = &all.items[i];
        convolution_t *convolution = NULL;
        if (convolution_open(&context, s, &convolution) != STATUS_OK) {
            print_message("# %s: %s, %s: %s\n", gpu, names[s->what],
                          s->dtype == DTYPE_BF16 ? "bf16" : "TF32", status_text());
            refused++;
        } else if (convolution_workspace_bytes(convolution) > largest) {
            largest = convolution_workspace_bytes(convolution);
            widest = s;
        }
        convolution_close(convolution);
    }
    print_message("# %s: %d convolutions of %d models, largest workspace %.1f MiB (%s, %s, %lld "
                  "samples, %lld to %lld columns)\n",
                  gpu, all.count, all.models, (double)largest / 1048576.0, names[widest->what],
                  widest->dtype == DTYPE_BF16 ? "bf16" : "TF32", (long long)widest->samples,
                  (long long)widest->in, (long long)widest->out);
    (void)cudnnBackendDestroyDescriptor(context.described);
    assert_int_equal(refused, 0);
}

static void an_a100_has_them(void **state) {
    (void)state;
    plan_all("a100");
}

static void an_h100_has_them(void **state) {
    (void)state;
    plan_all("h100");
}

static void an_h200_has_them(void **state) {
    (void)state;
    plan_all("h200");
}

static void a_b200_has_them(void **state) {
    (void)state;
    plan_all("b200");
}

static int64_t workspace_of(cuda_context_t *context, const convolution_shape_t *shape,
                            bool strict) {
    convolution_t *convolution = NULL;
    context->tf32 = !strict;
    CHECK_OK(convolution_open(context, shape, &convolution));
    int64_t bytes = convolution_workspace_bytes(convolution);
    convolution_close(convolution);
    return bytes;
}

/* Fewer engines multiply floats strictly: there is one for each, and often it is another. */
static void strict_floats_have_them(void **state) {
    (void)state;
    cuda_context_t context = {.described = described("h200")};
    int others = 0;
    for (int i = 0; i < all.count; i++) {
        const convolution_shape_t *s = &all.items[i];
        if (s->dtype == DTYPE_F32) {
            others += workspace_of(&context, s, true) != workspace_of(&context, s, false);
        }
    }
    (void)cudnnBackendDestroyDescriptor(context.described);
    assert_true(others > 0);
}

/* The library looks at what it is given. */
static void a_wrong_size_has_none(void **state) {
    (void)state;
    cuda_context_t context = {.tf32 = true, .described = described("h200")};
    convolution_shape_t shape = all.items[0];
    convolution_t *convolution = NULL;
    shape.axis[OP_AXES - 1].before += 8 * shape.axis[OP_AXES - 1].stride; /* the result is larger */
    CHECK_FAILS(convolution_open(&context, &shape, &convolution), STATUS_UNAVAILABLE, "no plan");
    (void)cudnnBackendDestroyDescriptor(context.described);
}

static int find_all(void **state) {
    (void)state;
    glob_t found;
    assert_int_equal(glob(SOURCE_DIR "/configs/*/*.yaml", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        config_t *config = NULL;
        int64_t dims[CONFIG_MODALITIES_MAX];
        if (strstr(found.gl_pathv[i], "/_") != NULL) {
            continue; /* a part of others */
        }
        CHECK_OK(config_load(found.gl_pathv[i], NULL, 0, &config));
        if (has_backbone(config) && !model_is_control(config)) {
            set_dims(config, dims);
            keep_of_model(config, dims);
            all.models++;
        }
        config_free(config);
    }
    globfree(&found);
    return all.count > 0 ? 0 : -1;
}

static int forget_all(void **state) {
    (void)state;
    free(all.items);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_a100_has_them),        cmocka_unit_test(an_h100_has_them),
        cmocka_unit_test(an_h200_has_them),        cmocka_unit_test(a_b200_has_them),
        cmocka_unit_test(strict_floats_have_them), cmocka_unit_test(a_wrong_size_has_none),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, find_all, forget_all);
}
