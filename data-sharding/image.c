#include "data-sharding/image.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "kernels/base/bytes.h"

/* A warning means data that is missing or damaged; a thousand scans mean an attack. */
enum { JPEG_FLAGS = TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS };

struct image_decoder {
    tjhandle jpeg;
    uint8_t *rgb; /* the last one of image_read */
    size_t room;  /* of rgb, bytes */
};

image_decoder_t *image_decoder_open(void) {
    image_decoder_t *decoder = alloc_zero(1, sizeof *decoder);
    decoder->jpeg = tjInitDecompress();
    REQUIRE(decoder->jpeg != NULL);
    return decoder;
}

void image_decoder_close(image_decoder_t *decoder) {
    if (decoder != NULL) {
        tjDestroy(decoder->jpeg);
        free(decoder->rgb);
        free(decoder);
    }
}

static bool begins(const void *data, size_t bytes, const char *magic, size_t count) {
    return bytes >= count && memcmp(data, magic, count) == 0;
}
static bool is_jpeg(const void *data, size_t bytes) {
    return begins(data, bytes, "\xff\xd8\xff", 3);
}
static bool is_png(const void *data, size_t bytes) {
    return begins(data, bytes, "\x89PNG\r\n\x1a\n", 8);
}

static status_t refuse(const char *label, const char *why) {
    return status_fail(STATUS_INPUT, "%s: the image is damaged or cut off: %s; get it again", label,
                       why);
}

/* --- JPEG --------------------------------------------------------------------------------------*/

static status_t jpeg_size(image_decoder_t *decoder, const char *label, const void *data,
                          size_t bytes, int *width_out, int *height_out) {
    int sampling = 0, colours = 0;
    if (tjDecompressHeader3(decoder->jpeg, data, bytes, width_out, height_out, &sampling,
                            &colours) != 0) {
        return refuse(label, tjGetErrorStr2(decoder->jpeg));
    }
    if (colours == TJCS_CMYK || colours == TJCS_YCCK) {
        return status_fail(STATUS_INPUT, "%s: the JPEG is CMYK; convert it to RGB", label);
    }
    return STATUS_OK;
}

static status_t jpeg_decode(image_decoder_t *decoder, const char *label, const void *data,
                            size_t bytes, int width, int height, uint8_t *rgb_out) {
    if (tjDecompress2(decoder->jpeg, data, bytes, rgb_out, width, 3 * width, height, TJPF_RGB,
                      JPEG_FLAGS) != 0) {
        return refuse(label, tjGetErrorStr2(decoder->jpeg));
    }
    return STATUS_OK;
}

/* --- PNG ---------------------------------------------------------------------------------------*/

static status_t png_begin(const char *label, const void *data, size_t bytes, png_image *image) {
    *image = (png_image){.version = PNG_IMAGE_VERSION};
    if (png_image_begin_read_from_memory(image, data, bytes) == 0) {
        return refuse(label, image->message);
    }
    return STATUS_OK;
}

static status_t png_size(const char *label, const void *data, size_t bytes, int *width_out,
                         int *height_out) {
    png_image image;
    TRY(png_begin(label, data, bytes, &image));
    *width_out = (int)min_i64(image.width, IMAGE_SIDE_MAX + 1);
    *height_out = (int)min_i64(image.height, IMAGE_SIDE_MAX + 1);
    png_image_free(&image);
    return STATUS_OK;
}

static status_t png_decode(const char *label, const void *data, size_t bytes, uint8_t *rgb_out) {
    png_image image;
    const png_color black = {0, 0, 0};
    TRY(png_begin(label, data, bytes, &image));
    image.format = PNG_FORMAT_RGB;
    image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB; /* 16 bits are the same curve as 8 */
    bool whole = png_image_finish_read(&image, &black, rgb_out, 0, NULL) != 0;
    status_t status = whole ? STATUS_OK : refuse(label, image.message);
    png_image_free(&image);
    return status;
}

/* --- either ------------------------------------------------------------------------------------*/

bool image_fits(int64_t width, int64_t height) {
    return width >= 1 && height >= 1 && width <= IMAGE_SIDE_MAX && height <= IMAGE_SIDE_MAX &&
           width * height <= IMAGE_PIXELS_MAX;
}

status_t image_size(image_decoder_t *decoder, const char *label, const void *data, size_t bytes,
                    int *width_out, int *height_out) {
    int width = 0, height = 0;
    if (is_jpeg(data, bytes)) {
        TRY(jpeg_size(decoder, label, data, bytes, &width, &height));
    } else if (is_png(data, bytes)) {
        TRY(png_size(label, data, bytes, &width, &height));
    } else {
        return status_fail(STATUS_INPUT, "%s: neither a JPEG nor a PNG%s; convert it to one", label,
                           bytes == 0 ? ", but empty" : "");
    }
    if (!image_fits(width, height)) {
        return status_fail(STATUS_INPUT, "%s: an image of %d x %d is too large; shrink it", label,
                           width, height);
    }
    *width_out = width;
    *height_out = height;
    return STATUS_OK;
}

static status_t decode_known(image_decoder_t *decoder, const char *label, const void *data,
                             size_t bytes, int width, int height, uint8_t *rgb_out) {
    if (is_jpeg(data, bytes)) {
        return jpeg_decode(decoder, label, data, bytes, width, height, rgb_out);
    }
    return png_decode(label, data, bytes, rgb_out);
}

status_t image_decode(image_decoder_t *decoder, const char *label, const void *data, size_t bytes,
                      int width, int height, uint8_t *rgb_out) {
    int own_width = 0, own_height = 0;
    TRY(image_size(decoder, label, data, bytes, &own_width, &own_height));
    if (own_width != width || own_height != height) {
        return status_fail(STATUS_INPUT,
                           "%s: the image is %d x %d, others are %d x %d; bring them to one size",
                           label, own_width, own_height, width, height);
    }
    return decode_known(decoder, label, data, bytes, width, height, rgb_out);
}

status_t image_read(image_decoder_t *decoder, const char *label, const void *data, size_t bytes,
                    const uint8_t **rgb_out, int *width_out, int *height_out) {
    TRY(image_size(decoder, label, data, bytes, width_out, height_out));
    size_t want = (size_t)*width_out * (size_t)*height_out * 3;
    if (want > decoder->room) {
        free(decoder->rgb);
        decoder->rgb = alloc_aligned(want);
        decoder->room = want;
    }
    *rgb_out = decoder->rgb;
    return decode_known(decoder, label, data, bytes, *width_out, *height_out, decoder->rgb);
}
