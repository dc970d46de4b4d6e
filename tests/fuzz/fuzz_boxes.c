/* The CSV file of a face detector; the first byte says how frames are counted. */
#include <math.h>

#include "data-sharding/face_boxes.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"

bool fuzz_boxes(const uint8_t *data, size_t bytes) {
    face_boxes_t boxes = {0};
    picture_box_t box;
    if (bytes == 0) {
        return false;
    }
    char *dir = fuzz_dir_make(), *path = fuzz_path(dir, "boxes.csv");
    fuzz_write(dir, "boxes.csv", data + 1, bytes - 1);
    bool good = face_boxes_read(path, data[0] % 3 - 1, &boxes) == STATUS_OK;
    for (int64_t i = 0; good && i < min_i64(boxes.count, 1000); i++) {
        REQUIRE(!face_boxes_at(&boxes, i, 640, 480, &box) ||
                (isfinite(box.x) && isfinite(box.y) && box.width > 0.0 && box.height > 0.0));
    }
    face_boxes_free(&boxes);
    free(path);
    fuzz_dir_remove(dir);
    return good;
}
