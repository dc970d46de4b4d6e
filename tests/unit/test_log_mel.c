/* Log-mel against torch.stft in float64 (tests/reference/write_log_mel.py), and cut out of a longer
 * recording; that of VGGish against numpy (write_vggish_mel.py). */
#include <math.h>
#include <string.h>

#include "check.h"
#include "data-sharding/log_mel.h"
#include "data-sharding/matrix_file.h"
#include "data-sharding/vggish_mel.h"
#include "kernels/base/bytes.h"

/* The formula of write_log_mel.py. */
static float *make_samples(int64_t count) {
    float *samples = alloc_zero(count, sizeof *samples);
    int64_t state = 1;
    for (int64_t i = 0; i < count; i++) {
        state = (state * 1103515245 + 12345) % (INT64_C(1) << 31);
        int64_t sweep = llabs(i * i % 65536 - 32768) - 16384;
        samples[i] = (float)(sweep + (state >> 16) % 2048 - 1024) / 32768.0f;
    }
    return samples;
}

static void check_clip(const char *name, int64_t count, int64_t frames) {
    log_mel_t *mel = log_mel_open();
    float *samples = make_samples(count), *out = alloc_zero(frames * LOG_MEL_BANDS, sizeof *out);
    char *path = text_format(SOURCE_DIR "/tests/golden/vectors/%s", name);
    matrix_t wanted;
    CHECK_OK(matrix_read(path, "", NULL, &wanted));
    assert_int_equal(wanted.rows, frames);
    assert_int_equal(wanted.columns, LOG_MEL_BANDS);
    log_mel_clip(mel, samples, count, out);
    for (int64_t i = 0; i < frames * LOG_MEL_BANDS; i++) {
        /* Both are rounded to float: decibels up to 100 by 4e-6, then divided by 20. */
        assert_true(fabsf(out[i] - wanted.values[i]) <= 1e-6f);
    }
    matrix_free(&wanted);
    free(path);
    free(out);
    free(samples);
    log_mel_close(mel);
}

static void numbers_are_those_of_torch(void **state) {
    (void)state;
    check_clip("log_mel_clip.npy", 47040, 107);
    check_clip("log_mel_short.npy", 5000, 104);
}

static void a_recording_is_transformed_once(void **state) {
    (void)state;
    enum { COUNT = 100000, FIRST = 40, FRAMES = 107, CLIP = 47040 };
    log_mel_t *mel = log_mel_open();
    float *samples = make_samples(COUNT);
    float *whole = alloc_zero(log_mel_frames(COUNT) * LOG_MEL_BANDS, sizeof *whole);
    float *clip = alloc_zero(FRAMES * LOG_MEL_BANDS, sizeof *clip);
    log_mel_decibels(mel, samples, COUNT, whole);
    log_mel_decibels(mel, samples + FIRST * LOG_MEL_HOP, CLIP, clip);
    /* The first and the last frame reach over the clip's ends, where it is mirrored. */
    assert_memory_equal(clip + LOG_MEL_BANDS, whole + (FIRST + 1) * LOG_MEL_BANDS,
                        (FRAMES - 2) * LOG_MEL_BANDS * sizeof *clip);
    free(clip);
    free(whole);
    free(samples);
    log_mel_close(mel);
}

static void ends_and_silence(void **state) {
    (void)state;
    log_mel_t *mel = log_mel_open();
    float *out = alloc_zero(104 * LOG_MEL_BANDS, sizeof *out), silence[1] = {0.0f};
    log_mel_clip(mel, silence, 1, out);
    for (int i = 0; i < 104 * LOG_MEL_BANDS; i++) {
        assert_true(out[i] == (float)((-100.0 + 14.8) / 19.895));
    }
    float *shortest = make_samples(LOG_MEL_SAMPLES_MIN);
    assert_int_equal(log_mel_frames(LOG_MEL_SAMPLES_MIN), 2);
    log_mel_decibels(mel, shortest, LOG_MEL_SAMPLES_MIN, out);
    assert_true(isfinite(out[0]) && isfinite(out[2 * LOG_MEL_BANDS - 1]));
    free(shortest);
    free(out);
    log_mel_close(mel);
}

static void vggish_is_that_of_numpy(void **state) {
    (void)state;
    enum { COUNT = 16000, FRAMES = 98 };
    vggish_mel_t *mel = vggish_mel_open();
    float *samples = make_samples(COUNT), out[FRAMES * VGGISH_MEL_BANDS];
    memset(samples + 8000, 0, 1000 * sizeof *samples);
    matrix_t wanted;
    CHECK_OK(matrix_read(SOURCE_DIR "/tests/golden/vectors/vggish_mel.npy", "", NULL, &wanted));
    assert_int_equal(wanted.rows, FRAMES);
    assert_int_equal(wanted.columns, VGGISH_MEL_BANDS);
    assert_int_equal(vggish_mel_frames(COUNT), FRAMES);
    vggish_mel_log(mel, samples, COUNT, out);
    int silent = 0;
    for (int i = 0; i < FRAMES * VGGISH_MEL_BANDS; i++) {
        assert_true(fabsf(out[i] - wanted.values[i]) <= 1e-6f); /* both rounded to float, up to 5 */
        silent += out[i] == VGGISH_MEL_SILENCE;
    }
    assert_int_equal(silent, 4 * VGGISH_MEL_BANDS); /* 160 f to 160 f + 399 within 8000 to 8999 */
    matrix_free(&wanted);
    free(samples);
    vggish_mel_close(mel);
}

/* A frame hangs on its own samples alone, the last one too: nothing is mirrored or padded. */
static void vggish_frames_stand_alone(void **state) {
    (void)state;
    enum { COUNT = VGGISH_MEL_WINDOW + 7 * VGGISH_MEL_HOP + 159, FRAMES = 8 };
    vggish_mel_t *mel = vggish_mel_open();
    float *samples = make_samples(COUNT), all[FRAMES * VGGISH_MEL_BANDS], one[VGGISH_MEL_BANDS];
    assert_int_equal(vggish_mel_frames(COUNT), FRAMES);
    assert_int_equal(vggish_mel_frames(VGGISH_MEL_WINDOW), 1);
    vggish_mel_log(mel, samples, COUNT, all);
    for (int f = 0; f < FRAMES; f++) {
        vggish_mel_log(mel, samples + (int64_t)f * VGGISH_MEL_HOP, VGGISH_MEL_WINDOW, one);
        assert_memory_equal(one, all + (int64_t)f * VGGISH_MEL_BANDS, sizeof one);
    }
    free(samples);
    vggish_mel_close(mel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_torch),
        cmocka_unit_test(a_recording_is_transformed_once),
        cmocka_unit_test(ends_and_silence),
        cmocka_unit_test(vggish_is_that_of_numpy),
        cmocka_unit_test(vggish_frames_stand_alone),
    };
    return RUN_TESTS(tests);
}
