/* media_case.h - small video files for tests, by FFmpeg's own encoders. */
#ifndef JMT_MEDIA_CASE_H
#define JMT_MEDIA_CASE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct media_video {
    int width, height, fps_num, fps_den, frames; /* frames 0: no pictures */
    const char *codec;                           /* an encoder: "mpeg4", "mjpeg", "libx264" */
    int rate_hz;                                 /* of a tone of 500 Hz; 0: no sound */
    const char *audio_codec;                     /* "aac", "pcm_s16le" */
    int samples;
    int matrix;         /* 601 (not marked) or 709 (marked): coloured; 0: grey pictures */
    bool full_range;    /* 0 to 255 instead of 16 to 235; always so of mjpeg */
    int swapped;        /* pictures I and I + 1 change their times; 0: none */
    const char *filter; /* a bitstream filter on the pictures; NULL: none */
    const char *option; /* of the container: "movflags=+frag_keyframe"; NULL: none */
    /* Instead of plain quarters, and of the tone; NULL: those. */
    double (*grey)(const void *context, int frame, int x, int y); /* 0 to 255 */
    double (*sound)(const void *context, int sample);             /* -1 to 1 */
    int (*tick)(const void *context, int frame); /* when a frame is shown, in 1/fps; NULL: frame */
    const void *context;
} media_video_t;

enum { MEDIA_CODEC_ABSENT = 1 };

/* Each quarter of a picture is plain, of its media_colour; the container is chosen by the path. 0,
 * or MEDIA_CODEC_ABSENT where this FFmpeg lacks the encoder; panics otherwise. */
int media_write(const char *path, const media_video_t *what);
/* quarter: 0 to 3, by rows. */
void media_colour(const media_video_t *what, int frame, int quarter, uint8_t rgb_out[3]);
float media_tone(int i, int rate); /* the tone's sample i */

#endif
