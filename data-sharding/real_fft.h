/* real_fft.h - the power of a frame of real numbers at each frequency. */
#ifndef JMT_REAL_FFT_H
#define JMT_REAL_FFT_H

enum { REAL_FFT_MAX = 1024 };

typedef struct real_fft real_fft_t;

/* size: a power of two from 4 to REAL_FFT_MAX. */
real_fft_t *real_fft_open(int size);
void real_fft_close(real_fft_t *fft); /* NULL allowed */

/* power_out: [size / 2 + 1], |X_k|^2 of frame [size], without any factor. Thread-safe. */
void real_fft_power(const real_fft_t *fft, const double *frame, double *power_out);

#endif
