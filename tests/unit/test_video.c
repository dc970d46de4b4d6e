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

/* Colours run into each other where quarters meet: of those, within a block of the coding there. */
static void check_colours(const media_video_t *what, int frame, const uint8_t *rgb, int tolerance) {
    int margin = what->matrix == 0 ? 0 : 8;
    for (int y = 0; y < what->height; y++) {
        for (int x = 0; x < what->width; x++) {
            int right = x - what->width / 2, below = y - what->height / 2;
            bool inside =
                (right < -margin || right >= margin) && (below < -margin || below >= margin);
            uint8_t wanted[3];
            media_colour(what, frame, 2 * (below >= 0) + (right >= 0), wanted);
            const uint8_t *at = rgb + 3 * ((int64_t)y * what->width + x);
            for (int c = 0; c < 3; c++) {
                if (inside && abs(at[c] - wanted[c]) > tolerance) {
                    fail_msg("%s, picture %d at %d,%d: colour %d is %d, not %d", what->codec, frame,
                             x, y, c, at[c], wanted[c]);
                }
            }
        }
    }
}

static void check_pictures(const opened_t *it, const media_video_t *what, int tolerance) {
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
        check_colours(what, i, rgb, tolerance);
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
        {"g.webm", "libvpx", NULL, 25, 1, 0},
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
            check_pictures(&it, &what, 3);
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

/* Rounding Y, Cb and Cr puts a colour off by 0.58 + 1.06 at most (limited range: 0.5 by 255/219 and
 * by 255/224 * 1.856), the conversion and its rounding by 1 more; a lossy coding by its step. */
static void colours_are_those_of_the_file(void **state) {
    (void)state;
    static const struct {
        const char *name, *codec;
        int matrix;
        bool full_range;
        int tolerance;
    } cases[] = {
        {"a.mkv", "ffv1", 601, false, 3},    {"b.mkv", "ffv1", 709, false, 3},
        {"c.mkv", "ffv1", 601, true, 3},     {"d.mkv", "ffv1", 709, true, 3},
        {"e.mp4", "libx264", 709, false, 5}, {"f.mp4", "mpeg4", 601, false, 5},
        {"g.avi", "mjpeg", 601, true, 5},
    };
    char *place = place_make();
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *path = place_path(place, cases[i].name);
        media_video_t what = ordinary;
        what.rate_hz = 0;
        what.codec = cases[i].codec;
        what.matrix = cases[i].matrix;
        what.full_range = cases[i].full_range;
        if (media_write(path, &what) == MEDIA_CODEC_ABSENT) {
            print_message("# without %s\n", cases[i].codec);
        } else {
            opened_t it = open_member(place, cases[i].name);
            check_pictures(&it, &what, cases[i].tolerance);
            close_member(&it);
        }
        free(path);
    }
    place_remove(place);
}

static void sound_alone(void **state) {
    (void)state;
    static const struct {
        const char *name, *codec;
        double tolerance;
    } cases[] = {{"a.wav", "pcm_s16le", 2e-5},
                 {"b.flac", "flac", 2e-5},
                 {"c.m4a", "aac", 0.02},
                 {"d.mkv", "pcm_s16le", 2e-5}};
    char *place = place_make();
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        char *path = place_path(place, cases[i].name);
        media_video_t what = ordinary;
        video_t *video = NULL;
        what.frames = 0;
        what.audio_codec = cases[i].codec;
        assert_int_equal(media_write(path, &what), 0);
        opened_t it = open_member(place, cases[i].name);
        check_sound(&it, &what, cases[i].tolerance);
        CHECK_FAILS(video_open("it", it.member, &video), STATUS_INPUT, "has no pictures");
        close_member(&it);
        free(path);
    }
    place_remove(place);
}

static void odd_sizes(void **state) {
    (void)state;
    char *place = place_make(), *path = place_path(place, "odd.avi");
    media_video_t what = ordinary;
    what.width = 35;
    what.height = 21;
    what.codec = "mjpeg";
    assert_int_equal(media_write(path, &what), 0);
    opened_t it = open_member(place, "odd.avi");
    check_pictures(&it, &what, 3);
    close_member(&it);
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

static status_t read_sound(const archive_member_t *member) {
    audio_t audio;
    double start_s;
    TRY(video_audio("it", member, &audio, &start_s));
    audio_free(&audio);
    return STATUS_OK;
}

static void check_cut(const char *place, const char *name, const char *data, size_t bytes,
                      const media_video_t *what, bool whole) {
    int frames = 0;
    place_write(place, name, data, bytes);
    opened_t it = open_member(place, name);
    status_t status = what->frames > 0 ? read_all(it.member, &frames) : read_sound(it.member);
    if (whole) {
        CHECK_OK(status);
        assert_int_equal(frames, what->frames);
    } else if (status != STATUS_INPUT || strstr(status_text(), "it: ") == NULL) {
        fail_msg("%s, %zu bytes: status %d", name, bytes, (int)status);
    }
    close_member(&it);
}

/* The kinds that state their lengths. */
static void cuts_are_noticed(void **state) {
    (void)state;
    static const struct {
        const char *name, *codec, *audio_codec, *option;
    } cases[] = {
        {"a.mp4", "mpeg4", NULL, NULL},
        {"b.avi", "mpeg4", NULL, NULL},
        {"c.mkv", "mpeg4", NULL, NULL},
        {"d.mov", "mjpeg", NULL, "movflags=+faststart"},
        {"e.webm", "libvpx", NULL, NULL},
        {"f.m4a", NULL, "aac", NULL},
        {"g.flac", NULL, "flac", NULL},
        {"h.wav", NULL, "pcm_s16le", NULL},
        {"i.mp4", "mpeg4", "aac", "movflags=+frag_keyframe+empty_moov"},
    };
    enum { CUTS = 101 };
    for (int n = 0; n < ARRAY_LEN(cases); n++) {
        char *place = place_make(), *path = place_path(place, cases[n].name), *data = NULL;
        size_t bytes = 0;
        media_video_t what = ordinary;
        what.frames = cases[n].codec != NULL ? what.frames : 0;
        what.codec = cases[n].codec;
        what.rate_hz = cases[n].audio_codec != NULL ? what.rate_hz : 0;
        what.audio_codec = cases[n].audio_codec;
        what.option = cases[n].option;
        if (media_write(path, &what) == MEDIA_CODEC_ABSENT) {
            print_message("# without %s\n", what.codec);
        } else {
            CHECK_OK(file_read(path, &data, &bytes));
            for (size_t i = 0; i < CUTS; i++) {
                check_cut(place, cases[n].name, data, bytes * i / CUTS, &what, false);
            }
            check_cut(place, cases[n].name, data, bytes - 1, &what, false);
            check_cut(place, cases[n].name, data, bytes, &what, true);
            free(data);
        }
        free(path);
        place_remove(place);
    }
}

/* Whole, but nobody could tell: a cut between two packets leaves such a file too. */
static void kinds_without_a_length_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *name, *codec, *audio_codec, *option;
    } cases[] = {
        {"a.ts", "mpeg4", NULL, NULL},
        {"b.flv", "flv", NULL, NULL},
        {"c.mpg", "mpeg2video", NULL, NULL},
        {"d.mkv", "mpeg4", NULL, "live=1"},
        {"e.mp4", "mpeg4", NULL, "movflags=+frag_keyframe+empty_moov+skip_trailer"},
        {"f.mp3", NULL, "libmp3lame", NULL},
        {"g.ogg", NULL, "libvorbis", NULL},
        {"h.aac", NULL, "aac", NULL},
    };
    char *place = place_make();
    for (int n = 0; n < ARRAY_LEN(cases); n++) {
        char *path = place_path(place, cases[n].name);
        media_video_t what = ordinary;
        int frames = 0;
        what.frames = cases[n].codec != NULL ? what.frames : 0;
        what.codec = cases[n].codec;
        what.rate_hz = cases[n].audio_codec != NULL ? what.rate_hz : 0;
        what.audio_codec = cases[n].audio_codec;
        what.option = cases[n].option;
        if (media_write(path, &what) == MEDIA_CODEC_ABSENT) {
            print_message("# without the encoder of %s\n", cases[n].name);
        } else {
            opened_t it = open_member(place, cases[n].name);
            CHECK_FAILS(what.frames > 0 ? read_all(it.member, &frames) : read_sound(it.member),
                        STATUS_INPUT, "that states its length");
            close_member(&it);
        }
        free(path);
    }
    place_remove(place);
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

/* The matrix of an .mp4's track, [3, 3], in which the first two columns are 16.16. */
static void turned_pictures_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *matrix;
        bool plain;
    } cases[] = {
        {"\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0", true},
        {"\0\0\0\0\0\1\0\0\0\0\0\0\377\377\0\0\0\0\0\0", false},     /* a quarter */
        {"\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377\0\0", false},     /* upside down */
        {"\377\377\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0", false},     /* left is right */
        {"\377\377\0\0\0\0\0\0\0\0\0\0\0\0\0\0\377\377\0\0", false}, /* half a turn */
    };
    char *place = place_make(), *path = place_path(place, "a.mp4"), *data = NULL;
    size_t bytes = 0;
    media_video_t what = ordinary;
    what.rate_hz = 0;
    assert_int_equal(media_write(path, &what), 0);
    CHECK_OK(file_read(path, &data, &bytes));
    char *header = memmem(data, bytes, "tkhd", 4);
    assert_non_null(header);
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        int frames = 0;
        memcpy(header + 44, cases[i].matrix, 20);
        place_write(place, "a.mp4", data, bytes);
        opened_t it = open_member(place, "a.mp4");
        if (cases[i].plain) {
            CHECK_OK(read_all(it.member, &frames));
        } else {
            CHECK_FAILS(read_all(it.member, &frames), STATUS_INPUT, "stored turned or mirrored");
        }
        close_member(&it);
    }
    free(data);
    free(path);
    place_remove(place);
}

/* Said by the coding itself, picture by picture. */
static void pictures_that_turn_are_refused(void **state) {
    (void)state;
    static const char *const filters[] = {"h264_metadata=display_orientation=insert:rotate=90",
                                          "h264_metadata=display_orientation=insert:flip=vertical"};
    char *place = place_make(), *path = place_path(place, "a.mp4");
    for (int i = 0; i < ARRAY_LEN(filters); i++) {
        int frames = 0;
        media_video_t what = ordinary;
        what.rate_hz = 0;
        what.codec = "libx264";
        what.filter = filters[i];
        if (media_write(path, &what) == MEDIA_CODEC_ABSENT) {
            print_message("# without libx264\n");
            skip();
        }
        opened_t it = open_member(place, "a.mp4");
        CHECK_FAILS(read_all(it.member, &frames), STATUS_INPUT, "stored turned or mirrored");
        close_member(&it);
    }
    free(path);
    place_remove(place);
}

static void pictures_come_in_order_of_time(void **state) {
    (void)state;
    char *place = place_make(), *path = place_path(place, "a.mkv");
    int frames = 0;
    media_video_t what = ordinary;
    what.rate_hz = 0;
    what.codec = "mjpeg";
    what.swapped = 7;
    assert_int_equal(media_write(path, &what), 0);
    opened_t it = open_member(place, "a.mkv");
    CHECK_FAILS(read_all(it.member, &frames), STATUS_INPUT, "its pictures go back in time");
    assert_int_equal(frames, 8);
    close_member(&it);
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
        CHECK_FAILS(read_all(it.member, &frames), STATUS_INPUT, "no video or sound of a kind");
        CHECK_FAILS(video_audio("it", it.member, &audio, &start_s), STATUS_INPUT, "it: ");
        close_member(&it);
    }
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_container_is_read),
        cmocka_unit_test(colours_are_those_of_the_file),
        cmocka_unit_test(sound_alone),
        cmocka_unit_test(odd_sizes),
        cmocka_unit_test(cuts_are_noticed),
        cmocka_unit_test(kinds_without_a_length_are_refused),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(turned_pictures_are_refused),
        cmocka_unit_test(pictures_that_turn_are_refused),
        cmocka_unit_test(pictures_come_in_order_of_time),
        cmocka_unit_test(foreign_files_are_refused),
    };
    return RUN_TESTS(tests);
}
