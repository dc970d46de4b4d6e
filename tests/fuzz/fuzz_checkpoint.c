/* A checkpoint behind its checksums: manifest.json, a NUL, and the bytes of every other file. The
 * digests of the files are put right, so that the numbers and names are what is hostile. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/checkpoint.h"

#define OUTSIDE "../there" /* a good part, where none may be named */

static void write_parts(const char *dir, json_t *manifest, const char *part, size_t bytes) {
    char digest[SHA256_TEXT_BYTES];
    sha256_memory(part, bytes, digest);
    json_t *files = json_object_get(manifest, "files"), *value;
    const char *name;
    void *next;
    json_object_foreach_safe(files, next, name, value) {
        if (strcmp(name, OUTSIDE) == 0) {
            fuzz_write(dir, name, part, bytes);
            json_object_set_new(files, name, json_string(digest));
            continue;
        }
        bool plain = strchr(name, '/') == NULL && strlen(name) < 200 && name[0] != '.';
        if (plain && name[0] != '\0' && strncmp(name, "manifest.", 9) != 0) {
            fuzz_write(dir, name, part, bytes);
            json_object_set_new(files, name, json_string(digest));
        }
    }
}

static void check_read(const checkpoint_t *c) {
    const tensor_set_t *const sets[] = {&c->tensors, &c->statistics};
    for (int s = 0; s < ARRAY_LEN(sets); s++) {
        for (int i = 0; i < sets[s]->count; i++) {
            const tensor_t *tensor = &sets[s]->tensors[i];
            char digest[SHA256_TEXT_BYTES];
            sha256_memory(tensor->data, tensor_bytes(tensor), digest); /* touches every byte */
        }
    }
    REQUIRE(c->config_yaml != NULL && c->fingerprint != NULL && c->data_identity != NULL);
}

bool fuzz_checkpoint(const uint8_t *data, size_t bytes) {
    char *place = fuzz_dir_make(), *dir = fuzz_path(place, "step"),
         *text = alloc_zero((int64_t)bytes + 1, 1), *sealed = NULL;
    REQUIRE(dir_make(dir) == STATUS_OK);
    memcpy(text, data, bytes);
    size_t length = strlen(text), part = length < bytes ? length + 1 : bytes;
    json_t *manifest = json_loadb(text, length, 0, NULL);
    bool outside = json_object_get(json_object_get(manifest, "files"), OUTSIDE) != NULL;
    if (manifest != NULL) {
        write_parts(dir, manifest, text + part, bytes - part);
        sealed = json_dumps(manifest, 0);
        json_decref(manifest);
    }
    const char *written = sealed != NULL ? sealed : text;
    fuzz_write_sealed(dir, "manifest.json", "manifest.sha256", "\n", written, strlen(written));
    checkpoint_t checkpoint;
    bool accepted = checkpoint_read(dir, &checkpoint) == STATUS_OK;
    if (accepted) {
        check_read(&checkpoint);
        REQUIRE(!outside);
        checkpoint_free(&checkpoint);
    }
    free(sealed);
    free(text);
    free(dir);
    fuzz_dir_remove(place);
    return accepted;
}
