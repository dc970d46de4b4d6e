#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

bool fuzz_run(fuzz_target_t *target, const uint8_t *data, size_t bytes) {
    bool accepted = target(data, bytes);
    for (const char *at = status_text(); *at != '\0'; at++) {
        REQUIRE((unsigned char)*at >= ' ' && *at != '\x7f');
    }
    return accepted;
}

char *fuzz_dir_make(void) {
    char *dir = text_copy("/dev/shm/jmt-fuzz-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        free(dir);
        dir = text_copy("/tmp/jmt-fuzz-XXXXXX");
        REQUIRE(mkdtemp(dir) != NULL);
    }
    return dir;
}

void fuzz_dir_remove(char *dir) {
    REQUIRE(dir_remove(dir) == STATUS_OK);
    free(dir);
}

char *fuzz_path(const char *dir, const char *name) { return text_format("%s/%s", dir, name); }

void fuzz_write(const char *dir, const char *name, const void *data, size_t bytes) {
    char *path = fuzz_path(dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes && close(fd) == 0);
    free(path);
}

void fuzz_write_sealed(const char *dir, const char *name, const char *sum_name, const char *end,
                       const void *data, size_t bytes) {
    char sum[SHA256_TEXT_BYTES];
    sha256_memory(data, bytes, sum);
    char *line = text_format("%s%s", sum, end);
    fuzz_write(dir, name, data, bytes);
    fuzz_write(dir, sum_name, line, strlen(line));
    free(line);
}

/* HDF5 itself leaks where it refuses damaged structure. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5"; }
