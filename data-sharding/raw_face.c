#include "data-sharding/raw_face.h"

#include <math.h>
#include <stdbool.h>

static double level(double mood, double across, double down) {
    if (hypot(across / 0.8, down / 0.95) > 1.0) {
        return 40.0;
    }
    bool eye = hypot(fabs(across) - 0.35, down + 0.35) < 0.1;
    double bend = 0.2 * mood * (4.0 * across * across - 0.5);
    bool mouth = fabs(across) < 0.35 && fabs(down - 0.55 + bend) < 0.05;
    return eye || mouth ? 20.0 : 120.0 + 60.0 * mood;
}

void raw_face_draw(double mood, int side, uint8_t *grey_out) {
    for (int i = 0; i < side * side; i++) {
        double across = (i % side + 0.5) / side * 2.0 - 1.0;
        double down = ((double)(i / side) + 0.5) / side * 2.0 - 1.0;
        grey_out[i] = (uint8_t)lround(fmin(fmax(level(mood, across, down), 0.0), 255.0));
    }
}

void raw_face_colour(const uint8_t *grey, int side, uint8_t *rgb_out) {
    for (int i = 0; i < side * side; i++) {
        rgb_out[3 * i] = grey[i];
        rgb_out[3 * i + 1] = (uint8_t)(grey[i] * 4 / 5);
        rgb_out[3 * i + 2] = (uint8_t)(grey[i] * 7 / 10);
    }
}
