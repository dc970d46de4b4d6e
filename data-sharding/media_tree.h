/* media_tree.h - what lies where in a downloaded folder: videos, folders of pictures (on disk or in
 * a .zip or .tar) and text files, found by name. */
#ifndef JMT_MEDIA_TREE_H
#define JMT_MEDIA_TREE_H

#include <stdint.h>

#include "data-sharding/archive.h"
#include "kernels/base/status.h"

typedef struct tree_place {
    char *name;               /* of a folder of pictures, or of a file */
    char *path;               /* on disk; of what lies in an archive, the archive's */
    const archive_t *archive; /* NULL: on disk */
    char *prefix;             /* in the archive: "batch1/v1/" */
} tree_place_t;

typedef struct tree_list {
    tree_place_t *items; /* by name, then by path */
    int64_t count;
} tree_list_t;

typedef struct media_tree {
    tree_list_t pictures, files; /* files: none that are pictures */
    archive_t **archives;
    int archive_count;
} media_tree_t;

/* Looks through dir, eight folders deep; of a folder of pictures nothing but its name is read.
 * Close it also where it fails. */
status_t media_tree_open(const char *dir, media_tree_t *tree) MUST_CHECK;
void media_tree_close(media_tree_t *tree);

/* The places of that name: *count_out of them from the returned index on. */
int64_t tree_find(const tree_list_t *list, const char *name, int64_t *count_out);

#endif
