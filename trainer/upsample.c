#include "trainer/upsample.h"

#include <math.h>

#include "kernels/base/bytes.h"

enum { COLOURS = 3 };

/* Between which two of `size` places a place of the result lies, and the part of the second. */
typedef struct between {
    int64_t low, high;
    float part;
} between_t;

static between_t between_of(int64_t size, int64_t times, int64_t place) {
    float at = fmaxf(((float)place + 0.5f) / (float)times - 0.5f, 0.0f);
    int64_t low = min_i64((int64_t)at, size - 1);
    return (between_t){low, min_i64(low + 1, size - 1), at - (float)low};
}

void upsample_picture(int64_t size, int64_t times, const float *from, float *to) {
    for (int64_t r = 0; r < size * times; r++) {
        between_t row = between_of(size, times, r);
        const float *above = from + row.low * size * COLOURS;
        const float *below = from + row.high * size * COLOURS;
        for (int64_t k = 0; k < size * times; k++) {
            between_t column = between_of(size, times, k);
            int64_t left = column.low * COLOURS, right = column.high * COLOURS;
            for (int64_t c = 0; c < COLOURS; c++) {
                float top = above[left + c] + column.part * (above[right + c] - above[left + c]);
                float bottom = below[left + c] + column.part * (below[right + c] - below[left + c]);
                to[(r * size * times + k) * COLOURS + c] = top + row.part * (bottom - top);
            }
        }
    }
}
