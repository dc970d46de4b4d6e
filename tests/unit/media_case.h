/* media_case.h - small video files for tests, by FFmpeg's own encoders. */
#ifndef JMT_MEDIA_CASE_H
#define JMT_MEDIA_CASE_H

typedef struct media_video {
    int width, height, fps_num, fps_den, frames; /* frames 0: no pictures */
    const char *codec;                           /* an encoder: "mpeg4", "mjpeg", "libx264" */
    int rate_hz;                                 /* of a tone of 500 Hz; 0: no sound */
    const char *audio_codec;                     /* "aac", "pcm_s16le" */
    int samples;
    int swapped;        /* pictures I and I + 1 change their times; 0: none */
    const char *filter; /* a bitstream filter on the pictures; NULL: none */
    const char *option; /* of the container: "movflags=+frag_keyframe"; NULL: none */
} media_video_t;

enum { MEDIA_CODEC_ABSENT = 1 };

/* Picture i is plain, of media_level(i); the container is chosen by the path. 0, or
 * MEDIA_CODEC_ABSENT where this FFmpeg lacks the encoder; panics otherwise. */
int media_write(const char *path, const media_video_t *what);
int media_level(int frame);        /* of all three colours, 0..255 */
float media_tone(int i, int rate); /* the tone's sample i */

#endif
