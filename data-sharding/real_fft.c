#include "data-sharding/real_fft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

enum { HALF_MAX = REAL_FFT_MAX / 2 };

struct real_fft {
    int size, half;
    double turn[HALF_MAX][2]; /* exp(-2 pi i k / size): real and imaginary part */
    int reversed[HALF_MAX];   /* the bits of the index from behind */
};

real_fft_t *real_fft_open(int size) {
    REQUIRE(size >= 4 && size <= REAL_FFT_MAX && (size & (size - 1)) == 0);
    real_fft_t *fft = alloc_zero(1, sizeof *fft);
    int bits = 0;
    fft->size = size;
    fft->half = size / 2;
    while (1 << bits < fft->half) {
        bits++;
    }
    for (int i = 0; i < fft->half; i++) {
        fft->turn[i][0] = cos(2.0 * M_PI * i / size);
        fft->turn[i][1] = -sin(2.0 * M_PI * i / size);
        for (int b = 0; b < bits; b++) {
            fft->reversed[i] |= (i >> b & 1) << (bits - 1 - b);
        }
    }
    return fft;
}

void real_fft_close(real_fft_t *fft) { free(fft); }

/* x: [half] complex numbers, already in the order of reversed bits. */
static void transform(const real_fft_t *fft, double x[][2]) {
    for (int length = 2; length <= fft->half; length *= 2) {
        int step = fft->size / length;
        for (int begin = 0; begin < fft->half; begin += length) {
            for (int k = 0; k < length / 2; k++) {
                double *a = x[begin + k], *b = x[begin + k + length / 2];
                const double *t = fft->turn[k * step];
                double re = b[0] * t[0] - b[1] * t[1], im = b[0] * t[1] + b[1] * t[0];
                b[0] = a[0] - re;
                b[1] = a[1] - im;
                a[0] += re;
                a[1] += im;
            }
        }
    }
}

/* Real numbers taken as half as many complex ones: even in the real part, odd in the other. */
void real_fft_power(const real_fft_t *fft, const double *frame, double *power_out) {
    double x[HALF_MAX][2];
    int half = fft->half;
    for (int i = 0; i < half; i++) {
        memcpy(x[fft->reversed[i]], frame + 2 * i, sizeof x[0]);
    }
    transform(fft, x);
    for (int k = 0; k <= half; k++) {
        const double *a = x[k % half], *b = x[(half - k) % half];
        double even_re = 0.5 * (a[0] + b[0]), even_im = 0.5 * (a[1] - b[1]);
        double odd_re = 0.5 * (a[1] + b[1]), odd_im = 0.5 * (b[0] - a[0]);
        double turn_re = k < half ? fft->turn[k][0] : -1.0;
        double turn_im = k < half ? fft->turn[k][1] : 0.0;
        double re = even_re + odd_re * turn_re - odd_im * turn_im;
        double im = even_im + odd_re * turn_im + odd_im * turn_re;
        power_out[k] = re * re + im * im;
    }
}
