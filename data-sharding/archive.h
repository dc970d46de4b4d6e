/* archive.h - a folder, a .zip or a .tar as one list of files, read where it lies.
 *
 * Names are paths from the folder or archive on ("batch1/v/00001.jpg", never "./..." or "../..."),
 * valid UTF-8, in the order of their bytes; folders themselves, pipes and devices are left out.
 * Refused, by one line of STATUS_INPUT, is what is damaged, cut off, or could be understood in two
 * ways: two members of one name, links in a .zip or .tar, sparse files, a .tar that is compressed
 * as a whole. Reading is thread-safe. */
#ifndef JMT_ARCHIVE_H
#define JMT_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct archive_entry {
    char *name;
    int64_t bytes;
    int64_t place; /* archive.c's */
} archive_entry_t;

typedef struct archive archive_t;

status_t archive_open(const char *path, archive_t **archive_out) MUST_CHECK;
void archive_close(archive_t *archive); /* NULL allowed */

const char *archive_path(const archive_t *archive);
const archive_entry_t *archive_entries(const archive_t *archive, int64_t *count_out);

/* The index of the entry of this name; -1 if there is none. */
int64_t archive_find(const archive_t *archive, const char *name);

/* Entries whose names begin with `prefix` ("v/" is a folder): *count_out of them, from the returned
 * index on. */
int64_t archive_range(const archive_t *archive, const char *prefix, int64_t *count_out);

/* All bytes of an entry, with a NUL behind them; the caller frees. At most 1 GiB: more is
 * STATUS_INPUT. */
status_t archive_read(const archive_t *archive, int64_t index, char **data_out,
                      size_t *bytes_out) MUST_CHECK;

/* An entry to be read in pieces, of any size: in place from a folder or a .tar, from memory (after
 * its checksum fitted) from a .zip. The archive stays open meanwhile. */
typedef struct archive_member archive_member_t;
status_t archive_member_open(const archive_t *archive, int64_t index,
                             archive_member_t **member_out) MUST_CHECK;
/* A file that lies in no archive, as such an entry. */
status_t archive_member_of_file(const char *path, archive_member_t **member_out) MUST_CHECK;
status_t archive_member_read(const archive_member_t *member, int64_t offset, int64_t bytes,
                             void *out) MUST_CHECK; /* within the entry's bytes */
int64_t archive_member_bytes(const archive_member_t *member);
void archive_member_close(archive_member_t *member); /* NULL allowed */

#endif
