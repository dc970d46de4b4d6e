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

/* Silence follows what is shorter. */
static void lengthen(audio_t *audio, int64_t least) {
    if (audio->count < least) {
        float *longer = alloc_zero(least, sizeof *longer);
        memcpy(longer, audio->samples, (size_t)audio->count * sizeof *longer);
        free(audio->samples);
        *audio = (audio_t){audio->rate_hz, least, longer};
    }
}

static status_t to_bands(const media_ears_t *ears, track_kind_t kind, const char *label,
                         audio_t *audio, media_sound_t *sound) {
    bool vggish = kind == TRACK_VGGISH_MEL;
    TRY(audio_resample(label, audio, vggish ? VGGISH_MEL_RATE_HZ : LOG_MEL_RATE_HZ));
    lengthen(audio, vggish ? VGGISH_MEL_WINDOW : LOG_MEL_SAMPLES_MIN);
    sound->frames = vggish ? vggish_mel_frames(audio->count) : log_mel_frames(audio->count);
    sound->bands = alloc_zero(sound->frames * LOG_MEL_BANDS, sizeof *sound->bands);
    if (vggish) {
        sound->start_s += VGGISH_MEL_CENTRE_S;
        vggish_mel_log(ears->vggish_mel, audio->samples, audio->count, sound->bands);
    } else {
        log_mel_decibels(ears->log_mel, audio->samples, audio->count, sound->bands);
    }
    return STATUS_OK;
}

status_t media_sound(const media_ears_t *ears, track_kind_t kind, const char *label,
                     const archive_member_t *member, media_sound_t *sound_out) {
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
    sound_noise_add(&ears->noise, &audio);
    status_t status = to_bands(ears, kind, label, &audio, &sound);
    audio_free(&audio);
    if (status == STATUS_OK) {
        *sound_out = sound;
    }
    return status;
}
