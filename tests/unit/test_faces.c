/* Boxes as detectors write them, and the squares that are cut by them; videos on another grid. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "data-sharding/media_tracks.h"
#include "data-sharding/picture_fit.h"
#include "kernels/base/bytes.h"
#include "unit/data_case.h"
#include "unit/raw_case.h"

static status_t read_boxes(const char *place, const char *text, int64_t first,
                           face_boxes_t *boxes) {
    place_write(place, "boxes.csv", text, strlen(text));
    char *path = place_path(place, "boxes.csv");
    status_t status = face_boxes_read(path, first, boxes);
    free(path);
    return status;
}

static void boxes_of_every_detector(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t first;
        double x, y, width, height; /* of frame 1 of a picture of 200 x 100; width 0: none */
    } cases[] = {
        {"frame,x,y,w,h\n0,1,2,3,4\n1,10,20,30,40\n", -1, 10, 20, 30, 40},
        {"frame,x1,y1,x2,y2\n0,0,0,9,9\n1,10,20,40,60\n", -1, 10, 20, 30, 40},
        {"Frame, XMin, YMin, XMax, YMax, Score\n1,0,0,9,9,0.9\n2,10,20,40,60,0.8\n", 1, 10, 20, 30,
         40},
        {"frame,xmin,ymin,width,height\n0,0.1,0.1,0.2,0.2\n1,0.05,0.2,0.15,0.4\n", -1, 10, 20, 30,
         40},
        {"frame, face_id, confidence, success, x_0, x_1, x_2, y_0, y_1, y_2\n"
         "1,0,0.9,1,0,1,2,0,1,2\n2,0,0.9,1,10,25,40,60,20,30\n",
         1, 10, 20, 30, 40},
        {"frame, confidence, success, x_0, x_1, y_0, y_1\n1,1,1,0,5,0,5\n2,0.1,0,0,5,0,5\n", 1, 0,
         0, 0, 0},
        {"frame,x,y,w,h\n0,1,1,5,5\n1,,,,\n", -1, 0, 0, 0, 0},
        {"frame,x,y,w,h\n0,1,1,5,5\n1,nan,nan,nan,nan\n", -1, 0, 0, 0, 0},
        {"frame,x,y,w,h\n0,1,1,5,5\n1,3,3,0,9\n", -1, 0, 0, 0, 0},
        {"frame,x,y,w,h\n0,1,1,5,5\n1,1,1,5,5\n1,10,20,30,40\n1,3,3,6,6\n", -1, 10, 20, 30, 40},
        {"frame,x,y,w,h,confidence\n0,1,1,5,5,1\n1,1,1,50,50,0.3\n1,10,20,30,40,0.7\n", -1, 10, 20,
         30, 40},
        {"frame,x,y,w,h\n0,1,1,5,5\n", -1, 0, 0, 0, 0},
    };
    char *place = place_make();
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        face_boxes_t boxes = {0};
        picture_box_t box = {0};
        CHECK_OK(read_boxes(place, cases[i].text, cases[i].first, &boxes));
        bool found = face_boxes_at(&boxes, 1, 200, 100, &box);
        assert_int_equal(found, cases[i].width > 0.0);
        if (found) {
            assert_float_equal(box.x, cases[i].x, 1e-9);
            assert_float_equal(box.y, cases[i].y, 1e-9);
            assert_float_equal(box.width, cases[i].width, 1e-9);
            assert_float_equal(box.height, cases[i].height, 1e-9);
        }
        assert_false(face_boxes_at(&boxes, 1000, 200, 100, &box));
        face_boxes_free(&boxes);
    }
    place_remove(place);
}

static void boxes_that_cannot_be_read_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *error;
        int64_t first;
    } cases[] = {
        {"", "is empty", -1},
        {"x,y,w,h\n1,2,3,4\n", "no columns of boxes", -1},
        {"frame,x,y\n0,1,2\n", "no columns of boxes", -1},
        {"frame,x,y,w,h\n1,1,2,3,4\n", "say how they count", -1},
        {"frame,x,y,w,h\n0,1,2,3,4\n", "frame 0 is before the first, 1", 1},
        {"frame,x,y,w,h\n0,1,2,3\n", "column 5 is missing", -1},
        {"frame,x,y,w,h\n0,a,2,3,4\n", "\"a\", not a finite number", -1},
        {"frame,x,y,w,h\n0.5,1,2,3,4\n", "0.5 counts no frame", -1},
        {"frame,x,y,w,h\n1e30,1,2,3,4\n", "counts no frame", 1},
    };
    char *place = place_make();
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        face_boxes_t boxes = {0};
        CHECK_FAILS(read_boxes(place, cases[i].text, cases[i].first, &boxes), STATUS_INPUT,
                    cases[i].error);
    }
    place_remove(place);
}

/* A number of its own for each byte of a picture. */
static uint8_t byte_at(int x, int y, int colour) { return (uint8_t)(7 * x + 13 * y + 50 * colour); }

enum { WIDTH = 40, HEIGHT = 30 };

static void fill_numbers(uint8_t *rgb) {
    for (int i = 0; i < WIDTH * HEIGHT * 3; i++) {
        rgb[i] = byte_at(i / 3 % WIDTH, i / 3 / WIDTH, i % 3);
    }
}

/* A square of the size wanted is copied byte by byte, black where the picture ends. */
static void squares_are_cut_where_they_lie(void **state) {
    (void)state;
    static const struct {
        picture_box_t box;
        double margin;
        int side, x, y;
    } cases[] = {
        {{5, 6, 20, 20}, 0.0, 20, 5, 6},     {{5, 6, 20, 10}, 0.0, 20, 5, 1},
        {{-8, -4, 16, 16}, 0.0, 16, -8, -4}, {{30, 20, 16, 16}, 0.0, 16, 30, 20},
        {{10, 10, 10, 10}, 0.6, 16, 7, 7},   {{-20, -20, 90, 90}, 0.0, 90, -20, -20},
    };
    uint8_t rgb[WIDTH * HEIGHT * 3], out[90 * 90 * 3];
    fill_numbers(rgb);
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        int side = cases[i].side;
        picture_fit_t *fit = picture_fit_open(side, cases[i].margin);
        CHECK_OK(picture_fit(fit, rgb, WIDTH, HEIGHT, &cases[i].box, out));
        for (int k = 0; k < side * side * 3; k++) {
            int x = cases[i].x + k / 3 % side, y = cases[i].y + k / 3 / side;
            bool inside = x >= 0 && x < WIDTH && y >= 0 && y < HEIGHT;
            assert_int_equal(out[k], inside ? byte_at(x, y, k % 3) : 0);
        }
        picture_fit_close(fit);
    }
    picture_fit_t *fit = picture_fit_open(HEIGHT, 0.0); /* the middle of the whole */
    CHECK_OK(picture_fit(fit, rgb, WIDTH, HEIGHT, NULL, out));
    for (int k = 0; k < HEIGHT * HEIGHT * 3; k++) {
        assert_int_equal(out[k], byte_at(5 + k / 3 % HEIGHT, k / 3 / HEIGHT, k % 3));
    }
    static const picture_box_t away[] = {
        {50, 0, 5, 5}, {0, -50, 5, 5}, {0, 0, 0, 5}, {0, 0, NAN, 5}, {0, 0, 1e9, 1e9}};
    for (int i = 0; i < ARRAY_LEN(away); i++) {
        CHECK_FAILS(picture_fit(fit, rgb, WIDTH, HEIGHT, &away[i], out), STATUS_INPUT,
                    "does not lie in a picture of 40 x 30");
    }
    picture_fit_close(fit);
}

/* A slope stays one, with values of the middles of the new pixels, but for the border that has
 * nothing beyond; a plain colour stays to the byte. Rounding twice is 1 of 255. */
static void scaling_keeps_slopes_and_plains(void **state) {
    (void)state;
    static const int sides[][2] = {{240, 60}, {224, 112}, {200, 112}, {56, 112}, {300, 64}};
    for (int i = 0; i < ARRAY_LEN(sides); i++) {
        int from = sides[i][0], to = sides[i][1];
        uint8_t *rgb = alloc_zero((int64_t)from * from, 3), *out = alloc_zero((int64_t)to * to, 3);
        for (int k = 0; k < from * from; k++) {
            rgb[3 * k] = (uint8_t)(200 * (k % from) / from + 20);
            rgb[3 * k + 1] = (uint8_t)(200 * (k / from) / from + 20);
            rgb[3 * k + 2] = 77;
        }
        picture_fit_t *fit = picture_fit_open(to, 0.0);
        CHECK_OK(picture_fit(fit, rgb, from, from, NULL, out));
        double ratio = (double)from / to, border = 2.0 * fmax(1.0, 1.0 / ratio) + 1.0;
        for (int k = 0; k < to * to; k++) {
            double x = (k % to + 0.5) * ratio - 0.5, y = (k / to + 0.5) * ratio - 0.5;
            bool inner = k % to >= border && k % to < to - border;
            if (inner) {
                assert_true(fabs(out[3 * k] - (200.0 * x / from + 20.0)) < 2.0);
            }
            if (k / to >= border && k / to < to - border) {
                assert_true(fabs(out[3 * k + 1] - (200.0 * y / from + 20.0)) < 2.0);
            }
            assert_int_equal(out[3 * k + 2], 77);
        }
        picture_fit_close(fit);
        free(rgb);
        free(out);
    }
}

/* At another rate, step i is the picture nearest to i / rate. */
static void videos_at_another_rate(void **state) {
    (void)state;
    static const double rates[] = {0.0, 10.0, 60.0};
    char *place = place_make(), *path = place_path(place, "v.avi");
    steps_store_t *store = steps_store_open(place, 1 << 20);
    raw_write_video(path, 1, 25, 50, NULL, false);
    for (int i = 0; i < ARRAY_LEN(rates); i++) {
        double rate = rates[i] > 0.0 ? rates[i] : 25.0;
        const media_rules_t rules = {.side = RAW_SIDE, .first_frame = -1, .store = store};
        media_pictures_t pictures = {0};
        notes_t notes = {0};
        archive_member_t *member = NULL;
        CHECK_OK(archive_member_of_file(path, &member));
        CHECK_OK(media_video(&rules, path, member, rates[i], NULL, &notes, &pictures));
        int64_t steps = steps_file_count(pictures.steps);
        assert_int_equal(pictures.frames, 50);
        assert_true(pictures.rate_hz == rate);
        assert_int_equal(steps, (int64_t)round(49.0 / 25.0 * rate) + 1);
        uint8_t *rgb = alloc_zero(RAW_SIDE * RAW_SIDE, 3);
        for (int64_t s = 0; s < steps; s++) {
            CHECK_OK(steps_file_read(pictures.steps, s, 1, rgb));
            double seen = raw_see(rgb, RAW_SIDE), nearest = INFINITY;
            for (int64_t frame = 0; frame < 50; frame++) { /* shown within a step of its time */
                if (fabs((double)frame / 25.0 - (double)s / rate) <= fmax(1.0 / rate, 0.04)) {
                    nearest = fmin(nearest, fabs(seen - raw_seen(1, (double)frame / 25.0)));
                }
            }
            assert_true(nearest < 0.03);
            assert_int_equal(steps_file_valid(pictures.steps)[s], 1);
        }
        assert_int_equal(notes.count, 0); /* it was asked for */
        free(rgb);
        notes_free(&notes);
        steps_file_close(pictures.steps);
        archive_member_close(member);
    }
    steps_store_close(store);
    free(path);
    place_remove(place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_of_every_detector),
        cmocka_unit_test(boxes_that_cannot_be_read_are_refused),
        cmocka_unit_test(squares_are_cut_where_they_lie),
        cmocka_unit_test(scaling_keeps_slopes_and_plains),
        cmocka_unit_test(videos_at_another_rate),
    };
    return RUN_TESTS(tests);
}
