#include "data-sharding/steps_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/bytes.h"

struct steps_file {
    char *label; /* for errors */
    int fd;
    int64_t step_bytes, count, room;
    uint8_t *valid; /* [room] */
    void *blank;    /* a step of zeros */
    sha256_t *hash; /* NULL: closed */
    char digest[SHA256_TEXT_BYTES];
};

status_t steps_file_open(const char *dir, int64_t step_bytes, steps_file_t **file_out) {
    char *path = text_format("%s/.steps-XXXXXX", dir);
    int fd = mkstemp(path);
    if (fd < 0 || unlink(path) != 0) {
        status_t status = status_fail_errno(STATUS_FAILED, "cannot make a file in %s", dir);
        if (fd >= 0) {
            close(fd);
        }
        free(path);
        return status;
    }
    free(path);
    steps_file_t *file = alloc_zero(1, sizeof *file);
    file->label = text_format("a file of pictures in %s", dir);
    file->fd = fd;
    file->step_bytes = step_bytes;
    file->blank = alloc_zero(step_bytes, 1);
    file->hash = sha256_open();
    *file_out = file;
    return STATUS_OK;
}

void steps_file_close(steps_file_t *file) {
    if (file != NULL) {
        if (file->hash != NULL) {
            sha256_close(file->hash, NULL);
        }
        close(file->fd);
        free(file->blank);
        free(file->valid);
        free(file->label);
        free(file);
    }
}

static status_t add_one(steps_file_t *file, const void *step, bool valid) {
    if (file->count == file->room) {
        file->room = max_i64(2 * file->room, 1024);
        file->valid = realloc(file->valid, (size_t)file->room);
        REQUIRE(file->valid != NULL);
    }
    TRY(file_pwrite(file->fd, file->label, file->count * file->step_bytes, file->step_bytes, step));
    sha256_add(file->hash, step, (size_t)file->step_bytes);
    file->valid[file->count++] = valid;
    return STATUS_OK;
}

status_t steps_file_add(steps_file_t *file, const void *step, int64_t count) {
    REQUIRE(file->hash != NULL && (step == NULL || count == 1));
    for (int64_t i = 0; i < count; i++) {
        TRY(add_one(file, step == NULL ? file->blank : step, step != NULL));
    }
    return STATUS_OK;
}

int64_t steps_file_count(const steps_file_t *file) { return file->count; }

int64_t steps_file_step_bytes(const steps_file_t *file) { return file->step_bytes; }

const uint8_t *steps_file_valid(const steps_file_t *file) { return file->valid; }

status_t steps_file_read(const steps_file_t *file, int64_t first, int64_t steps, void *out) {
    REQUIRE(first >= 0 && steps >= 0 && first + steps <= file->count);
    return file_pread(file->fd, file->label, first * file->step_bytes, steps * file->step_bytes,
                      out);
}

void steps_file_hash(steps_file_t *file, char text_out[SHA256_TEXT_BYTES]) {
    if (file->hash != NULL) {
        sha256_close(file->hash, file->digest);
        file->hash = NULL;
    }
    memcpy(text_out, file->digest, SHA256_TEXT_BYTES);
}
