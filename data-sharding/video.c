#include "data-sharding/video.h"

#include <libswscale/swscale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/image.h"
#include "data-sharding/video_file.h"
#include "kernels/base/bytes.h"

enum { SAMPLES_MAX = 1 << 29 };
static const double jitter_s = 0.1; /* stamps of some files jitter by a frame of sound */
static const double gap_max_s = 1.0;

struct video {
    video_file_t file;
    video_info_t info;
    struct SwsContext *scale;
    AVFrame *rgb; /* padded, as the library wants to write it */
    double last_s;
};

/* --- pictures ------------------------------------------------------------------------------- */

/* By a display matrix, [3, 3]: anything but a scale. */
static status_t check_turned(const video_file_t *file, const void *matrix) {
    const int32_t *m = matrix;
    if (m != NULL && (m[0] <= 0 || m[1] != 0 || m[3] != 0 || m[4] <= 0)) {
        return video_file_refuse(file, "its pictures are stored turned or mirrored");
    }
    return STATUS_OK;
}

static status_t take_info(video_t *video) {
    const video_file_t *file = &video->file;
    int width = file->codec->width, height = file->codec->height;
    AVRational rate = file->stream->avg_frame_rate;
    if (!image_fits(width, height)) {
        return video_file_refuse(file, "the size of its pictures is absurd");
    }
    bool sound = av_find_best_stream(file->format, AVMEDIA_TYPE_AUDIO, -1, -1, NULL, 0) >= 0;
    double fps = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0.0;
    video->info = (video_info_t){width, height, fps, sound};
    return check_turned(file,
                        av_stream_get_side_data(file->stream, AV_PKT_DATA_DISPLAYMATRIX, NULL));
}

status_t video_open(const char *label, const archive_member_t *member, video_t **video_out) {
    video_t *video = alloc_zero(1, sizeof *video);
    status_t status = video_file_open(label, member, AVMEDIA_TYPE_VIDEO, &video->file);
    if (status == STATUS_OK) {
        status = take_info(video);
    }
    if (status != STATUS_OK) {
        video_close(video);
        return status;
    }
    video->rgb = av_frame_alloc();
    REQUIRE(video->rgb != NULL);
    video->rgb->width = video->info.width;
    video->rgb->height = video->info.height;
    video->rgb->format = AV_PIX_FMT_RGB24;
    REQUIRE(av_frame_get_buffer(video->rgb, 0) == 0);
    video->last_s = -INFINITY;
    *video_out = video;
    return STATUS_OK;
}

void video_close(video_t *video) {
    if (video != NULL) {
        sws_freeContext(video->scale);
        av_frame_free(&video->rgb);
        video_file_close(&video->file);
        free(video);
    }
}

const video_info_t *video_info(const video_t *video) { return &video->info; }

/* By the frame's own matrix and range; without one, BT.601 as everywhere. */
static status_t convert(video_t *video) {
    const AVFrame *from = video->file.frame;
    video->scale = sws_getCachedContext(
        video->scale, from->width, from->height, from->format, from->width, from->height,
        AV_PIX_FMT_RGB24, SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_BITEXACT, NULL,
        NULL, NULL);
    if (video->scale == NULL) {
        return video_file_refuse(&video->file, "its colours cannot be brought to RGB");
    }
    const int *matrix = sws_getCoefficients((int)from->colorspace);
    sws_setColorspaceDetails(video->scale, matrix, from->color_range == AVCOL_RANGE_JPEG,
                             sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
    int rows = sws_scale(video->scale, (const uint8_t *const *)from->data, from->linesize, 0,
                         from->height, video->rgb->data, video->rgb->linesize);
    return rows == from->height ? STATUS_OK
                                : video_file_refuse(&video->file, "a picture cannot be converted");
}

status_t video_count(video_t *video, int64_t *count_out) {
    return video_file_count(&video->file, count_out);
}

status_t video_next(video_t *video, uint8_t *rgb_out, double *time_s_out, bool *end_out) {
    const AVFrame *frame = video->file.frame;
    TRY(video_file_next(&video->file, time_s_out, end_out));
    if (*end_out) {
        return STATUS_OK;
    }
    if (frame->width != video->info.width || frame->height != video->info.height) {
        return video_file_refuse(&video->file, "its pictures change their size");
    }
    if (*time_s_out < video->last_s) {
        return video_file_refuse(&video->file, "its pictures go back in time");
    }
    const AVFrameSideData *side = av_frame_get_side_data(frame, AV_FRAME_DATA_DISPLAYMATRIX);
    TRY(check_turned(&video->file, side != NULL ? side->data : NULL));
    video->last_s = *time_s_out;
    TRY(convert(video));
    size_t row = 3 * (size_t)video->info.width;
    for (int y = 0; y < video->info.height; y++) {
        memcpy(rgb_out + (size_t)y * row,
               video->rgb->data[0] + (int64_t)y * video->rgb->linesize[0], row);
    }
    return STATUS_OK;
}

/* --- sound ---------------------------------------------------------------------------------- */

typedef struct sound {
    video_file_t file;
    float *samples;
    int64_t count, room;
    int rate_hz;
    double start_s;
} sound_t;

static double sample_at(const void *data, int64_t at, enum AVSampleFormat packed) {
    switch (packed) {
    case AV_SAMPLE_FMT_U8:
        return (((const uint8_t *)data)[at] - 128) / 128.0;
    case AV_SAMPLE_FMT_S16:
        return ((const int16_t *)data)[at] / 32768.0;
    case AV_SAMPLE_FMT_S32:
        return ((const int32_t *)data)[at] / 2147483648.0;
    case AV_SAMPLE_FMT_FLT:
        return ((const float *)data)[at];
    case AV_SAMPLE_FMT_DBL:
        return ((const double *)data)[at];
    default:
        return NAN;
    }
}

static status_t reserve(sound_t *sound, int64_t more) {
    if (more > SAMPLES_MAX - sound->count) {
        return video_file_refuse(&sound->file, "its sound is absurdly long");
    }
    if (sound->count + more > sound->room) {
        sound->room = 2 * (sound->count + more);
        size_t bytes = (size_t)sound->room * sizeof(float);
        sound->samples = realloc(sound->samples, bytes);
        if (sound->samples == NULL) {
            panic_memory((double)bytes);
        }
    }
    return STATUS_OK;
}

/* Silence where the stamps leave a short gap; others are refused. */
static status_t keep_time(sound_t *sound, double time_s) {
    double ahead = (time_s - sound->start_s) * sound->rate_hz - (double)sound->count;
    if (fabs(ahead) <= jitter_s * sound->rate_hz) {
        return STATUS_OK;
    }
    if (ahead < 0.0 || ahead > gap_max_s * sound->rate_hz) {
        return video_file_refuse(&sound->file, "its sound goes back in time or has a long gap");
    }
    int64_t silent = (int64_t)ahead;
    TRY(reserve(sound, silent));
    memset(sound->samples + sound->count, 0, (size_t)silent * sizeof(float));
    sound->count += silent;
    return STATUS_OK;
}

static status_t add_frame(sound_t *sound, double time_s) {
    const AVFrame *frame = sound->file.frame;
    int channels = frame->ch_layout.nb_channels;
    bool planar = av_sample_fmt_is_planar(frame->format) != 0;
    enum AVSampleFormat packed = av_get_packed_sample_fmt(frame->format);
    if (sound->rate_hz == 0) {
        sound->rate_hz = frame->sample_rate;
        sound->start_s = time_s;
    }
    if (frame->sample_rate != sound->rate_hz || channels < 1 || channels > AUDIO_CHANNELS_MAX ||
        sound->rate_hz < AUDIO_RATE_MIN_HZ || sound->rate_hz > AUDIO_RATE_MAX_HZ) {
        return video_file_refuse(&sound->file, "its sound's rate or channels are absurd or change");
    }
    TRY(keep_time(sound, time_s));
    TRY(reserve(sound, frame->nb_samples));
    for (int64_t i = 0; i < frame->nb_samples; i++) {
        double sum = 0.0;
        for (int c = 0; c < channels; c++) {
            sum += planar ? sample_at(frame->extended_data[c], i, packed)
                          : sample_at(frame->extended_data[0], i * channels + c, packed);
        }
        float sample = (float)(sum / channels);
        if (!isfinite(sample)) {
            return video_file_refuse(&sound->file, "its sound holds numbers that are not finite");
        }
        sound->samples[sound->count++] = sample;
    }
    return STATUS_OK;
}

static status_t read_sound(sound_t *sound) {
    double time_s = 0.0;
    bool end = false;
    while (!end) {
        TRY(video_file_next(&sound->file, &time_s, &end));
        if (!end) {
            TRY(add_frame(sound, time_s));
        }
    }
    return sound->count > 0 ? STATUS_OK
                            : video_file_refuse(&sound->file, "its sound has no length at all");
}

status_t video_audio(const char *label, const archive_member_t *member, audio_t *audio_out,
                     double *start_s_out) {
    sound_t sound = {.count = 0};
    status_t status = video_file_open(label, member, AVMEDIA_TYPE_AUDIO, &sound.file);
    if (status == STATUS_OK) {
        status = read_sound(&sound);
    }
    video_file_close(&sound.file);
    if (status != STATUS_OK) {
        free(sound.samples);
        return status;
    }
    *audio_out = (audio_t){sound.rate_hz, sound.count, sound.samples};
    *start_s_out = sound.start_s;
    return STATUS_OK;
}
