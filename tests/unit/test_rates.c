/* Rates that nobody would choose, against one event: at 2 s a picture becomes bright and a tone
 * loud. Wherever it is looked for, in what was imported and on the clock of labels of another rate,
 * it has to be at 2 s. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "data-sharding/import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"
#include "unit/media_case.h"
#include "unit/raw_case.h"
#include "unit/raw_import.h"

enum { SIDE = 16, SECONDS = 4, LABELS = 12 };
static const double event_s = 2.0;

/* --- sources ---------------------------------------------------------------------------------- */

/* Times of pictures: even, or 25 a second for a second and then half as many. */
typedef struct frame_clock {
    int num, den;
    bool slows;
} frame_clock_t;

static double time_of(const frame_clock_t *clock, int frame) {
    double even = (double)frame * clock->den / clock->num;
    return clock->slows && frame > 25 ? 1.0 + 2.0 * (even - 1.0) : even;
}

static int tick(const void *context, int frame) {
    const frame_clock_t *clock = context;
    return clock->slows && frame > 25 ? 25 + 2 * (frame - 25) : frame;
}

static double grey(const void *context, int frame, int x, int y) {
    (void)x, (void)y;
    return time_of(context, frame) >= event_s - 1e-9 ? 200.0 : 40.0;
}

static void write_video(const char *source, const frame_clock_t *clock) {
    char *path = place_path(source, "clip.mkv");
    int frames = SECONDS * clock->num / clock->den;
    const media_video_t what = {.width = 2 * SIDE,
                                .height = 2 * SIDE,
                                .fps_num = clock->num,
                                .fps_den = clock->den,
                                .frames = clock->slows ? 75 : frames,
                                .codec = "mjpeg",
                                .tick = tick,
                                .grey = grey,
                                .context = clock};
    assert_int_equal(media_write(path, &what), 0);
    free(path);
}

static void put(uint8_t *to, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

/* A quiet tone that becomes loud; integers of 8 (from 128 on), 16 or 24 bits. */
static void write_wav(const char *source, int rate_hz, int bits) {
    uint32_t width = (uint32_t)bits / 8, count = (uint32_t)(SECONDS * rate_hz);
    uint32_t bytes = 44 + width * count;
    uint8_t *data = alloc_zero(bytes, 1);
    memcpy(data, "RIFF....WAVEfmt ", 16);
    put(data + 4, bytes - 8, 4);
    put(data + 16, 16, 4);
    put(data + 20, 1 | 1U << 16, 4);
    put(data + 24, (uint32_t)rate_hz, 4);
    put(data + 28, width * (uint32_t)rate_hz, 4);
    put(data + 32, width | (uint32_t)bits << 16, 4);
    memcpy(data + 36, "data", 4);
    put(data + 40, width * count, 4);
    for (uint32_t i = 0; i < count; i++) {
        double time = (double)i / rate_hz, level = time < event_s ? 0.02 : 0.6;
        double full = ldexp(1.0, bits - 1) - 1.0;
        int sample = (int)lround(full * level * sin(2.0 * M_PI * 1000.0 * time));
        put(data + 44 + width * i, (uint32_t)(bits == 8 ? sample + 128 : sample), (int)width);
    }
    place_write(source, "Stimme ß.wav", data, bytes);
    free(data);
}

/* name: of the only column; row k holds k. */
static void write_rows(const char *source, const char *file, const char *name, int rows) {
    char *text = text_format("%s\n", name);
    for (int i = 0; i < rows; i++) {
        char *longer = text_format("%s%d\n", text, i);
        free(text);
        text = longer;
    }
    raw_write_text(source, file, text);
    free(text);
}

static void write_manifest(const char *source, const char *rate) {
    char *text = text_format("recording,subject,group,modality,rate_hz,path\n"
                             "a,A,,video:face,%s,clip.mkv\na,A,,audio:voice,,Stimme ß.wav\n"
                             "a,A,,signal:eda,7,eda.csv\na,A,,label:y,3,y.csv\n",
                             rate);
    raw_write_text(source, "manifest.csv", text);
    free(text);
}

static void import(const char *place) {
    static const char *const sets[] = {"size=16", "strict=1"};
    CHECK_OK(run_import("media", place, sets, 2));
}

/* --- what is looked at ------------------------------------------------------------------------ */

static bool bright(const uint8_t *rgb) { return rgb[(SIDE / 2 * SIDE + SIDE / 2) * 3] > 120; }

static double loudest(const float *bands) {
    double top = -INFINITY;
    for (int b = 0; b < 64; b++) {
        top = fmax(top, bands[b]);
    }
    return top;
}

/* Between 0.02 and 0.6 lie 29.5 dB; windows of 20 ms see the event from 10 ms before on. */
static void check_sound(const dataset_t *dataset, int rate_hz) {
    taken_t voice = take(dataset, 0, "voice", false);
    assert_true(voice.span.rate_hz == 100.0 && voice.span.start_s == 0.0);
    const float *bands = voice.values;
    double before = loudest(bands + 100 * 64), behind = loudest(bands + 300 * 64);
    if (fabs(behind - before - 20.0 * log10(30.0)) > 1.0) {
        fail_msg("%d Hz: %.2f dB and %.2f dB", rate_hz, before, behind);
    }
    for (int f = 10; f < 390; f++) {
        double level = loudest(bands + f * 64);
        if (f <= 198 ? level > before + 1.0 : f >= 202 && level < behind - 1.0) {
            fail_msg("%d Hz: frame %d has %.2f dB", rate_hz, f, level);
        }
    }
    taken_free(&voice);
}

static void check_pictures(const dataset_t *dataset, const frame_clock_t *clock, double rate_hz) {
    taken_t face = take(dataset, 0, "face", false);
    assert_true(fabs(face.span.rate_hz - rate_hz) < 1e-9 * rate_hz);
    for (int64_t i = 0; i < face.span.length; i++) {
        double shown_s = (double)i / rate_hz, last_s = 0.0;
        for (int frame = 0; time_of(clock, frame) <= shown_s + 1e-3; frame++) {
            last_s = time_of(clock, frame);
        }
        if (bright(picture(&face, i)) != (last_s >= event_s - 1e-9)) {
            fail_msg("%d/%d: picture %d is not that of %.4f s", clock->num, clock->den, (int)i,
                     last_s);
        }
    }
    taken_free(&face);
}

/* On the clock of labels, three a second: each shows the last sample known at its time. */
static void check_clock(const char *place, double fps) {
    static const char *const names[] = {"face", "eda", "voice"}, *const targets[] = {"y"};
    char *path = place_path(place, "data");
    dataset_config_t config = {.path = path,
                               .window = LABELS,
                               .modalities = names,
                               .modality_count = 3,
                               .targets = targets,
                               .target_count = 1};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    uint8_t pictures[LABELS * SIDE * SIDE * 3], masks[3][LABELS];
    float eda[LABELS], voice[LABELS * 64], y[LABELS], *target[] = {y};
    void *tokens[] = {pictures, eda, voice};
    uint8_t *mask[] = {masks[0], masks[1], masks[2]};
    dataset_scratch_t *scratch = dataset_scratch_open(dataset);
    CHECK_OK(dataset_read_tokens(dataset, SPLIT_TRAIN, 0, scratch, tokens, mask, target));
    for (int j = 0; j < LABELS; j++) {
        double time = j / 3.0, shown = floor(time * fps + 1e-6) / fps;
        assert_true(masks[0][j] == 1 && masks[1][j] == 1 && masks[2][j] == 1 && y[j] == (float)j);
        assert_true(eda[j] == (float)floor(time * 7.0 + 1e-6));
        assert_int_equal(bright(pictures + (size_t)j * SIDE * SIDE * 3), shown >= event_s - 1e-9);
        bool loud = loudest(voice + (size_t)j * 64) > loudest(voice + 64) + 10.0;
        assert_true(j == 6 || loud == (j > 6)); /* label 6 is at the event itself */
    }
    dataset_scratch_close(scratch);
    dataset_close(dataset);
    free(path);
}

static void an_event_stays_where_it_is(void **state) {
    (void)state;
    static const struct {
        frame_clock_t clock;
        int sound_hz, bits;
    } cases[] = {
        {{30000, 1001, false}, 11025, 8}, {{24000, 1001, false}, 22050, 24},
        {{15000, 1001, false}, 8000, 16}, {{30, 1, false}, 48000, 24},
        {{25, 2, false}, 44100, 8},
    };
    char *place = place_make(), *source = place_path(place, "source");
    CHECK_OK(dir_make(source));
    write_rows(source, "eda.csv", "eda", SECONDS * 7);
    write_rows(source, "y.csv", "y", LABELS);
    write_manifest(source, "");
    for (int c = 0; c < ARRAY_LEN(cases); c++) {
        double fps = (double)cases[c].clock.num / cases[c].clock.den;
        write_video(source, &cases[c].clock);
        write_wav(source, cases[c].sound_hz, cases[c].bits);
        import(place);
        dataset_t *dataset = open_data(place);
        check_sound(dataset, cases[c].sound_hz);
        check_pictures(dataset, &cases[c].clock, fps);
        dataset_close(dataset);
        check_clock(place, fps);
    }
    free(source);
    place_remove(place);
}

/* Of a video that slows down, brought to 25 pictures a second: each lasts until the next one. */
static void uneven_pictures_keep_their_times(void **state) {
    (void)state;
    const frame_clock_t clock = {25, 1, true};
    char *place = place_make(), *source = place_path(place, "source");
    CHECK_OK(dir_make(source));
    write_rows(source, "eda.csv", "eda", SECONDS * 7);
    write_rows(source, "y.csv", "y", LABELS);
    write_manifest(source, "25");
    write_video(source, &clock);
    write_wav(source, 16000, 16);
    import(place);
    dataset_t *dataset = open_data(place);
    check_pictures(dataset, &clock, 25.0);
    dataset_close(dataset);
    free(source);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_stays_where_it_is),
        cmocka_unit_test(uneven_pictures_keep_their_times),
    };
    return RUN_TESTS(tests);
}
