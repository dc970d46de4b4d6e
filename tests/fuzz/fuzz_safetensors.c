/* A file of tensors. What is accepted is written, reads back, and hashes as before. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"
#include "trainer/safetensors.h"

static void check_written(const char *dir, tensor_set_t *set) {
    char *path = fuzz_path(dir, "again.safetensors"), before[65], after[65];
    tensor_set_t again = {0};
    REQUIRE(safetensors_write(path, set) == STATUS_OK);
    REQUIRE(safetensors_read(path, &again) == STATUS_OK);
    tensor_set_hash(set, before);
    tensor_set_hash(&again, after);
    REQUIRE(strcmp(before, after) == 0);
    tensor_set_free(&again);
    free(path);
}

bool fuzz_safetensors(const uint8_t *data, size_t bytes) {
    char *dir = fuzz_dir_make(), *path = fuzz_path(dir, "it.safetensors");
    fuzz_write(dir, "it.safetensors", data, bytes);
    tensor_set_t set = {0};
    bool accepted = safetensors_read(path, &set) == STATUS_OK;
    if (accepted) {
        check_written(dir, &set);
        tensor_set_free(&set);
    }
    free(path);
    fuzz_dir_remove(dir);
    return accepted;
}
