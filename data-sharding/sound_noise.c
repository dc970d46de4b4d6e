#include "data-sharding/sound_noise.h"

#include <math.h>

#include "kernels/base/file.h"
#include "kernels/base/rng.h"

void sound_noise_add(const sound_noise_t *noise, audio_t *audio) {
    if (!noise->wanted) {
        return;
    }
    char digest[SHA256_TEXT_BYTES];
    double power = 0.0;
    for (int64_t i = 0; i < audio->count; i++) {
        power += (double)audio->samples[i] * (double)audio->samples[i];
    }
    sha256_memory(audio->samples, (size_t)audio->count * sizeof *audio->samples, digest);
    rng_key_t key = {noise->seed, rng_name(digest), 0};
    double deviation = sqrt(power / (double)audio->count * pow(10.0, -noise->db / 10.0));
    for (int64_t i = 0; i < audio->count; i++) {
        audio->samples[i] += (float)(deviation * rng_normal(key, (uint64_t)i));
    }
}
