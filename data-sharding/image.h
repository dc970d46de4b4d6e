/* image.h - JPEG and PNG as 8-bit RGB.
 *
 * JPEGs become exactly what PIL makes of them (libjpeg's accurate DCT and smooth upsampling, no
 * rotation by EXIF); transparent PNGs are laid on black, 16 bits are shortened to 8. Cut-off and
 * damaged images are STATUS_INPUT, also where a lenient decoder would fill in grey. `label` names
 * the image in errors. */
#ifndef JMT_IMAGE_H
#define JMT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

/* What pictures may measure, those of a video too. */
enum { IMAGE_SIDE_MAX = 16384, IMAGE_PIXELS_MAX = 1 << 26 };
bool image_fits(int64_t width, int64_t height);

/* What decoding keeps between images; one for each thread. */
typedef struct image_decoder image_decoder_t;
image_decoder_t *image_decoder_open(void);
void image_decoder_close(image_decoder_t *decoder); /* NULL allowed */

/* From the header alone, nothing is decoded; what it gives fits. */
status_t image_size(image_decoder_t *decoder, const char *label, const void *data, size_t bytes,
                    int *width_out, int *height_out) MUST_CHECK;

/* rgb_out: [height, width, 3], of this image's own size; else STATUS_INPUT. What it holds after a
 * failure is unspecified. */
status_t image_decode(image_decoder_t *decoder, const char *label, const void *data, size_t bytes,
                      int width, int height, uint8_t *rgb_out) MUST_CHECK;

/* Both at once: *rgb_out is [height, width, 3], the decoder's until its next call. */
status_t image_read(image_decoder_t *decoder, const char *label, const void *data, size_t bytes,
                    const uint8_t **rgb_out, int *width_out, int *height_out) MUST_CHECK;

#endif
