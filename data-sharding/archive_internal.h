/* archive_internal.h - the list that archive.c sorts; private to data-sharding/. */
#ifndef JMT_ARCHIVE_INTERNAL_H
#define JMT_ARCHIVE_INTERNAL_H

#include "data-sharding/archive.h"

typedef struct archive_list {
    archive_entry_t *entries;
    int64_t count;
} archive_list_t;

/* Appends a file under the cleaned name; `archive` is named in the error. What ends with a slash
 * and has no bytes is a folder and left out. */
status_t archive_add(archive_list_t *list, const char *archive, const char *name, size_t name_bytes,
                     int64_t bytes, int64_t place) MUST_CHECK;

/* The members of a .tar; place: the offset of the data in the file. */
status_t tar_list(int fd, const char *path, archive_list_t *list) MUST_CHECK;

/* Whether these first 512 bytes begin a .tar. */
int tar_begins(const uint8_t block[512]);

#endif
