/* JPEG and PNG to RGB: colours, odd sizes, grey and transparent ones; every cut is refused. */
#include <math.h>
#include <png.h>
#include <string.h>
#include <turbojpeg.h>

#include "check.h"
#include "data-sharding/image.h"
#include "kernels/base/bytes.h"

typedef struct picture {
    int width, height;
    uint8_t *rgb; /* [height, width, 3] */
} picture_t;

/* Smooth, so that a JPEG keeps it. */
static picture_t draw(int width, int height) {
    picture_t p = {width, height, alloc_zero((int64_t)width * height * 3, 1)};
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            uint8_t *at = p.rgb + 3 * (y * width + x);
            at[0] = (uint8_t)(128 + 90 * sin(0.05 * x));
            at[1] = (uint8_t)(128 + 90 * cos(0.04 * y));
            at[2] = (uint8_t)(128 + 60 * sin(0.03 * (x + y)));
        }
    }
    return p;
}

static uint8_t *jpeg_of(const picture_t *p, int sampling, int flags, unsigned long *bytes_out) {
    tjhandle handle = tjInitCompress();
    unsigned char *made = NULL;
    *bytes_out = 0;
    assert_int_equal(tjCompress2(handle, p->rgb, p->width, 0, p->height, TJPF_RGB, &made, bytes_out,
                                 sampling, 98, flags),
                     0);
    uint8_t *copy = alloc_zero((int64_t)*bytes_out + 1, 1);
    memcpy(copy, made, *bytes_out);
    tjFree(made);
    tjDestroy(handle);
    return copy;
}

static uint8_t *png_of(int width, int height, unsigned format, const void *pixels,
                       size_t *bytes_out) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (unsigned)width,
                       .height = (unsigned)height,
                       .format = format};
    png_alloc_size_t bytes = 0;
    assert_true(png_image_write_get_memory_size(image, bytes, 0, pixels, 0, NULL));
    uint8_t *made = alloc_zero((int64_t)bytes + 1, 1);
    assert_true(png_image_write_to_memory(&image, made, &bytes, 0, pixels, 0, NULL));
    *bytes_out = bytes;
    return made;
}

/* The largest difference of a decoded image from the picture. */
static int difference(const picture_t *p, const uint8_t *data, size_t bytes) {
    image_decoder_t *decoder = image_decoder_open();
    int width = 0, height = 0, most = 0;
    CHECK_OK(image_size(decoder, "it", data, bytes, &width, &height));
    assert_int_equal(width, p->width);
    assert_int_equal(height, p->height);
    uint8_t *rgb = alloc_zero((int64_t)width * height * 3, 1);
    CHECK_OK(image_decode(decoder, "it", data, bytes, width, height, rgb));
    for (int i = 0; i < 3 * width * height; i++) {
        most = abs(rgb[i] - p->rgb[i]) > most ? abs(rgb[i] - p->rgb[i]) : most;
    }
    free(rgb);
    image_decoder_close(decoder);
    return most;
}

static void colours_are_kept(void **state) {
    (void)state;
    static const int sizes[][2] = {{112, 112}, {1, 1}, {17, 5}, {3, 64}};
    for (int i = 0; i < ARRAY_LEN(sizes); i++) {
        picture_t p = draw(sizes[i][0], sizes[i][1]);
        unsigned long bytes = 0;
        size_t png_bytes = 0;
        uint8_t *jpeg = jpeg_of(&p, TJSAMP_444, 0, &bytes);
        assert_in_range(difference(&p, jpeg, bytes), 0, 4);
        free(jpeg);
        jpeg = jpeg_of(&p, TJSAMP_444, TJFLAG_PROGRESSIVE, &bytes);
        assert_in_range(difference(&p, jpeg, bytes), 0, 4);
        free(jpeg);
        uint8_t *png = png_of(p.width, p.height, PNG_FORMAT_RGB, p.rgb, &png_bytes);
        assert_int_equal(difference(&p, png, png_bytes), 0);
        free(png);
        free(p.rgb);
    }
}

static void other_formats_become_rgb(void **state) {
    (void)state;
    enum { SIDE = 8 };
    picture_t grey = draw(SIDE, SIDE);
    uint8_t level[SIDE * SIDE], clear[SIDE * SIDE * 4] = {0};
    for (int i = 0; i < SIDE * SIDE; i++) {
        level[i] = (uint8_t)(100 + i / SIDE);
        memset(grey.rgb + 3 * i, level[i], 3);
        memset(clear + 4 * i, i < SIDE ? 0 : 255, 4); /* the first row is transparent */
    }
    size_t bytes = 0;
    unsigned long jpeg_bytes = 0;
    uint8_t *png = png_of(SIDE, SIDE, PNG_FORMAT_GRAY, level, &bytes);
    assert_int_equal(difference(&grey, png, bytes), 0);
    free(png);
    uint8_t *jpeg = jpeg_of(&grey, TJSAMP_GRAY, 0, &jpeg_bytes);
    assert_in_range(difference(&grey, jpeg, jpeg_bytes), 0, 2);
    free(jpeg);
    for (int i = 0; i < SIDE * SIDE; i++) {
        memset(grey.rgb + 3 * i, i < SIDE ? 0 : 255, 3);
    }
    png = png_of(SIDE, SIDE, PNG_FORMAT_RGBA, clear, &bytes);
    assert_int_equal(difference(&grey, png, bytes), 0);
    free(png);
    free(grey.rgb);
}

/* The bytes lie at the end of their own memory, so that reading behind them is seen. */
static status_t decode_copy(const uint8_t *data, size_t bytes, int width, int height) {
    image_decoder_t *decoder = image_decoder_open();
    uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
    uint8_t *rgb = alloc_zero((int64_t)width * height * 3, 1);
    for (size_t i = 0; i < bytes; i++) {
        copy[i] = data[i];
    }
    status_t status = image_decode(decoder, "it", copy, bytes, width, height, rgb);
    free(rgb);
    free(copy);
    image_decoder_close(decoder);
    return status;
}

static void cuts_are_refused(void **state) {
    (void)state;
    picture_t p = draw(20, 12);
    unsigned long bytes = 0;
    size_t png_bytes = 0;
    uint8_t *jpeg = jpeg_of(&p, TJSAMP_420, 0, &bytes);
    for (size_t count = 0; count < bytes; count++) {
        CHECK_FAILS(decode_copy(jpeg, count, 20, 12), STATUS_INPUT, "it: ");
    }
    CHECK_OK(decode_copy(jpeg, bytes, 20, 12));
    uint8_t *png = png_of(p.width, p.height, PNG_FORMAT_RGB, p.rgb, &png_bytes);
    for (size_t count = 0; count < png_bytes - 12; count++) { /* the last chunk holds nothing */
        CHECK_FAILS(decode_copy(png, count, 20, 12), STATUS_INPUT, "it: ");
    }
    CHECK_OK(decode_copy(png, png_bytes, 20, 12));
    for (size_t i = 60; i < png_bytes - 12; i++) {
        png[i] ^= 4;
        CHECK_FAILS(decode_copy(png, png_bytes, 20, 12), STATUS_INPUT, "damaged");
        png[i] ^= 4;
    }
    free(png);
    free(jpeg);
    free(p.rgb);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    picture_t p = draw(20, 12);
    unsigned long bytes = 0;
    size_t png_bytes = 0;
    uint8_t *jpeg = jpeg_of(&p, TJSAMP_444, 0, &bytes);
    CHECK_FAILS(decode_copy(jpeg, bytes, 12, 20), STATUS_INPUT, "is 20 x 12, others are 12 x 20");
    size_t at = 0; /* the frame header: marker, length, precision, height, width */
    while (jpeg[at] != 0xff || jpeg[at + 1] != 0xc0) {
        at++;
    }
    memcpy(jpeg + at + 5, "\x4e\x20\x4e\x20", 4);
    CHECK_FAILS(decode_copy(jpeg, bytes, 20, 12), STATUS_INPUT, "20000 x 20000 is too large");
    memcpy(jpeg + at + 5, "\0\0\0\0", 4);
    CHECK_FAILS(decode_copy(jpeg, bytes, 20, 12), STATUS_INPUT, "damaged");
    free(jpeg);
    uint8_t *png = png_of(p.width, p.height, PNG_FORMAT_RGB, p.rgb, &png_bytes);
    memcpy(png + 16, "\0\1\0\0", 4); /* the CRC no longer fits either */
    CHECK_FAILS(decode_copy(png, png_bytes, 20, 12), STATUS_INPUT, "it: ");
    free(png);
    CHECK_FAILS(decode_copy((const uint8_t *)"GIF89a", 6, 1, 1), STATUS_INPUT, "neither a JPEG");
    CHECK_FAILS(decode_copy(NULL, 0, 1, 1), STATUS_INPUT, "empty");
    free(p.rgb);
}

/* 16384 a side, and 2^26 pixels. */
static void what_fits_is_said_once(void **state) {
    (void)state;
    assert_true(image_fits(1, 1) && image_fits(16384, 4096) && image_fits(4096, 16384));
    assert_false(image_fits(16384, 4097) || image_fits(16385, 1) || image_fits(1, 16385));
    assert_false(image_fits(0, 1) || image_fits(1, 0) || image_fits(-1, -1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colours_are_kept),       cmocka_unit_test(other_formats_become_rgb),
        cmocka_unit_test(cuts_are_refused),       cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(what_fits_is_said_once),
    };
    return RUN_TESTS(tests);
}
