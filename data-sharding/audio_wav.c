#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/audio.h"
#include "kernels/base/bytes.h"

enum { PCM = 1, IEEE_FLOAT = 3, EXTENSIBLE = 0xfffe, FORMAT_BYTES = 16, EXTENDED_BYTES = 40 };

typedef struct wav {
    const char *label;
    unsigned coding, channels, bits;
    uint32_t rate_hz;
    const uint8_t *data;
    size_t bytes; /* of data */
} wav_t;

static unsigned u16(const uint8_t *at) { return at[0] | (unsigned)at[1] << 8; }
static uint32_t u32(const uint8_t *at) { return u16(at) | (uint32_t)u16(at + 2) << 16; }

void audio_free(audio_t *audio) {
    free(audio->samples);
    *audio = (audio_t){0};
}

static status_t refuse(const wav_t *wav, const char *why) {
    return status_fail(STATUS_INPUT, "%s: %s; get it again, or convert it (ffmpeg -i IN OUT.wav)",
                       wav->label, why);
}

static status_t take_format(wav_t *wav, const uint8_t *at, size_t bytes) {
    static const uint8_t guid_end[] = {0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71};
    if (bytes < FORMAT_BYTES) {
        return refuse(wav, "the WAV's format is damaged");
    }
    wav->coding = u16(at);
    wav->channels = u16(at + 2);
    wav->rate_hz = u32(at + 4);
    wav->bits = u16(at + 14);
    if (wav->coding == EXTENSIBLE && bytes >= EXTENDED_BYTES &&
        memcmp(at + 26, guid_end, sizeof guid_end) == 0) {
        wav->coding = u16(at + 24);
    }
    bool known = wav->coding == PCM
                     ? wav->bits == 8 || wav->bits == 16 || wav->bits == 24 || wav->bits == 32
                     : wav->coding == IEEE_FLOAT && (wav->bits == 32 || wav->bits == 64);
    if (!known) {
        return refuse(wav, "the WAV's coding is neither PCM of 8, 16, 24, 32 bits nor float");
    }
    if (wav->channels < 1 || wav->channels > AUDIO_CHANNELS_MAX ||
        wav->rate_hz < AUDIO_RATE_MIN_HZ || wav->rate_hz > AUDIO_RATE_MAX_HZ ||
        u16(at + 12) != wav->channels * wav->bits / 8) {
        return refuse(wav, "the WAV's channels, rate or sample size are absurd");
    }
    return STATUS_OK;
}

/* Chunks one behind the other, each padded to an even length. */
static status_t find_chunks(wav_t *wav, const uint8_t *file, size_t bytes) {
    if (bytes < 12 || memcmp(file, "RIFF", 4) != 0 || memcmp(file + 8, "WAVE", 4) != 0) {
        return refuse(wav, bytes == 0 ? "empty" : "not a WAV file");
    }
    for (size_t at = 12; bytes - at >= 8;) {
        const uint8_t *chunk = file + at;
        size_t length = u32(chunk + 4), left = bytes - at - 8;
        if (length > left) {
            return refuse(wav, "the WAV file is cut off");
        }
        if (memcmp(chunk, "fmt ", 4) == 0) {
            TRY(take_format(wav, chunk + 8, length));
        } else if (memcmp(chunk, "data", 4) == 0) {
            wav->data = chunk + 8;
            wav->bytes = length;
            return wav->coding != 0 ? STATUS_OK
                                    : refuse(wav, "the WAV's data come before its "
                                                  "format");
        }
        at += 8 + length + (length % 2 != 0 && length < left);
    }
    return refuse(wav, "the WAV file has no data");
}

static double sample_at(const wav_t *wav, const uint8_t *at) {
    float single;
    double wide;
    if (wav->coding == IEEE_FLOAT && wav->bits == 32) {
        memcpy(&single, at, sizeof single);
        return single;
    }
    if (wav->coding == IEEE_FLOAT) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    switch (wav->bits) {
    case 8:
        return (at[0] - 128) / 128.0;
    case 16:
        return (int16_t)u16(at) / 32768.0;
    case 24:
        return (int32_t)((uint32_t)u16(at) << 8 | (uint32_t)at[2] << 24) / 2147483648.0;
    default:
        return (int32_t)u32(at) / 2147483648.0;
    }
}

status_t wav_decode(const char *label, const void *data, size_t bytes, audio_t *audio_out) {
    wav_t wav = {.label = label};
    TRY(find_chunks(&wav, data, bytes));
    size_t sample = wav.bits / 8, step = sample * wav.channels;
    if (wav.bytes % step != 0) {
        return refuse(&wav, "the WAV's data end within a sample");
    }
    if (wav.bytes == 0) {
        return refuse(&wav, "the WAV file holds no sound at all");
    }
    int64_t count = (int64_t)(wav.bytes / step);
    float *samples = alloc_zero(count, sizeof *samples);
    bool finite = true;
    for (int64_t i = 0; i < count; i++) {
        double sum = 0.0;
        for (unsigned c = 0; c < wav.channels; c++) {
            sum += sample_at(&wav, wav.data + (size_t)i * step + c * sample);
        }
        samples[i] = (float)(sum / wav.channels);
        finite = finite && isfinite(samples[i]);
    }
    if (!finite) {
        free(samples);
        return refuse(&wav, "the WAV file holds numbers that are not finite");
    }
    *audio_out = (audio_t){(int)wav.rate_hz, count, samples};
    return STATUS_OK;
}
