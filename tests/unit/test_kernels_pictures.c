/* Pictures from bytes by a table's `pictures` are, to the bit, what the host makes of them in
 * float: odd sizes, every way to change them, enlarged or not, masked steps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "trainer/backbone.h"
#include "unit/op_case.h"

enum { STEPS = 5, CLIP = 2, MASKED = 2 };

typedef struct picture_case {
    char augment[16];
    int64_t size, times; /* of the data */
} picture_case_t;

static const picture_case_t cases[] = {
    {"none", 1, 1},   {"none", 5, 1},    {"none", 3, 2},    {"colour", 12, 1},
    {"mirror", 7, 1}, {"mirror", 4, 3},  {"strong", 9, 1},  {"strong", 13, 1},
    {"strong", 6, 2}, {"colour", 11, 2}, {"strong", 16, 1}, {"strong", 45, 1},
};

/* A masked step's are anything. */
static uint8_t byte_at(int64_t i) { return (uint8_t)(i * 2654435761u >> 13); }

static feed_t open_feed(const picture_case_t *c) {
    char backbone[] = "r3d_18", name[] = "face", augment[16];
    memcpy(augment, c->augment, sizeof augment);
    modality_config_t modality = {.name = name,
                                  .backbone = backbone,
                                  .augment = augment,
                                  .clip = CLIP,
                                  .size = c->size * c->times,
                                  .upsample = c->times};
    return feed_open(&modality, TRACK_PIXELS, c->size * c->size * 3);
}

/* By the host's way, from bytes at the end of where the numbers go. */
static float *by_feed(const feed_t *feed, const uint8_t *mask, const chance_t *chance) {
    float *x = alloc_zero(STEPS * feed->step, sizeof *x);
    uint8_t *bytes = feed_bytes(feed, STEPS, x);
    for (int64_t i = 0; i < STEPS * feed->given; i++) {
        bytes[i] = byte_at(i);
    }
    feed_prepare(feed, STEPS, mask, chance, x);
    return x;
}

static void check_bits(const kernels_t *kernels, const feed_t *feed, const uint8_t *mask,
                       const chance_t *chance, const float *wanted) {
    const device_t *device = NULL;
    const bool far = strcmp(kernels->device, "cuda") == 0;
    int64_t count = STEPS * feed->step, bytes_count = STEPS * feed->given;
    size_t out_bytes = (size_t)count * dtype_bytes(kernels->dtype);
    uint8_t *bytes = alloc_zero(bytes_count, 1);
    picture_change_t changes[STEPS];
    void *there[4], *out = alloc_zero((int64_t)out_bytes, 1);
    char *rounded = alloc_zero((int64_t)out_bytes, 1);
    for (int64_t i = 0; i < bytes_count; i++) {
        bytes[i] = byte_at(i);
    }
    feed_changes(feed, STEPS, chance, changes);
    const void *from[] = {bytes, mask, changes};
    const size_t sizes[] = {(size_t)bytes_count, STEPS, sizeof changes, out_bytes};
    CHECK_OK(far ? STATUS_OK : device_open("cpu", 0, 1, &device));
    device = far ? case_gpu() : device;
    for (int i = 0; i < 4; i++) {
        CHECK_OK(device->alloc(device, sizes[i], "a test", &there[i]));
        if (i < 3) {
            device->copy_in(device, there[i], from[i], sizes[i]);
        }
    }
    pictures_call_t call = {.device = device,
                            .dtype = kernels->dtype,
                            .tokens = STEPS,
                            .bytes = there[0],
                            .mask = there[1],
                            .changes = there[2],
                            .out = there[3]};
    feed_describe(feed, &call);
    kernels->pictures(&call);
    device->copy_out(device, out, there[3], out_bytes);
    CHECK_OK(device->check(device));
    dtype_from_float(kernels->dtype, rounded, wanted, count);
    if (memcmp(out, rounded, out_bytes) != 0) {
        for (int64_t i = 0; i < count; i++) {
            double got = dtype_get(kernels->dtype, out, i),
                   want = dtype_get(kernels->dtype, rounded, i);
            if (got != want) {
                fail_msg("element %lld: %.9g instead of %.9g", (long long)i, got, want);
            }
        }
        fail_msg("the sign of a zero differs");
    }
    for (int i = 0; i < 4; i++) {
        device->release(device, there[i]);
    }
    free(bytes);
    free(out);
    free(rounded);
}

static void check_table(const char *backend, dtype_t dtype) {
    uint8_t mask[STEPS];
    for (int i = 0; i < STEPS; i++) {
        mask[i] = i != MASKED;
    }
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        feed_t feed = open_feed(&cases[i]);
        for (uint64_t step = 0; step < 3; step++) {
            const chance_t chance = {11, step, 7 + step};
            float *wanted = by_feed(&feed, mask, step < 2 ? &chance : NULL);
            check_bits(case_table(backend, dtype), &feed, mask, step < 2 ? &chance : NULL, wanted);
            free(wanted);
        }
        feed_close(&feed);
    }
}

static void every_table_makes_the_same_bits(void **state) {
    (void)state;
    check_table(case_on_gpu() ? "cuda" : "ref", DTYPE_F32);
    check_table(case_on_gpu() ? "cuda" : "cpu", DTYPE_BF16);
}

/* A change that is drawn is one that shows: of the same clip, another step draws others. */
static void steps_draw_for_themselves(void **state) {
    (void)state;
    feed_t feed = open_feed(&(picture_case_t){"strong", 9, 1});
    picture_change_t one[STEPS], next[STEPS];
    feed_changes(&feed, STEPS, &(chance_t){1, 2, 3}, one);
    feed_changes(&feed, STEPS, &(chance_t){1, 3, 3}, next);
    for (int t = 0; t < STEPS; t++) {
        assert_memory_not_equal(&one[t], &next[t], sizeof one[t]);
        assert_memory_not_equal(&one[t], &one[(t + 1) % STEPS], sizeof one[t]);
    }
    feed_changes(&feed, STEPS, NULL, one);
    memset(next, 0, sizeof next);
    assert_memory_equal(one, next, sizeof one);
    feed_close(&feed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_makes_the_same_bits),
        cmocka_unit_test(steps_draw_for_themselves),
    };
    return RUN_ON_GPU_OR_HOST(tests);
}
