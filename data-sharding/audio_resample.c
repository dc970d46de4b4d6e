/* By libsamplerate, because its plain C gives the same bits on every processor. */
#include <math.h>
#include <samplerate.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/audio.h"
#include "kernels/base/bytes.h"

static bool all_finite(const float *samples, int64_t count) {
    bool finite = true;
    for (int64_t i = 0; i < count; i++) {
        finite = finite && isfinite(samples[i]);
    }
    return finite;
}

/* The library makes no sample that lies within an output step of the end of what it is given: so
 * that much silence goes behind it. */
static status_t convert(const char *label, const audio_t *audio, double ratio, int64_t count,
                        float *samples_out) {
    int64_t padded = audio->count + (int64_t)ceil(1.0 / ratio) + 1;
    float *from = alloc_zero(padded, sizeof *from);
    memcpy(from, audio->samples, (size_t)audio->count * sizeof *from);
    SRC_DATA job = {.data_in = from,
                    .data_out = samples_out,
                    .input_frames = padded,
                    .output_frames = count,
                    .src_ratio = ratio};
    int error = src_simple(&job, SRC_SINC_MEDIUM_QUALITY, 1);
    free(from);
    if (error != 0 || job.output_frames_gen != count) {
        return status_fail(STATUS_FAILED, "%s: resampling failed: %s, %lld of %lld; report this",
                           label, error != 0 ? src_strerror(error) : "too few samples",
                           (long long)job.output_frames_gen, (long long)count);
    }
    if (!all_finite(samples_out, count)) {
        return status_fail(STATUS_INPUT, "%s: the sound is too loud to be resampled; scale it down",
                           label);
    }
    return STATUS_OK;
}

status_t audio_resample(const char *label, audio_t *audio, int rate_hz) {
    REQUIRE(rate_hz >= AUDIO_RATE_MIN_HZ && rate_hz <= AUDIO_RATE_MAX_HZ && audio->count > 0);
    if (!all_finite(audio->samples, audio->count)) {
        return status_fail(STATUS_INPUT,
                           "%s: the sound holds numbers that are not finite; get it again", label);
    }
    if (rate_hz == audio->rate_hz) {
        return STATUS_OK;
    }
    double ratio = (double)rate_hz / audio->rate_hz;
    if (src_is_valid_ratio(ratio) == 0) {
        return status_fail(STATUS_INPUT, "%s: %d Hz cannot be brought to %d Hz; resample it first",
                           label, audio->rate_hz, rate_hz);
    }
    int64_t count = max_i64(1, (int64_t)llround((double)audio->count * ratio));
    float *samples = alloc_zero(count, sizeof *samples);
    status_t status = convert(label, audio, ratio, count, samples);
    if (status != STATUS_OK) {
        free(samples);
        return status;
    }
    free(audio->samples);
    *audio = (audio_t){rate_hz, count, samples};
    return STATUS_OK;
}
