/* picture_fit.h - a square part of a picture, brought to a size: a face that a box frames, or the
 * middle of the whole. By FFmpeg's scaler (bicubic, wider where it shrinks), each colour for
 * itself. */
#ifndef JMT_PICTURE_FIT_H
#define JMT_PICTURE_FIT_H

#include <stdint.h>

#include "kernels/base/status.h"

typedef struct picture_box {
    double x, y, width, height; /* of the top left corner; pixels */
} picture_box_t;

/* What is kept between pictures; one for each thread. */
typedef struct picture_fit picture_fit_t;
/* side: of the pictures made. margin: of a box, as a part of its longer side, half at each end. */
picture_fit_t *picture_fit_open(int side, double margin);
void picture_fit_close(picture_fit_t *fit); /* NULL allowed */

/* rgb: [height, width, 3]; out: [side, side, 3]. box NULL: the largest square in the middle. Else a
 * square about the box's middle; what of it lies outside the picture is black. A box that lies
 * outside altogether, or is none, is STATUS_INPUT. */
status_t picture_fit(picture_fit_t *fit, const uint8_t *rgb, int width, int height,
                     const picture_box_t *box, uint8_t *out) MUST_CHECK;

#endif
