/* video.h - pictures with their times, and sound, out of a video file.
 *
 * By FFmpeg's libraries, from .mp4, .mov, .avi, .mkv, .webm, and for sound alone also .m4a, .flac,
 * .wav: kinds that state their lengths, so that a cut anywhere is noticed. Streams, which may end
 * anywhere (.ts, .flv, .mp3, .ogg, and live recordings of the above), are STATUS_INPUT, and so are
 * a file that is cut off or damaged, pictures that change their size or go back in time, and those
 * that are stored turned or mirrored: nothing is filled in or put right. Times are seconds on the
 * file's own clock, which pictures and sound share. Nothing but the member is opened, whatever it
 * asks for. `label` names it in errors and is kept. */
#ifndef JMT_VIDEO_H
#define JMT_VIDEO_H

#include <stdbool.h>
#include <stdint.h>

#include "data-sharding/archive.h"
#include "data-sharding/audio.h"
#include "kernels/base/status.h"

typedef struct video video_t;

typedef struct video_info {
    int width, height;
    double fps; /* on average, as the file states it; 0: it does not */
    bool has_audio;
} video_info_t;

/* A file without pictures is STATUS_INPUT. The member stays open meanwhile. */
status_t video_open(const char *label, const archive_member_t *member,
                    video_t **video_out) MUST_CHECK;
void video_close(video_t *video); /* NULL allowed */
const video_info_t *video_info(const video_t *video);

/* How many there are, without decoding one; before the first of them. */
status_t video_count(video_t *video, int64_t *count_out) MUST_CHECK;

/* The next picture, none earlier than the one before; rgb_out: [height, width, 3]; or *end_out. */
status_t video_next(video_t *video, uint8_t *rgb_out, double *time_s_out, bool *end_out) MUST_CHECK;

/* All sound of the file, channels averaged, at its own rate; the first sample lies at start_s.
 * Where stamps leave a gap of up to a second there is silence. Without sound: STATUS_INPUT. The
 * caller frees. */
status_t video_audio(const char *label, const archive_member_t *member, audio_t *audio_out,
                     double *start_s_out) MUST_CHECK;

#endif
