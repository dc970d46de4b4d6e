/* The key file: whose alias is found, and a person taken out is gone. */
#include <stdlib.h>
#include <string.h>

#include "data-sharding/alias.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"

#define ID   "0"
#define NAME "0"

bool fuzz_key(const uint8_t *data, size_t bytes) {
    char *dir = fuzz_dir_make(), *path = fuzz_path(dir, "it.key"), *alias = NULL;
    fuzz_write(dir, "it.key", data, bytes);
    bool accepted = key_find(path, ID, NAME, &alias) == STATUS_OK;
    if (accepted) {
        REQUIRE(alias[0] != '\0');
        free(alias);
    }
    if (key_remove(path, NAME) == STATUS_OK) {
        REQUIRE(key_find(path, ID, NAME, &alias) == STATUS_INPUT);
    }
    free(path);
    fuzz_dir_remove(dir);
    return accepted;
}
