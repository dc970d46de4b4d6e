/* Clips changed by chance: once a clip, within the published ranges, the same from the same key. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "trainer/augment.h"

enum { FRAMES = 4, SIZE = 9, PICTURE = SIZE * SIZE * 3, CLIPS = 400 };
static const rng_key_t key = {3, 5, 7};

static float scratch[107 * 64]; /* of the largest here */

static void fill(float *x, int64_t frames, bool alike) {
    for (int64_t f = 0; f < frames; f++) {
        for (int64_t i = 0; i < PICTURE; i++) {
            x[f * PICTURE + i] =
                0.5f + 0.45f * sinf(0.7f * (float)i + (alike ? 0.0f : 1.3f * (float)f));
        }
    }
}

static void all_pictures_of_a_clip_are_changed_alike(void **state) {
    (void)state;
    float x[FRAMES * PICTURE], before[FRAMES * PICTURE];
    const augment_rule_t rules[] = {AUGMENT_COLOUR, AUGMENT_STRONG, AUGMENT_MIRROR};
    for (int r = 0; r < ARRAY_LEN(rules); r++) {
        int changed = 0;
        for (uint64_t clip = 0; clip < 50; clip++) {
            fill(x, FRAMES, true);
            memcpy(before, x, sizeof x);
            augment_pictures(rules[r], key, clip, FRAMES, SIZE, scratch, x);
            changed += memcmp(x, before, sizeof x) != 0;
            for (int f = 1; f < FRAMES; f++) {
                assert_memory_equal(x, x + f * PICTURE, PICTURE * sizeof *x);
            }
            for (int i = 0; i < PICTURE; i++) {
                assert_true(x[i] >= 0.0f && x[i] <= 1.0f);
            }
        }
        assert_true(changed >= (rules[r] == AUGMENT_MIRROR ? 15 : 50));
    }
}

static void the_same_key_draws_the_same(void **state) {
    (void)state;
    float a[FRAMES * PICTURE], b[FRAMES * PICTURE];
    int differ = 0;
    for (uint64_t clip = 0; clip < 20; clip++) {
        fill(a, FRAMES, false);
        fill(b, FRAMES, false);
        augment_pictures(AUGMENT_STRONG, key, clip, FRAMES, SIZE, scratch, a);
        augment_pictures(AUGMENT_STRONG, key, clip, FRAMES, SIZE, scratch, b);
        assert_memory_equal(a, b, sizeof a);
        rng_key_t next = key;
        next.turn++;
        fill(b, FRAMES, false);
        augment_pictures(AUGMENT_STRONG, next, clip, FRAMES, SIZE, scratch, b);
        differ += memcmp(a, b, sizeof a) != 0;
    }
    assert_int_equal(differ, 20);
}

/* Of an even grey, brightness is all that shows; of two greys with mean m, contrast is the rest. */
static void colours_are_within_their_ranges(void **state) {
    (void)state;
    double low = 2.0, high = 0.0, flat = 2.0, steep = 0.0;
    for (uint64_t clip = 0; clip < CLIPS; clip++) {
        float x[PICTURE];
        for (int i = 0; i < PICTURE; i++) {
            x[i] = 0.4f;
        }
        augment_pictures(AUGMENT_COLOUR, key, clip, 1, SIZE, scratch, x);
        double bright = (double)x[0] / 0.4;
        low = fmin(low, bright);
        high = fmax(high, bright);
        for (int i = 0; i < PICTURE; i++) {
            x[i] = i / 3 % 2 == 0 ? 0.3f : 0.5f;
        }
        augment_pictures(AUGMENT_COLOUR, key, clip, 1, SIZE, scratch, x);
        double contrast = (double)(x[3] - x[0]) / (0.2 * bright);
        flat = fmin(flat, contrast);
        steep = fmax(steep, contrast);
    }
    assert_true(low >= 0.8 - 1e-6 && low < 0.81 && high <= 1.2 + 1e-6 && high > 1.19);
    assert_true(flat >= 0.8 - 1e-4 && flat < 0.81 && steep <= 1.2 + 1e-4 && steep > 1.19);
}

static void half_of_the_clips_are_mirrored(void **state) {
    (void)state;
    int mirrored = 0;
    for (uint64_t clip = 0; clip < CLIPS; clip++) {
        float x[PICTURE], before[PICTURE];
        fill(x, 1, true);
        memcpy(before, x, sizeof x);
        augment_pictures(AUGMENT_MIRROR, key, clip, 1, SIZE, scratch, x);
        bool turned = memcmp(x, before, sizeof x) != 0;
        mirrored += turned;
        for (int i = 0; i < PICTURE; i++) {
            int row = i / (3 * SIZE), column = i / 3 % SIZE;
            int from = turned ? (row * SIZE + SIZE - 1 - column) * 3 + i % 3 : i;
            assert_true(x[i] == before[from]);
        }
    }
    assert_true(abs(mirrored - CLIPS / 2) < 40); /* four deviations of 10 */
}

/* A bright square in the middle keeps its place, and about its size: 80 to 100 % of the area is
 * brought to full size. */
static void places_stay_near_where_they_were(void **state) {
    (void)state;
    enum { SIDE = 40 };
    float *x = alloc_zero(SIDE * SIDE * 3, sizeof *x);
    for (uint64_t clip = 0; clip < 100; clip++) {
        for (int i = 0; i < SIDE * SIDE; i++) {
            bool inside = abs(i / SIDE - SIDE / 2) < 14 && abs(i % SIDE - SIDE / 2) < 14;
            for (int c = 0; c < 3; c++) {
                x[i * 3 + c] = inside ? 0.9f : 0.1f;
            }
        }
        augment_pictures(AUGMENT_STRONG, key, clip, 1, SIDE, scratch, x);
        int bright = 0;
        float middle = x[(SIDE / 2 * SIDE + SIDE / 2) * 3 + 1];
        for (int i = 0; i < SIDE * SIDE; i++) {
            bright += x[i * 3 + 1] > 0.5f * (x[1] + middle);
        }
        assert_true(bright > 27 * 27 * 9 / 10 && bright < 27 * 27 * 3 / 2);
    }
    free(x);
}

static void sound_keeps_its_end(void **state) {
    (void)state;
    enum { LENGTH = 107, BANDS = 64 };
    float *x = alloc_zero(LENGTH * BANDS, sizeof *x);
    int stretched = 0, silent_frames = 0, silent_bands = 0;
    for (uint64_t clip = 0; clip < CLIPS; clip++) {
        for (int i = 0; i < LENGTH * BANDS; i++) {
            x[i] = 1.0f + (float)(i / BANDS); /* the frame's number */
        }
        augment_sound(AUGMENT_SPECTRUM, key, clip, LENGTH, BANDS, scratch, x);
        int frames = 0, bands = 0;
        for (int f = 0; f < LENGTH; f++) {
            bool all = true;
            for (int b = 0; b < BANDS; b++) {
                all &= x[f * BANDS + b] == 0.0f;
            }
            frames += all;
        }
        for (int b = 0; b < BANDS; b++) {
            bool all = true;
            for (int f = 0; f < LENGTH; f++) {
                all &= x[f * BANDS + b] == 0.0f;
            }
            bands += all;
        }
        assert_true(frames <= 80 && bands <= 10);
        silent_frames += frames > 0;
        silent_bands += bands > 0;
        const float *last = x + (LENGTH - 1) * BANDS, *fourth = x + (LENGTH - 5) * BANDS;
        int at = 0;
        while (at < BANDS - 1 && (last[at] == 0.0f || fourth[at] == 0.0f)) {
            at++;
        }
        if (last[at] != 0.0f && fourth[at] != 0.0f) { /* not silenced */
            float rate = (last[at] - fourth[at]) / 4.0f;
            assert_true(last[at] == (float)LENGTH);
            assert_true(fabsf(rate - 1.0f) < 1e-4f || fabsf(rate - 1.2f) < 1e-4f ||
                        fabsf(rate - 0.9f) < 1e-4f);
            stretched += fabsf(rate - 1.0f) > 0.05f;
        }
    }
    /* 0.6 of them each, less those whose run has length 0, or whose end is silent */
    assert_true(silent_frames > CLIPS / 2 && silent_frames < CLIPS * 7 / 10);
    assert_true(silent_bands > CLIPS * 4 / 10 && silent_bands < CLIPS * 7 / 10);
    assert_true(stretched > CLIPS * 4 / 10 && stretched < CLIPS * 7 / 10);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_pictures_of_a_clip_are_changed_alike),
        cmocka_unit_test(the_same_key_draws_the_same),
        cmocka_unit_test(colours_are_within_their_ranges),
        cmocka_unit_test(half_of_the_clips_are_mirrored),
        cmocka_unit_test(places_stay_near_where_they_were),
        cmocka_unit_test(sound_keeps_its_end),
    };
    return RUN_TESTS(tests);
}
