#include "trainer/upsample.h"

#include "kernels/picture.h"

enum { COLOURS = PICTURE_COLOURS };

void upsample_picture(int64_t size, int64_t times, const float *from, float *to) {
    for (int64_t r = 0; r < size * times; r++) {
        picture_between_t row = picture_between(size, times, r);
        const float *above = from + row.low * size * COLOURS;
        const float *below = from + row.high * size * COLOURS;
        for (int64_t k = 0; k < size * times; k++) {
            picture_between_t column = picture_between(size, times, k);
            int64_t left = column.low * COLOURS, right = column.high * COLOURS;
            for (int64_t c = 0; c < COLOURS; c++) {
                float top = above[left + c] + column.part * (above[right + c] - above[left + c]);
                float bottom = below[left + c] + column.part * (below[right + c] - below[left + c]);
                to[(r * size * times + k) * COLOURS + c] = top + row.part * (bottom - top);
            }
        }
    }
}
