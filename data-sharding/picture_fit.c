#include "data-sharding/picture_fit.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/image.h"
#include "data-sharding/picture_scale.h"
#include "kernels/base/bytes.h"

enum { COLOURS = 3, ALIGN = 64 };

struct picture_fit {
    int side;
    double margin;
    picture_scale_t scale;
    uint8_t *from, *to; /* one colour of the part, and of what it becomes; rows padded */
    size_t room;        /* of from */
};

typedef struct square {
    int64_t x, y, side;
} square_t;

static int padded(int64_t side) { return (int)align_up(side, ALIGN); }

picture_fit_t *picture_fit_open(int side, double margin) {
    picture_fit_t *fit = alloc_zero(1, sizeof *fit);
    fit->side = side;
    fit->margin = margin;
    fit->to = alloc_aligned((size_t)padded(side) * (size_t)side + ALIGN);
    return fit;
}

void picture_fit_close(picture_fit_t *fit) {
    if (fit != NULL) {
        picture_scale_close(&fit->scale);
        free(fit->from);
        free(fit->to);
        free(fit);
    }
}

static status_t square_of(const picture_fit_t *fit, int width, int height, const picture_box_t *box,
                          square_t *out) {
    if (box == NULL) {
        int64_t side = min_i64(width, height);
        *out = (square_t){(width - side) / 2, (height - side) / 2, side};
        return STATUS_OK;
    }
    double side = fmax(round(fmax(box->width, box->height) * (1.0 + fit->margin)), 1.0);
    double x = floor(box->x + box->width / 2.0 - side / 2.0 + 0.5);
    double y = floor(box->y + box->height / 2.0 - side / 2.0 + 0.5);
    if (!(box->width > 0.0 && box->height > 0.0 && side <= IMAGE_SIDE_MAX && x < width &&
          y < height && x + side > 0.0 && y + side > 0.0)) {
        return status_fail(STATUS_INPUT,
                           "a box of %g x %g at %g, %g does not lie in a picture of %d x %d",
                           box->width, box->height, box->x, box->y, width, height);
    }
    *out = (square_t){(int64_t)x, (int64_t)y, (int64_t)side};
    return STATUS_OK;
}

/* One colour of the square, black where the picture does not reach. */
static void take_colour(const square_t *s, const uint8_t *rgb, int width, int height, int colour,
                        int stride, uint8_t *out) {
    int64_t begin = max_i64(-s->x, 0), end = min_i64(width - s->x, s->side);
    for (int64_t row = 0; row < s->side; row++) {
        uint8_t *to = out + row * stride;
        int64_t y = s->y + row;
        memset(to, 0, (size_t)s->side);
        for (int64_t i = begin; i < end && y >= 0 && y < height; i++) {
            to[i] = rgb[((y * width) + s->x + i) * COLOURS + colour];
        }
    }
}

/* The square as it is, where it has the size already; black where the picture does not reach. */
static void take_whole(const square_t *s, const uint8_t *rgb, int width, int height, uint8_t *out) {
    int64_t begin = max_i64(-s->x, 0), end = min_i64(width - s->x, s->side);
    for (int64_t row = 0; row < s->side; row++) {
        uint8_t *to = out + row * s->side * COLOURS;
        int64_t y = s->y + row;
        if (begin > 0 || end < s->side || y < 0 || y >= height) {
            memset(to, 0, (size_t)(s->side * COLOURS));
        }
        if (y >= 0 && y < height) {
            memcpy(to + begin * COLOURS, rgb + (y * width + s->x + begin) * COLOURS,
                   (size_t)((end - begin) * COLOURS));
        }
    }
}

static void put_colour(int side, int stride, const uint8_t *from, int colour, uint8_t *out) {
    for (int row = 0; row < side; row++) {
        for (int i = 0; i < side; i++) {
            out[((int64_t)row * side + i) * COLOURS + colour] = from[(int64_t)row * stride + i];
        }
    }
}

status_t picture_fit(picture_fit_t *fit, const uint8_t *rgb, int width, int height,
                     const picture_box_t *box, uint8_t *out) {
    square_t s = {0};
    TRY(square_of(fit, width, height, box, &s));
    if (s.side == fit->side) {
        take_whole(&s, rgb, width, height, out);
        return STATUS_OK;
    }
    int stride = padded(s.side);
    size_t bytes = (size_t)stride * (size_t)s.side;
    if (bytes > fit->room) {
        free(fit->from);
        fit->from = alloc_aligned(bytes + ALIGN);
        fit->room = bytes;
    }
    for (int colour = 0; colour < COLOURS; colour++) {
        take_colour(&s, rgb, width, height, colour, stride, fit->from);
        TRY(picture_scale(&fit->scale, fit->from, (int)s.side, stride, fit->to, fit->side,
                          padded(fit->side)));
        put_colour(fit->side, padded(fit->side), fit->to, colour, out);
    }
    return STATUS_OK;
}
