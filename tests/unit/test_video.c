/* Pictures, times and sound out of .mp4, .avi and .mkv; every cut is noticed. */
#include "data-sharding/video.h"

#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"
#include "unit/media_case.h"

static const media_video_t ordinary = {.width = 64,
                                       .height = 48,
                                       .fps_num = 25,
                                       .fps_den = 1,
                                       .frames = 23,
                                       .codec = "mpeg4",
                                       .rate_hz = 44100,
                                       .audio_codec = "pcm_s16le",
                                       .samples = 44100};

typedef struct opened {
    archive_t *archive;
    archive_member_t *member;
} opened_t;

static opened_t open_member(const char *folder, const char *name) {
    opened_t it = {0};
    CHECK_OK(archive_open(folder, &it.archive));
    int64_t index = archive_find(it.archive, name);
    assert_true(index >= 0);
    CHECK_OK(archive_member_open(it.archive, index, &it.member));
    return it;
}

static void close_member(opened_t *it) {
    archive_member_close(it->member);
    archive_close(it->archive);
}

static void check_pictures(const opened_t *it, const media_video_t *what) {
    video_t *video = NULL;
    double fps = (double)what->fps_num / what->fps_den, time_s = 0.0;
    bool end = false;
    CHECK_OK(video_open("it", it->member, &video));
    const video_info_t *info = video_info(video);
    assert_int_equal(info->width, what->width);
    assert_int_equal(info->height, what->height);
    assert_true(fabs(info->fps - fps) < 1e-3 * fps);
    assert_int_equal(info->has_audio, what->rate_hz > 0);
    uint8_t *rgb = alloc_zero((int64_t)what->width * what->height * 3, 1);
    for (int i = 0; i < what->frames; i++) {
        CHECK_OK(video_next(video, rgb, &time_s, &end));
        assert_false(end);
        assert_true(fabs(time_s - i / fps) < 2e-3); /* a .mkv counts in milliseconds */
        for (int k = 0; k < 3 * what->width * what->height; k++) {
            assert_true(abs(rgb[k] - media_level(i)) <= 3);
        }
    }
    CHECK_OK(video_next(video, rgb, &time_s, &end));
    assert_true(end);
    free(rgb);
    video_close(video);
}

static void check_sound(const opened_t *it, const media_video_t *what, double tolerance) {
    audio_t audio;
    double start_s = -1.0;
    CHECK_OK(video_audio("it", it->member, &audio, &start_s));
    assert_int_equal(audio.rate_hz, what->rate_hz);
    assert_true(audio.count >= what->samples && audio.count < what->samples + 2048);
    int64_t first = llround(start_s * audio.rate_hz);
    assert_true(first >= -2048 && first <= 0);
    for (int i = 3000; i < what->samples - 3000; i++) {
        assert_true(fabs(audio.samples[i - first] - media_tone(i, audio.rate_hz)) <= tolerance);
    }
    audio_free(&audio);
}

static void every_container_is_read(void **state) {
    (void)state;
    static const struct {
        const char *name, *codec, *audio_codec;
        int fps_num, fps_den;
        double tolerance;
    } cases[] = {
        {"a.mp4", "mpeg4", "aac", 30, 1, 0.02},
        {"b.mp4", "libx264", "aac", 30000, 1001, 0.02},
        {"c.avi", "mjpeg", "pcm_s16le", 25, 1, 2e-5},
        {"d.mkv", "mpeg4", "pcm_s16le", 24, 1, 2e-5},
        {"e.mov", "mjpeg", "pcm_s16le", 10, 1, 2e-5},
        {"f.mp4", "mpeg4", NULL, 25, 1, 0},
    };
    char *place = place_make();
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        media_video_t what = ordinary;
        what.codec = cases[i].codec;
        what.fps_num = cases[i].fps_num;
        what.fps_den = cases[i].fps_den;
        what.audio_codec = cases[i].audio_codec;
        what.rate_hz = cases[i].audio_codec != NULL ? what.rate_hz : 0;
        char *path = place_path(place, cases[i].name);
        if (media_write(path, &what) == MEDIA_CODEC_ABSENT) {
            print_message("# without %s\n", cases[i].codec);
        } else {
            opened_t it = open_member(place, cases[i].name);
            check_pictures(&it, &what);
            if (what.rate_hz > 0) {
                check_sound(&it, &what, cases[i].tolerance);
            } else {
                audio_t audio;
                double start_s;
                CHECK_FAILS(video_audio("it", it.member, &audio, &start_s), STATUS_INPUT,
                            "has no sound");
            }
            close_member(&it);
        }
        free(path);
    }
    place_remove(place);
}

static void odd_sizes_and_sound_alone(void **state) {
    (void)state;
    char *place = place_make(), *path = place_path(place, "odd.avi");
    char *wav = place_path(place, "sound.wav");
    media_video_t what = ordinary;
    what.width = 35;
    what.height = 21;
    what.codec = "mjpeg";
    assert_int_equal(media_write(path, &what), 0);
    opened_t it = open_member(place, "odd.avi");
    check_pictures(&it, &what);
    close_member(&it);
    what.frames = 0;
    assert_int_equal(media_write(wav, &what), 0);
    it = open_member(place, "sound.wav");
    check_sound(&it, &what, 2e-5);
    video_t *video = NULL;
    CHECK_FAILS(video_open("it", it.member, &video), STATUS_INPUT, "has no pictures");
    close_member(&it);
    free(wav);
    free(path);
    place_remove(place);
}

/* Frames up to the end or the first error. */
static status_t read_all(const archive_member_t *member, int *frames_out) {
    video_t *video = NULL;
    *frames_out = 0;
    TRY(video_open("it", member, &video));
    const video_info_t *info = video_info(video);
    uint8_t *rgb = alloc_zero((int64_t)info->width * info->height * 3, 1);
    status_t status = STATUS_OK;
    bool end = false;
    double time_s = 0.0;
    while (status == STATUS_OK && !end) {
        status = video_next(video, rgb, &time_s, &end);
        *frames_out += status == STATUS_OK && !end;
    }
    free(rgb);
    video_close(video);
    return status;
}

static void cuts_are_noticed(void **state) {
    (void)state;
    static const char *const names[] = {"a.mp4", "b.avi", "c.mkv"};
    for (int n = 0; n < ARRAY_LEN(names); n++) {
        char *place = place_make(), *path = place_path(place, names[n]), *data = NULL;
        size_t bytes = 0;
        media_video_t what = ordinary;
        what.rate_hz = 0;
        assert_int_equal(media_write(path, &what), 0);
        CHECK_OK(file_read(path, &data, &bytes));
        for (size_t percent = 0; percent <= 100; percent += 2) {
            int frames = 0;
            place_write(place, names[n], data, bytes * percent / 100);
            opened_t it = open_member(place, names[n]);
            status_t status = read_all(it.member, &frames);
            if (percent == 100) {
                CHECK_OK(status);
                assert_int_equal(frames, what.frames);
            } else {
                assert_int_equal(status, STATUS_INPUT);
                assert_non_null(strstr(status_text(), "it: "));
            }
            close_member(&it);
        }
        free(data);
        free(path);
        place_remove(place);
    }
}

/* Any damage gives frames or one line; AddressSanitizer looks on. */
static void damage_is_survived(void **state) {
    (void)state;
    char *place = place_make(), *path = place_path(place, "a.mp4"), *data = NULL;
    size_t bytes = 0;
    media_video_t what = ordinary;
    what.width = what.height = 16;
    what.frames = 5;
    what.audio_codec = "aac";
    what.samples = 4000;
    assert_int_equal(media_write(path, &what), 0);
    CHECK_OK(file_read(path, &data, &bytes));
    for (size_t i = 0; i < bytes; i += 1 + bytes / 300) {
        int frames = 0;
        audio_t audio;
        double start_s;
        data[i] ^= (char)(1 << i % 8);
        place_write(place, "a.mp4", data, bytes);
        opened_t it = open_member(place, "a.mp4");
        if (read_all(it.member, &frames) != STATUS_OK) {
            assert_non_null(strstr(status_text(), "it: "));
        }
        if (video_audio("it", it.member, &audio, &start_s) == STATUS_OK) {
            audio_free(&audio);
        }
        close_member(&it);
        data[i] ^= (char)(1 << i % 8);
    }
    free(data);
    free(path);
    place_remove(place);
}

static void turned_pictures_are_refused(void **state) {
    (void)state;
    static const char quarter[] = "\0\0\0\0\0\1\0\0\0\0\0\0\377\377\0\0\0\0\0\0";
    char *place = place_make(), *path = place_path(place, "a.mp4"), *data = NULL;
    size_t bytes = 0;
    int frames = 0;
    media_video_t what = ordinary;
    what.rate_hz = 0;
    assert_int_equal(media_write(path, &what), 0);
    CHECK_OK(file_read(path, &data, &bytes));
    char *header = memmem(data, bytes, "tkhd", 4);
    assert_non_null(header);
    memcpy(header + 44, quarter, sizeof quarter - 1); /* the track's matrix */
    place_write(place, "a.mp4", data, bytes);
    opened_t it = open_member(place, "a.mp4");
    CHECK_FAILS(read_all(it.member, &frames), STATUS_INPUT, "stored turned");
    close_member(&it);
    free(data);
    free(path);
    place_remove(place);
}

static void foreign_files_are_refused(void **state) {
    (void)state;
    static const char list[] = "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n";
    static const char concat[] = "ffconcat version 1.0\nfile /etc/hostname\n";
    const struct {
        const char *data;
        size_t bytes;
    } cases[] = {{"", 0}, {"some text", 9}, {list, sizeof list - 1}, {concat, sizeof concat - 1}};
    char *place = place_make();
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        audio_t audio;
        double start_s;
        int frames = 0;
        place_write(place, "it.mp4", cases[i].data, cases[i].bytes);
        opened_t it = open_member(place, "it.mp4");
        CHECK_FAILS(read_all(it.member, &frames), STATUS_INPUT, "no video or sound file");
        CHECK_FAILS(video_audio("it", it.member, &audio, &start_s), STATUS_INPUT, "it: ");
        close_member(&it);
    }
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_container_is_read),
        cmocka_unit_test(odd_sizes_and_sound_alone),
        cmocka_unit_test(cuts_are_noticed),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(turned_pictures_are_refused),
        cmocka_unit_test(foreign_files_are_refused),
    };
    return RUN_TESTS(tests);
}
