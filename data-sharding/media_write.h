/* media_write.h - pictures and videos of generated raw media, as data sets have them. */
#ifndef JMT_MEDIA_WRITE_H
#define JMT_MEDIA_WRITE_H

#include <stdint.h>

#include "kernels/base/status.h"

/* rgb: [side, side, 3]. The folder of path must be there. */
status_t media_write_jpeg(const char *path, const uint8_t *rgb, int side) MUST_CHECK;

typedef struct written_video {
    int side, fps;
    int64_t frames;
    int rate_hz; /* of the sound, one channel; 0: none */
    int64_t samples;
    void (*draw)(const void *context, int64_t frame, uint8_t *grey_out); /* [side, side] */
    double (*sound)(const void *context, int64_t sample);                /* -1 to 1 */
    const void *context;
} written_video_t;

/* MPEG-4 pictures and AAC sound by FFmpeg's own encoders; the end of path is its container. */
status_t media_write_video(const char *path, const written_video_t *video) MUST_CHECK;

#endif
