/* vggish_mel.h - sound as VGGish's weights know it (Hershey et al., CNN Architectures for
 * Large-Scale Audio Classification, ICASSP 2017, and AudioSet's features): the logarithm of 64 mel
 * bands of the magnitude, 100 frames a second, nothing normalised. 96 frames are what the network
 * takes at once.
 *
 * Frame f is of samples 160 f to 160 f + 399, without anything beyond the ends. */
#ifndef JMT_VGGISH_MEL_H
#define JMT_VGGISH_MEL_H

#include <stdint.h>

enum {
    VGGISH_MEL_RATE_HZ = 16000,
    VGGISH_MEL_BANDS = 64,
    VGGISH_MEL_WINDOW = 400,
    VGGISH_MEL_HOP = 160,
};

/* Where the middle of frame 0 lies. */
#define VGGISH_MEL_CENTRE_S (0.5 * VGGISH_MEL_WINDOW / VGGISH_MEL_RATE_HZ)

/* ln 0.01: what a frame of silence has in each band. */
#define VGGISH_MEL_SILENCE (-4.60517018598809136804f)

typedef struct vggish_mel vggish_mel_t;
vggish_mel_t *vggish_mel_open(void);
void vggish_mel_close(vggish_mel_t *mel); /* NULL allowed */

/* samples: at least VGGISH_MEL_WINDOW; a rest that fills no window is left out. */
static inline int64_t vggish_mel_frames(int64_t samples) {
    return 1 + (samples - VGGISH_MEL_WINDOW) / VGGISH_MEL_HOP;
}

/* out: [vggish_mel_frames(count), 64]: ln(band + 0.01). samples: mono, 16 kHz. Thread-safe. */
void vggish_mel_log(const vggish_mel_t *mel, const float *samples, int64_t count, float *out);

#endif
