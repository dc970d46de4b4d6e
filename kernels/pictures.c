/* Pictures on the host: the same code for every table. */
#include <string.h>

#include "kernels/ref/rows.h"

static float mean_grey(const picture_t *picture, bool jitters) {
    double sums[PICTURE_LANES];
    for (int lane = 0; lane < PICTURE_LANES; lane++) {
        sums[lane] = picture_lane_grey(picture, lane, jitters);
    }
    for (int half = PICTURE_LANES / 2; half > 0; half /= 2) {
        for (int lane = 0; lane < half; lane++) {
            sums[lane] += sums[lane + half];
        }
    }
    return (float)(sums[0] / (double)(picture->size * picture->size));
}

static void make(const pictures_call_t *call, int64_t index) {
    int64_t token = index / call->clip, side = call->size * call->times;
    int64_t given = call->size * call->size * PICTURE_COLOURS, made = side * side * PICTURE_COLOURS;
    char *out = (char *)call->out + (size_t)(index * made) * dtype_bytes(call->dtype);
    if (call->mask[token] == 0) {
        memset(out, 0, (size_t)made * dtype_bytes(call->dtype));
        return;
    }
    picture_t picture = {call->bytes + index * given, call->size, call->changes[token], 0.0f, 0.0f};
    picture.mean = picture.change.colours ? mean_grey(&picture, false) : 0.0f;
    picture.jitter_mean = picture.change.jittered ? mean_grey(&picture, true) : 0.0f;
    for (int64_t i = 0; i < side * side; i++) {
        float rgb[PICTURE_COLOURS];
        picture_enlarged(&picture, call->scale, call->times, i / side, i % side, rgb);
        for (int c = 0; c < PICTURE_COLOURS; c++) {
            dtype_set(call->dtype, out, i * PICTURE_COLOURS + c, (double)rgb[c]);
        }
    }
}

void host_pictures(const pictures_call_t *call) {
    for (int64_t index = 0; index < call->tokens * call->clip; index++) {
        make(call, index);
    }
}
