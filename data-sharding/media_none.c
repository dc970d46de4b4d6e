/* media_none.c - in place of media_tracks.c, where the build does not read raw media. */
#include "data-sharding/media_tracks.h"
#include "data-sharding/media_write.h"

status_t media_available(void) {
    const char *missing = MEDIA_MISSING;
    return status_fail(STATUS_UNAVAILABLE,
                       "this build reads no raw media%s%s; install what it takes by launch/setup "
                       "--media, and configure again without -DMEDIA=OFF",
                       missing[0] != '\0' ? ": there was no " : "", missing);
}

status_t media_pictures_available(void) { return media_available(); }

status_t media_video(const media_rules_t *rules, const char *label, const archive_member_t *member,
                     double rate_hz, const face_boxes_t *boxes, notes_t *notes,
                     media_pictures_t *pictures_out) {
    (void)rules, (void)label, (void)member, (void)rate_hz, (void)boxes, (void)notes;
    (void)pictures_out;
    return media_available();
}

status_t media_images(const media_rules_t *rules, const archive_t *archive, const char *prefix,
                      const face_boxes_t *boxes, int64_t least, notes_t *notes,
                      media_pictures_t *pictures_out) {
    (void)rules, (void)archive, (void)prefix, (void)boxes, (void)least, (void)notes;
    (void)pictures_out;
    return media_available();
}

status_t media_sound(const media_ears_t *ears, track_kind_t kind, const char *label,
                     const archive_member_t *member, media_sound_t *sound_out) {
    (void)ears, (void)kind, (void)label, (void)member, (void)sound_out;
    return media_available();
}

status_t media_video_length(const char *label, const archive_member_t *member, double *rate_hz_out,
                            int64_t *frames_out) {
    (void)label, (void)member, (void)rate_hz_out, (void)frames_out;
    return media_available();
}

status_t media_write_jpeg(const char *path, const uint8_t *rgb, int side) {
    (void)path, (void)rgb, (void)side;
    return media_available();
}

status_t media_write_video(const char *path, const written_video_t *video) {
    (void)path, (void)video;
    return media_available();
}
