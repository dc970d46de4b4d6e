#include "trainer/post_process.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

const int64_t smooth_widths[SMOOTH_WIDTHS] = {0,  2,  3,  5,   7,   10,  15,  20,
                                              30, 50, 70, 100, 150, 200, 300, 500};

/* Terms are added anew for each step: a running sum would carry the rounding of all before. */
void box_filter(const float *x, int64_t count, int64_t width, edges_t edges, float *out) {
    for (int64_t i = 0; i < count; i++) {
        int64_t begin = i - width / 2, end = begin + width;
        double sum = 0.0;
        for (int64_t k = max_i64(begin, 0); k < min_i64(end, count); k++) {
            sum += (double)x[k];
        }
        if (edges == EDGES_NEAREST) {
            sum += (double)max_i64(-begin, 0) * (double)x[0];
            sum += (double)max_i64(end - count, 0) * (double)x[count - 1];
        }
        out[i] = (float)(sum / (double)width);
    }
}

typedef struct stretch_values {
    int64_t *at;
    float *x, *smooth;
    int64_t count;
} stretch_values_t;

static void put_stretch(const post_process_t *how, stretch_values_t *values, float *out) {
    if (values->count > 0) {
        box_filter(values->x, values->count, how->width, how->edges, values->smooth);
    }
    for (int64_t i = 0; i < values->count; i++) {
        out[values->at[i]] = values->smooth[i];
    }
    values->count = 0;
}

void post_process(const post_process_t *how, const float *x, const int64_t *stretch, int64_t count,
                  float *out) {
    for (int64_t i = 0; i < count; i++) {
        out[i] = how->clip ? fminf(fmaxf(x[i], -1.0f), 1.0f) : x[i];
    }
    if (how->width <= 1) {
        return;
    }
    int64_t room = max_i64(count, 1), number = -1;
    stretch_values_t values = {alloc_zero(room, sizeof *values.at),
                               alloc_zero(room, sizeof *values.x),
                               alloc_zero(room, sizeof *values.smooth), 0};
    for (int64_t i = 0; i < count; i++) {
        if (stretch[i] >= 0 && stretch[i] != number) {
            put_stretch(how, &values, out);
            number = stretch[i];
        }
        if (stretch[i] >= 0) {
            values.at[values.count] = i;
            values.x[values.count++] = out[i];
        }
    }
    put_stretch(how, &values, out);
    free(values.at);
    free(values.x);
    free(values.smooth);
}
