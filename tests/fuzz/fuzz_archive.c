/* A .zip or .tar: its names are in order and clean, and pieces of a member fit the whole. */
#include <stdlib.h>
#include <string.h>

#include "data-sharding/archive.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"

static bool read_one(const archive_t *archive, int64_t index, int64_t bytes) {
    char *data = NULL, piece[7];
    size_t got = 0;
    archive_member_t *member = NULL;
    if (archive_read(archive, index, &data, &got) != STATUS_OK) {
        return false;
    }
    REQUIRE((int64_t)got == bytes && data[got] == '\0');
    REQUIRE(archive_member_open(archive, index, &member) == STATUS_OK);
    int64_t count = min_i64(bytes, sizeof piece);
    REQUIRE(archive_member_read(member, bytes - count, count, piece) == STATUS_OK);
    REQUIRE(memcmp(piece, data + bytes - count, (size_t)count) == 0);
    archive_member_close(member);
    free(data);
    return true;
}

bool fuzz_archive(const uint8_t *data, size_t bytes) {
    char *dir = fuzz_dir_make(), *path = fuzz_path(dir, "it");
    fuzz_write(dir, "it", data, bytes);
    archive_t *archive = NULL;
    bool accepted = archive_open(path, &archive) == STATUS_OK;
    int64_t count = 0;
    const archive_entry_t *entries = accepted ? archive_entries(archive, &count) : NULL;
    for (int64_t i = 0; i < count; i++) {
        REQUIRE(i == 0 || strcmp(entries[i - 1].name, entries[i].name) < 0);
        REQUIRE(entries[i].name[0] != '/' && strstr(entries[i].name, "//") == NULL);
        REQUIRE(archive_find(archive, entries[i].name) == i);
        accepted = (i > 40 || read_one(archive, i, entries[i].bytes)) && accepted;
    }
    archive_close(archive);
    free(path);
    fuzz_dir_remove(dir);
    return accepted;
}
