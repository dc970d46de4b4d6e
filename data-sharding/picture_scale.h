/* picture_scale.h - one colour of a square picture brought to another size, by FFmpeg's libswscale.
 * Files of pictures need no other part of FFmpeg, and no part where they have the size already. */
#ifndef JMT_PICTURE_SCALE_H
#define JMT_PICTURE_SCALE_H

#include <stdint.h>

#include "kernels/base/status.h"

/* What is kept between calls: zero at first, closed at the end. */
typedef struct picture_scale {
    void *context;
} picture_scale_t;

/* from: [side, side], to: [to_side, to_side], rows padded to the strides; bicubic, the same bits
 * everywhere. */
status_t picture_scale(picture_scale_t *scale, const uint8_t *from, int side, int stride,
                       uint8_t *to, int to_side, int to_stride) MUST_CHECK;
void picture_scale_close(picture_scale_t *scale);

#endif
