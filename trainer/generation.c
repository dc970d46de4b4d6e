#include "trainer/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/base/file.h"

static const double LOCK_S = 30.0;

/* A file system without locks leaves the comparison of numbers alone to fence: lock -1. */
static status_t lock_directory(const char *root, int *lock_out) {
    int lock = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0) {
        return status_fail_errno(STATUS_FAILED, "cannot open directory %s", root);
    }
    double end_s = clock_s() + LOCK_S;
    while (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            close(lock);
            *lock_out = -1;
            return STATUS_OK;
        }
        if (clock_s() > end_s) {
            close(lock);
            return status_fail(STATUS_FAILED, "another process has held %s for %g s; end it", root,
                               LOCK_S);
        }
        clock_sleep_us(1000);
    }
    *lock_out = lock;
    return STATUS_OK;
}

void generation_unlock(int lock) {
    if (lock >= 0) {
        close(lock);
    }
}

/* 0: no start yet. */
static status_t read_number(const char *path, int64_t *number_out) {
    char *text = NULL;
    *number_out = 0;
    if (!file_exists(path)) {
        return STATUS_OK;
    }
    TRY(file_read(path, &text, NULL));
    *number_out = strtoll(text, NULL, 10);
    free(text);
    return STATUS_OK;
}

status_t generation_take(const char *root, int64_t *generation_out) {
    int lock = -1;
    int64_t number = 0;
    TRY(lock_directory(root, &lock));
    char *path = text_format("%s/generation", root);
    status_t status = read_number(path, &number);
    if (status == STATUS_OK) {
        char *text = text_format("%lld\n", (long long)++number);
        status = file_write_durable(path, text, strlen(text));
        free(text);
    }
    free(path);
    generation_unlock(lock);
    if (status == STATUS_OK) {
        *generation_out = number;
    }
    return status;
}

status_t generation_lock(const char *root, int64_t generation, int *lock_out) {
    int lock = -1;
    int64_t number = 0;
    TRY(lock_directory(root, &lock));
    char *path = text_format("%s/generation", root);
    status_t status = read_number(path, &number);
    free(path);
    if (status == STATUS_OK && number != generation) {
        status =
            status_fail(STATUS_FAILED,
                        "another start of this run (number %lld, this one is %lld) has taken over "
                        "%s; let only one run use a directory",
                        (long long)number, (long long)generation, root);
    }
    if (status != STATUS_OK) {
        generation_unlock(lock);
        return status;
    }
    *lock_out = lock;
    return STATUS_OK;
}
