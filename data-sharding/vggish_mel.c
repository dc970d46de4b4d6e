#include "data-sharding/vggish_mel.h"

#include <math.h>
#include <stdlib.h>

#include "data-sharding/real_fft.h"
#include "kernels/base/bytes.h"

enum { SIZE = 512, BINS = SIZE / 2 + 1 };
static const double lowest_hz = 125.0, highest_hz = 7500.0, offset = 0.01;

typedef struct band {
    int first, count; /* bins whose weight is not zero */
    double weight[BINS];
} band_t;

struct vggish_mel {
    double window[VGGISH_MEL_WINDOW];
    real_fft_t *fft;
    band_t bands[VGGISH_MEL_BANDS];
};

static double hz_to_mel(double hz) { return 1127.0 * log(1.0 + hz / 700.0); }

/* Triangles that are straight in mel, not in Hz; the constant part counts in none. */
static void make_band(band_t *band, int number) {
    double low = hz_to_mel(lowest_hz),
           step = (hz_to_mel(highest_hz) - low) / (VGGISH_MEL_BANDS + 1);
    double left = low + number * step, middle = left + step, right = middle + step;
    for (int k = 1; k < BINS; k++) {
        double mel = hz_to_mel((double)k * VGGISH_MEL_RATE_HZ / SIZE);
        double weight = fmin((mel - left) / (middle - left), (right - mel) / (right - middle));
        if (weight > 0.0) {
            band->first = band->count == 0 ? k : band->first;
            band->weight[band->count++] = weight;
        }
    }
}

vggish_mel_t *vggish_mel_open(void) {
    vggish_mel_t *mel = alloc_zero(1, sizeof *mel);
    for (int i = 0; i < VGGISH_MEL_WINDOW; i++) {
        mel->window[i] = 0.5 - 0.5 * cos(2.0 * M_PI * i / VGGISH_MEL_WINDOW);
    }
    mel->fft = real_fft_open(SIZE);
    for (int i = 0; i < VGGISH_MEL_BANDS; i++) {
        make_band(&mel->bands[i], i);
    }
    return mel;
}

void vggish_mel_close(vggish_mel_t *mel) {
    if (mel != NULL) {
        real_fft_close(mel->fft);
    }
    free(mel);
}

void vggish_mel_log(const vggish_mel_t *mel, const float *samples, int64_t count, float *out) {
    REQUIRE(count >= VGGISH_MEL_WINDOW);
    for (int64_t f = 0; f < vggish_mel_frames(count); f++) {
        double frame[SIZE] = {0}, power[BINS];
        for (int i = 0; i < VGGISH_MEL_WINDOW; i++) {
            frame[i] = mel->window[i] * samples[f * VGGISH_MEL_HOP + i];
        }
        real_fft_power(mel->fft, frame, power);
        for (int m = 0; m < VGGISH_MEL_BANDS; m++) {
            const band_t *band = &mel->bands[m];
            double sum = offset;
            for (int k = 0; k < band->count; k++) {
                sum += band->weight[k] * sqrt(power[band->first + k]);
            }
            out[f * VGGISH_MEL_BANDS + m] = (float)log(sum);
        }
    }
}
