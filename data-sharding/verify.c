#include "data-sharding/verify.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data-sharding/manifest.h"
#include "data-sharding/shard_trailer.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "kernels/base/work.h"

static void add_bad(verify_report_t *report, const char *file, int64_t offset, int64_t length,
                    const char *what) {
    report->bad = array_grow(report->bad, report->bad_count, sizeof *report->bad);
    report->bad[report->bad_count++] =
        (verify_bad_t){text_copy(file), offset, length, text_copy(what)};
}

void verify_report_free(verify_report_t *report) {
    for (int64_t i = 0; i < report->bad_count; i++) {
        free(report->bad[i].file);
        free(report->bad[i].what);
    }
    free(report->bad);
    *report = (verify_report_t){0};
}

/* A verification under way. */
typedef struct verify_run {
    const char *dir;
    verify_report_t report;
    work_t work;
    int64_t bytes; /* checked */
} verify_run_t;

static void verify_ranges(int fd, const char *path, const char *name, const trailer_t *trailer,
                          verify_run_t *run) {
    char *buffer = alloc_aligned(RANGE_BYTES_MAX);
    for (int64_t i = 0; i < trailer->range_count; i++) {
        run->report.blocks++;
        if (trailer_check(trailer, fd, path, i, buffer) != STATUS_OK) {
            add_bad(&run->report, name, (int64_t)trailer->ranges[i].offset,
                    (int64_t)trailer->ranges[i].bytes, status_text());
        }
        run->bytes += (int64_t)trailer->ranges[i].bytes;
        work_done(&run->work, run->bytes);
    }
    free(buffer);
}

/* listed: the manifest's entry, NULL where the manifest itself cannot be trusted. */
static void verify_shard(const char *name, const manifest_file_t *listed, verify_run_t *run) {
    char *path = text_format("%s/%s", run->dir, name);
    verify_report_t *report = &run->report;
    struct stat info = {0};
    report->files++;
    report->blocks++;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    trailer_t trailer;
    if (fd < 0 || fstat(fd, &info) != 0) {
        add_bad(report, name, 0, listed == NULL ? 0 : listed->bytes, "missing or not readable");
    } else if (trailer_read(fd, path, &trailer) != STATUS_OK) {
        add_bad(report, name, 0, (int64_t)info.st_size, status_text());
    } else {
        char hash[SHA256_TEXT_BYTES];
        sha256_memory(trailer.data, (size_t)trailer.bytes, hash);
        if (listed != NULL && strcmp(hash, listed->trailer) != 0) {
            add_bad(report, name, 0, (int64_t)info.st_size,
                    "not the file that dataset.json lists; restore it or import again");
        }
        verify_ranges(fd, path, name, &trailer, run);
        trailer_free(&trailer);
    }
    if (fd >= 0) {
        close(fd);
    }
    free(path);
}

static bool is_listed(const manifest_t *manifest, const char *name) {
    for (int i = 0; i < manifest->file_count; i++) {
        if (strcmp(manifest->files[i].name, name) == 0) {
            return true;
        }
    }
    return strcmp(name, MANIFEST_NAME) == 0 || strcmp(name, MANIFEST_HASH_NAME) == 0;
}

static int64_t bytes_of(const char *dir, const char *name) {
    char *path = text_format("%s/%s", dir, name);
    struct stat info = {0};
    int64_t bytes = stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
    free(path);
    return bytes;
}

static bool names_shard(const char *name) {
    size_t bytes = strlen(name);
    return strncmp(name, "shard-", 6) == 0 && bytes > 3 && strcmp(name + bytes - 3, ".h5") == 0;
}

static int64_t shard_bytes(const char *dir, char *const *names, int count) {
    int64_t bytes = 0;
    for (int i = 0; i < count; i++) {
        bytes += names_shard(names[i]) ? bytes_of(dir, names[i]) : 0;
    }
    return bytes;
}

status_t shard_verify_dir(const char *dir, verify_report_t *report_out) {
    if (!dir_exists(dir)) {
        return status_fail(STATUS_INPUT, "%s: no such data directory; make it by jmt shard", dir);
    }
    char **names;
    int count;
    TRY(dir_list(dir, &names, &count));
    verify_run_t run = {.dir = dir};
    verify_report_t *report = &run.report;
    report->files = 2; /* the manifest and its hash */
    report->blocks = 1;
    manifest_t manifest = {0};
    work_begin(&run.work, "checking", NULL, shard_bytes(dir, names, count));
    bool trusted = manifest_read(dir, &manifest) == STATUS_OK;
    if (!trusted) {
        add_bad(report, MANIFEST_NAME, 0, bytes_of(dir, MANIFEST_NAME), status_text());
        for (int i = 0; i < count; i++) {
            if (names_shard(names[i])) {
                verify_shard(names[i], NULL, &run);
            }
        }
    }
    for (int i = 0; i < manifest.file_count; i++) {
        verify_shard(manifest.files[i].name, &manifest.files[i], &run);
    }
    for (int i = 0; trusted && i < count; i++) {
        if (!is_listed(&manifest, names[i])) {
            report->files++;
            add_bad(report, names[i], 0, bytes_of(dir, names[i]),
                    "not listed in dataset.json; move it out of the data directory");
        }
    }
    manifest_free(&manifest);
    names_free(names, count);
    work_end(&run.work);
    *report_out = run.report;
    return STATUS_OK;
}
