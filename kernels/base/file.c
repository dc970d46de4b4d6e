#include "kernels/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/bytes.h"

status_t file_open(const char *path, FILE **file_out) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return status_fail_errno(errno == ENOENT || errno == ENOTDIR ? STATUS_INPUT : STATUS_FAILED,
                                 "cannot open %s", path);
    }
    struct stat info;
    if (fstat(fileno(file), &info) != 0 || S_ISDIR(info.st_mode)) {
        fclose(file);
        return status_fail(STATUS_INPUT, "cannot read %s: it is a directory; give a file", path);
    }
    *file_out = file;
    return STATUS_OK;
}

status_t file_read(const char *path, char **data_out, size_t *bytes_out) {
    FILE *file;
    struct stat info;
    TRY(file_open(path, &file));
    if (fstat(fileno(file), &info) != 0) {
        fclose(file);
        return status_fail_errno(STATUS_FAILED, "cannot read %s", path);
    }
    size_t bytes = (size_t)info.st_size;
    char *data = alloc_zero((int64_t)bytes + 1, 1);
    if (fread(data, 1, bytes, file) != bytes) {
        fclose(file);
        free(data);
        return status_fail(STATUS_FAILED, "cannot read %s: it ends early; write it again", path);
    }
    fclose(file);
    *data_out = data;
    if (bytes_out != NULL) {
        *bytes_out = bytes;
    }
    return STATUS_OK;
}

status_t file_pread(int fd, const char *path, int64_t offset, int64_t bytes, void *out) {
    char *next = out;
    while (bytes > 0) {
        ssize_t got = pread(fd, next, (size_t)bytes, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return status_fail_errno(STATUS_FAILED, "cannot read %s", path);
        }
        if (got == 0) {
            return status_fail(STATUS_FAILED, "%s: ends early at byte %lld; restore the file", path,
                               (long long)offset);
        }
        next += got;
        offset += got;
        bytes -= got;
    }
    return STATUS_OK;
}

status_t file_pwrite(int fd, const char *path, int64_t offset, int64_t bytes, const void *data) {
    const char *next = data;
    while (bytes > 0) {
        ssize_t put = pwrite(fd, next, (size_t)bytes, (off_t)offset);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return status_fail_errno(STATUS_FAILED, "cannot write %s", path);
        }
        next += put;
        offset += put;
        bytes -= put;
    }
    return STATUS_OK;
}

void file_begin_sync(int fd, int64_t *begun, int64_t end) {
    enum { WORTH_BYTES = 4 << 20 };
    if (end - *begun >= WORTH_BYTES) {
        sync_file_range(fd, *begun, end - *begun, SYNC_FILE_RANGE_WRITE);
        *begun = end;
    }
}

static status_t write_piece(int fd, const char *path, const file_piece_t *piece) {
    const char *next = piece->data;
    size_t bytes = piece->bytes;
    while (bytes > 0) {
        ssize_t written = write(fd, next, bytes);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return status_fail_errno(STATUS_FAILED, "cannot write %s", path);
        }
        next += written;
        bytes -= (size_t)written;
    }
    return STATUS_OK;
}

static void digest_pieces(const file_piece_t *pieces, int count, char *text_out) {
    sha256_t *hash = sha256_open();
    for (int i = 0; i < count; i++) {
        sha256_add(hash, pieces[i].data, pieces[i].bytes);
    }
    sha256_close(hash, text_out);
}

/* digest_out, or NULL: of the pieces, worked out while the disk takes them. */
static status_t write_synced(const char *path, const file_piece_t *pieces, int count,
                             char *digest_out) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return status_fail_errno(STATUS_FAILED, "cannot create %s", path);
    }
    status_t status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        status = write_piece(fd, path, &pieces[i]);
    }
    if (digest_out != NULL && status == STATUS_OK) {
        sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* a hint; fsync says what failed */
        digest_pieces(pieces, count, digest_out);
    }
    if (status == STATUS_OK && fsync(fd) != 0) {
        status = status_fail_errno(STATUS_FAILED, "cannot write %s", path);
    }
    if (close(fd) != 0 && status == STATUS_OK) {
        status = status_fail_errno(STATUS_FAILED, "cannot write %s", path);
    }
    return status;
}

status_t file_write_new(const char *path, const file_piece_t *pieces, int count,
                        char digest_out[SHA256_TEXT_BYTES]) {
    return write_synced(path, pieces, count, digest_out);
}

static char *parent_of(const char *path) {
    char *parent = text_copy(path);
    char *slash = strrchr(parent, '/');
    if (slash == NULL) {
        strcpy(parent, ".");
    } else if (slash == parent) {
        slash[1] = '\0';
    } else {
        *slash = '\0';
    }
    return parent;
}

static status_t replace_file(const char *path, const file_piece_t *pieces, int count) {
    char *aside = text_format("%s.tmp", path);
    status_t status = write_synced(aside, pieces, count, NULL);
    if (status == STATUS_OK && rename(aside, path) != 0) {
        status = status_fail_errno(STATUS_FAILED, "cannot write %s", path);
    }
    if (status != STATUS_OK) {
        unlink(aside);
    } else {
        char *parent = parent_of(path);
        status = dir_sync(parent);
        free(parent);
    }
    free(aside);
    return status;
}

/* A pipe or a device: nothing to rename over, and nothing to keep. */
static status_t write_special(const char *path, const file_piece_t *pieces, int count) {
    FILE *file = fopen(path, "wb");
    bool written = file != NULL;
    for (int i = 0; i < count && written; i++) {
        written = fwrite(pieces[i].data, 1, pieces[i].bytes, file) == pieces[i].bytes;
    }
    written = file != NULL && fclose(file) == 0 && written;
    return written ? STATUS_OK : status_fail_errno(STATUS_FAILED, "cannot write %s", path);
}

status_t file_write_pieces(const char *path, const file_piece_t *pieces, int count) {
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
        return write_special(path, pieces, count);
    }
    char *target = realpath(path, NULL); /* what a symbolic link stands for; NULL: a new file */
    status_t status = replace_file(target != NULL ? target : path, pieces, count);
    free(target);
    return status;
}

status_t file_write_durable(const char *path, const void *data, size_t bytes) {
    const file_piece_t all = {data, bytes};
    return file_write_pieces(path, &all, 1);
}

int64_t file_bytes(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
}

bool file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool dir_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

status_t dir_make(const char *path) {
    char *copy = text_copy(path);
    for (char *c = copy + 1; *c != '\0'; c++) {
        if (*c == '/') {
            *c = '\0';
            mkdir(copy, 0777); /* the last mkdir tells whether the parents are there */
            *c = '/';
        }
    }
    status_t status = STATUS_OK;
    if (mkdir(copy, 0777) != 0 && !dir_exists(copy)) {
        status = status_fail_errno(STATUS_FAILED, "cannot make directory %s", path);
    }
    free(copy);
    return status;
}

status_t dir_sync(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return status_fail_errno(STATUS_FAILED, "cannot open directory %s", path);
    }
    int result = fsync(fd);
    if (result != 0 && (errno == EINVAL || errno == EROFS)) {
        result = 0; /* some network file systems cannot sync a directory */
    }
    status_t status =
        result == 0 ? STATUS_OK : status_fail_errno(STATUS_FAILED, "cannot sync %s", path);
    close(fd);
    return status;
}

status_t dir_remove(const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0) {
        return STATUS_OK;
    }
    if (!S_ISDIR(info.st_mode)) {
        return unlink(path) == 0 ? STATUS_OK
                                 : status_fail_errno(STATUS_FAILED, "cannot remove %s", path);
    }
    char **names = NULL;
    int count = 0;
    TRY(dir_list(path, &names, &count));
    status_t status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        char *child = text_format("%s/%s", path, names[i]);
        status = dir_remove(child);
        free(child);
    }
    names_free(names, count);
    if (status == STATUS_OK && rmdir(path) != 0) {
        status = status_fail_errno(STATUS_FAILED, "cannot remove %s", path);
    }
    return status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

status_t dir_list(const char *path, char ***names_out, int *count_out) {
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return status_fail_errno(errno == ENOENT ? STATUS_INPUT : STATUS_FAILED, "cannot open %s",
                                 path);
    }
    char **names = NULL;
    int count = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            names = array_grow(names, count, sizeof *names);
            names[count++] = text_copy(entry->d_name);
        }
    }
    closedir(dir);
    if (count > 0) {
        qsort(names, (size_t)count, sizeof *names, compare_names);
    }
    *names_out = names;
    *count_out = count;
    return STATUS_OK;
}

void names_free(char **names, int count) {
    for (int i = 0; i < count; i++) {
        free(names[i]);
    }
    free(names);
}
