/* What backbones are fed: bytes of pictures in the scale their weights want, sound as a picture of
 * bands over frames, and zeros where a step is masked. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "trainer/backbone.h"

enum { STEPS = 3 };

static const uint8_t mask[STEPS] = {1, 0, 1};

/* In the last quarter of the memory, as the data is read. */
static float *pixels(int64_t step) {
    float *x = alloc_zero(STEPS * step, sizeof *x);
    uint8_t *bytes = (uint8_t *)x + 3 * STEPS * step;
    for (int64_t i = 0; i < STEPS * step; i++) {
        bytes[i] = (uint8_t)(mask[i / step] ? (37 * i + i / 7) % 256 : 0);
    }
    return x;
}

static void feed(const modality_config_t *modality, track_kind_t kind, int64_t dim, float *x) {
    feed_t feed = feed_open(modality, kind, dim);
    feed_prepare(&feed, STEPS, mask, NULL, x);
    feed_close(&feed);
}

static void check_pixels(const char *backbone, const double mean[3], const double deviation[3]) {
    enum { CLIP = 2, SIZE = 5, DIM = SIZE * SIZE * 3, STEP = CLIP * DIM };
    char name[32];
    snprintf(name, sizeof name, "%s", backbone);
    modality_config_t modality = {.name = "m",
                                  .backbone = name,
                                  .augment = "none",
                                  .clip = CLIP,
                                  .size = SIZE,
                                  .upsample = 1};
    float *x = pixels(STEP);
    feed(&modality, TRACK_PIXELS, DIM, x);
    for (int64_t i = 0; i < STEPS * STEP; i++) {
        double byte = (double)((37 * i + i / 7) % 256);
        double wanted = mask[i / STEP] ? (byte / 255.0 - mean[i % 3]) / deviation[i % 3] : 0.0;
        assert_true(fabs((double)x[i] - wanted) < 1e-6);
    }
    free(x);
}

static void pictures_are_scaled_by_colour(void **state) {
    (void)state;
    const double mean[] = {0.43216, 0.394666, 0.37645}, deviation[] = {0.22803, 0.22145, 0.216989};
    const double half[] = {0.5, 0.5, 0.5};
    check_pixels("r2plus1d_18", mean, deviation);
    check_pixels("r3d_18", mean, deviation);
    check_pixels("i3d", half, half);
}

/* What each of three places gives to each of six: a quarter beside the middles of two, all beyond
 * the outermost. */
static const double parts[6][3] = {{1, 0, 0},       {0.75, 0.25, 0}, {0.25, 0.75, 0},
                                   {0, 0.75, 0.25}, {0, 0.25, 0.75}, {0, 0, 1}};

enum { SIDE = 3, FRAMES = 2, GIVEN = FRAMES * SIDE * SIDE * 3, MADE = 4 * GIVEN };

/* values: of the valid steps, [STEPS, FRAMES, SIDE, SIDE, 3]. */
static void check_enlarged(const float *x, const double *values) {
    for (int64_t i = 0; i < STEPS * MADE; i++) {
        int64_t t = i / MADE, f = i % MADE / (MADE / FRAMES), r = i / (2 * SIDE * 3) % (2 * SIDE);
        int64_t k = i / 3 % (2 * SIDE), c = i % 3;
        double wanted = 0.0;
        for (int64_t j = 0; j < SIDE * SIDE && mask[t] != 0; j++) {
            int64_t at = ((t * FRAMES + f) * SIDE * SIDE + j) * 3 + c;
            wanted += parts[r][j / SIDE] * parts[k][j % SIDE] * values[at];
        }
        assert_true(fabs((double)x[i] - wanted) < 1e-5);
    }
}

static void pictures_are_enlarged(void **state) {
    (void)state;
    modality_config_t modality = {.name = "m",
                                  .backbone = "i3d",
                                  .augment = "none",
                                  .clip = FRAMES,
                                  .size = 2 * SIDE,
                                  .upsample = 2};
    double values[STEPS * GIVEN];
    float *x = alloc_zero(STEPS * MADE, sizeof *x), *y = alloc_zero(STEPS * MADE, sizeof *y);
    uint8_t *bytes = (uint8_t *)(x + STEPS * MADE) - STEPS * GIVEN;
    for (int i = 0; i < STEPS * GIVEN; i++) {
        bytes[i] = (uint8_t)(mask[i / GIVEN] ? (37 * i + i / 7) % 256 : 0);
        values[i] = ((double)bytes[i] / 255.0 - 0.5) / 0.5;
        y[i] = (float)values[i];
    }
    assert_int_equal(modality_step_dim(&modality), SIDE * SIDE * 3);
    assert_int_equal(modality_model_dim(&modality, SIDE * SIDE * 3), MADE);
    feed(&modality, TRACK_PIXELS, SIDE * SIDE * 3, x);
    check_enlarged(x, values);
    feed(&modality, TRACK_FEATURES, SIDE * SIDE * 3, y); /* of floats, as they are */
    check_enlarged(y, values);
    free(x);
    free(y);
}

/* [frames, bands] becomes [bands, frames] for a picture of sound; VGGish takes it as it is. */
static void sound_is_turned(void **state) {
    (void)state;
    enum { CLIP = 4, BANDS = 64 };
    static char names[][16] = {"resnet_18", "vggish"};
    for (int n = 0; n < ARRAY_LEN(names); n++) {
        modality_config_t modality = {
            .name = "m", .backbone = names[n], .augment = "none", .clip = CLIP, .upsample = 1};
        float *x = alloc_zero(STEPS * CLIP * BANDS, sizeof *x);
        for (int64_t i = 0; i < STEPS * CLIP * BANDS; i++) {
            x[i] = (float)i;
        }
        feed(&modality, TRACK_LOG_MEL, BANDS, x);
        for (int64_t i = 0; i < STEPS * CLIP * BANDS; i++) {
            int64_t t = i / (CLIP * BANDS), at = i % (CLIP * BANDS);
            int64_t from = n == 0 ? at % CLIP * BANDS + at / CLIP : at;
            assert_true(x[i] == (mask[t] ? (float)(t * CLIP * BANDS + from) : 0.0f));
        }
        free(x);
    }
}

static void steps_of_the_data_have_what_backbones_take(void **state) {
    (void)state;
    static const struct {
        char name[16];
        int64_t dim, wanted;
    } rows[] = {{"none", 0, 0},       {"none", 7, 7},         {"r3d_18", 0, 48 * 48 * 3},
                {"resnet_18", 0, 64}, {"vggish", 0, 64},      {"cnn_1d", 0, 0},
                {"cnn_1d", 3, 3},     {"i3d", 0, 48 * 48 * 3}};
    for (int i = 0; i < ARRAY_LEN(rows); i++) {
        char name[16];
        memcpy(name, rows[i].name, sizeof name);
        modality_config_t modality = {
            .backbone = name, .clip = 5, .size = 48, .upsample = 1, .dim = rows[i].dim};
        assert_int_equal(modality_step_dim(&modality), rows[i].wanted);
        assert_int_equal(modality_takes_pixels(&modality), strstr(name, "3d") != NULL);
    }
}

/* modalities.m.width: a first layer of so many planes, and all others in proportion. */
static void width_is_that_of_all_layers(void **state) {
    (void)state;
    static const struct {
        char name[16];
        const char *stem;
        int64_t width, stem_elements;
    } rows[] = {{"r2plus1d_18", "m.backbone.stem.3.weight", 64, 64 * 45 * 3},
                {"r2plus1d_18", "m.backbone.stem.3.weight", 4, 4 * 2 * 3},
                {"r2plus1d_18", "m.backbone.stem.3.weight", 1, 1 * 1 * 3},
                {"r3d_18", "m.backbone.stem.0.weight", 6, 6 * 3 * 3 * 7 * 7}};
    for (int i = 0; i < ARRAY_LEN(rows); i++) {
        char name[16], m[] = "m", norm[] = "shard", reduce[] = "max";
        memcpy(name, rows[i].name, sizeof name);
        modality_config_t modality = {.name = m,
                                      .backbone = name,
                                      .batch_norm = norm,
                                      .reduce = reduce,
                                      .clip = 2,
                                      .size = 16,
                                      .upsample = 1,
                                      .width = rows[i].width};
        graph_t *graph = graph_open(2);
        stream_t x;
        int64_t dim = 0, found = 0;
        CHECK_OK(backbone_input(graph, &modality, 2 * 16 * 16 * 3, &x, &dim));
        assert_int_equal(dim, 8 * rows[i].width);
        for (int p = 0; p < graph_parameter_count(graph); p++) {
            parameter_info_t info = graph_parameter_info(graph, p);
            found = strcmp(info.name, rows[i].stem) == 0 ? info.count : found;
        }
        assert_int_equal(found, rows[i].stem_elements);
        graph_close(graph);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_scaled_by_colour),
        cmocka_unit_test(pictures_are_enlarged),
        cmocka_unit_test(sound_is_turned),
        cmocka_unit_test(steps_of_the_data_have_what_backbones_take),
        cmocka_unit_test(width_is_that_of_all_layers),
    };
    return RUN_TESTS(tests);
}
