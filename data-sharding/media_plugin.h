/* media_plugin.h - the readers of raw media as the program sees them: two shared objects, loaded
 * when they are asked for. The libraries of jmt_media.so bring a hundred others along, which no
 * training needs, and no import of pictures that have their size: these are read by
 * jmt_pictures.so, which has none of FFmpeg. Each has one symbol for the program, the table below
 * (that of jmt_pictures.so has `images` alone), and takes what it needs of the program
 * (media_plugin.list) from the program. What the members do: media_tracks.h, media_write.h and
 * picture_scale.h. */
#ifndef JMT_MEDIA_PLUGIN_H
#define JMT_MEDIA_PLUGIN_H

#include "data-sharding/media_tracks.h"
#include "data-sharding/media_write.h"
#include "data-sharding/picture_scale.h"

#define MEDIA_PLUGIN_FILE     "jmt_media.so"
#define MEDIA_PLUGIN_PICTURES "jmt_pictures.so"
#define MEDIA_PLUGIN_SYMBOL   "jmt_media_plugin"

typedef struct media_plugin {
    /* JMT_MEDIA_ABI, a hash of the headers that both sides were compiled with; nothing else may be
     * looked at before it was found equal. */
    const char *abi;
    status_t (*video)(const media_rules_t *rules, const char *label, const archive_member_t *member,
                      double rate_hz, const face_boxes_t *boxes, notes_t *notes,
                      media_pictures_t *pictures_out);
    status_t (*images)(const media_rules_t *rules, const archive_t *archive, const char *prefix,
                       const face_boxes_t *boxes, int64_t least, notes_t *notes,
                       media_pictures_t *pictures_out);
    status_t (*sound)(const media_ears_t *ears, track_kind_t kind, const char *label,
                      const archive_member_t *member, media_sound_t *sound_out);
    status_t (*video_length)(const char *label, const archive_member_t *member, double *rate_hz_out,
                             int64_t *frames_out);
    status_t (*write_jpeg)(const char *path, const uint8_t *rgb, int side);
    status_t (*write_video)(const char *path, const written_video_t *video);
    status_t (*scale)(picture_scale_t *scale, const uint8_t *from, int side, int stride,
                      uint8_t *to, int to_side, int to_stride);
    void (*scale_close)(picture_scale_t *scale);
} media_plugin_t;

#endif
