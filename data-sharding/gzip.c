#include "data-sharding/gzip.h"

#include <stdlib.h>
#include <zlib.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { TEXT_BYTES_MAX = 1 << 30, STEP_BYTES = 1 << 18 };

status_t gzip_read(const char *path, char **text_out, size_t *bytes_out) {
    gzFile file = file_exists(path) ? gzopen(path, "rb") : NULL;
    if (file == NULL) {
        return status_fail(STATUS_INPUT, "%s: missing or not readable; get the file again", path);
    }
    size_t bytes = 0, room = 0;
    char *text = NULL;
    int got;
    do {
        if (bytes + STEP_BYTES + 1 > room) {
            room = 2 * (bytes + STEP_BYTES + 1);
            text = realloc(text, room);
            REQUIRE(text != NULL);
        }
        got = gzread(file, text + bytes, STEP_BYTES);
        bytes += got > 0 ? (size_t)got : 0;
    } while (got > 0 && bytes <= TEXT_BYTES_MAX);
    int closed = gzclose(file);
    if (got != 0 || closed != Z_OK) {
        free(text);
        return status_fail(STATUS_INPUT, "%s: %s; get the file again", path,
                           got > 0 ? "more than 1 GiB" : "cut off or damaged");
    }
    text[bytes] = '\0';
    *text_out = text;
    *bytes_out = bytes;
    return STATUS_OK;
}
