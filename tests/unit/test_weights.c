/* Files of weights by name, and what a model takes from them. The PyTorch files are those of
 * tests/reference/write_torch_files.py: counted up, so each number says where it belongs. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "trainer/weights_init.h"
#include "trainer/weights_names.h"

#define TORCH_DIR SOURCE_DIR "/tests/unit/torch/"

static config_t *config_of(const char *init) {
    char *text = text_format("modalities: {video: {}, audio: {}, clip: {}, sound: {}, both: {of: "
                             "[clip, sound]}}\ntargets: {valence: {}}\ninit: {%s}\n",
                             init);
    config_t *config = NULL;
    CHECK_OK(config_parse(text, "it", NULL, 0, &config));
    free(text);
    return config;
}

/* --- files ----------------------------------------------------------------------------------- */

static void a_state_dict_is_found_where_it_lies(void **state) {
    (void)state;
    static const struct {
        const char *path, *format, *name;
        int count;
        float last;
    } files[] = {
        {TORCH_DIR "zip.pt", "PyTorch file, under state_dict", "0.weight", 7, 5.0f},
        {TORCH_DIR "stream.pth", "PyTorch file, under state_dict", "0.weight", 7, 5.0f},
        {TORCH_DIR "python2.pt", "PyTorch file", "logits.weight", 2, 5.0f},
    };
    for (int i = 0; i < ARRAY_LEN(files); i++) {
        weights_file_t *file = NULL;
        CHECK_OK(weights_open(files[i].path, &file));
        assert_string_equal(weights_format(file), files[i].format);
        assert_int_equal(weights_count(file), files[i].count);
        assert_false(weights_are_ours(file));
        assert_string_equal(weights_trained_on(file), "");
        assert_int_equal(strlen(weights_sha256(file)), 64);
        int index = weights_find(file, files[i].name);
        assert_true(index >= 0);
        weights_info_t info = weights_info(file, index);
        assert_int_equal(info.rank, 2);
        assert_int_equal(info.count, 6);
        float numbers[6] = {0};
        CHECK_OK(weights_read(file, index, numbers));
        assert_true(numbers[0] == 0.0f && numbers[5] == files[i].last);
        weights_close(file);
    }
    weights_file_t *file = NULL;
    CHECK_FAILS(weights_open(TORCH_DIR "module.pt", &file), STATUS_INPUT, "Linear");
    CHECK_FAILS(weights_open(TORCH_DIR "features-4.pkl", &file), STATUS_INPUT, "safetensors");
    CHECK_FAILS(weights_open("/nowhere/it.pt", &file), STATUS_INPUT, "cannot open");
    CHECK_FAILS(weights_open(SOURCE_DIR, &file), STATUS_INPUT, "no checkpoint");
}

static void safetensors_of_others_are_read(void **state) {
    (void)state;
    char dir[] = "/tmp/jmt-weights-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *path = text_format("%s/it.safetensors", dir);
    tensor_set_t set = {0};
    int64_t two = 2;
    uint16_t *half = tensor_set_add(&set, "half", TENSOR_F16, 1, &two)->data;
    half[0] = 0x3c00; /* 1 */
    half[1] = 0xb800; /* -0.5 */
    uint16_t *brain = tensor_set_add(&set, "brain", TENSOR_BF16, 1, &two)->data;
    brain[0] = 0x3f80; /* 1 */
    brain[1] = 0xc040; /* -3 */
    ((int32_t *)tensor_set_add(&set, "int", TENSOR_I32, 1, &two)->data)[1] = -7;
    CHECK_OK(safetensors_write(path, &set));
    tensor_set_free(&set);
    static const struct {
        const char *name;
        float first, second;
    } want[] = {{"half", 1.0f, -0.5f}, {"brain", 1.0f, -3.0f}, {"int", 0.0f, -7.0f}};
    weights_file_t *file = NULL;
    CHECK_OK(weights_open(path, &file));
    for (int i = 0; i < ARRAY_LEN(want); i++) {
        float numbers[2] = {0};
        CHECK_OK(weights_read(file, weights_find(file, want[i].name), numbers));
        assert_true(numbers[0] == want[i].first && numbers[1] == want[i].second);
    }
    weights_close(file);
    set = (tensor_set_t){.metadata = text_copy("{\"trained_on\":\"[}\"}")};
    tensor_set_add(&set, "a", TENSOR_F32, 1, &two);
    CHECK_OK(safetensors_write(path, &set));
    CHECK_FAILS(weights_open(path, &file), STATUS_INPUT, "trained_on in its metadata is damaged");
    tensor_set_free(&set);
    free(path);
    CHECK_OK(dir_remove(dir));
}

/* --- shapes and names ------------------------------------------------------------------------ */

static void shapes_fit_or_do_not(void **state) {
    (void)state;
    float from[24], to[24];
    bool mean = true;
    for (int i = 0; i < 24; i++) {
        from[i] = (float)i;
    }
#define DIMS(...)                                                                                  \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__}
    assert_true(weights_fit(from, DIMS(2, 3, 4), to, DIMS(2, 3, 4), &mean));
    assert_false(mean);
    assert_memory_equal(from, to, sizeof from);
    assert_true(weights_fit(from, DIMS(4, 3, 1, 2), to, DIMS(4, 3, 2), &mean));
    assert_memory_equal(from, to, sizeof from);
    assert_true(weights_fit(from, DIMS(6, 4, 1, 1), to, DIMS(6, 4), &mean));
    assert_false(mean);
    assert_true(weights_fit(from, DIMS(2, 3, 4), to, DIMS(2, 1, 4), &mean));
    assert_true(mean);
    for (int i = 0; i < 8; i++) { /* of 0, 4 and 8; of 12, 16 and 20 */
        assert_true(to[i] == (float)(i % 4 + 4 + 12 * (i / 4)));
    }
    assert_false(weights_fit(from, DIMS(2, 3), to, DIMS(2, 1), &mean)); /* no convolution */
    assert_false(weights_fit(from, DIMS(2, 4, 3), to, DIMS(2, 1, 3), &mean));
    assert_false(weights_fit(from, DIMS(2, 3, 4), to, DIMS(2, 3, 2), &mean));
    assert_false(weights_fit(from, DIMS(2, 3), to, DIMS(3, 2), &mean));
    assert_false(weights_fit(from, DIMS(6), to, DIMS(2, 3), &mean));
    assert_false(weights_fit(from, DIMS(1, 6), to, DIMS(6), &mean));
}

static void others_have_other_names(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"video", "video.backbone.stem.0.weight", "stem.0.weight"},
        {"video", "audio.backbone.stem.0.weight", NULL},
        {"video", "video.front.weight", NULL},
        {"", "video.encoder.3.linear2.bias",
         "mm_transformer.visual_encoder.layers.3.feed_forward.2.bias"},
        {"", "audio.encoder.0.attention.out_proj.bias",
         "mm_transformer.physiological_encoder.layers.0.attention.out_proj.bias"},
        {"", "token.encoder.0.norm1.weight",
         "mm_transformer.final_visual_encoder.layers.0.layer_norm1.weight"},
        {"", "joint.cross.in_proj_weight", "mm_transformer.cross_attention_pv.in_proj_weight"},
        {"", "valence.head.3.bias", "vregressor.3.bias"},
        {"", "third.encoder.0.norm1.weight", NULL},
    };
    config_t *config = config_of("");
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        name_t names[WEIGHTS_NAMES_MAX];
        int count = weights_names(config, cases[i][0], cases[i][1], names);
        assert_string_equal(names[0].text, cases[i][1]);
        assert_int_equal(count, cases[i][2] != NULL ? 2 : 1);
        if (count == 2) {
            assert_string_equal(names[1].text, cases[i][2]);
        }
    }
    config_free(config);
}

/* --- filling --------------------------------------------------------------------------------- */

/* A graph that only has parameters; weights[p] begin at 10 p. */
static graph_t *graph_of(const char *const *names, const int64_t (*shape)[3], int count) {
    graph_t *graph = graph_open(1);
    for (int p = 0; p < count; p++) {
        parameter_t parameter =
            graph_parameter(graph, names[p], shape[p][0], shape[p][1], (init_t){0});
        if (shape[p][2] > 0) {
            graph_parameter_window(graph, parameter, 1, &shape[p][2]);
        }
    }
    CHECK_OK(graph_check(graph));
    return graph;
}

static const int64_t offsets[] = {0, 10, 20, 30};

static void a_backbone_is_filled_by_bare_names(void **state) {
    (void)state;
    const char *const names[] = {"audio.backbone.conv1.weight", "audio.backbone.conv1.bias",
                                 "video.front.weight", "audio.front.bias"};
    const int64_t shapes[][3] = {{2, 5, 5}, {2, 0, 0}, {2, 2, 0}, {2, 0, 0}};
    graph_t *graph = graph_of(names, shapes, 4);
    config_t *config = config_of("audio: " TORCH_DIR "conv.pt");
    weights_origin_t origin = {0};
    float weights[40] = {0};
    weights[20] = 77.0f;
    weights[30] = 78.0f;
    CHECK_OK(weights_init(config, graph, offsets, weights, &origin));
    for (int i = 0; i < 10; i++) { /* of 0, 5 and 10; of 15, 20 and 25 */
        assert_true(weights[i] == (float)(i % 5 + 5 + 15 * (i / 5)));
    }
    assert_true(weights[10] == 0.0f && weights[11] == 1.0f && weights[20] == 77.0f &&
                weights[30] == 78.0f);
    assert_non_null(strstr(origin.notes, "init.audio: 2 tensors of "));
    assert_non_null(strstr(origin.notes, "(PyTorch file), which does not say who"));
    assert_non_null(strstr(origin.notes, "audio.backbone.conv1.weight: 3 input channels became"));
    assert_non_null(
        strstr(origin.notes, "2 tensors of the file are not used: fc.weight, bn1.num_batches"));
    assert_non_null(strstr(origin.notes, "left as the seed made it: audio.front.bias"));
    assert_non_null(strstr(origin.files, "\"sha256\""));
    assert_string_equal(origin.trained_on, "");
    weights_origin_free(&origin);
    config_free(config);
    graph_close(graph);
}

static void fails_to_fill(const char *init, const char *name, int64_t rows, int64_t columns,
                          const char *why) {
    graph_t *graph = graph_of(&name, &(const int64_t[3]){rows, columns, 0}, 1);
    config_t *config = config_of(init);
    weights_origin_t origin = {0};
    float weights[40] = {0};
    CHECK_FAILS(weights_init(config, graph, offsets, weights, &origin), STATUS_INPUT, why);
    config_free(config);
    graph_close(graph);
}

static void what_does_not_fit_is_said(void **state) {
    (void)state;
    fails_to_fill(
        "audio: " TORCH_DIR "conv.pt", "audio.backbone.conv2.bias", 2, 0,
        "(PyTorch file) does not fit that part of the model: 1 missing: "
        "audio.backbone.conv2.bias; 4 not used: conv1.weight, conv1.bias, fc.weight, ...; "
        "give");
    fails_to_fill("audio: " TORCH_DIR "conv.pt", "audio.front.bias", 2, 0,
                  "1 missing: audio.front.bias");
    fails_to_fill("audio: " TORCH_DIR "conv.pt", "audio.backbone.conv1.bias", 3, 0,
                  "1 of another shape: audio.backbone.conv1.bias is [2], not [3]; 3 not used");
    fails_to_fill("audio: " TORCH_DIR "conv.pt", "video.backbone.conv1.bias", 2, 0,
                  "init.audio has no effect: audio has no parameters before the fusion");
    fails_to_fill("model: " TORCH_DIR "conv.pt", "joint.projection.bias", 2, 0,
                  "does not fit the model: 1 missing: joint.projection.bias");
    fails_to_fill("model: /nowhere/it.pt", "joint.projection.bias", 2, 0,
                  "init.model: cannot open /nowhere/it.pt");
}

static void seed_and_fold_choose_the_file(void **state) {
    (void)state;
    config_t *config = config_of("audio: '/nowhere/fold-{fold}-seed-{seed}/{fold}'");
    config->seed = 12;
    config->split.fold = 3;
    assert_true(weights_init_varies(config));
    char *people = NULL;
    CHECK_FAILS(weights_init_people(config, &people), STATUS_INPUT, "/nowhere/fold-3-seed-12/3");
    config_free(config);
    config = config_of("audio: '/nowhere/{it}'");
    assert_false(weights_init_varies(config));
    config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_dict_is_found_where_it_lies),
        cmocka_unit_test(safetensors_of_others_are_read),
        cmocka_unit_test(shapes_fit_or_do_not),
        cmocka_unit_test(others_have_other_names),
        cmocka_unit_test(a_backbone_is_filled_by_bare_names),
        cmocka_unit_test(what_does_not_fit_is_said),
        cmocka_unit_test(seed_and_fold_choose_the_file),
    };
    return RUN_TESTS(tests);
}
