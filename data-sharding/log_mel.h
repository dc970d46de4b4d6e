/* log_mel.h - sound as a picture: 64 mel bands in decibels, 100 frames a second, normalised as the
 * published audio backbone has it (that is torchaudio's MelSpectrogram and AmplitudeToDB).
 *
 * The transform of a recording is made once; what depends on a clip (how far below its loudest band
 * it goes) is done when the clip is cut. Frame f is centred at sample 441 f. */
#ifndef JMT_LOG_MEL_H
#define JMT_LOG_MEL_H

#include <stdint.h>

enum {
    LOG_MEL_RATE_HZ = 44100,
    LOG_MEL_BANDS = 64,
    LOG_MEL_HOP = 441,
    LOG_MEL_SAMPLES_MIN = 513, /* its ends are mirrored by 512 */
    LOG_MEL_CLIP_MIN = 45599,  /* shorter clips are padded before their begin */
};

/* What each band of silence has, in decibels: the power that no band is taken to be below. */
#define LOG_MEL_SILENCE (-100.0f)

typedef struct log_mel log_mel_t;
log_mel_t *log_mel_open(void);
void log_mel_close(log_mel_t *mel); /* NULL allowed */

static inline int64_t log_mel_frames(int64_t samples) { return 1 + samples / LOG_MEL_HOP; }

/* db_out: [log_mel_frames(count), 64]: 10 log10 of each band's power, at least -100. samples: mono,
 * 44.1 kHz, at least LOG_MEL_SAMPLES_MIN. Thread-safe. */
void log_mel_decibels(const log_mel_t *mel, const float *samples, int64_t count, float *db_out);

/* In place: nothing lies more than 80 dB below the loudest of these frames, then (dB + 14.8) /
 * 19.895. */
void log_mel_normalise(float *db, int64_t frames);

/* A clip by itself, as published: zeros before it up to LOG_MEL_CLIP_MIN samples, then both. out:
 * [log_mel_frames(max(count, LOG_MEL_CLIP_MIN)), 64]. count: at least 1. */
void log_mel_clip(const log_mel_t *mel, const float *samples, int64_t count, float *out);

#endif
