/* dataset.json behind its checksum. What is accepted is written and reads back the same. */
#include <stdlib.h>
#include <string.h>

#include "data-sharding/manifest.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"

static void check_written(const char *dir, const manifest_t *manifest) {
    manifest_t again = {0};
    REQUIRE(manifest_write(dir, manifest) == STATUS_OK);
    REQUIRE(manifest_read(dir, &again) == STATUS_OK);
    REQUIRE(again.file_count == manifest->file_count && again.window == manifest->window &&
            again.recordings == manifest->recordings &&
            strcmp(again.source, manifest->source) == 0);
    manifest_free(&again);
}

bool fuzz_dataset_json(const uint8_t *data, size_t bytes) {
    char *dir = fuzz_dir_make();
    fuzz_write_sealed(dir, MANIFEST_NAME, MANIFEST_HASH_NAME, "", data, bytes);
    manifest_t manifest = {0};
    bool accepted = manifest_read(dir, &manifest) == STATUS_OK;
    if (accepted) {
        check_written(dir, &manifest);
        manifest_free(&manifest);
    }
    fuzz_dir_remove(dir);
    return accepted;
}
