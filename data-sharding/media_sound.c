#include <stdlib.h>
#include <string.h>

#include "data-sharding/audio.h"
#include "data-sharding/media_tracks.h"
#include "data-sharding/video.h"
#include "kernels/base/bytes.h"

static status_t decode_wav(const char *label, const archive_member_t *member, audio_t *audio) {
    int64_t bytes = archive_member_bytes(member);
    char *data = alloc_zero(max_i64(bytes, 1), 1);
    status_t status = archive_member_read(member, 0, bytes, data);
    if (status == STATUS_OK) {
        status = wav_decode(label, data, (size_t)bytes, audio);
    }
    free(data);
    return status;
}

/* When the first picture of a file is shown; 0 where there are none. */
static status_t first_picture_s(const char *label, const archive_member_t *member, double *out) {
    video_t *video = NULL;
    bool end = false;
    *out = 0.0;
    if (!media_is_video(label)) {
        return STATUS_OK;
    }
    TRY(video_open(label, member, &video));
    const video_info_t *info = video_info(video);
    uint8_t *rgb = alloc_zero((int64_t)info->width * info->height, MEDIA_COLOURS);
    status_t status = video_next(video, rgb, out, &end);
    free(rgb);
    video_close(video);
    return status;
}

static status_t to_decibels(const log_mel_t *mel, const char *label, audio_t *audio,
                            media_sound_t *sound) {
    TRY(audio_resample(label, audio, LOG_MEL_RATE_HZ));
    if (audio->count < LOG_MEL_SAMPLES_MIN) { /* silence follows */
        float *longer = alloc_zero(LOG_MEL_SAMPLES_MIN, sizeof *longer);
        memcpy(longer, audio->samples, (size_t)audio->count * sizeof *longer);
        free(audio->samples);
        *audio = (audio_t){audio->rate_hz, LOG_MEL_SAMPLES_MIN, longer};
    }
    sound->frames = log_mel_frames(audio->count);
    sound->decibels = alloc_zero(sound->frames * LOG_MEL_BANDS, sizeof *sound->decibels);
    log_mel_decibels(mel, audio->samples, audio->count, sound->decibels);
    return STATUS_OK;
}

status_t media_sound(const log_mel_t *mel, const char *label, const archive_member_t *member,
                     media_sound_t *sound_out) {
    audio_t audio = {0};
    media_sound_t sound = {0};
    double start_s = 0.0, picture_s = 0.0;
    if (media_is_wav(label)) {
        TRY(decode_wav(label, member, &audio));
    } else {
        TRY(first_picture_s(label, member, &picture_s));
        TRY(video_audio(label, member, &audio, &start_s));
        start_s -= media_is_video(label) ? picture_s : start_s;
    }
    sound.start_s = start_s;
    status_t status = to_decibels(mel, label, &audio, &sound);
    audio_free(&audio);
    if (status == STATUS_OK) {
        *sound_out = sound;
    }
    return status;
}
