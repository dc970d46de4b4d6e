/* By libsamplerate, because its plain C gives the same bits on every processor. */
#include <math.h>
#include <samplerate.h>
#include <stdlib.h>

#include "data-sharding/audio.h"
#include "kernels/base/bytes.h"

status_t audio_resample(const char *label, audio_t *audio, int rate_hz) {
    REQUIRE(rate_hz >= AUDIO_RATE_MIN_HZ && rate_hz <= AUDIO_RATE_MAX_HZ && audio->count > 0);
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
    SRC_DATA job = {.data_in = audio->samples,
                    .data_out = samples,
                    .input_frames = audio->count,
                    .output_frames = count,
                    .src_ratio = ratio};
    int error = src_simple(&job, SRC_SINC_MEDIUM_QUALITY, 1);
    if (error != 0) {
        free(samples);
        return status_fail(STATUS_FAILED, "%s: resampling failed: %s; report this", label,
                           src_strerror(error));
    }
    free(audio->samples);
    *audio = (audio_t){rate_hz, count, samples};
    return STATUS_OK;
}
