/* Sound made worse: noise of the power asked for on what is heard, through an import; and silence,
 * which must be what an import makes of a sound of zeros. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "data-sharding/import.h"
#include "data-sharding/log_mel.h"
#include "data-sharding/manifest.h"
#include "data-sharding/sound_noise.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"
#include "unit/raw_case.h"
#include "unit/raw_import.h"

enum { COUNT = 1 << 17, RATE_HZ = 44100 };

static audio_t tone(void) {
    audio_t audio = {RATE_HZ, COUNT, alloc_zero(COUNT, sizeof(float))};
    for (int i = 0; i < COUNT; i++) {
        audio.samples[i] = 0.3f * sinf(0.05f * (float)i);
    }
    return audio;
}

/* What was added, in memory of the caller's. */
static float *added(double db, double seed) {
    const sound_noise_t noise = sound_noise_of(db, seed);
    audio_t clean = tone(), noisy = tone();
    sound_noise_add(&noise, &noisy);
    for (int i = 0; i < COUNT; i++) {
        noisy.samples[i] -= clean.samples[i];
    }
    audio_free(&clean);
    return noisy.samples;
}

static double power_of(const float *samples) {
    double power = 0.0;
    for (int i = 0; i < COUNT; i++) {
        power += (double)samples[i] * (double)samples[i] / COUNT;
    }
    return power;
}

static void noise_has_the_power_asked_for(void **state) {
    (void)state;
    const double levels[] = {30.0, 0.0, -20.0};
    audio_t clean = tone();
    double signal = power_of(clean.samples);
    for (int l = 0; l < ARRAY_LEN(levels); l++) {
        float *noise = added(levels[l], 1.0);
        double power = power_of(noise), mean = 0.0, next = 0.0;
        for (int i = 1; i < COUNT; i++) {
            mean += (double)noise[i] / COUNT;
            next += (double)noise[i] * (double)noise[i - 1] / COUNT;
        }
        /* variance within 5 sqrt(2 / n), 2 %; mean and products of neighbours: 5 / sqrt(n) */
        assert_true(fabs(signal / power / pow(10.0, levels[l] / 10.0) - 1.0) < 0.02);
        assert_true(fabs(mean) < 5.0 * sqrt(power / COUNT));
        assert_true(fabs(next) < 5.0 * power / sqrt(COUNT));
        free(noise);
    }
    audio_free(&clean);
}

static void one_noise_at_every_level(void **state) {
    (void)state;
    float *soft = added(20.0, 1.0), *loud = added(0.0, 1.0), *other = added(0.0, 2.0);
    double product = 0.0;
    for (int i = 0; i < COUNT; i++) {
        assert_true(fabs((double)loud[i] - 10.0 * (double)soft[i]) < 1e-5);
        product += (double)loud[i] * (double)other[i] / COUNT;
    }
    assert_true(fabs(product) < 5.0 * power_of(loud) / sqrt(COUNT));
    free(soft);
    free(loud);
    free(other);
}

static void nothing_is_added_to_silence(void **state) {
    (void)state;
    const sound_noise_t loud = sound_noise_of(-200.0, 0.0), none = sound_noise_of(200.0, 0.0);
    float zeros[100] = {0};
    audio_t silent = {RATE_HZ, 100, zeros}, noisy = tone(), clean = tone();
    sound_noise_add(&loud, &silent);
    for (int i = 0; i < 100; i++) {
        assert_true(zeros[i] == 0.0f);
    }
    sound_noise_add(&none, &noisy);
    assert_memory_equal(noisy.samples, clean.samples, COUNT * sizeof(float));
    audio_free(&noisy);
    audio_free(&clean);
}

/* --- through an import ------------------------------------------------------------------------ */

static void imported_with_noise(void **state) {
    (void)state;
    static const char *const sets[][2] = {{"noise_db=200", "threads=1"},
                                          {"noise_db=0", "threads=1"},
                                          {"noise_db=0", "threads=3"},
                                          {"noise_db=0", "noise_seed=1"}};
    char *place = place_make(), *source = place_path(place, "source"), identity[4][65];
    char *data = place_path(place, "data");
    raw_media(source);
    raw_write_text(source, "manifest.csv",
                   "recording,subject,group,modality,rate_hz,path\n"
                   "a,A,,audio:v,,two.wav\nb,B,,audio:v,,two.wav\n");
    for (int s = 0; s < ARRAY_LEN(sets); s++) {
        manifest_t manifest;
        CHECK_OK(run_import("media", place, sets[s], 2));
        dataset_t *dataset = open_data(place);
        memcpy(identity[s], dataset_identity(dataset), 65);
        dataset_close(dataset);
        CHECK_OK(manifest_read(data, &manifest));
        assert_true((strstr(manifest.facts, "\"noise_db\": 0") != NULL) == (s > 0));
        manifest_free(&manifest);
    }
    assert_string_not_equal(identity[0], identity[1]);
    assert_string_equal(identity[1], identity[2]);
    assert_string_not_equal(identity[1], identity[3]);
    dataset_t *dataset = open_data(place); /* one sound, one noise */
    taken_t first = take(dataset, 0, "v", false), second = take(dataset, 1, "v", false);
    assert_memory_equal(first.values, second.values,
                        (size_t)(first.span.length * LOG_MEL_BANDS) * sizeof(float));
    /* A voice in few bands, and as much noise in all: those without it are no longer quiet. */
    double least = INFINITY;
    for (int64_t i = LOG_MEL_BANDS * 10; i < LOG_MEL_BANDS * (first.span.length - 10); i++) {
        least = fmin(least, ((float *)first.values)[i]);
    }
    assert_true(least > -60.0);
    taken_free(&first);
    taken_free(&second);
    dataset_close(dataset);
    raw_write_text(source, "manifest.csv",
                   "recording,subject,group,modality,rate_hz,path\na,A,,video:f,25,two\n");
    expect_refused("media", place, "noise_db=0", "has no audio: or vggish: for noise_db");
    free(data);
    free(source);
    place_remove(place);
}

/* One second of zeros, as a 16-bit WAV and as a signal. */
static void write_zeros(const char *source) {
    enum { SAMPLES = 44100, BYTES = 44 + 2 * SAMPLES, ROWS = 64 };
    char *wav = place_path(source, "zeros.wav"), *data = NULL, text[8 + 2 * ROWS] = "eda\n";
    size_t bytes = 0;
    raw_write_wav(wav, 5, 1.0);
    CHECK_OK(file_read(wav, &data, &bytes));
    assert_int_equal(bytes, BYTES);
    memset(data + 44, 0, 2 * SAMPLES);
    place_write(source, "zeros.wav", data, bytes);
    for (int i = 0; i < ROWS; i++) {
        strcat(text, "0\n");
    }
    raw_write_text(source, "zeros.csv", text);
    raw_write_text(source, "y.csv", "y\n1\n2\n3\n4\n");
    free(data);
    free(wav);
}

/* clip 1: as numbers, which are scaled for the person; else as its backbones take it. */
static void check_silence(const char *path, const char *name, int64_t clip, bool person) {
    const char *const names[] = {name}, *const targets[] = {"y"};
    const clip_config_t clips[] = {{clip, 1}};
    dataset_config_t config = {.path = path,
                               .window = 3,
                               .split_seed = 1,
                               .standardize_person = person,
                               .modalities = names,
                               .modality_count = 1,
                               .clips = clips,
                               .targets = targets,
                               .target_count = 1};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    int64_t dim = dataset_modality(dataset, 0).dim;
    float *tokens = alloc_zero(3 * clip * dim, sizeof *tokens), *silence = alloc_zero(dim, 4), y[3];
    float *target[] = {y};
    uint8_t mask[3], *masks[] = {mask};
    void *all[] = {tokens};
    dataset_scratch_t *scratch = dataset_scratch_open(dataset);
    assert_true(dataset_has_silence(dataset, 0));
    CHECK_OK(dataset_read_tokens(dataset, SPLIT_TRAIN, 0, scratch, all, masks, target));
    dataset_silence(dataset, SPLIT_TRAIN, 0, 0, silence);
    for (int64_t i = 0; i < 3 * clip * dim; i++) {
        bool there = mask[i / (clip * dim)] != 0; /* VGGish's first frame ends after 25 ms */
        assert_true(there || i < clip * dim);
        assert_true(tokens[i] == (there ? silence[i % dim] : 0.0f));
    }
    dataset_scratch_close(scratch);
    dataset_close(dataset);
    free(tokens);
    free(silence);
}

static void silence_is_what_zeros_make(void **state) {
    (void)state;
    char *place = place_make(), *source = place_path(place, "source");
    char *data = place_path(place, "data");
    raw_media(source);
    write_zeros(source);
    raw_write_text(source, "manifest.csv",
                   "recording,subject,group,modality,rate_hz,path\n"
                   "a,A,,audio:voice,,zeros.wav\na,A,,vggish:ear,,zeros.wav\n"
                   "a,A,,signal:eda,64,zeros.csv\na,A,,label:y,4,y.csv\n"
                   "b,A,,audio:voice,,two.wav\nb,A,,vggish:ear,,two.wav\n"
                   "b,A,,signal:eda,64,one_eda.csv\n");
    raw_write_text(source, "one_eda.csv", "eda\n3\n4\n5\n");
    CHECK_OK(run_import("media", place, NULL, 0));
    static const char *const names[] = {"voice", "ear", "eda"};
    for (int n = 0; n < ARRAY_LEN(names); n++) {
        for (int person = 0; person < 2; person++) {
            check_silence(data, names[n], 1, person != 0);
            check_silence(data, names[n], 16, person != 0);
        }
    }
    free(data);
    free(source);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_has_the_power_asked_for), cmocka_unit_test(one_noise_at_every_level),
        cmocka_unit_test(nothing_is_added_to_silence),   cmocka_unit_test(imported_with_noise),
        cmocka_unit_test(silence_is_what_zeros_make),
    };
    return RUN_TESTS(tests);
}
