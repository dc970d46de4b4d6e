#include "data-sharding/picture_scale.h"

#include <libswscale/swscale.h>

status_t picture_scale(picture_scale_t *scale, const uint8_t *from, int side, int stride,
                       uint8_t *to, int to_side, int to_stride) {
    struct SwsContext *context = sws_getCachedContext(
        scale->context, side, side, AV_PIX_FMT_GRAY8, to_side, to_side, AV_PIX_FMT_GRAY8,
        SWS_BICUBIC | SWS_ACCURATE_RND | SWS_BITEXACT, NULL, NULL, NULL);
    const uint8_t *sources[4] = {from};
    uint8_t *targets[4] = {to};
    const int strides[4] = {stride}, to_strides[4] = {to_stride};
    scale->context = context;
    if (context == NULL ||
        sws_scale(context, sources, strides, 0, side, targets, to_strides) != to_side) {
        return status_fail(STATUS_INPUT, "a part of %d x %d cannot be brought to %d x %d", side,
                           side, to_side, to_side);
    }
    return STATUS_OK;
}

void picture_scale_close(picture_scale_t *scale) {
    sws_freeContext(scale->context);
    *scale = (picture_scale_t){0};
}
