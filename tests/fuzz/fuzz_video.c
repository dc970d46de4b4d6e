/* A video or sound file: pictures and sound come, or one line; samples are finite. */
#include <math.h>
#include <stdlib.h>

#include "data-sharding/video.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"

enum { PIXELS_MAX = 1 << 18, FRAMES_MAX = 30 };

static bool read_pictures(const archive_member_t *member) {
    video_t *video = NULL;
    if (video_open("it", member, &video) != STATUS_OK) {
        return false;
    }
    const video_info_t *info = video_info(video);
    int64_t pixels = (int64_t)info->width * info->height;
    REQUIRE(pixels > 0 && info->fps >= 0.0);
    uint8_t *rgb = alloc_zero(3 * min_i64(pixels, PIXELS_MAX), 1);
    bool good = true, end = pixels > PIXELS_MAX;
    for (int i = 0; i < FRAMES_MAX && good && !end; i++) {
        double time_s = NAN;
        good = video_next(video, rgb, &time_s, &end) == STATUS_OK;
        REQUIRE(!good || end || isfinite(time_s));
    }
    free(rgb);
    video_close(video);
    return good;
}

static bool read_sound(const archive_member_t *member) {
    audio_t audio;
    double start_s = NAN;
    if (video_audio("it", member, &audio, &start_s) != STATUS_OK) {
        return false;
    }
    REQUIRE(audio.count > 0 && isfinite(start_s));
    for (int64_t i = 0; i < audio.count; i++) {
        REQUIRE(isfinite(audio.samples[i]));
    }
    audio_free(&audio);
    return true;
}

bool fuzz_video(const uint8_t *data, size_t bytes) {
    char *dir = fuzz_dir_make();
    archive_t *archive = NULL;
    archive_member_t *member = NULL;
    fuzz_write(dir, "it", data, bytes);
    REQUIRE(archive_open(dir, &archive) == STATUS_OK);
    REQUIRE(archive_member_open(archive, 0, &member) == STATUS_OK);
    bool pictures = read_pictures(member), sound = read_sound(member);
    archive_member_close(member);
    archive_close(archive);
    fuzz_dir_remove(dir);
    return pictures || sound;
}
