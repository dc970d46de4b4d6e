/* media_dump KIND PATH - what a reader of raw media makes of a file, for scripts to compare; exit
 * code 2 and the reader's line where it refuses; 3 where it is not built.
 *   archive: "BYTES CRC-32 NAME" of each entry, in order
 *   image: "WIDTH HEIGHT CRC-32" of the RGB */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "data-sharding/archive.h"
#include "data-sharding/image.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

static unsigned crc32_of(const void *data, size_t bytes) {
    return (unsigned)crc32_z(0, data, bytes);
}

static status_t dump_archive(const char *path) {
    archive_t *archive = NULL;
    TRY(archive_open(path, &archive));
    int64_t count = 0;
    const archive_entry_t *entries = archive_entries(archive, &count);
    status_t status = STATUS_OK;
    for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
        char *data = NULL;
        size_t bytes = 0;
        status = archive_read(archive, i, &data, &bytes);
        if (status == STATUS_OK) {
            printf("%zu %08x %s\n", bytes, crc32_of(data, bytes), entries[i].name);
            free(data);
        }
    }
    archive_close(archive);
    return status;
}

#ifdef JMT_MEDIA
static status_t print_image(image_decoder_t *decoder, const char *path, const char *data,
                            size_t bytes) {
    int width = 0, height = 0;
    TRY(image_size(decoder, path, data, bytes, &width, &height));
    int64_t room = 3 * (int64_t)width * height;
    uint8_t *rgb = alloc_zero(room, 1);
    status_t status = image_decode(decoder, path, data, bytes, width, height, rgb);
    if (status == STATUS_OK) {
        printf("%d %d %08x\n", width, height, crc32_of(rgb, (size_t)room));
    }
    free(rgb);
    return status;
}

static status_t dump_image(const char *path) {
    char *data = NULL;
    size_t bytes = 0;
    TRY(file_read(path, &data, &bytes));
    image_decoder_t *decoder = image_decoder_open();
    status_t status = print_image(decoder, path, data, bytes);
    image_decoder_close(decoder);
    free(data);
    return status;
}
#else
static status_t dump_image(const char *path) {
    return status_fail(STATUS_UNAVAILABLE, "%s: built without the readers of raw media", path);
}
#endif

int main(int argc, char **argv) {
    static const struct {
        const char *kind;
        status_t (*dump)(const char *path);
    } kinds[] = {{"archive", dump_archive}, {"image", dump_image}};
    for (size_t i = 0; argc == 3 && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(argv[1], kinds[i].kind) == 0) {
            status_t status = kinds[i].dump(argv[2]);
            if (status != STATUS_OK) {
                fprintf(stderr, "%s\n", status_text());
            }
            return (int)status;
        }
    }
    fprintf(stderr, "usage: media_dump KIND PATH\n");
    return 64;
}
