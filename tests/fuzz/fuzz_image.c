/* JPEG or PNG: what is accepted has its header's size, and decodes twice to the same. */
#include <stdlib.h>
#include <string.h>

#include "data-sharding/image.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"

enum { PIXELS_MAX = 1 << 18 };

bool fuzz_image(const uint8_t *data, size_t bytes) {
    image_decoder_t *decoder = image_decoder_open();
    int width = 0, height = 0;
    bool accepted = image_size(decoder, "it", data, bytes, &width, &height) == STATUS_OK;
    if (accepted && (int64_t)width * height <= PIXELS_MAX) {
        size_t room = 3 * (size_t)width * (size_t)height;
        uint8_t *rgb = alloc_zero((int64_t)room, 1), *again = alloc_zero((int64_t)room, 1);
        accepted = image_decode(decoder, "it", data, bytes, width, height, rgb) == STATUS_OK;
        if (accepted) {
            REQUIRE(image_decode(decoder, "it", data, bytes, width, height, again) == STATUS_OK);
            REQUIRE(memcmp(rgb, again, room) == 0);
        }
        free(rgb);
        free(again);
    }
    image_decoder_close(decoder);
    return accepted;
}
