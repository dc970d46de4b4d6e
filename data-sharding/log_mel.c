#include "data-sharding/log_mel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

enum { SIZE = 1024, HALF = SIZE / 2, BITS = 9, WINDOW = 882, BINS = HALF + 1 };

typedef struct band {
    int first, count; /* bins whose weight is not zero */
    double *weight;
} band_t;

struct log_mel {
    double window[WINDOW];
    double turn[HALF][2]; /* exp(-2 pi i k / SIZE): real and imaginary part */
    int reversed[HALF];   /* the bits of the index from behind */
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
    for (int i = 0; i < HALF; i++) {
        mel->turn[i][0] = cos(2.0 * M_PI * i / SIZE);
        mel->turn[i][1] = -sin(2.0 * M_PI * i / SIZE);
        for (int b = 0; b < BITS; b++) {
            mel->reversed[i] |= (i >> b & 1) << (BITS - 1 - b);
        }
    }
    for (int i = 0; i < LOG_MEL_BANDS; i++) {
        make_band(&mel->bands[i], i);
    }
    return mel;
}

void log_mel_close(log_mel_t *mel) {
    for (int i = 0; mel != NULL && i < LOG_MEL_BANDS; i++) {
        free(mel->bands[i].weight);
    }
    free(mel);
}

/* --- one frame ------------------------------------------------------------------------------ */

/* x: [HALF] complex numbers, already in the order of reversed bits. */
static void transform(const log_mel_t *mel, double x[HALF][2]) {
    for (int length = 2; length <= HALF; length *= 2) {
        int step = SIZE / length;
        for (int begin = 0; begin < HALF; begin += length) {
            for (int k = 0; k < length / 2; k++) {
                double *a = x[begin + k], *b = x[begin + k + length / 2];
                const double *t = mel->turn[k * step];
                double re = b[0] * t[0] - b[1] * t[1], im = b[0] * t[1] + b[1] * t[0];
                b[0] = a[0] - re;
                b[1] = a[1] - im;
                a[0] += re;
                a[1] += im;
            }
        }
    }
}

/* Of SIZE real numbers, taken as HALF complex ones: even in the real part, odd in the other. */
static void power_of(const log_mel_t *mel, const double frame[SIZE], double power[BINS]) {
    double x[HALF][2];
    for (int i = 0; i < HALF; i++) {
        memcpy(x[mel->reversed[i]], frame + 2 * i, sizeof x[0]);
    }
    transform(mel, x);
    for (int k = 0; k < BINS; k++) {
        const double *a = x[k % HALF], *b = x[(HALF - k) % HALF];
        double even_re = 0.5 * (a[0] + b[0]), even_im = 0.5 * (a[1] - b[1]);
        double odd_re = 0.5 * (a[1] + b[1]), odd_im = 0.5 * (b[0] - a[0]);
        double turn_re = k < HALF ? mel->turn[k][0] : -1.0;
        double turn_im = k < HALF ? mel->turn[k][1] : 0.0;
        double re = even_re + odd_re * turn_re - odd_im * turn_im;
        double im = even_im + odd_re * turn_im + odd_im * turn_re;
        power[k] = re * re + im * im;
    }
}

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
        power_of(mel, frame, power);
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
