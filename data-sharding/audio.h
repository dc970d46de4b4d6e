/* audio.h - sound as mono float, and its resampling. */
#ifndef JMT_AUDIO_H
#define JMT_AUDIO_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

enum { AUDIO_RATE_MIN_HZ = 100, AUDIO_RATE_MAX_HZ = 768000, AUDIO_CHANNELS_MAX = 64 };

typedef struct audio {
    int rate_hz;
    int64_t count;  /* at least 1 */
    float *samples; /* full scale is -1 to 1; float files may go beyond; finite */
} audio_t;

void audio_free(audio_t *audio);

/* A WAV file in memory: 8, 16, 24, 32 bits or float of 32 or 64, at any rate; channels are
 * averaged. Cut-off and damaged files, other codings, and a file without any sample are
 * STATUS_INPUT. */
status_t wav_decode(const char *label, const void *data, size_t bytes,
                    audio_t *audio_out) MUST_CHECK;

/* Brings it to another rate, keeping time 0 where it is: count * rate / old rate samples, rounded,
 * as if silence followed. The same bits on every processor. STATUS_INPUT where the rates are more
 * than 256 times apart, and where a sample is not finite or would not stay so. */
status_t audio_resample(const char *label, audio_t *audio, int rate_hz) MUST_CHECK;

#endif
