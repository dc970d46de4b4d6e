#include "data-sharding/log_mel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/real_fft.h"
#include "kernels/base/bytes.h"

enum { SIZE = 1024, WINDOW = 882, BINS = SIZE / 2 + 1 };

typedef struct band {
    int first, count; /* bins whose weight is not zero */
    double *weight;
} band_t;

struct log_mel {
    double window[WINDOW];
    real_fft_t *fft;
    band_t bands[LOG_MEL_BANDS];
};

/* --- tables --------------------------------------------------------------------------------- */

static double mel_to_hz(double mel) { return 700.0 * (pow(10.0, mel / 2595.0) - 1.0); }

/* Triangles between points that are evenly spaced in mel, at the bins' frequencies. */
static void make_band(band_t *band, int number) {
    double top = 2595.0 * log10(1.0 + LOG_MEL_RATE_HZ / 2.0 / 700.0), point[3];
    for (int i = 0; i < 3; i++) {
        point[i] = mel_to_hz(top * (number + i) / (LOG_MEL_BANDS + 1));
    }
    band->weight = alloc_zero(BINS, sizeof *band->weight);
    for (int k = 0; k < BINS; k++) {
        double hz = (double)k * LOG_MEL_RATE_HZ / SIZE;
        double weight =
            fmin((hz - point[0]) / (point[1] - point[0]), (point[2] - hz) / (point[2] - point[1]));
        if (weight > 0.0) {
            band->first = band->count == 0 ? k : band->first;
            band->weight[band->count++] = weight;
        }
    }
}

log_mel_t *log_mel_open(void) {
    log_mel_t *mel = alloc_zero(1, sizeof *mel);
    for (int i = 0; i < WINDOW; i++) {
        mel->window[i] = 0.5 - 0.5 * cos(2.0 * M_PI * i / WINDOW);
    }
    mel->fft = real_fft_open(SIZE);
    for (int i = 0; i < LOG_MEL_BANDS; i++) {
        make_band(&mel->bands[i], i);
    }
    return mel;
}

void log_mel_close(log_mel_t *mel) {
    for (int i = 0; mel != NULL && i < LOG_MEL_BANDS; i++) {
        free(mel->bands[i].weight);
    }
    if (mel != NULL) {
        real_fft_close(mel->fft);
    }
    free(mel);
}

/* --- one frame ------------------------------------------------------------------------------ */

/* The sample at a place that may lie outside: mirrored, without the end itself once more. */
static double sample_at(const float *samples, int64_t count, int64_t at) {
    at = at < 0 ? -at : at;
    return samples[at < count ? at : 2 * (count - 1) - at];
}

void log_mel_decibels(const log_mel_t *mel, const float *samples, int64_t count, float *db_out) {
    REQUIRE(count >= LOG_MEL_SAMPLES_MIN);
    for (int64_t f = 0; f < log_mel_frames(count); f++) {
        double frame[SIZE] = {0}, power[BINS];
        int64_t begin = f * LOG_MEL_HOP - WINDOW / 2;
        for (int i = 0; i < WINDOW; i++) {
            frame[(SIZE - WINDOW) / 2 + i] = mel->window[i] * sample_at(samples, count, begin + i);
        }
        real_fft_power(mel->fft, frame, power);
        for (int m = 0; m < LOG_MEL_BANDS; m++) {
            const band_t *band = &mel->bands[m];
            double sum = 0.0;
            for (int k = 0; k < band->count; k++) {
                sum += band->weight[k] * power[band->first + k];
            }
            db_out[f * LOG_MEL_BANDS + m] = (float)(10.0 * log10(fmax(sum, 1e-10)));
        }
    }
}

void log_mel_normalise(float *db, int64_t frames) {
    float top = -INFINITY;
    for (int64_t i = 0; i < frames * LOG_MEL_BANDS; i++) {
        top = fmaxf(top, db[i]);
    }
    for (int64_t i = 0; i < frames * LOG_MEL_BANDS; i++) {
        db[i] = (float)((fmax(db[i], top - 80.0) + 14.8) / 19.895);
    }
}

void log_mel_clip(const log_mel_t *mel, const float *samples, int64_t count, float *out) {
    int64_t length = max_i64(count, LOG_MEL_CLIP_MIN);
    float *padded = alloc_zero(length, sizeof *padded);
    memcpy(padded + (length - count), samples, (size_t)count * sizeof *padded);
    log_mel_decibels(mel, padded, length, out);
    log_mel_normalise(out, log_mel_frames(length));
    free(padded);
}
