/* WAV: samples are finite, and a short one can be resampled. */
#include <math.h>

#include "data-sharding/audio.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"

bool fuzz_audio(const uint8_t *data, size_t bytes) {
    audio_t audio;
    if (wav_decode("it", data, bytes, &audio) != STATUS_OK) {
        return false;
    }
    REQUIRE(audio.count > 0 && audio.count <= (int64_t)bytes);
    for (int64_t i = 0; i < audio.count; i++) {
        REQUIRE(isfinite(audio.samples[i]));
    }
    bool accepted = audio.count > 500 || audio_resample("it", &audio, 16000) == STATUS_OK;
    audio_free(&audio);
    return accepted;
}
