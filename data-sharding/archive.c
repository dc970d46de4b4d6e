#include "data-sharding/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data-sharding/archive_internal.h"
#include "data-sharding/zip_file.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum {
    READ_BYTES_MAX = 1 << 30,
    DEPTH_MAX = 64, /* folders in folders; more is a link in a circle */
    BLOCK = 512,
};

struct archive {
    char *path;
    int fd;     /* of a .tar; else -1 */
    zip_t *zip; /* NULL: no .zip */
    archive_list_t list;
};

struct archive_member {
    const archive_entry_t *entry;
    archive_entry_t own; /* entry of a file that is in no archive */
    char *path, *data;   /* data: NULL where it is read in place */
    int fd;              /* -1: none of its own */
    int read_fd;
    int64_t offset;
};

/* --- names ---------------------------------------------------------------------------------- */

/* Bytes of the character that begins here; 0 where it is no UTF-8. */
static size_t character_bytes(const uint8_t *at, size_t left) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = at[0] < 0x80             ? 1
                   : (at[0] & 0xe0) == 0xc0 ? 2
                   : (at[0] & 0xf0) == 0xe0 ? 3
                   : (at[0] & 0xf8) == 0xf0 ? 4
                                            : 0;
    if (bytes < 2 || bytes > left) {
        return bytes > left ? 0 : bytes;
    }
    uint32_t code = at[0] & (0x7fU >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (at[i] & 0x3fU);
    }
    bool good = code >= least[bytes] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return good ? bytes : 0;
}

static bool is_utf8(const char *text, size_t bytes) {
    for (size_t at = 0, step; at < bytes; at += step) {
        step = character_bytes((const uint8_t *)text + at, bytes - at);
        if (step == 0) {
            return false;
        }
    }
    return true;
}

/* "./a//b" is a/b. What would leave the folder, or has no name, is refused: false. */
static bool clean(char *name) {
    char *to = name;
    bool good = name[0] != '/';
    for (char *from = name; *from != '\0' && good;) {
        size_t part = strcspn(from, "/");
        char *next = from + part + (from[part] == '/');
        good = part != 2 || memcmp(from, "..", 2) != 0;
        if (part > 1 || (part == 1 && from[0] != '.')) {
            if (to != name) {
                *to++ = '/';
            }
            memmove(to, from, part);
            to += part;
        }
        from = next;
    }
    *to = '\0';
    return good && to != name;
}

status_t archive_add(archive_list_t *list, const char *archive, const char *name, size_t name_bytes,
                     int64_t bytes, int64_t place) {
    if (name_bytes > 0 && name[name_bytes - 1] == '/' && bytes == 0) {
        return STATUS_OK;
    }
    char *copy = text_format("%.*s", (int)name_bytes, name);
    const char *wrong = NULL;
    if (strlen(copy) != name_bytes || !is_utf8(copy, name_bytes)) {
        wrong = "is not UTF-8";
    } else if (name_bytes > 0 && name[name_bytes - 1] == '/') {
        wrong = "is that of a folder";
    } else if (!clean(copy)) {
        wrong = "is no path inside";
    }
    if (wrong != NULL) {
        for (char *c = copy; *c != '\0'; c++) {
            *c = (signed char)*c < 0 ? '?' : *c;
        }
        status_t status = status_fail(STATUS_INPUT, "%s: the name \"%s\" %s; rename the file",
                                      archive, copy, wrong);
        free(copy);
        return status;
    }
    list->entries = array_grow(list->entries, list->count, sizeof *list->entries);
    list->entries[list->count++] = (archive_entry_t){copy, bytes, place};
    return STATUS_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const archive_entry_t *)a)->name, ((const archive_entry_t *)b)->name);
}

static status_t sort_list(archive_t *archive) {
    archive_list_t *list = &archive->list;
    if (list->count > 0) {
        qsort(list->entries, (size_t)list->count, sizeof *list->entries, by_name);
    }
    for (int64_t i = 1; i < list->count; i++) {
        if (by_name(&list->entries[i - 1], &list->entries[i]) == 0) {
            return status_fail(STATUS_INPUT, "%s: has two members called %s; write it again",
                               archive->path, list->entries[i].name);
        }
    }
    return STATUS_OK;
}

/* --- the three kinds ------------------------------------------------------------------------ */

static status_t list_folder(archive_t *archive, const char *inside, int depth);

static status_t list_one(archive_t *archive, const char *inside, DIR *dir, const char *name,
                         int depth) {
    struct stat info;
    char *path = text_format("%s%s%s", inside, inside[0] != '\0' ? "/" : "", name);
    status_t status = STATUS_OK;
    if (fstatat(dirfd(dir), name, &info, 0) != 0) {
        status = status_fail_errno(STATUS_INPUT, "cannot look at %s/%s", archive->path, path);
    } else if (S_ISDIR(info.st_mode)) {
        status = list_folder(archive, path, depth + 1);
    } else if (S_ISREG(info.st_mode)) {
        status = archive_add(&archive->list, archive->path, path, strlen(path), info.st_size, 0);
    }
    free(path);
    return status;
}

/* inside: the path from the archive's on; "" is that itself. */
static status_t list_folder(archive_t *archive, const char *inside, int depth) {
    if (depth > DEPTH_MAX) {
        return status_fail(STATUS_INPUT, "%s/%s: folders too deep; does a link lead back?",
                           archive->path, inside);
    }
    char *path = text_format("%s/%s", archive->path, inside);
    DIR *dir = opendir(path);
    status_t status = STATUS_OK;
    if (dir == NULL) {
        status = status_fail_errno(STATUS_INPUT, "cannot open folder %s", path);
    }
    while (status == STATUS_OK) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            status = errno == 0 ? STATUS_OK
                                : status_fail_errno(STATUS_FAILED, "cannot read folder %s", path);
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            status = list_one(archive, inside, dir, entry->d_name, depth);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    free(path);
    return status;
}

static status_t list_zip_member(archive_t *archive, const zip_member_t *m, int64_t place) {
    bool file = S_ISREG(m->mode) || (m->mode & S_IFMT) == 0; /* 0: not stated */
    const char *wrong = NULL;
    if (m->plain > INT64_MAX) {
        wrong = "a length that is damaged";
    } else if (S_ISLNK(m->mode)) {
        wrong = "a link (without -y, zip follows them)";
    } else if (!file && m->plain > 0) {
        wrong = "a member of an unknown kind";
    }
    if (wrong != NULL) {
        return status_fail(STATUS_INPUT, "%s: %s as member %lld; write the archive again",
                           archive->path, wrong, (long long)place + 1);
    }
    return file ? archive_add(&archive->list, archive->path, m->name, m->name_bytes,
                              (int64_t)m->plain, place)
                : STATUS_OK;
}

static status_t list_zip(archive_t *archive) {
    TRY(zip_open(archive->path, &archive->zip));
    int64_t count = 0;
    const zip_member_t *members = zip_members(archive->zip, &count);
    for (int64_t i = 0; i < count; i++) {
        TRY(list_zip_member(archive, &members[i], i));
    }
    return STATUS_OK;
}

static bool is_compressed(const uint8_t *block) {
    static const char *const magic[] = {"\x1f\x8b", "BZh",
                                        "\xfd"
                                        "7zXZ",
                                        "\x28\xb5\x2f\xfd"};
    for (int i = 0; i < ARRAY_LEN(magic); i++) {
        if (memcmp(block, magic[i], strlen(magic[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* An archive stays open, and a manifest may name many: where half of the descriptors are used up,
 * all that the system grants are asked for. */
static void leave_descriptors(int fd) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max &&
        (rlim_t)fd >= limit.rlim_cur / 2) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* else an open will say that there are too many */
    }
}

static status_t list_file(archive_t *archive, int64_t bytes) {
    uint8_t block[BLOCK] = {0};
    archive->fd = open(archive->path, O_RDONLY | O_CLOEXEC);
    if (archive->fd < 0) {
        return status_fail_errno(STATUS_INPUT, "cannot open %s", archive->path);
    }
    leave_descriptors(archive->fd);
    TRY(file_pread(archive->fd, archive->path, 0, min_i64(bytes, BLOCK), block));
    if (memcmp(block, "PK\3\4", 4) == 0 || memcmp(block, "PK\5\6", 4) == 0) {
        return list_zip(archive);
    }
    if (bytes >= BLOCK && tar_begins(block)) {
        return tar_list(archive->fd, archive->path, &archive->list);
    }
    return status_fail(STATUS_INPUT, "%s: %s", archive->path,
                       is_compressed(block)
                           ? "is compressed as a whole and cannot be read in place; unpack it, or "
                             "only its compression (gunzip), or make it a .zip"
                           : "neither a folder nor a .zip nor a .tar, or cut off; get it again");
}

status_t archive_open(const char *path, archive_t **archive_out) {
    struct stat info;
    if (stat(path, &info) != 0) {
        return status_fail_errno(STATUS_INPUT, "cannot open %s", path);
    }
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
        return status_fail(STATUS_INPUT, "%s: neither a folder nor a file; name one of these",
                           path);
    }
    archive_t *archive = alloc_zero(1, sizeof *archive);
    *archive = (archive_t){.path = text_copy(path), .fd = -1};
    status_t status =
        S_ISDIR(info.st_mode) ? list_folder(archive, "", 0) : list_file(archive, info.st_size);
    if (status == STATUS_OK) {
        status = sort_list(archive);
    }
    if (status != STATUS_OK) {
        archive_close(archive);
        return status;
    }
    *archive_out = archive;
    return STATUS_OK;
}

void archive_close(archive_t *archive) {
    if (archive == NULL) {
        return;
    }
    for (int64_t i = 0; i < archive->list.count; i++) {
        free(archive->list.entries[i].name);
    }
    free(archive->list.entries);
    zip_close(archive->zip);
    if (archive->fd >= 0) {
        close(archive->fd);
    }
    free(archive->path);
    free(archive);
}

/* --- finding -------------------------------------------------------------------------------- */

const char *archive_path(const archive_t *archive) { return archive->path; }

const archive_entry_t *archive_entries(const archive_t *archive, int64_t *count_out) {
    *count_out = archive->list.count;
    return archive->list.entries;
}

/* The first entry that is not before `name` in its first `bytes` bytes (more: not at or before). */
static int64_t bound(const archive_t *archive, const char *name, size_t bytes, bool behind) {
    int64_t low = 0, high = archive->list.count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strncmp(archive->list.entries[middle].name, name, bytes);
        if (order < 0 || (behind && order == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int64_t archive_find(const archive_t *archive, const char *name) {
    int64_t at = bound(archive, name, strlen(name) + 1, false);
    return at < archive->list.count && strcmp(archive->list.entries[at].name, name) == 0 ? at : -1;
}

int64_t archive_range(const archive_t *archive, const char *prefix, int64_t *count_out) {
    int64_t first = bound(archive, prefix, strlen(prefix), false);
    *count_out = bound(archive, prefix, strlen(prefix), true) - first;
    return first;
}

/* --- reading -------------------------------------------------------------------------------- */

static status_t open_in_folder(const archive_entry_t *entry, archive_member_t *member) {
    struct stat info;
    member->fd = member->read_fd = open(member->path, O_RDONLY | O_CLOEXEC);
    if (member->fd < 0 || fstat(member->fd, &info) != 0) {
        return status_fail_errno(STATUS_INPUT, "cannot open %s", member->path);
    }
    if (info.st_size != entry->bytes) {
        return status_fail(STATUS_FAILED, "%s: its size changed meanwhile; begin again",
                           member->path);
    }
    return STATUS_OK;
}

static status_t open_member(const archive_t *archive, const archive_entry_t *entry,
                            archive_member_t *member) {
    if (archive->zip != NULL) {
        int64_t count = 0;
        const zip_member_t *members = zip_members(archive->zip, &count);
        return zip_read(archive->zip, &members[entry->place], &member->data);
    }
    if (archive->fd >= 0) {
        member->read_fd = archive->fd;
        member->offset = entry->place;
        return STATUS_OK;
    }
    return open_in_folder(entry, member);
}

status_t archive_member_open(const archive_t *archive, int64_t index,
                             archive_member_t **member_out) {
    REQUIRE(index >= 0 && index < archive->list.count);
    const archive_entry_t *entry = &archive->list.entries[index];
    archive_member_t *member = alloc_zero(1, sizeof *member);
    *member = (archive_member_t){.entry = entry,
                                 .path = text_format("%s/%s", archive->path, entry->name),
                                 .fd = -1,
                                 .read_fd = -1};
    status_t status = open_member(archive, entry, member);
    if (status != STATUS_OK) {
        archive_member_close(member);
        return status;
    }
    *member_out = member;
    return STATUS_OK;
}

status_t archive_member_of_file(const char *path, archive_member_t **member_out) {
    struct stat info = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait */
    if (fd < 0) {
        return status_fail_errno(errno == ENOENT ? STATUS_INPUT : STATUS_FAILED, "cannot open %s",
                                 path);
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return status_fail(STATUS_INPUT, "%s: no file; give the path of one", path);
    }
    archive_member_t *member = alloc_zero(1, sizeof *member);
    *member = (archive_member_t){
        .own = {.bytes = (int64_t)info.st_size}, .path = text_copy(path), .fd = fd, .read_fd = fd};
    member->entry = &member->own;
    *member_out = member;
    return STATUS_OK;
}

int64_t archive_member_bytes(const archive_member_t *member) { return member->entry->bytes; }

status_t archive_member_read(const archive_member_t *member, int64_t offset, int64_t bytes,
                             void *out) {
    REQUIRE(offset >= 0 && bytes >= 0 && bytes <= member->entry->bytes - offset);
    if (member->data != NULL) {
        memcpy(out, member->data + offset, (size_t)bytes);
        return STATUS_OK;
    }
    return file_pread(member->read_fd, member->path, member->offset + offset, bytes, out);
}

void archive_member_close(archive_member_t *member) {
    if (member != NULL) {
        if (member->fd >= 0) {
            close(member->fd);
        }
        free(member->data);
        free(member->path);
        free(member);
    }
}

status_t archive_read(const archive_t *archive, int64_t index, char **data_out, size_t *bytes_out) {
    archive_member_t *member = NULL;
    TRY(archive_member_open(archive, index, &member));
    int64_t bytes = member->entry->bytes;
    char *data = member->data;
    member->data = NULL;
    status_t status = STATUS_OK;
    if (data == NULL && bytes > READ_BYTES_MAX) {
        status = status_fail(STATUS_INPUT, "%s: more than 1 GiB; split it", member->path);
    } else if (data == NULL) {
        data = alloc_zero(bytes + 1, 1);
        status = archive_member_read(member, 0, bytes, data);
    }
    archive_member_close(member);
    if (status != STATUS_OK) {
        free(data);
        return status;
    }
    *data_out = data;
    *bytes_out = (size_t)bytes;
    return STATUS_OK;
}
