/* Sound at other rates: a tone stays the tone, the end is there, what is not finite is refused. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"
#include "data-sharding/audio.h"
#include "kernels/base/bytes.h"

static audio_t tone(int rate_hz, double hz, int64_t count) {
    audio_t audio = {rate_hz, count, alloc_zero(count, sizeof(float))};
    for (int64_t i = 0; i < count; i++) {
        audio.samples[i] = (float)(0.5 * sin(2.0 * M_PI * hz * (double)i / rate_hz));
    }
    return audio;
}

static void a_tone_keeps_its_time(void **state) {
    (void)state;
    static const int rates[][2] = {{48000, 44100}, {44100, 48000}, {8000, 44100}, {11127, 44100},
                                   {96000, 16000}, {44099, 44100}, {22050, 44100}};
    for (int r = 0; r < ARRAY_LEN(rates); r++) {
        audio_t audio = tone(rates[r][0], 1000.0, rates[r][0]);
        CHECK_OK(audio_resample("it", &audio, rates[r][1]));
        assert_int_equal(audio.rate_hz, rates[r][1]);
        assert_int_equal(audio.count, rates[r][1]);
        double most = 0.0;
        for (int64_t i = audio.count / 10; i < audio.count * 9 / 10; i++) {
            double wanted = 0.5 * sin(2.0 * M_PI * 1000.0 * (double)i / audio.rate_hz);
            most = fmax(most, fabs(audio.samples[i] - wanted));
        }
        assert_true(most < 1e-4); /* 74 dB below; the filter has 121 dB in its stop band */
        audio_free(&audio);
    }
}

static void short_and_far_rates(void **state) {
    (void)state;
    for (int64_t count = 1; count < 40; count++) {
        audio_t audio = tone(8000, 1000.0, count);
        CHECK_OK(audio_resample("it", &audio, 44100));
        assert_int_equal(audio.count, llround((double)count * 44100 / 8000));
        CHECK_OK(audio_resample("it", &audio, 200));
        assert_true(audio.count >= 1);
        audio_free(&audio);
    }
    audio_t audio = tone(768000, 1000.0, 100);
    CHECK_FAILS(audio_resample("it", &audio, 100), STATUS_INPUT, "cannot be brought to 100 Hz");
    assert_int_equal(audio.count, 100);
    CHECK_OK(audio_resample("it", &audio, 768000));
    audio_free(&audio);
}

/* Behind the end there is silence: with zeros there, the same samples come, the last one too. */
static void the_end_is_as_before_silence(void **state) {
    (void)state;
    static const int rates[][2] = {{8000, 44100},  {44100, 16000}, {44100, 48000},
                                   {44099, 44100}, {768000, 3000}, {3000, 768000}};
    for (int r = 0; r < ARRAY_LEN(rates); r++) {
        for (int64_t count = 1; count < 60; count++) {
            audio_t audio = {rates[r][0], count, alloc_zero(count, sizeof(float))};
            audio_t longer = {rates[r][0], count + 3000, alloc_zero(count + 3000, sizeof(float))};
            for (int64_t i = 0; i < count; i++) {
                audio.samples[i] = longer.samples[i] = 1.0f;
            }
            CHECK_OK(audio_resample("it", &audio, rates[r][1]));
            CHECK_OK(audio_resample("it", &longer, rates[r][1]));
            for (int64_t i = 0; i < audio.count; i++) { /* rounding to float, once */
                assert_true(fabsf(audio.samples[i] - longer.samples[i]) <= FLT_EPSILON);
            }
            audio_free(&audio);
            audio_free(&longer);
        }
    }
}

static void what_is_not_finite_is_refused(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < ARRAY_LEN(bad); b++) {
        for (int same = 0; same < 2; same++) {
            audio_t audio = tone(8000, 1000.0, 100);
            audio.samples[99] = bad[b];
            CHECK_FAILS(audio_resample("it", &audio, same ? 8000 : 44100), STATUS_INPUT,
                        "it: the sound holds numbers that are not finite");
            assert_true(audio.rate_hz == 8000 && audio.count == 100);
            audio_free(&audio);
        }
    }
    audio_t loud = tone(8000, 1000.0, 100); /* finite, but not between its samples */
    for (int i = 0; i < 100; i++) {
        loud.samples[i] = i / 2 % 2 == 0 ? FLT_MAX : -FLT_MAX;
    }
    CHECK_FAILS(audio_resample("it", &loud, 44100), STATUS_INPUT, "too loud to be resampled");
    assert_true(loud.rate_hz == 8000 && loud.samples[0] == FLT_MAX);
    audio_free(&loud);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tone_keeps_its_time),
        cmocka_unit_test(short_and_far_rates),
        cmocka_unit_test(the_end_is_as_before_silence),
        cmocka_unit_test(what_is_not_finite_is_refused),
    };
    return RUN_TESTS(tests);
}
