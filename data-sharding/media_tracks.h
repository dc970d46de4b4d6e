/* media_tracks.h - tracks out of raw media: pictures of one size from a video or from files of
 * pictures, mel bands from sound. What is left out or mended is noted; see notes.h. */
#ifndef JMT_MEDIA_TRACKS_H
#define JMT_MEDIA_TRACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "data-sharding/archive.h"
#include "data-sharding/face_boxes.h"
#include "data-sharding/log_mel.h"
#include "data-sharding/notes.h"
#include "data-sharding/sound_noise.h"
#include "data-sharding/steps_file.h"
#include "data-sharding/track_kind.h"
#include "data-sharding/vggish_mel.h"
#include "kernels/base/status.h"

enum { MEDIA_SIDE_MIN = 8, MEDIA_SIDE_MAX = 1024, MEDIA_COLOURS = 3 };

typedef struct media_rules {
    int side;             /* of the pictures made */
    double margin;        /* of a box, as picture_fit.h has it */
    int64_t first_frame;  /* what files call the first frame: 0, 1; -1: refused where it is open */
    bool strict;          /* the first damaged picture is an error */
    steps_store_t *store; /* of steps files */
} media_rules_t;

typedef struct media_pictures {
    steps_file_t *steps;
    double rate_hz;
    int64_t frames; /* decoded or found */
} media_pictures_t;

/* One step per picture at the video's own rate (rate_hz 0), or at another: step i is the picture
 * nearest to i / rate_hz after the first one. A picture that is shown longer is repeated, what
 * comes closer than a step is left out. boxes NULL: whole pictures; else those without a box are
 * not valid. The first picture is time 0. */
status_t media_video(const media_rules_t *rules, const char *label, const archive_member_t *member,
                     double rate_hz, const face_boxes_t *boxes, notes_t *notes,
                     media_pictures_t *pictures_out) MUST_CHECK;

/* The .jpg and .png files of an archive whose names begin with prefix ("v1/", "") and go on with no
 * folder: the number at the end of the name counts frames. Those that are not there, and damaged
 * ones, are not valid. At least `least` steps. rate_hz is left to the caller. */
status_t media_images(const media_rules_t *rules, const archive_t *archive, const char *prefix,
                      const face_boxes_t *boxes, int64_t least, notes_t *notes,
                      media_pictures_t *pictures_out) MUST_CHECK;

/* What makes frames of sound: TRACK_LOG_MEL, TRACK_VGGISH_MEL. */
typedef struct media_ears {
    log_mel_t *log_mel;
    vggish_mel_t *vggish_mel;
    sound_noise_t noise; /* on all that they hear */
} media_ears_t;

enum { MEDIA_SOUND_HZ = LOG_MEL_RATE_HZ / LOG_MEL_HOP }; /* frames of either */

typedef struct media_sound {
    float *bands; /* [frames, LOG_MEL_BANDS] */
    int64_t frames;
    double start_s; /* of frame 0's middle, after the file's first picture if it has any */
} media_sound_t;

status_t media_sound(const media_ears_t *ears, track_kind_t kind, const char *label,
                     const archive_member_t *member, media_sound_t *sound_out) MUST_CHECK;

/* The pictures a second that a video states (0: it does not), and how many there are. */
status_t media_video_length(const char *label, const archive_member_t *member, double *rate_hz_out,
                            int64_t *frames_out) MUST_CHECK;

/* Whether this build reads raw media; else STATUS_UNAVAILABLE, and what is missing. */
status_t media_available(void) MUST_CHECK;
status_t media_pictures_available(void) MUST_CHECK; /* the same of media_images alone */

/* media_names.c: by the name's end, in any case. */
bool media_is_video(const char *name);   /* .mp4 .mov .avi .mkv .webm .m4v */
bool media_is_sound(const char *name);   /* .wav .m4a .flac */
bool media_is_wav(const char *name);     /* .wav */
bool media_is_picture(const char *name); /* .jpg .jpeg .png */
bool media_is_archive(const char *name); /* .zip .tar */

#endif
