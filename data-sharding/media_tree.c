#include "data-sharding/media_tree.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/media_tracks.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { DEPTH_MAX = 8 };

/* 00001.jpg and the like: another picture does not make a folder one of frames. */
static bool is_frame(const char *name) {
    return media_is_picture(name) && name[strspn(name, "0123456789")] == '.' && name[0] != '.';
}

static void add_place(tree_list_t *list, const char *name, const char *path,
                      const archive_t *archive, const char *prefix) {
    list->items = array_grow(list->items, list->count, sizeof *list->items);
    list->items[list->count++] =
        (tree_place_t){text_copy(name), text_copy(path), archive, text_copy(prefix)};
}

/* Entries are in order of name, so those of a folder follow each other. */
static void add_archive_folders(media_tree_t *tree, const char *path, const archive_t *archive) {
    int64_t count = 0;
    const archive_entry_t *entries = archive_entries(archive, &count);
    char *last = text_copy("");
    for (int64_t i = 0; i < count; i++) {
        const char *slash = strrchr(entries[i].name, '/');
        size_t bytes = slash == NULL ? 0 : (size_t)(slash + 1 - entries[i].name);
        bool known = strlen(last) == bytes && strncmp(last, entries[i].name, bytes) == 0;
        if (bytes == 0 || known || !is_frame(entries[i].name + bytes)) {
            continue;
        }
        free(last);
        last = text_format("%.*s", (int)bytes, entries[i].name);
        char *folder = text_format("%.*s", (int)bytes - 1, entries[i].name);
        const char *name = strrchr(folder, '/');
        add_place(&tree->pictures, name == NULL ? folder : name + 1, path, archive, last);
        free(folder);
    }
    free(last);
}

static status_t add_archive(media_tree_t *tree, const char *path) {
    archive_t *archive = NULL;
    TRY(archive_open(path, &archive));
    tree->archives = array_grow(tree->archives, tree->archive_count, sizeof(archive_t *));
    tree->archives[tree->archive_count++] = archive;
    add_archive_folders(tree, path, archive);
    return STATUS_OK;
}

/* The first frame says what a folder is: 5,000 more need not be read. */
static status_t has_pictures(const char *path, bool *has_out) {
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return status_fail_errno(STATUS_INPUT, "cannot open %s", path);
    }
    const struct dirent *entry;
    *has_out = false;
    while (!*has_out && (entry = readdir(dir)) != NULL) {
        *has_out = is_frame(entry->d_name);
    }
    closedir(dir);
    return STATUS_OK;
}

static status_t look_into(media_tree_t *tree, const char *path, const char *name, int depth) {
    bool pictures = false;
    TRY(has_pictures(path, &pictures));
    if (pictures) {
        add_place(&tree->pictures, name, path, NULL, "");
        return STATUS_OK;
    }
    char **names;
    int count;
    TRY(dir_list(path, &names, &count));
    status_t status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        char *inner = text_format("%s/%s", path, names[i]);
        if (names[i][0] == '.') {
            /* hidden */
        } else if (dir_exists(inner)) {
            status = depth < DEPTH_MAX
                         ? look_into(tree, inner, names[i], depth + 1)
                         : status_fail(STATUS_INPUT, "%s: too many folders in folders", inner);
        } else if (media_is_archive(names[i])) {
            status = add_archive(tree, inner);
        } else {
            add_place(&tree->files, names[i], inner, NULL, "");
        }
        free(inner);
    }
    names_free(names, count);
    return status;
}

static int by_name(const void *a, const void *b) {
    const tree_place_t *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : strcmp(x->path, y->path);
}

static void sort(tree_list_t *list) {
    if (list->count > 0) {
        qsort(list->items, (size_t)list->count, sizeof *list->items, by_name);
    }
}

status_t media_tree_open(const char *dir, media_tree_t *tree) {
    TRY(look_into(tree, dir, "", 0));
    sort(&tree->pictures);
    sort(&tree->files);
    return STATUS_OK;
}

static void free_list(tree_list_t *list) {
    for (int64_t i = 0; i < list->count; i++) {
        free(list->items[i].name);
        free(list->items[i].path);
        free(list->items[i].prefix);
    }
    free(list->items);
}

void media_tree_close(media_tree_t *tree) {
    free_list(&tree->pictures);
    free_list(&tree->files);
    for (int i = 0; i < tree->archive_count; i++) {
        archive_close(tree->archives[i]);
    }
    free(tree->archives);
    *tree = (media_tree_t){0};
}

int64_t tree_find(const tree_list_t *list, const char *name, int64_t *count_out) {
    int64_t low = 0, high = list->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (strcmp(list->items[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    int64_t end = low;
    while (end < list->count && strcmp(list->items[end].name, name) == 0) {
        end++;
    }
    *count_out = end - low;
    return low;
}
