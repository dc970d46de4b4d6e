/* upsample.h - pictures brought to a backbone's size, bilinearly: places are those of the pixels'
 * middles, and beyond the outermost of these a picture goes on as it ends. */
#ifndef JMT_UPSAMPLE_H
#define JMT_UPSAMPLE_H

#include <stdint.h>

/* from: [size, size, 3]; to: [size * times, size * times, 3], which it does not overlap. */
void upsample_picture(int64_t size, int64_t times, const float *from, float *to);

#endif
