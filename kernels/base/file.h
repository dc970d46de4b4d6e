/* file.h - whole files and directories, and the durable ways to write them. Errors name the
 * path. */
#ifndef JMT_BASE_FILE_H
#define JMT_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kernels/base/status.h"

/* For reading; the caller closes it. A missing file or a directory is STATUS_INPUT, any other
 * trouble STATUS_FAILED. */
status_t file_open(const char *path, FILE **file_out) MUST_CHECK;
/* The whole file; *data_out has a NUL behind its last byte; the caller frees it. Errors as
 * above. */
status_t file_read(const char *path, char **data_out, size_t *bytes_out) MUST_CHECK;

/* Bytes of an open file, all of them; a file that ends before is STATUS_FAILED. Thread-safe. */
status_t file_pread(int fd, const char *path, int64_t offset, int64_t bytes, void *out) MUST_CHECK;
/* All of them, or STATUS_FAILED. */
status_t file_pwrite(int fd, const char *path, int64_t offset, int64_t bytes,
                     const void *data) MUST_CHECK;

/* The disk begins with what has come behind *begun, up to `end`, once that is some megabytes, as
 * otherwise fsync waits for all of it. A hint: fsync says what failed. */
void file_begin_sync(int fd, int64_t *begun, int64_t end);

/* Writes beside, syncs, renames over `path`, syncs the directory: old or new, never half. A link
 * stays and its target is written; a pipe or a device is written into. */
status_t file_write_durable(const char *path, const void *data, size_t bytes) MUST_CHECK;

/* The same of pieces of memory, one behind the other. */
typedef struct file_piece {
    const void *data;
    size_t bytes;
} file_piece_t;
status_t file_write_pieces(const char *path, const file_piece_t *pieces, int count) MUST_CHECK;

enum { SHA256_TEXT_BYTES = 65 };
/* Into a directory that nobody reads before the caller has synced and published it: created,
 * written and synced in place. digest_out: the 64 hex digits of SHA-256 of the pieces. */
status_t file_write_new(const char *path, const file_piece_t *pieces, int count,
                        char digest_out[SHA256_TEXT_BYTES]) MUST_CHECK;

bool file_exists(const char *path);
int64_t file_bytes(const char *path); /* 0 if absent */
bool dir_exists(const char *path);
status_t dir_make(const char *path) MUST_CHECK; /* with parents; no error if there */
status_t dir_sync(const char *path) MUST_CHECK;
status_t dir_remove(const char *path) MUST_CHECK; /* with content; no error if absent */

/* Sorted names of the entries (without . and ..); caller frees with names_free. */
status_t dir_list(const char *path, char ***names_out, int *count_out) MUST_CHECK;
void names_free(char **names, int count);

/* The 64 hex digits of SHA-256 of a file, and of memory. */
status_t sha256_file(const char *path, char text_out[SHA256_TEXT_BYTES]) MUST_CHECK;
void sha256_memory(const void *data, size_t bytes, char text_out[SHA256_TEXT_BYTES]);

/* SHA-256 of a sequence of pieces. */
typedef struct sha256 sha256_t;
sha256_t *sha256_open(void);
void sha256_add(sha256_t *hash, const void *data, size_t bytes);
void sha256_close(sha256_t *hash, char text_out[SHA256_TEXT_BYTES]); /* text_out may be NULL */

#endif
